using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// Something that a process has once, beside memory, descriptors and threads. A new one is a file with one of these, a property of
/// <see cref="ProcessImage"/>, and a line in <see cref="ProcessResources"/>.
/// </summary>
internal interface IProcessResource
{
    /// <summary>Why a process cannot be captured. Asked while it runs (a check) and again when it stands.</summary>
    IEnumerable<Refusal> Check(ProcessView view);

    /// <summary>Captures it from the process, which stands.</summary>
    /// <param name="view">What procfs says.</param>
    /// <param name="state">What its first thread is asked.</param>
    /// <param name="image">Where it goes.</param>
    void Capture(ProcessView view, IProcessState state, ProcessImage image);

    /// <summary>Composes what brings it back, run by the process's first thread after its descriptors and memory stand.</summary>
    /// <param name="image">The process.</param>
    /// <param name="sinceCapture">Nanoseconds by which the application's clocks have gone on since its capture, while it was built.</param>
    /// <param name="tape">The tape.</param>
    void Restore(ProcessImage image, long sinceCapture, SyscallTape tape);
}

/// <summary>What procfs says of a process.</summary>
/// <param name="Pid">As the host sees it.</param>
/// <param name="Stat">/proc/PID/stat.</param>
/// <param name="Status">/proc/PID/status.</param>
/// <param name="Depth">How many pid namespaces lie between the application's and the process's own.</param>
internal sealed record ProcessView(int Pid, ProcessStat Stat, ProcessStatus Status, int Depth = 0)
{
    private string? executable, working, root;

    /// <summary>Where its links in /proc/PID lead to, read when first asked for; null where they cannot be seen.</summary>
    public string? Executable => executable ??= ProcFs.TryLink($"/proc/{Pid}/exe");

    /// <inheritdoc cref="Executable"/>
    public string? WorkingDirectory => working ??= ProcFs.TryLink($"/proc/{Pid}/cwd");

    /// <inheritdoc cref="Executable"/>
    public string? RootDirectory => root ??= ProcFs.TryLink($"/proc/{Pid}/root");

    /// <summary>The pid in the application's pid namespace.</summary>
    public int InnerPid { get; } = Status.Above("NSpid", Depth);

    /// <summary>The pid in the process's own pid namespace.</summary>
    public int OwnPid { get; } = Status.Innermost("NSpid");

    /// <summary>The process group in the application's pid namespace; 0 for one of whoever started the application.</summary>
    public int Group { get; } = Status.Above("NSpgid", Depth);

    /// <summary>The session in the application's pid namespace; 0 for one of whoever started the application.</summary>
    public int Session { get; } = Status.Above("NSsid", Depth);

    public static ProcessView Read(int pid) => new(pid, ProcessStat.Read(pid), ProcessStatus.Read(pid));

    public static ProcessView Read(int pid, PidReference reference)
    {
        ProcessStatus status = ProcessStatus.Read(pid);
        return new ProcessView(pid, ProcessStat.Read(pid), status, reference.DepthOf(status));
    }

    public Refusal Refuse(string code, string what, string why, string remedy) => new(code, InnerPid, null, what, why, remedy);
}

/// <summary>The table, in the order of restoring: what removes rights comes last.</summary>
internal static class ProcessResources
{
    public static readonly IProcessResource[] All =
    [
        new WorkingDirectories(),
        new ProcessAttributes(),
        new SignalActions(),
        new IntervalTimers(),
        new PosixTimers(),
        new ResourceLimits(),
    ];
}
