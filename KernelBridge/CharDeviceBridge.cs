using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.CharDevice;
using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge;

/// <summary>
/// The bridge that captures through the kernel module's /dev/ckpt (ckpt(4)): no process is traced, nothing runs in one, and few calls do what takes ptrace(2) many. It makes
/// no frozen copy: memory above what is held is copied while the application stands. Launching and restoring are the other bridge's.
/// </summary>
/// <param name="ptrace">The bridge that launches and restores.</param>
/// <param name="holdUpTo">Private memory of a process, in bytes, up to which it is read while the process stands and held here until the sink takes it.</param>
public sealed class CharDeviceBridge(PtraceBridge ptrace, long holdUpTo = PtraceBridge.DefaultHold) : IKernelBridge
{
    private const ulong Needed = CkptAbi.FeatureFreeze | CkptAbi.FeatureState | CkptAbi.FeaturePages | CkptAbi.FeatureRegisters | CkptAbi.FeatureKeep | CkptAbi.FeatureRead;

    /// <inheritdoc/>
    public string Name => "device";

    /// <summary>Why there is no device for this process; null when there is.</summary>
    public static string? WhyNot()
    {
        try
        {
            using CkptSession? session = CkptSession.TryOpen();
            return WhyNot(session);
        }
        catch (BridgeException e)
        {
            return e.Message;
        }
    }

    /// <summary>Opens a session that can do what is needed.</summary>
    /// <exception cref="BridgeException"><c>device.absent</c>, or as <see cref="CkptSession.TryOpen"/>.</exception>
    internal static CkptSession Open()
    {
        CkptSession? session = CkptSession.TryOpen();
        if (WhyNot(session) is { } reason)
        {
            session?.Dispose();
            throw Missing(reason);
        }

        return session!;
    }

    private static string? WhyNot(CkptSession? session) =>
        session is null ? $"there is no {CkptSession.Path}" : (session.Features & Needed) != Needed ? "the module can do too little" : null;

    /// <summary>Why an application can be captured through ptrace only, as far as that is lasting; null when it can through the device.</summary>
    public static string? Obstacle(ApplicationTarget target)
    {
        ArgumentNullException.ThrowIfNull(target);
        return target.CgroupPath is null ? "the application has no control group of its own" : null;
    }

    /// <inheritdoc/>
    public IReadOnlyList<CheckRow> CheckHost() => [Row(), .. ptrace.CheckHost()];

    /// <inheritdoc/>
    public IReadOnlyList<CheckRow> CheckApplication(ApplicationTarget target)
    {
        ArgumentNullException.ThrowIfNull(target);
        List<CheckRow> traced = [];
        using CkptSession session = Open();
        IReadOnlyList<CheckRow> rows = ApplicationCheck.Of(target, (inspections, refusals) =>
        {
            foreach (ProcessInspection inspection in inspections)
            {
                if (inspection.View.Status.Number("TracerPid") is > 0)
                {
                    traced.Add(new CheckRow($"pid {inspection.View.InnerPid}", CheckVerdict.Caveat, DeviceLimits.TracedCaveat));
                }

                DeviceLimits.Adapt(inspection, refusals, session, inFlight: true);
            }

            DeviceLimits.Adapt(target, inspections, refusals, session, stands: false);
        });
        return
        [
            Row(), new CheckRow("memory", CheckVerdict.Caveat, "there is no frozen copy through the device: the application stands until its memory is stored", "holdfast.bridge = ptrace"),
            .. traced, .. rows,
        ];
    }

    /// <inheritdoc/>
    public IRunningApplication Launch(LaunchRequest request) => ptrace.Launch(request);

    /// <inheritdoc/>
    public IRunningApplication? Find(ApplicationTarget target) => ptrace.Find(target);

    /// <inheritdoc/>
    public ICheckpoint BeginCheckpoint(ApplicationTarget target, WriteTracking tracking = WriteTracking.Off) =>
        new DeviceCheckpoint(target, holdUpTo);

    /// <inheritdoc/>
    public IDisposable? KeepProcessorsAwake() => ptrace.KeepProcessorsAwake();

    /// <inheritdoc/>
    public void MakePresent(nint start, long length) => ptrace.MakePresent(start, length);

    /// <inheritdoc/>
    public long PrivateMemory(ApplicationTarget target) => ptrace.PrivateMemory(target);

    /// <inheritdoc/>
    public IRendezvous? BeginRendezvous(ApplicationTarget target) => PtraceBridge.BeginRendezvous(target, DeviceMeetingPoint.TryMake);

    /// <inheritdoc/>
    public IMemoryLoading? ContinueLoading(ApplicationTarget target, Func<LoadingSource> source) => ptrace.ContinueLoading(target, source);

    /// <inheritdoc/>
    public IRestore BeginRestore(RestoreRequest request) => ptrace.BeginRestore(request);

    private static BridgeException Missing(string reason) => new(
        "device.absent", "opening the device", reason, "load the module (ckpt-kmod/README.md) and run as root, or use the bridge ptrace (holdfast.bridge = ptrace)");

    private static CheckRow Row() => WhyNot() is { } reason
        ? new CheckRow("bridge", CheckVerdict.No, $"device: {reason}", "load the module (ckpt-kmod/README.md) and run as root, or set holdfast.bridge = ptrace", "device.absent")
        : new CheckRow("bridge", CheckVerdict.Yes, "device");
}
