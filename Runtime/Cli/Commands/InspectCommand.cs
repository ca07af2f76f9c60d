using System.CommandLine;
using System.Text;
using Holdfast.KernelBridge;
using Holdfast.Runtime.Storage;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Cli.Commands;

/// <summary><c>holdfast inspect</c>: what a snapshot holds.</summary>
internal static class InspectCommand
{
    public static Command Build(Executor executor)
    {
        Argument<string> address = new("NAME[@SNAPSHOT]") { Description = "The application and which snapshot: an id or its beginning, latest (the default), 1st, 2nd, -1" };
        DocumentedCommand command = new("inspect", "Shows what a snapshot holds: processes, threads, maps, descriptors, sizes.")
        {
            Examples = [("holdfast inspect web", "the latest snapshot"), ("holdfast -o json inspect web@1st", "the oldest, for a script")],
        };
        command.Arguments.Add(address);
        command.SetAction(parsed => executor.Execute(parsed, false, session => Task.FromResult(Inspect(session, parsed.GetRequiredValue(address)))));
        return command;
    }

    private static int Inspect(Session session, string address)
    {
        SnapshotInfo snapshot = session.Store.Snapshot(address);
        using SnapshotReader reader = session.Store.Snapshots().OpenSnapshot(snapshot);
        ApplicationImage image = ApplicationImage.Decode(reader.State.Span);
        InspectJson inspected = new(
            ListCommands.ToJson(snapshot),
            [.. image.Processes.Select(p => new ProcessJson(
                p.Pid, p.ParentPid, p.Name, p.ThreadCount, p.CommandLine, p.DescribeThreads(), p.DescribeDescriptors(image), p.DescribeMaps()))],
            [.. reader.Streams.Select(s => new StreamJson(s.Name, s.Bytes, s.Extents))])
        {
            Volumes = [.. Volumes.Of(reader).Select(v => new VolumeJson(v.Path, v.Files, v.Bytes))],
        };
        session.Output.Result(inspected, OutputJson.Default.InspectJson, i => new StringBuilder()
            .AppendLine($"{snapshot.Address}, {Output.Time(snapshot.CreatedAt)}, {Output.Bytes(snapshot.LogicalBytes)}, parent {snapshot.Parent ?? "none"}")
            .AppendLine()
            .AppendLine(Output.Table(["PID", "PARENT", "THREADS", "NAME"], i.Processes.Select(p => (string[])[$"{p.Pid}", $"{p.ParentPid}", p.Threads == 0 ? "zombie" : $"{p.Threads}", p.Name])))
            .AppendJoin("", i.Processes.SelectMany(Parts))
            .Append(i.Volumes.Count == 0 ? "" : "\n" + Output.Table(["VOLUME", "ENTRIES", "SIZE"], i.Volumes.Select(v => (string[])[v.Path, $"{v.Entries}", Output.Bytes(v.Bytes)])))
            .AppendLine()
            .Append(Output.Table(["STREAM", "SIZE", "EXTENTS"], i.Streams.Select(s => (string[])[s.Stream, Output.Bytes(s.Bytes), $"{s.Extents}"])))
            .ToString());
        return ExitStatus.Done;
    }

    private static IEnumerable<string> Parts(ProcessJson process) =>
    [
        $"\npid {process.Pid} {process.Command}\n",
        .. process.ThreadNames.Select(thread => $"  thread {thread}\n"),
        .. process.Descriptors.Select(descriptor => $"  fd {descriptor}\n"),
        .. process.Maps.Select(map => $"  map {map}\n"),
    ];
}
