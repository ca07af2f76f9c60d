using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Spaces;

namespace Holdfast.KernelBridge.Capture;

/// <summary>A checkpoint of an application through ptrace, procfs and the cgroup freezer.</summary>
internal sealed class PtraceCheckpoint : ApplicationCheckpoint
{
    private readonly Lock gate = new();
    private readonly List<WriteTracker> scanned = [];
    private readonly List<ProcessCheckpoint> opened = [];
    private readonly Lock sharing = new();
    private FreezeGuard? freeze;
    private IReadOnlyList<int>? frozen;
    private Dictionary<ProcessCheckpoint, SharedPages>? shared;
    private volatile bool keeps;
    private volatile StandingFacts? standing;
    private TaskTable? tasks;

    public PtraceCheckpoint(ApplicationTarget target, long holdUpTo, WriteTrackers trackers, AreaFlags flags, KnownAnswers answers, WriteTracking tracking)
        : base(target, holdUpTo)
    {
        Trackers = trackers;
        Flags = flags;
        Answers = answers;
        Tracking = tracking == WriteTracking.Off || WriteTrackers.Obstacle is not null ? WriteTracking.Off : tracking;
    }

    /// <summary>All threads are asked themselves, even where the kernel would tell of them.</summary>
    public bool AsksThreads { get; init; }

    /// <summary>What is known from earlier checkpoints.</summary>
    public WriteTrackers Trackers { get; }

    /// <summary>What is known of what flags of areas mean.</summary>
    public AreaFlags Flags { get; }

    /// <summary>What is known of what processes answer.</summary>
    public KnownAnswers Answers { get; }

    /// <summary>Whether writes to memory are tracked; off where this kernel cannot.</summary>
    public WriteTracking Tracking { get; }

    /// <summary>What its processes have in common while all of them stand.</summary>
    public StandingFacts Standing
    {
        get
        {
            if (standing is { } known)
            {
                return known;
            }

            lock (gate)
            {
                return standing ??= new StandingFacts(Reference, opened.Count, tasks ?? TaskTable.TryRead(opened.Count));
            }
        }
    }

    /// <inheritdoc/>
    /// <remarks>In a frozen control group no process is born, and one outside it is refused: of a frozen application it is asked once.</remarks>
    public override IReadOnlyList<int> FindProcesses() => freeze is null ? base.FindProcesses() : frozen ??= base.FindProcesses();

    protected override TaskTable? Tasks => Standing.Tasks;

    protected override IReadOnlyList<int> Find() => ApplicationProcesses.Find(Target, tasks: freeze is null ? null : tasks ??= TaskTable.TryRead(opened.Count));

    protected override int Number(int pid) => Standing.Number(pid);

    public override IProcessCheckpoint Open(int pid)
    {
        ProcessCheckpoint process = new(this, pid);
        lock (gate)
        {
            opened.Add(process);
        }

        return process;
    }

    /// <summary>The kernel has told of a process, since it was frozen, that it has not ended.</summary>
    public bool IsKnownToLive(int pid) => tasks?.Of(pid) is { Memory: > 0 };

    /// <summary>From now on processes may go on.</summary>
    public void NoteKeeping() => keeps = true;

    /// <summary>
    /// What a process has in common with others and need not be read. Asked for the first time when all of them stand and none is to go on before it is pumped, or
    /// when all have copies that will have one: it is found out for all then.
    /// </summary>
    public SharedPages? SharedOf(ProcessCheckpoint process)
    {
        if (process.Holder(keeps) is null)
        {
            return null;
        }

        lock (sharing)
        {
            return (shared ??= FindShared()).GetValueOrDefault(process);
        }
    }

    public override void NoteResume()
    {
        standing = null;
        base.NoteResume();
    }

    public override void Freeze(TimeSpan deadline)
    {
        if (Target.CgroupPath is null || freeze is not null)
        {
            return;
        }

        tasks = null;
        freeze = FreezeGuard.Freeze(Target, deadline, NoteStop);
    }

    public override void Thaw()
    {
        freeze?.Dispose();
        freeze = null;
        frozen = null;
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

    private Dictionary<ProcessCheckpoint, SharedPages> FindShared()
    {
        List<(ProcessCheckpoint Process, MemoryHolder Holder)> holders = [];
        lock (gate)
        {
            foreach (ProcessCheckpoint process in opened)
            {
                if (process.Holder(keeps) is { } holder)
                {
                    holders.Add((process, holder));
                }
            }
        }

        // Numbers of frames show with the host's rights only. What is known not to have been written to is kept from the base, where it may be shared already.
        if (holders.Count < 2 || !Authority.Own.IsOfHost || holders.TrueForAll(pair => pair.Process.IsKeptFromBase))
        {
            return [];
        }

        try
        {
            IReadOnlyList<SharedPages> found = new SharedPageFinder([.. holders.Select(pair => pair.Holder)]).Find();
            return Enumerable.Range(0, found.Count).Where(i => found[i].Count > 0).ToDictionary(i => holders[i].Process, i => found[i]);
        }
        catch (Exception e) when (e is BridgeException or IOException or UnauthorizedAccessException)
        {
            // Whoever cannot be looked at will be found out when it is read.
            return [];
        }
    }
}
