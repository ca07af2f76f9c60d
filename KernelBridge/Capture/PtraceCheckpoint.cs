using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;
using Holdfast.KernelBridge.Spaces;

namespace Holdfast.KernelBridge.Capture;

/// <summary>A checkpoint of an application through ptrace, procfs and the cgroup freezer.</summary>
internal sealed class PtraceCheckpoint : ICheckpoint
{
    private const long MostHeld = 64 << 20;

    private readonly ApplicationTarget target;
    private readonly Lock gate = new();
    private readonly Dictionary<int, IReadOnlyList<SegmentUser>> sharedMemory = [];
    private readonly Dictionary<int, string> ghosts = [];
    private readonly List<int> reopened = [];
    private IReadOnlyDictionary<int, SegmentUser> segments = new Dictionary<int, SegmentUser>();
    private List<SharedMemoryImage> sharedImages = [];
    private List<GhostFileImage> ghostImages = [];
    private ApplicationCensus? census;
    private FreezeGuard? freeze;
    private NamespaceVisitor? visitor;
    private long firstStop;
    private long lastResume;
    private long toHold;
    private readonly List<WriteTracker> scanned = [];
    private readonly List<ProcessCheckpoint> opened = [];
    private readonly Lock sharing = new();
    private Dictionary<ProcessCheckpoint, SharedPages>? shared;
    private volatile bool keeps;

    public PtraceCheckpoint(ApplicationTarget target, long holdUpTo, WriteTrackers trackers, WriteTracking tracking)
    {
        this.target = target;
        HoldUpTo = holdUpTo;
        Trackers = trackers;
        Tracking = tracking == WriteTracking.Off || WriteTrackers.Obstacle is not null ? WriteTracking.Off : tracking;
    }

    /// <summary>What is known from earlier checkpoints.</summary>
    public WriteTrackers Trackers { get; }

    /// <summary>Whether writes to memory are tracked; off where this kernel cannot.</summary>
    public WriteTracking Tracking { get; }

    /// <summary>Private memory of a process up to this is held, in bytes.</summary>
    public long HoldUpTo { get; }

    /// <summary>The process whose namespaces are the application's.</summary>
    public PidReference Reference => LazyInitializer.EnsureInitialized(ref reference, () => PidReference.Of(target.RootPid));

    private PidReference? reference;

    /// <summary>What sockets have received and nobody has read.</summary>
    public SocketQueues SocketQueues { get; } = new();

    /// <summary>What has been written to pseudo-terminals and nobody has read.</summary>
    public TerminalOutput TerminalOutput { get; } = new();

    /// <summary>What has been typed at pseudo-terminals and nobody has read.</summary>
    public TerminalInput TerminalInput { get; } = new();

    /// <summary>The application's pseudo-terminals, once they have been looked at.</summary>
    public TerminalCensus? Terminals => census?.Terminals;

    /// <summary>The application's sockets, once they have been looked at.</summary>
    public SocketCensus? Sockets => census?.Sockets;

    /// <summary>Which eventfds are semaphores.</summary>
    public EventSemaphores EventSemaphores { get; } = new();

    /// <summary>What is in POSIX message queues.</summary>
    public PosixQueueContents PosixQueues { get; } = new();

    public TimeSpan FreezeTime => firstStop == 0 || lastResume == 0 ? TimeSpan.Zero : TimeSpan.FromTicks((lastResume - firstStop) / 100);

    /// <summary>Whether a process of the application is a child subreaper (prctl(2)): it would become the parent of whatever its descendants leave behind.</summary>
    public bool HasSubreaper { get; private set; }

    public IReadOnlyList<int> FindProcesses()
    {
        // While the application runs, so that nobody has to be sent there while it stands.
        if (visitor is null)
        {
            visitor = NamespaceVisitor.To(target.RootPid);
            if (IpcNamespace.HasOwn(target.RootPid))
            {
                // The queues are mounted for it then.
                _ = IpcNamespace.Ask(target.RootPid, Resources.PosixQueues.List);
            }
        }

        return ApplicationProcesses.Find(target);
    }

