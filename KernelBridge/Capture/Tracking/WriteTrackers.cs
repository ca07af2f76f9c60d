using System.Collections.Concurrent;
using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Capture;

/// <summary>What a supervisor knows, from one checkpoint to the next, of what was written to. Safe for use by several threads, of which each has its own processes.</summary>
internal sealed class WriteTrackers
{
    private static readonly Lazy<string?> protectionObstacle = new(WriteProtection.Try);
    private static readonly Lazy<string?> bitsObstacle = new(SoftDirtyPages.Try);

    private readonly ConcurrentDictionary<(int Pid, ulong StartTime), WriteTracker> trackers = [];

    /// <summary>Why this kernel cannot do it; null when it can.</summary>
    public static string? Obstacle => protectionObstacle.Value is { } first && bitsObstacle.Value is { } second ? $"{first}, and {second}" : null;

    /// <summary>Whether it is done by soft-dirty bits, since there is nothing better.</summary>
    public static bool BySoftDirtyBits => protectionObstacle.Value is not null && bitsObstacle.Value is null;

    /// <summary>The tracker of a process; null when it has none, or had one before it executed another program.</summary>
    public WriteTracker? Find(int pid, ProcessStat stat)
    {
        if (!trackers.TryGetValue((pid, stat.StartTime), out WriteTracker? tracker) || tracker.IsOf(stat))
        {
            return tracker;
        }

        Remove(pid, stat);
        return null;
    }

    public void Add(int pid, ProcessStat stat, WriteTracker tracker) => trackers[(pid, stat.StartTime)] = tracker;

    /// <summary>Ends the tracking of a process.</summary>
    public void Remove(int pid, ProcessStat stat)
    {
        if (trackers.TryRemove((pid, stat.StartTime), out WriteTracker? tracker))
        {
            tracker.Dispose();
        }
    }

    /// <summary>Ends that of processes that have ended.</summary>
    public void RemoveGone()
    {
        foreach ((int pid, ulong start) in trackers.Keys)
        {
            if ((ProcessStat.TryRead(pid) is not { State: not ('Z' or 'X') } stat || stat.StartTime != start) && trackers.TryRemove((pid, start), out WriteTracker? tracker))
            {
                tracker.Dispose();
            }
        }
    }
}
