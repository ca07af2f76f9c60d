namespace Holdfast.KernelBridge.Linux;

/// <summary>The process whose namespaces are those of an application: the init of its space, or the root of its tree.</summary>
/// <param name="Pid">As the host sees it.</param>
/// <param name="Levels">How many pid namespaces number it, from that of this /proc to its own (NSpid of /proc/PID/status).</param>
internal sealed record PidReference(int Pid, int Levels)
{
    public static PidReference Of(int pid) => new(pid, Math.Max(1, ProcessStatus.TryRead(pid)?.Numbers("NSpid").Length ?? 1));

    /// <summary>How many pid namespaces lie between the application's and that of a process: 0 in the same.</summary>
    public int DepthOf(ProcessStatus status) => Math.Max(0, status.Numbers("NSpid").Length - Levels);

    /// <summary>The number that the application's pid namespace gives a process or thread; 0 for one outside, or one that is gone.</summary>
    /// <param name="pid">As the host sees it.</param>
    public int Number(int pid) => ProcessStatus.TryRead(pid) is { } status ? NumberOf(status) : 0;

    /// <summary>The same of one whose status is known.</summary>
    public int NumberOf(ProcessStatus status) => status.Numbers("NSpid") is var numbers && numbers.Length >= Levels ? numbers[Levels - 1] : 0;
}
