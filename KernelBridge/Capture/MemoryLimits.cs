using System.Globalization;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Spaces;

namespace Holdfast.KernelBridge.Capture;

/// <summary>What the memory controller allows a process; see Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst.</summary>
internal static class MemoryLimits
{
    /// <summary>
    /// Whether every group above a process has room for so many bytes more: in the worst case an application writes to all its memory while there is a copy, and
    /// a group that runs out of memory ends processes, or all of them (memory.oom.group). What files are cached in counts as room.
    /// </summary>
    public static bool LeaveRoomFor(int pid, long bytes)
    {
        string[] mounts = File.ReadAllLines("/proc/self/mountinfo");
        foreach (string line in (ProcFs.TryText($"/proc/{pid}/cgroup") ?? string.Empty).Split('\n'))
        {
            // Hierarchy, controllers, path: cgroups(7).
            string[] parts = line.Split(':', 3);
            bool second = parts is ["0", "", _];
            if (!second && !(parts.Length == 3 && parts[1].Split(',').Contains("memory")))
            {
                continue;
            }

            IEnumerable<string> roots = second ? CgroupTree.FindMounts(mounts) : CgroupTree.FindMounts(mounts, "memory");
            if (roots.Any(root => !LeavesRoom(root, root + parts[2].TrimEnd('/'), second, bytes)))
            {
                return false;
            }
        }

        return true;
    }

    private static bool LeavesRoom(string root, string group, bool second, long bytes)
    {
        for (string? at = group; at is not null && at.Length >= root.Length; at = Path.GetDirectoryName(at))
        {
            long? most = Number(at, second ? "memory.max" : "memory.limit_in_bytes");
            long? now = Number(at, second ? "memory.current" : "memory.usage_in_bytes");
            if (most - (now - Cached(at, second)) < bytes)
            {
                return false;
            }
        }

        return true;
    }

    private static long Cached(string group, bool second)
    {
        long cached = 0;
        foreach (string line in (ProcFs.TryText(Path.Combine(group, "memory.stat")) ?? string.Empty).Split('\n'))
        {
            if (line.Split(' ') is [var name, var value] && long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out long number))
            {
                cached += name == (second ? "file" : "total_cache") ? number : name == (second ? "shmem" : "total_shmem") ? -number : 0;
            }
        }

        return cached;
    }

    /// <summary>The number in a file of a group; null for <c>max</c>, or without that controller.</summary>
    private static long? Number(string group, string file) =>
        ProcFs.TryText(Path.Combine(group, file)) is { } text && long.TryParse(text.Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out long number) ? number : null;
}
