using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// POSIX shared memory and named semaphores: files in /dev/shm (shm_overview(7), sem_overview(7)). When the application has a file system of its own there,
/// all of it belongs to the application, open, mapped or neither: files are kept as <see cref="GhostFileImage"/> under their names. In the host's, files
/// are the host's, like any others.
/// </summary>
internal static class SharedMemoryDirectory
{
    /// <summary>Where it is.</summary>
    public const string Place = "/dev/shm";

    private const string Inside = Place + "/";

    private const int EntrySize = 20;

    /// <summary>Whether a process has a file system of its own there.</summary>
    public static bool HasOwn(int pid) =>
        FileSystem(pid.ToString(System.Globalization.CultureInfo.InvariantCulture)) is { } its && its != FileSystem("self");

    /// <summary>Whether a path lies in it, and nowhere else.</summary>
    public static bool IsPath(string path) =>
        path.StartsWith(Inside, StringComparison.Ordinal) && path.Length < 4096 && !path.Contains('\0', StringComparison.Ordinal)
        && path[Inside.Length..].Split('/').All(part => part is not ("" or "." or ".."));

    /// <summary>What in it cannot be captured.</summary>
    /// <param name="rootPid">A process whose mounts all others share.</param>
    public static IEnumerable<Refusal> Refusals(int rootPid)
    {
        if (!HasOwn(rootPid))
        {
            return [];
        }

        return Entries(rootPid).Where(entry => !IsKept(entry.Identity)).Select(entry => new Refusal(
            "shm.file", 0, null, entry.Path, entry.Identity.Type == FileIdentity.Regular ? "it has several names (hard links)" : "it is neither a file nor a directory", "remove it before the checkpoint"));
    }

    /// <summary>What is in it: paths as the application sees them, directories before what they hold.</summary>
    public static List<(string Path, FileIdentity Identity)> Entries(int rootPid)
    {
        string root = Root(rootPid);
        List<(string, FileIdentity)> entries = [];
        EnumerationOptions all = new() { RecurseSubdirectories = true, AttributesToSkip = FileAttributes.None };
        // Each entry adds to the size of a directory of tmpfs; without any it is that of two (BOGO_DIRENT_SIZE of mm/shmem.c).
        if (FileIdentity.TryOf(root + Place) is not { Type: FileIdentity.DirectoryType } place || (place.Size == 2 * EntrySize && Libc.FileSystemType(root + Place) == Libc.TmpfsMagic))
        {
            return entries;
        }

        foreach (string path in Directory.EnumerateFileSystemEntries(root + Place, "*", all).Order(StringComparer.Ordinal))
        {
            if (FileIdentity.TryOfLink(path) is { } identity)
            {
                entries.Add((path[root.Length..], identity));
            }
        }

        return entries;
    }

    /// <summary>The name that a file there has now; null when it never lay there, or has none.</summary>
    /// <param name="pid">A process that sees it.</param>
    /// <param name="was">The name by which it was found.</param>
    /// <param name="identity">The file.</param>
    public static string? NameOf(int pid, string was, FileIdentity identity) => was.StartsWith(Inside, StringComparison.Ordinal)
        ? Entries(pid).Find(entry => entry.Identity.SameFile(identity)).Path
        : null;

    /// <summary>The root directory of a process as we see it.</summary>
    public static string Root(int pid) => $"/proc/{pid}/root";

    private static bool IsKept(FileIdentity identity) => identity.Type == FileIdentity.DirectoryType || (identity.Type == FileIdentity.Regular && identity.Links == 1);

    /// <summary>The device of the file system that is mounted there; null when none is.</summary>
    private static ulong? FileSystem(string process) => FileIdentity.DeviceOfMount($"/proc/{process}/root{Place}");
}

/// <summary>A directory in an application's own /dev/shm.</summary>
/// <param name="Path">Its path.</param>
/// <param name="Mode">Permissions.</param>
/// <param name="Owner">User id.</param>
/// <param name="Group">Group id.</param>
internal sealed record SharedMemoryFolderImage(string Path, uint Mode, uint Owner, uint Group);
