using System.CommandLine;
using Holdfast.Runtime.Supervision;

namespace Holdfast.Runtime.Cli.Commands;

/// <summary><c>holdfast checkpoint</c>: takes a snapshot of a supervised application.</summary>
internal static class CheckpointCommand
{
    public static Command Build(Executor executor)
    {
        Argument<string> name = Options.Name();
        Option<bool> stop = Options.Flag("--stop", "Ends the application once its snapshot is committed; it does not run in between");
        Option<TimeSpan?> timeout = Options.Time("--timeout", "Gives up, and lets the application go on, after this time");
        DocumentedCommand command = new("checkpoint", "Takes a snapshot of a supervised application, which goes on.")
        {
            Examples =
            [
                ("holdfast checkpoint web", "takes a snapshot"),
                ("holdfast -o json checkpoint web --timeout 30s", "the same for a script, within 30 seconds"),
                ("holdfast checkpoint web --stop", "takes a snapshot and ends it there; 'holdfast restore web' goes on"),
            ],
        };
        command.Arguments.Add(name);
        command.Options.Add(stop);
        command.Options.Add(timeout);
        command.SetAction(parsed => executor.ExecuteCancellable(parsed, async (session, cancellation) =>
        {
            await using IApplicationControl application = await ApplicationAccess.OpenAsync(session, parsed.GetRequiredValue(name), cancellation).ConfigureAwait(false);
            CheckpointJson taken = await application.CheckpointAsync(
                parsed.GetValue(stop), parsed.GetValue(timeout), new ProgressLine(session.Output).Show, cancellation).ConfigureAwait(false);
            session.Output.Confirm(taken, OutputJson.Default.CheckpointJson, Text);
            return ExitStatus.Done;
        }));
        return command;
    }

    public static string Text(CheckpointJson c) =>
        $"{c.Name}@{c.Snapshot}: {Output.ProcessesAndThreads(c.Processes, c.Threads)}, frozen {Output.Milliseconds(c.FreezeMs)}{(c.Volumes is { } v ? $" ({Output.Milliseconds(v.FreezeMs)} for volumes)" : "")} of {Output.Milliseconds(c.TotalMs)}, {(c.Intercepted is { } i ? $"{i.Ready} intercepted, " : "")}{Output.Bytes(c.BytesStored)} stored{Output.Behind(c.Warning)}";
}
