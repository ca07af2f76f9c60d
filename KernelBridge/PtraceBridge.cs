using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Interception;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Loading;
using Holdfast.KernelBridge.Restore;
using Holdfast.KernelBridge.Spaces;

namespace Holdfast.KernelBridge;

/// <summary>The bridge that needs no kernel module: ptrace(2), procfs, pidfd and the cgroup freezer.</summary>
/// <param name="holdUpTo">
/// Private memory of a process, in bytes, up to which it is read while the process stands and held here until the sink takes it, as long as
/// that is not much for all of them together; more is copied by clone(2).
/// </param>
public sealed class PtraceBridge(long holdUpTo = PtraceBridge.DefaultHold) : IKernelBridge
{
    /// <summary>What takes about as long to read as to copy, with all that belongs to that: 2 MiB.</summary>
    public const long DefaultHold = 2 << 20;

    private readonly WriteTrackers trackers = new();
    private readonly AreaFlags flags = new();

    /// <summary>Whether <see cref="KeepProcessorsAwake"/> is to do so.</summary>
    public bool LetsProcessorsSleep { get; init; }

    /// <summary>All threads are asked themselves, even where the kernel would tell of them.</summary>
    internal bool AsksThreads { get; init; }

    /// <summary>What is known of what processes answer.</summary>
    internal KnownAnswers Answers { get; } = new();

    /// <summary>Begins to do, on another thread, what the first restore of this process has to do once: a command can do something else meanwhile.</summary>
    public static void GetReadyToRestore() => _ = Task.Run(ApplicationImage.GetReady);

    /// <summary>The same for the first checkpoint.</summary>
    public static void GetReadyToCheckpoint() => _ = Task.Run(() => TaskIterator.Own);

    /// <inheritdoc/>
    public string Name => "ptrace";

    /// <inheritdoc/>
    public IReadOnlyList<CheckRow> CheckHost() => HostCheck.Rows();

    /// <inheritdoc/>
    public IReadOnlyList<CheckRow> CheckApplication(ApplicationTarget target) => ApplicationCheck.Of(target, Gadgets.Check);

    /// <inheritdoc/>
    public IRunningApplication Launch(LaunchRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        using SpaceHandle space = Space.Start(new SpaceRequest
        {
            Mode = SpaceMode.Run, Name = request.Name, StateDirectory = request.StateDirectory, Command = request.Command,
            Environment = request.Intercept ? InterceptLibrary.Environment(request.Environment) : request.Environment, Intercept = request.Intercept,
            WorkingDirectory = request.WorkingDirectory, Detach = request.Detach, StandardStreams = request.StandardStreams, HostName = request.HostName,
            Isolate = request.Isolate,
        });
        return space.HandOver();
    }

    /// <inheritdoc/>
    public IRunningApplication? Find(ApplicationTarget target) => ApplicationFinder.Find(target);

    /// <inheritdoc/>
    public ICheckpoint BeginCheckpoint(ApplicationTarget target, WriteTracking tracking = WriteTracking.Off) => new PtraceCheckpoint(target, holdUpTo, trackers, flags, Answers, tracking) { AsksThreads = AsksThreads };

    /// <inheritdoc/>
    public IDisposable? KeepProcessorsAwake() => LetsProcessorsSleep ? null : CpuLatency.Hold();

    /// <inheritdoc/>
    public void MakePresent(nint start, long length) => PresentMemory.Make(start, length);

    /// <inheritdoc/>
    public long PrivateMemory(ApplicationTarget target) =>
        ApplicationProcesses.Find(target).Sum(pid => ProcessStatus.TryRead(pid) is { } status ? (status.Kibibytes("RssAnon") + status.Kibibytes("VmSwap")) * 1024 : 0);

    /// <inheritdoc/>
    public IRendezvous? BeginRendezvous(ApplicationTarget target) => BeginRendezvous(target, null);

    internal static IRendezvous? BeginRendezvous(ApplicationTarget target, Func<IReadOnlyList<int>, TimeSpan, IMeetingPoint?>? meeting) =>
        target.Scope == ApplicationScope.Space && InterceptBoard.TryOpen(target.RootPid) is { } board ? new Rendezvous(target, board, meeting) : null;

    /// <inheritdoc/>
    public IMemoryLoading? ContinueLoading(ApplicationTarget target, Func<LoadingSource> source)
    {
        ArgumentNullException.ThrowIfNull(target);
        return target.InitSocket is { } socket ? MemoryLoader.Continue(socket, source) : null;
    }

    /// <inheritdoc/>
    public IRestore BeginRestore(RestoreRequest request) => new PtraceRestore(request);

    /// <summary>The target of a process that Holdfast did not start, with its descendants.</summary>
    /// <exception cref="BridgeException">There is no such process (<c>process.gone</c>).</exception>
    public static ApplicationTarget TreeOf(int pid) =>
        new(ApplicationScope.Tree, pid, ProcessStat.Read(pid).StartTime, ProcessIdentity.BootId());
}
