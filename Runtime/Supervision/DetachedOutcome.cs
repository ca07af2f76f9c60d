using Holdfast.KernelBridge;
using Holdfast.Runtime.Cli;

namespace Holdfast.Runtime.Supervision;

/// <summary>Both ends of a detached start: what the background process says, and how the command shows it.</summary>
internal static class DetachedOutcome
{
    public static void Report(int? fd, StartedJson started)
    {
        if (fd is { } pipe)
        {
            Detached.Report(pipe, new DetachedReport(Started: started));
        }
    }

    public static int Show(Output output, DetachedReport report)
    {
        if (report.Error is { } error)
        {
            throw new HoldfastException(error.Error, error.Message, report.ErrorStatus)
            {
                Phase = error.Phase,
                Detail = report.Detail,
                Refusals = [.. (error.Refusals ?? []).Select(r => new Refusal(r.Code, r.Pid, r.Fd, r.What, r.Why, r.Remedy))],
            };
        }

        if (report.Restored is { } restored)
        {
            output.Confirm(restored, OutputJson.Default.RestoreJson, Text);
        }
        else if (report.Started is { } started)
        {
            output.Confirm(started, OutputJson.Default.StartedJson, s => $"{s.Name} runs (pid {s.Pid})");
        }

        return ExitStatus.Done;
    }

    public static string Text(RestoreJson r) =>
        $"{r.Name}: restored {r.Snapshot}, {Output.ProcessesAndThreads(r.Processes, r.Threads)}, runs again after {Output.Milliseconds(r.ResumeMs)} ({Output.Bytes(r.BytesRead)} read{(r.Loading is { } l ? $" of {Output.Bytes(l.BytesTotal)}, the rest follows" : "")}{(r.ConnectionsKept is { } kept ? $", {kept} {(kept == 1 ? "socket" : "sockets")} that had been held" : "")}){Output.Behind(r.Warning)}";
}
