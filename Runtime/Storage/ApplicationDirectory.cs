using System.Runtime.InteropServices;
using System.Text.Json;
using Holdfast.KernelBridge;
using Holdfast.KernelBridge.Spaces;
using Holdfast.Runtime.Native;

namespace Holdfast.Runtime.Storage;

/// <summary>
/// The directory <c>apps/NAME</c> of an application in a store: its record, the lock of its supervisor, the supervisor's socket, its log,
/// and what the init of its space keeps there.
/// </summary>
internal sealed class ApplicationDirectory(string path, string name)
{
    private const string RecordFile = "app.json";

    public string Name { get; } = name;

    public string Path { get; } = path;

    public string Log => File("supervisor.log");

    public string Socket => File("supervisor.sock");

    private string Lock => File("lock");

    /// <summary>Where the connections are held with which a snapshot was taken; see <see cref="KeptConnections"/>.</summary>
    public string Connections(string snapshot) => File($"connections-{snapshot}.sock");

    /// <summary>Lets go of connections that are held, for all snapshots but one.</summary>
    public void DropConnections(string? except)
    {
        foreach (string path in Exists ? Directory.GetFiles(Path, "connections-*.sock").Where(path => except is null || path != Connections(except)) : [])
        {
            KeptConnections.Drop(path);
        }
    }

    public bool Exists => Directory.Exists(Path);

    public void Create() => Directory.CreateDirectory(Path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);

    /// <summary>Reads the record; null when there is none.</summary>
    public ApplicationRecord? Read()
    {
        string file = File(RecordFile);
        byte[] bytes;
        try
        {
            bytes = System.IO.File.ReadAllBytes(file);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }

        try
        {
            ApplicationRecord record = JsonSerializer.Deserialize(bytes, RecordJson.Default.ApplicationRecord)
                ?? throw new JsonException("empty");
            return record.Version == ApplicationRecord.CurrentVersion
                ? record
                : throw new JsonException($"version {record.Version}, not {ApplicationRecord.CurrentVersion}");
        }
        catch (JsonException e)
        {
            throw new HoldfastException("app.damaged", $"{file} cannot be read: {e.Message}; remove {Path} when the application no longer runs", inner: e);
        }
    }

    /// <summary>Replaces the record: another reader sees the old one or the new one, and so does the next boot.</summary>
    public void Write(ApplicationRecord record)
    {
        string temporary = File($"{RecordFile}.{Environment.ProcessId}");
        using (FileStream stream = new(temporary, FileMode.Create, FileAccess.Write, FileShare.None, 0))
        {
            stream.Write(JsonSerializer.SerializeToUtf8Bytes(record, RecordJson.Default.ApplicationRecord));
            stream.Flush(true);
        }

        System.IO.File.Move(temporary, File(RecordFile), true);
        int directory = Libc.open(Path, Libc.O_RDONLY | Libc.O_DIRECTORY | Libc.O_CLOEXEC, 0);
        if (directory >= 0)
        {
            _ = Libc.fsync(directory);
            _ = Libc.close(directory);
        }
    }

    /// <summary>Takes the lock that every supervisor holds for as long as it lives; null when another one has it.</summary>
    public ApplicationLock? TryLock()
    {
        int fd = Libc.open(Lock, Libc.O_RDWR | Libc.O_CREAT | Libc.O_CLOEXEC, 0x180);
        if (fd < 0)
        {
            throw new HoldfastException("store.io", $"{Lock} cannot be opened: {Libc.LastError()}");
        }

        if (Libc.flock(fd, Libc.LOCK_EX | Libc.LOCK_NB) == 0)
        {
            return new ApplicationLock(fd);
        }

        int error = Marshal.GetLastPInvokeError();
        _ = Libc.close(fd);
        return error == Libc.EAGAIN ? null : throw new HoldfastException("store.io", $"{Lock} cannot be locked: {Marshal.GetPInvokeErrorMessage(error)}");
    }

    /// <summary>Whether it runs, seen from outside; tells a pid that came back, and another boot, from the application.</summary>
    public static bool Runs(ApplicationRecord record) =>
        record.Ended is null && record.Target.BootId == Host.BootId() && Host.StartTime(record.Target.RootPid) == record.Target.RootStartTime;

    /// <summary>How it ended: from the record, else from what its init wrote; null when no one knows.</summary>
    public static int? ExitStatusOf(ApplicationRecord record)
    {
        if (record.ExitStatus is not null || record.Target.ExitFile is null)
        {
            return record.ExitStatus;
        }

        try
        {
            return int.TryParse(System.IO.File.ReadAllText(record.Target.ExitFile).Trim(), out int status) ? status : null;
        }
        catch (IOException)
        {
            return null;
        }
    }

    public void Delete()
    {
        if (Directory.Exists(Path))
        {
            Directory.Delete(Path, true);
        }
    }

    private string File(string name) => System.IO.Path.Combine(Path, name);
}
