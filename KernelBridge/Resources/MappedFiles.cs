using System.Globalization;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Spaces;

namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// Finds what an area of memory is backed by. The links of /proc/PID/map_files lead there whatever became of its name, but only root may follow them (proc(5)); others
/// reach a file by its name in the process's root directory, or by a descriptor that the process has for it.
/// </summary>
internal static class MappedFiles
{
    /// <summary>Whether this process may follow the links.</summary>
    public static bool MayBeFollowed()
    {
        MemoryMap? any = MemoryMap.Read(Environment.ProcessId).Find(map => map.Name.StartsWith('/'));
        return any is null || FileIdentity.TryOf(Link(Environment.ProcessId, any.Start, any.End)) is not null;
    }

    /// <summary>The link in /proc/PID/map_files. Everybody who may look at a process may read where it points to.</summary>
    public static string Link(int pid, ulong start, ulong end) => string.Create(CultureInfo.InvariantCulture, $"/proc/{pid}/map_files/{start:x}-{end:x}");

    /// <summary>A path by which this process can open what backs an area; null when it has none.</summary>
    public static string? PathOf(int pid, MemoryMap map)
    {
        string link = Link(pid, map.Start, map.End);
        if (Authority.Own.FollowsMappedFiles)
        {
            return link;
        }

        string named = ProcFs.TryLink(link) ?? map.Name;
        if (!named.EndsWith(" (deleted)", StringComparison.Ordinal) && $"/proc/{pid}/root{named}" is var path && Is(path, map))
        {
            return path;
        }

        return ProcFs.Numbers($"/proc/{pid}/fd").Select(number => $"/proc/{pid}/fd/{number}").FirstOrDefault(descriptor => Is(descriptor, map));
    }

    /// <summary>What backs an area; null where nothing leads there.</summary>
    public static FileIdentity? Identify(int pid, MemoryMap map) => PathOf(pid, map) is { } path ? FileIdentity.TryOf(path) : null;

    /// <summary>Inodes of shared anonymous memory have no other name, and without the link only what maps says of them is known. Its size is put together from those who map it.</summary>
    public static FileIdentity Unnamed(MemoryMap map) => new(map.Device, map.Inode, FileIdentity.Regular, 0, 0, 0, 0, 0);

    // Some file systems (btrfs) show another device in maps than to stat(2): both are without a real one then.
    private static bool Is(string path, MemoryMap map) =>
        FileIdentity.TryOf(path) is { } found && found.Inode == map.Inode && (found.Device == map.Device || (found.Device >> 32 == 0 && map.Device >> 32 == 0));
}
