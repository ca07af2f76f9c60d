using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Interception;

/// <summary>A process of an application, and whether it has a checkpoint thread.</summary>
/// <param name="Pid">Host pid.</param>
/// <param name="InnerPid">Its pid in its own namespace.</param>
/// <param name="Program">Its executable, or its name where that cannot be read.</param>
/// <param name="Intercepted">Whether it has the thread.</param>
/// <param name="Filtered">Whether it would have it, but for seccomp filters that it did not begin with: it is left out, for it might not survive a call.</param>
/// <param name="Stopped">Whether job control has stopped it: it answers nobody, and is in the middle of nothing that goes on.</param>
internal sealed record InterceptedProcess(int Pid, int InnerPid, string Program, bool Intercepted, bool Filtered, bool Stopped);

/// <summary>
/// Which processes have a checkpoint thread: asked of procfs each time, so that whoever supervises, for however long, knows. A process that gives a thread of its own
/// that name is waited for in vain, which is its own loss.
/// </summary>
internal static class InterceptedProcesses
{
    /// <summary>All living processes of an application.</summary>
    /// <param name="target">The application.</param>
    /// <param name="filters">Seccomp filters that every process begins with.</param>
    public static List<InterceptedProcess> Of(ApplicationTarget target, int filters) =>
        [.. ApplicationProcesses.Find(target).Select(pid => Look(pid, filters)).OfType<InterceptedProcess>()];

    /// <summary>Whether a process has the thread now.</summary>
    public static bool HasThread(int pid) => Thread(pid) is not null;

    /// <summary>The row of a check.</summary>
    public static CheckRow Row(IReadOnlyList<InterceptedProcess> processes)
    {
        List<string> without = [.. processes.Where(process => !process.Intercepted).Select(process => $"{process.Program} (pid {process.InnerPid})")];
        int with = processes.Count - without.Count;
        return without.Count == 0
            ? new CheckRow("intercepted", CheckVerdict.Yes, $"{with} of {processes.Count} processes")
            : new CheckRow("intercepted", CheckVerdict.Caveat, $"{with} of {processes.Count} processes: {string.Join(", ", without)} {(without.Count == 1 ? "is" : "are")} not, and captured from outside alone");
    }

    private static InterceptedProcess? Look(int pid, int filters)
    {
        if (ProcessStatus.TryRead(pid) is not { } status || ProcessStat.TryRead(pid) is not { State: not ('Z' or 'X') } stat)
        {
            return null;
        }

        int? thread = Thread(pid);
        bool filtered = thread is { } tid && ProcessStatus.TryReadThread(pid, tid) is { } its && its.Number("Seccomp_filters") != filters;
        return new InterceptedProcess(
            pid, status.Innermost("NSpid"), ProcFs.TryLink($"/proc/{pid}/exe") ?? stat.Name, thread is not null && !filtered, filtered, stat.State is 'T');
    }

    private static int? Thread(int pid) =>
        ProcFs.Threads(pid).Cast<int?>().FirstOrDefault(tid => ProcFs.TryText($"/proc/{pid}/task/{tid}/comm")?.TrimEnd('\n') == InterceptAbi.ThreadName);
}
