using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;
using Holdfast.KernelBridge.Spaces;

namespace Holdfast.KernelBridge.Capture;

/// <summary>What a checkpoint of an application is through either bridge: all but how its processes are brought to a halt and asked.</summary>
internal abstract class ApplicationCheckpoint : ICheckpoint
{
    // Of small processes whose memory could be copied too: to read a mebibyte takes as long as to copy a few such processes.
    private const long MostHeldOfCopyable = 8 << 20;

    private const long MostHeld = 64 << 20;

    private readonly Lock gate = new();
    private readonly Dictionary<int, IReadOnlyList<SegmentUser>> sharedMemory = [];
    private readonly Dictionary<int, string> ghosts = [];
    private readonly List<int> reopened = [];
    private IReadOnlyDictionary<int, SegmentUser> segments = new Dictionary<int, SegmentUser>();
    private List<SharedMemoryImage> sharedImages = [];
    private List<GhostFileImage> ghostImages = [];
    private ApplicationCensus? census;
    private NamespaceVisitor? visitor;
    private PidReference? reference;
    private long firstStop;
    private long lastResume;
    private long toHold;

    protected ApplicationCheckpoint(ApplicationTarget target, long holdUpTo)
    {
        Target = target;
        HoldUpTo = holdUpTo;
    }

    /// <summary>The application.</summary>
    public ApplicationTarget Target { get; }

    /// <summary>Private memory of a process up to this is held, in bytes.</summary>
    public long HoldUpTo { get; }

    /// <summary>The process whose namespaces are the application's.</summary>
    public PidReference Reference => LazyInitializer.EnsureInitialized(ref reference, () => PidReference.Of(Target.RootPid));

    /// <summary>What its control groups leave for copies of its memory.</summary>
    public MemoryLimits MemoryLimits { get; } = new();

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

    public virtual IReadOnlyList<int> FindProcesses()
    {
        IReadOnlyList<int> processes = Find();
        // While the application runs, so that nobody has to be sent there while it stands.
        if (visitor is null)
        {
            Visit();
        }

        return processes;
    }

    /// <summary>Sends somebody into its namespaces.</summary>
    protected virtual void Visit()
    {
        visitor = NamespaceVisitor.To(Target.RootPid);
        if (IpcNamespace.HasOwn(Target.RootPid))
        {
            // The queues are mounted for it then.
            _ = IpcNamespace.Ask(Target.RootPid, Resources.PosixQueues.List);
        }
    }

    /// <summary>What the kernel tells of the processes while all of them stand; null where it does not.</summary>
    protected virtual TaskTable? Tasks => null;

    /// <summary>Looks for the processes.</summary>
    protected virtual IReadOnlyList<int> Find() => ApplicationProcesses.Find(Target);

    public abstract IProcessCheckpoint Open(int pid);

    public abstract void Freeze(TimeSpan deadline);

    public abstract void Thaw();

    public virtual IReadOnlyList<Refusal> Locate(IReadOnlyList<ProcessFacts> processes)
    {
        List<ProcessInspection> inspections = [.. processes.Select(facts => facts.Inspection).OfType<ProcessInspection>()];
        List<Refusal> refusals = ApplicationInspection.Refusals(inspections, Target, out census, Tasks);
        Adapt(inspections, refusals);
        return refusals;
    }

    /// <summary>Takes away what this bridge can do all the same, and adds what it cannot.</summary>
    /// <param name="inspections">The processes.</param>
    /// <param name="refusals">What cannot be captured.</param>
    protected virtual void Adapt(IReadOnlyList<ProcessInspection> inspections, List<Refusal> refusals)
    {
    }

    public virtual ApplicationImage Assemble(IReadOnlyList<ProcessImage> processes)
    {
        HasSubreaper = processes.Any(process => process.Attributes?.ChildSubreaper == true);
        ImageAssembly assembly = new(Target, Reference, processes, census, TerminalOutput.Outputs, TerminalInput.Inputs, SocketQueues, PosixQueues);
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
                : SystemVMemory.Pump(shared, Target.RootPid, segments.GetValueOrDefault(shared.Id), sink);
        }

        foreach (GhostFileImage ghost in ghostImages)
        {
            counts += GhostFiles.Pump(ghost, ghosts[ghost.Id], sink);
        }

        return counts;
    }

    public virtual void Committed(string snapshot)
    {
    }

    public virtual void Dispose()
    {
        EndVisit();
        SocketQueues.Dispose();
        reopened.ForEach(number => _ = Libc.close(number));
        reopened.Clear();
    }

    /// <summary>The number that the application's own pid namespace gives a process; 0 for one outside.</summary>
    public int InnerPid(int pid) =>
        Target.Scope == ApplicationScope.Space && pid == Target.RootPid ? 1 : Number(pid);

    /// <summary>The same of one that is not the init.</summary>
    protected virtual int Number(int pid) => Reference.Number(pid);

    /// <summary>Asks for memory of this process to hold pages in until the application runs again: not more than <see cref="MostHeld"/> for all of its processes.</summary>
    /// <param name="bytes">How many.</param>
    /// <param name="copyable">A copy would do as well, so that it is asked for no more than <see cref="MostHeldOfCopyable"/>.</param>
    public bool TryHold(long bytes, bool copyable = false)
    {
        if (Interlocked.Add(ref toHold, bytes) <= (copyable ? MostHeldOfCopyable : MostHeld))
        {
            return true;
        }

        Interlocked.Add(ref toHold, -bytes);
        return false;
    }

    public void NoteStop() => Interlocked.CompareExchange(ref firstStop, Libc.Nanoseconds(Libc.CLOCK_MONOTONIC), 0);

    public virtual void NoteResume()
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
