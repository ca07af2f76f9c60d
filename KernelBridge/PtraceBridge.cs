using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Interception;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Loading;
using Holdfast.KernelBridge.Resources;
using Holdfast.KernelBridge.Restore;
using Holdfast.KernelBridge.Spaces;

namespace Holdfast.KernelBridge;

/// <summary>The bridge that needs no kernel module: ptrace(2), procfs, pidfd and the cgroup freezer.</summary>
/// <param name="holdUpTo">
/// Private memory of a process, in bytes, up to which it is read while the process stands and held here until the sink takes it; more is copied by clone(2).
/// </param>
public sealed class PtraceBridge(long holdUpTo = PtraceBridge.DefaultHold) : IKernelBridge
{
    /// <summary>What takes about as long to read as to copy, with all that belongs to that: 2 MiB.</summary>
    public const long DefaultHold = 2 << 20;

    private readonly WriteTrackers trackers = new();

    /// <inheritdoc/>
    public string Name => "ptrace";

    /// <inheritdoc/>
    public IReadOnlyList<CheckRow> CheckHost() => HostCheck.Rows();

    /// <inheritdoc/>
    public IReadOnlyList<CheckRow> CheckApplication(ApplicationTarget target)
    {
        bool loading = IsLoading(target);
        PidReference reference = PidReference.Of(target.RootPid);
        List<ProcessInspection> inspections = [.. ApplicationProcesses.Find(target).Select(pid => Look(pid, reference)).OfType<ProcessInspection>()];
        List<Refusal> refusals = [.. inspections.SelectMany(inspection => inspection.Refusals), .. ApplicationInspection.Refusals(inspections, target, out ApplicationCensus census)];
        if (!loading)
        {
            return [.. Intercepted(target), .. ApplicationCheck.Rows(inspections, refusals, census)];
        }

        // What holds its missing pages is ours, and gone before anything is captured.
        refusals.RemoveAll(refusal => refusal.Code == AddressSpaces.UserFault);
        return
        [
            new CheckRow("memory", CheckVerdict.Caveat, "it is still being loaded after a lazy restore: a checkpoint waits until that is complete", ""),
            .. Intercepted(target),
            .. ApplicationCheck.Rows(inspections, refusals, census),
        ];
    }

    private static bool IsLoading(ApplicationTarget target)
    {
        if (target.InitSocket is null)
        {
            return false;
        }

        try
        {
            using InitClient client = InitClient.Connect(target.InitSocket);
            return client.Status().Loading;
        }
        catch (BridgeException)
        {
            // It has ended.
            return false;
        }
    }

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
    public ICheckpoint BeginCheckpoint(ApplicationTarget target, WriteTracking tracking = WriteTracking.Off) => new PtraceCheckpoint(target, holdUpTo, trackers, tracking);

    /// <inheritdoc/>
    public long PrivateMemory(ApplicationTarget target) =>
        ApplicationProcesses.Find(target).Sum(pid => ProcessStatus.TryRead(pid) is { } status ? (status.Kibibytes("RssAnon") + status.Kibibytes("VmSwap")) * 1024 : 0);

    /// <inheritdoc/>
    public IRendezvous? BeginRendezvous(ApplicationTarget target) =>
        target.Scope == ApplicationScope.Space && InterceptBoard.TryOpen(target.RootPid) is { } board ? new Rendezvous(target, board) : null;

    /// <inheritdoc/>
    public IMemoryLoading? ContinueLoading(ApplicationTarget target, Func<LoadingSource> source)
    {
        ArgumentNullException.ThrowIfNull(target);
        return target.InitSocket is { } socket ? MemoryLoader.Continue(socket, source) : null;
    }

    /// <inheritdoc/>
    public IRestore BeginRestore(RestoreRequest request) => new PtraceRestore(request);

    private static IEnumerable<CheckRow> Intercepted(ApplicationTarget target)
    {
        using InterceptBoard? board = target.Scope == ApplicationScope.Space ? InterceptBoard.TryOpen(target.RootPid) : null;
        return board is null ? [] : [InterceptedProcesses.Row(InterceptedProcesses.Of(target, board.Filters))];
    }

    /// <summary>Looks at a process that runs on: what is found while it executes a program or ends is looked at again. Null when it is gone.</summary>
    private static ProcessInspection? Look(int pid, PidReference reference)
    {
        for (int attempt = 0; ; attempt++)
        {
            try
            {
                ProcessInspection inspection = ProcessInspection.Of(pid, reference);
                if (inspection.Refusals.Count == 0 || attempt == 2)
                {
                    return inspection;
                }
            }
            catch (BridgeException e) when (e.Code == "process.gone" || ProcessStat.TryRead(pid) is null or { State: 'Z' or 'X' })
            {
                return null;
            }
        }
    }

    /// <summary>The target of a process that Holdfast did not start, with its descendants.</summary>
    /// <exception cref="BridgeException">There is no such process (<c>process.gone</c>).</exception>
    public static ApplicationTarget TreeOf(int pid) =>
        new(ApplicationScope.Tree, pid, ProcessStat.Read(pid).StartTime, ProcessIdentity.BootId());
}
