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
        Option<bool> full = Options.Flag("--full", "Reads all memory, also what is known not to have changed since the last snapshot");
        Option<TimeSpan?> keep = Options.Time(
            "--keep-connections", "With --stop: holds its TCP connections, and its listening sockets, for so long; a restore of this very snapshot on this machine goes on with them");
        Option<TimeSpan?> timeout = Options.Time("--timeout", "Gives up, and lets the application go on, after this time");
        DocumentedCommand command = new("checkpoint", "Takes a snapshot of a supervised application, which goes on.")
        {
            Examples =
            [
                ("holdfast checkpoint web", "takes a snapshot"),
                ("holdfast -o json checkpoint web --timeout 30s", "the same for a script, within 30 seconds"),
                ("holdfast checkpoint web --stop", "takes a snapshot and ends it there; 'holdfast restore web' goes on"),
                ("holdfast checkpoint web --stop --keep-connections 10m", "the same, and clients that are connected only wait, if it is restored within 10 minutes"),
            ],
        };
        command.Arguments.Add(name);
        command.Options.Add(stop);
        command.Options.Add(full);
        command.Options.Add(keep);
        command.Options.Add(timeout);
        command.Validators.Add(result =>
        {
            if (result.GetValue(keep) is { } time && (!result.GetValue(stop) || time < TimeSpan.FromSeconds(1)))
            {
                result.AddError("--keep-connections goes with --stop, and takes a time of a second or more");
            }
        });
        command.SetAction(parsed => executor.ExecuteCancellable(parsed, async (session, cancellation) =>
        {
            await using IApplicationControl application = await ApplicationAccess.OpenAsync(session, parsed.GetRequiredValue(name), cancellation).ConfigureAwait(false);
            CheckpointJson taken = await application.CheckpointAsync(
                new CheckpointOrder(parsed.GetValue(stop), parsed.GetValue(timeout), parsed.GetValue(full), parsed.GetValue(keep)), new ProgressLine(session.Output).Show, cancellation).ConfigureAwait(false);
            session.Output.Confirm(taken, OutputJson.Default.CheckpointJson, Text);
            return ExitStatus.Done;
        }));
        return command;
    }

    public static string Text(CheckpointJson c) =>
        $"{c.Name}@{c.Snapshot}: {Output.ProcessesAndThreads(c.Processes, c.Threads)}, frozen {Output.Milliseconds(c.FreezeMs)}{(c.Volumes is { } v ? $" ({Output.Milliseconds(v.FreezeMs)} for volumes)" : "")} of {Output.Milliseconds(c.TotalMs)}, {Output.Bytes(c.BytesStored)} stored{(c.ConnectionsKept is { } kept ? $", {kept} {(kept == 1 ? "socket" : "sockets")} held" : "")}{Output.Behind(c.Warning)}";
}
