using System.Globalization;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Spaces;

namespace Holdfast.KernelBridge.Capture;

/// <summary>
/// What the memory controller allows processes; see Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst. A group is looked at once: dozens of processes of
/// an application are in the same one, and stand while they are asked for. Several threads may use it at once.
/// </summary>
internal sealed class MemoryLimits
{
    private readonly Lock gate = new();

    // By /proc/PID/cgroup.
    private readonly Dictionary<string, long> left = [];

    /// <summary>
    /// Whether every group above a process has room for so many bytes more, beside those that were taken before; takes them. In the worst case an application writes to
    /// all its memory while there is a copy, and a group that runs out of memory ends processes, or all of them (memory.oom.group). What files are cached in counts as room.
    /// </summary>
    public bool TryTake(int pid, long bytes)
    {
        string groups = ProcFs.TryText($"/proc/{pid}/cgroup") ?? string.Empty;
        lock (gate)
        {
            if (!left.TryGetValue(groups, out long room))
            {
                room = Room(groups);
            }

            left[groups] = room < bytes ? room : room - bytes;
            return room >= bytes;
        }
    }

    /// <summary>What all groups above a process have left; <see cref="long.MaxValue"/> without a limit.</summary>
    private static long Room(string groups)
    {
        string[] mounts = File.ReadAllLines("/proc/self/mountinfo");
        long room = long.MaxValue;
        foreach (string line in groups.Split('\n'))
        {
            // Hierarchy, controllers, path: cgroups(7).
            string[] parts = line.Split(':', 3);
            bool second = parts is ["0", "", _];
            if (!second && !(parts.Length == 3 && parts[1].Split(',').Contains("memory")))
            {
                continue;
            }

            IEnumerable<string> roots = second ? CgroupTree.FindMounts(mounts) : CgroupTree.FindMounts(mounts, "memory");
            room = Math.Min(room, roots.Select(root => Room(root, root + parts[2].TrimEnd('/'), second)).DefaultIfEmpty(long.MaxValue).Min());
        }

        return room;
    }

    private static long Room(string root, string group, bool second)
    {
        long room = long.MaxValue;
        for (string? at = group; at is not null && at.Length >= root.Length; at = Path.GetDirectoryName(at))
        {
            long? most = Number(at, second ? "memory.max" : "memory.limit_in_bytes");
            long? now = Number(at, second ? "memory.current" : "memory.usage_in_bytes");
            room = Math.Min(room, most is null || now is null ? long.MaxValue : most.Value - (now.Value - Cached(at, second)));
        }

        return room;
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
