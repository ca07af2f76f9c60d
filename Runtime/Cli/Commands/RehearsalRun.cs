using Holdfast.KernelBridge;
using Holdfast.Runtime.Storage;
using Holdfast.Runtime.Supervision;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Cli.Commands;

/// <summary><c>holdfast restore --rehearse</c>.</summary>
internal static class RehearsalRun
{
    public static int Run(Session session, string? address, string? from, ChangedFiles files)
    {
        (Store? dump, SnapshotReader reader) = RestoreCommand.Open(session, address, from);
        using Store? closed = dump;
        using SnapshotReader open = reader;
        string name = ApplicationName.Checked(reader.Info.Object);
        (ApplicationDirectory directory, ApplicationLock held, bool isNew) = ApplicationSlot.Take(session.Store.Application(name), session.Settings.ConnectTimeout) ?? throw RestoreCommand.Running(name);
        try
        {
            IReadOnlyList<string> volumes = Volumes.Paths(reader);
            VolumePaths.RequireRestorable(volumes, session.Store, name, directory.Read());
            Remains.Remove(session, directory.Read());
            Volumes.Rehearse(reader, CancellationToken.None);
            RehearsalReport report = Rehearse(session, directory, reader, name, files, volumes);
            RehearsalJson json = new(name, reader.Info.Id, report.Processes, report.Threads, Math.Round(report.TotalTime.TotalMilliseconds, 3), reader.Info.LogicalBytes) { Volumes = volumes.Count };
            session.Output.Confirm(
                json,
                OutputJson.Default.RehearsalJson,
                r => $"{r.Name}: {r.Snapshot} can be restored here: {Output.ProcessesAndThreads(r.Processes, r.Threads)} built and verified in {Output.Milliseconds(r.TotalMs)}{Output.VolumesRead(r.Volumes)}; nothing ran");
            return ExitStatus.Done;
        }
        finally
        {
            if (isNew)
            {
                directory.Delete();
            }

            held.Dispose();
        }
    }

    private static RehearsalReport Rehearse(Session session, ApplicationDirectory directory, SnapshotReader reader, string name, ChangedFiles files, IReadOnlyList<string> volumes)
    {
        // Beside the last run's exit status, which stays. One that was killed may have left its own.
        string place = Path.Combine(directory.Path, "rehearsal");
        RemoveDirectory(place);
        Directory.CreateDirectory(place);
        try
        {
            using FileStream nothing = new("/dev/null", FileMode.Open, FileAccess.ReadWrite);
            int fd = (int)nothing.SafeFileHandle.DangerousGetHandle();
            return Rehearsal.Run(session.Bridge, new RestoreRequest
            {
                Name = name,
                Image = reader.State,
                Pages = new SnapshotPages(reader),
                StateDirectory = place,
                Detach = true,
                Files = files,
                Volumes = volumes,
                StandardStreams = [fd, fd, fd],
                KeptConnections = directory.Connections(reader.Info.Id),
                Rehearse = true,
            });
        }
        finally
        {
            RemoveDirectory(place);
        }
    }

    private static void RemoveDirectory(string path)
    {
        if (Directory.Exists(path))
        {
            Directory.Delete(path, recursive: true);
        }
    }
}
