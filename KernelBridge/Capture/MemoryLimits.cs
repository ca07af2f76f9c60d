using System.Globalization;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Spaces;

namespace Holdfast.KernelBridge.Capture;

/// <summary>
/// What the memory controller allows processes; see Documentation/admin-guide/cgroup-v2.rst and cgroup-v1/memory.rst. What a group has left is asked once: dozens of processes of
/// an application are in the same one, and stand while they are asked for. Several threads may use it at once.
/// </summary>
internal sealed class MemoryLimits
{
    private readonly Lock gate = new();

    // By /proc/PID/cgroup.
    private readonly Dictionary<string, List<LimitedGroup>> limited = [];
    private readonly Dictionary<string, long> left = [];

    /// <summary>Looks for the limits above a process, so that where there are none nothing has to be asked while it stands.</summary>
    public void LookAbove(int pid) => _ = Above(GroupsOf(pid));

    /// <summary>
    /// Whether every group above a process has room for so many bytes more, beside those that were taken before; takes them. In the worst case an application writes to
    /// all its memory while there is a copy, and a group that runs out of memory ends processes, or all of them (memory.oom.group). What files are cached in counts as room.
    /// </summary>
    /// <param name="groups">As <see cref="GroupsOf"/> has them of the process.</param>
    /// <param name="bytes">How many.</param>
    public bool TryTake(string groups, long bytes)
    {
        List<LimitedGroup> above = Above(groups);
        lock (gate)
        {
            if (!left.TryGetValue(groups, out long room))
            {
                room = above.Select(group => group.Room).DefaultIfEmpty(long.MaxValue).Min();
            }

            left[groups] = room < bytes ? room : room - bytes;
            return room >= bytes;
        }
    }

    /// <summary>The control groups of a process, of all hierarchies: /proc/PID/cgroup.</summary>
    public static string GroupsOf(int pid) => ProcFs.TryText($"/proc/{pid}/cgroup") ?? string.Empty;

    private List<LimitedGroup> Above(string groups)
    {
        lock (gate)
        {
            return limited.TryGetValue(groups, out List<LimitedGroup>? known) ? known : limited[groups] = [.. Find(groups)];
        }
    }

    /// <summary>The groups above a process that have a limit.</summary>
    private static IEnumerable<LimitedGroup> Find(string groups)
    {
        string[] mounts = File.ReadAllLines("/proc/self/mountinfo");
        foreach (string line in groups.Split('\n'))
        {
            // Hierarchy, controllers, path: cgroups(7).
            string[] parts = line.Split(':', 3);
            bool second = parts is ["0", "", _];
            if (!second && !(parts.Length == 3 && parts[1].Split(',').Contains("memory")))
            {
                continue;
            }

            foreach (string root in second ? CgroupTree.FindMounts(mounts) : CgroupTree.FindMounts(mounts, "memory"))
            {
                for (string? at = root + parts[2].TrimEnd('/'); at is not null && at.Length >= root.Length; at = Path.GetDirectoryName(at))
                {
                    if (Number(at, second ? "memory.max" : "memory.limit_in_bytes") is { } most)
                    {
                        yield return new LimitedGroup(at, second, most);
                    }
                }
            }
        }
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

    private sealed record LimitedGroup(string Directory, bool IsOfSecond, long Most)
    {
        public long Room => Number(Directory, IsOfSecond ? "memory.current" : "memory.usage_in_bytes") is { } now ? Most - (now - Cached(Directory, IsOfSecond)) : long.MaxValue;
    }
}