    public IProcessCheckpoint Open(int pid)
    {
        ProcessCheckpoint process = new(this, pid);
        lock (gate)
        {
            opened.Add(process);
        }

        return process;
    }

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

    public void Freeze(TimeSpan deadline)
    {
        if (target.CgroupPath is null || freeze is not null)
        {
            return;
        }

        NoteStop();
        freeze = FreezeGuard.Freeze(target, deadline);
    }

    public void Thaw()
    {
        freeze?.Dispose();
        freeze = null;
    }

    public IReadOnlyList<Refusal> Locate(IReadOnlyList<ProcessFacts> processes)
    {
        List<ProcessInspection> inspections = [.. processes.Select(facts => facts.Inspection).OfType<ProcessInspection>()];
        return [.. ApplicationInspection.Refusals(inspections, target, out census)];
    }

    public ApplicationImage Assemble(IReadOnlyList<ProcessImage> processes)
    {
        HasSubreaper = processes.Any(process => process.Attributes?.ChildSubreaper == true);
        ImageAssembly assembly = new(target, Reference, processes, census, TerminalOutput.Outputs, TerminalInput.Inputs, SocketQueues, PosixQueues);
        ApplicationImage image = assembly.Build();
        reopened.AddRange(assembly.Reopened);
        SocketQueues.Dispose();
        sharedImages = [.. image.SharedMemory];
        ghostImages = [.. image.GhostFiles];
        segments = assembly.SegmentUsers;
        foreach ((int id, List<SegmentUser> users) in assembly.SharedMemoryUsers)
        {
            sharedMemory[id] = users;
        }

        foreach ((int id, string path) in assembly.GhostPaths)
        {
            ghosts[id] = path;
        }

        return image;
    }

    public PageCounts PumpShared(IPageSink sink)
    {
        PageCounts counts = default;
        foreach (SharedMemoryImage shared in sharedImages)
        {
            counts += shared.Segment is null
                ? SharedMemoryPump.Pump(shared, sharedMemory[shared.Id], sink)
                : SystemVMemory.Pump(shared, target.RootPid, segments.GetValueOrDefault(shared.Id), sink);
        }

        foreach (GhostFileImage ghost in ghostImages)
        {
            counts += GhostFiles.Pump(ghost, ghosts[ghost.Id], sink);
        }

        return counts;
    }

    public void Committed(string snapshot)
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

    public void Dispose()
    {
        Thaw();
        EndVisit();
        SocketQueues.Dispose();
        reopened.ForEach(number => _ = Libc.close(number));
        reopened.Clear();
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

    /// <summary>The number that the application's own pid namespace gives a process; 0 for one outside.</summary>
    public int InnerPid(int pid) =>
        target.Scope == ApplicationScope.Space && pid == target.RootPid ? 1 : Reference.Number(pid);

    /// <summary>Asks for memory of this process to hold pages in until the application runs again: not more than <see cref="MostHeld"/> for all of its processes.</summary>
    public bool TryHold(long bytes)
    {
        if (Interlocked.Add(ref toHold, bytes) <= MostHeld)
        {
            return true;
        }

        Interlocked.Add(ref toHold, -bytes);
        return false;
    }

    public void NoteStop() => Interlocked.CompareExchange(ref firstStop, Libc.Nanoseconds(Libc.CLOCK_MONOTONIC), 0);

    public void NoteResume()
    {
        long now = Libc.Nanoseconds(Libc.CLOCK_MONOTONIC);
        lock (gate)
        {
            lastResume = Math.Max(lastResume, now);
        }

        // It holds mounts of the host.
        EndVisit();
    }

    private void EndVisit() => Interlocked.Exchange(ref visitor, null)?.Dispose();
}
