namespace Holdfast.KernelBridge;

/// <summary>
/// Takes the device where there is one and the application can be captured through it, else ptrace. It is chosen when a checkpoint begins, by what a check finds, and
/// stays what it is: what fails then, fails.
/// </summary>
/// <param name="ptrace">The bridge that needs no kernel module.</param>
/// <param name="device">The bridge that needs it.</param>
public sealed class ChosenBridge(PtraceBridge ptrace, CharDeviceBridge device) : IKernelBridge
{
    /// <inheritdoc/>
    public string Name => "auto";

    /// <inheritdoc/>
    public IReadOnlyList<CheckRow> CheckHost() => CharDeviceBridge.WhyNot() is { } reason ? [Row(reason), .. ptrace.CheckHost()] : device.CheckHost();

    /// <inheritdoc/>
    public IReadOnlyList<CheckRow> CheckApplication(ApplicationTarget target) => WhyNot(target) is { } reason ? [Row(reason), .. ptrace.CheckApplication(target)] : device.CheckApplication(target);

    /// <inheritdoc/>
    public IRunningApplication Launch(LaunchRequest request) => ptrace.Launch(request);

    /// <inheritdoc/>
    public IRunningApplication? Find(ApplicationTarget target) => ptrace.Find(target);

    /// <inheritdoc/>
    public ICheckpoint BeginCheckpoint(ApplicationTarget target, WriteTracking tracking = WriteTracking.Off) =>
        tracking != WriteTracking.Off || WhyNot(target) is not null ? ptrace.BeginCheckpoint(target, tracking) : device.BeginCheckpoint(target);

    /// <inheritdoc/>
    public IDisposable? KeepProcessorsAwake() => ptrace.KeepProcessorsAwake();

    /// <inheritdoc/>
    public void MakePresent(nint start, long length) => ptrace.MakePresent(start, length);

    /// <inheritdoc/>
    public long PrivateMemory(ApplicationTarget target) => ptrace.PrivateMemory(target);

    /// <inheritdoc/>
    public IRendezvous? BeginRendezvous(ApplicationTarget target) => WhyNot(target) is null ? device.BeginRendezvous(target) : ptrace.BeginRendezvous(target);

    /// <inheritdoc/>
    public IMemoryLoading? ContinueLoading(ApplicationTarget target, Func<LoadingSource> source) => ptrace.ContinueLoading(target, source);

    /// <inheritdoc/>
    public IRestore BeginRestore(RestoreRequest request) => ptrace.BeginRestore(request);

    private static string? WhyNot(ApplicationTarget target) => CharDeviceBridge.WhyNot() ?? CharDeviceBridge.Obstacle(target);

    private static CheckRow Row(string reason) => new("bridge", CheckVerdict.Yes, $"ptrace: {reason}");
}
