using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Capture;

/// <summary>A checkpoint of an application through ptrace, procfs and the cgroup freezer.</summary>
internal sealed class PtraceCheckpoint : ApplicationCheckpoint
{
    private readonly Lock gate = new();
    private readonly List<WriteTracker> scanned = [];
    private FreezeGuard? freeze;

    public PtraceCheckpoint(ApplicationTarget target, long holdUpTo, WriteTrackers trackers, WriteTracking tracking)
        : base(target, holdUpTo)
    {
        Trackers = trackers;
        Tracking = tracking == WriteTracking.Off || WriteTrackers.Obstacle is not null ? WriteTracking.Off : tracking;
    }

    /// <summary>What is known from earlier checkpoints.</summary>
    public WriteTrackers Trackers { get; }

    /// <summary>Whether writes to memory are tracked; off where this kernel cannot.</summary>
    public WriteTracking Tracking { get; }

    public override IProcessCheckpoint Open(int pid) => new ProcessCheckpoint(this, pid);

    public override void Freeze(TimeSpan deadline)
    {
        if (Target.CgroupPath is null || freeze is not null)
        {
            return;
        }

        NoteStop();
        freeze = FreezeGuard.Freeze(Target, deadline);
    }

    public override void Thaw()
    {
        freeze?.Dispose();
        freeze = null;
    }

    public override void Committed(string snapshot)
    {
        lock (gate)
        {
            scanned.ForEach(tracker => tracker.Rebase(snapshot));
            scanned.Clear();
        }

        Trackers.RemoveGone();
    }

    /// <summary>What a process's tracker reports is what this checkpoint stores.</summary>
    public void NoteScan(WriteTracker tracker)
    {
        lock (gate)
        {
            scanned.Add(tracker);
        }
    }

    public override void Dispose()
    {
        Thaw();
        base.Dispose();
    }
}
