using System.CommandLine;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Cli.Commands;

/// <summary><c>holdfast apply</c>: makes a snapshot out of a difference that was written elsewhere.</summary>
internal static class ApplyCommand
{
    public static Command Build(Executor executor)
    {
        Argument<string> file = new("FILE") { Description = "What 'holdfast diff --to FILE' wrote" };
        DocumentedCommand command = new("apply", "Makes the snapshot of a difference, on the base that this store has. Nothing is visible before its content was verified.")
        {
            Examples = [("holdfast apply data.diff", "in the store of another machine; applying it again changes nothing")],
        };
        command.Arguments.Add(file);
        command.SetAction(parsed => executor.ExecuteCancellable(parsed, async (session, cancellation) =>
        {
            string path = parsed.GetRequiredValue(file);
            if (!File.Exists(path))
            {
                throw new HoldfastException("file.missing", $"there is no file {path}");
            }

            await using FileStream stream = new(path, FileMode.Open, FileAccess.Read, FileShare.Read, 1 << 16);
            SnapshotInfo made = await DifferenceFile.ApplyAsync(session.Store.Snapshots(), stream, cancellation).ConfigureAwait(false);
            session.Output.Confirm(
                new AppliedJson(made.Object, made.Id, made.Parent, made.LogicalBytes, made.StoredBytes), StorageJson.Default.AppliedJson,
                a => $"{a.Name}@{a.Snapshot}: {Output.Bytes(a.BytesLogical)}, {Output.Bytes(a.BytesStored)} stored");
            return ExitStatus.Done;
        }));
        return command;
    }
}
