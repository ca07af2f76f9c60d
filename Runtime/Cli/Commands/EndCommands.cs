using System.CommandLine;
using Holdfast.Runtime.Supervision;

namespace Holdfast.Runtime.Cli.Commands;

/// <summary><c>holdfast stop</c> and <c>kill</c>: end an application.</summary>
internal static class EndCommands
{
    public static Command Stop(Executor executor)
    {
        Argument<string> name = Options.Name();
        Option<TimeSpan?> timeout = Options.Time("--timeout", "How long it may take to end by itself before it is killed (default: 10s)");
        DocumentedCommand command = new("stop", "Ends an application: SIGTERM, and SIGKILL if that does not do.")
        {
            Examples = [("holdfast stop web --timeout 30s", "gives it 30 seconds")],
        };
        command.Arguments.Add(name);
        command.Options.Add(timeout);
        command.SetAction(parsed => executor.ExecuteCancellable(parsed, (session, cancellation) => EndAsync(
            session, parsed.GetRequiredValue(name), a => a.StopAsync(parsed.GetValue(timeout) ?? session.Settings.StopGrace, cancellation), cancellation)));
        return command;
    }

    public static Command Kill(Executor executor)
    {
        Argument<string> name = Options.Name();
        DocumentedCommand command = new("kill", "Kills every process of an application with SIGKILL.") { Examples = [("holdfast kill web", "ends it now")] };
        command.Arguments.Add(name);
        command.SetAction(parsed => executor.ExecuteCancellable(parsed, (session, cancellation) => EndAsync(
            session, parsed.GetRequiredValue(name), a => a.KillAsync(cancellation), cancellation)));
        return command;
    }

    private static async Task<int> EndAsync(Session session, string name, Func<IApplicationControl, Task<int>> end, CancellationToken cancellation)
    {
        await using IApplicationControl application = await ApplicationAccess.OpenAsync(session, name, cancellation).ConfigureAwait(false);
        int status = await end(application).ConfigureAwait(false);
        session.Output.Confirm(
            new EndedJson(name, "ended", status < 0 ? null : status), OutputJson.Default.EndedJson,
            e => e.ExitStatus is { } s ? $"{e.Name} ended with status {s}" : $"{e.Name} ended");
        return ExitStatus.Done;
    }
}
