using System.CommandLine;
using Holdfast.Runtime.Storage;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Cli.Commands;

/// <summary><c>holdfast diff</c>: what lies between two states, shown or written to a file.</summary>
internal static class DiffCommand
{
    public const string LivePrefix = "live:";

    public static Command Build(Executor executor)
    {
        Argument<string> a = new("A") { Description = "The earlier end: NAME[@SNAPSHOT], or live:NAME for the present state of an object" };
        Argument<string?> b = new("B") { Description = "The later end; without it, and with --to, all of A is written", Arity = ArgumentArity.ZeroOrOne };
        Option<string?> to = Options.Text("--to", "FILE", "Writes the difference to a file, for 'holdfast apply' in another store");
        Option<bool> quick = Options.Flag("--manifests", "Compares manifests only: quicker, and counts bytes that were stored again although they are the same");
        DocumentedCommand command = new("diff", "Shows by stream what was added, removed and changed between two states.")
        {
            Examples =
            [
                ("holdfast diff web@-1 web", "between the last two snapshots"),
                ("holdfast diff web live:web", "since the last snapshot, without keeping one"),
                ("holdfast diff data@1st data --to data.diff", "writes what makes the latest out of the oldest"),
                ("holdfast diff data --to data.full", "writes all of the latest"),
            ],
        };
        command.Arguments.Add(a);
        command.Arguments.Add(b);
        command.Options.Add(to);
        command.Options.Add(quick);
        command.Validators.Add(result =>
        {
            if (result.GetValue(b) is null && result.GetValue(to) is null)
            {
                result.AddError("two ends are needed, or one with --to FILE");
            }
        });
        command.SetAction(parsed => executor.ExecuteCancellable(parsed, async (session, cancellation) =>
        {
            string first = parsed.GetRequiredValue(a);
            string? second = parsed.GetValue(b);
            await using End? from = second is null ? null : await End.OpenAsync(session, first, cancellation).ConfigureAwait(false);
            await using End later = await End.OpenAsync(session, second ?? first, cancellation).ConfigureAwait(false);
            return parsed.GetValue(to) is { } file
                ? await WriteAsync(session, from, later, file, cancellation).ConfigureAwait(false)
                : Show(session, from!, later, !parsed.GetValue(quick));
        }));
        return command;
    }

    private static int Show(Session session, End from, End to, bool content)
    {
        SnapshotDifference difference = SnapshotDifference.Compare(from.Reader, to.Reader, new DifferenceOptions { CompareContent = content });
        DifferenceJson json = new(
            from.Name, to.Name, difference.StateDiffers, difference.Streams.Sum(s => s.BytesAdded), difference.Streams.Sum(s => s.BytesRemoved),
            difference.Streams.Sum(s => s.BytesChanged),
            [.. difference.Streams.Select(s => new StreamDifferenceJson(s.Stream, s.BytesAdded, s.BytesRemoved, s.BytesChanged, s.BytesSame))]);
        session.Output.Result(json, StorageJson.Default.DifferenceJson, d => Output.Table(
            ["STREAM", "ADDED", "REMOVED", "CHANGED", "SAME"],
            d.Streams.Select(s => (string[])[s.Stream, Output.Bytes(s.BytesAdded), Output.Bytes(s.BytesRemoved), Output.Bytes(s.BytesChanged), Output.Bytes(s.BytesSame)])
                .Append(["all", Output.Bytes(d.BytesAdded), Output.Bytes(d.BytesRemoved), Output.Bytes(d.BytesChanged), Output.Bytes(d.Streams.Sum(s => s.BytesSame))]))
            + $"{d.From} -> {d.To}: the structured state {(d.StateDiffers ? "differs" : "is the same")}\n");
        return ExitStatus.Done;
    }

    private static async Task<int> WriteAsync(Session session, End? from, End to, string file, CancellationToken cancellation)
    {
        if (from?.Live is not null)
        {
            throw new HoldfastException("diff.base", $"{from.Name} exists nowhere else: a difference is applied on a snapshot; take one first", ExitStatus.Usage);
        }

        SnapshotStore store = session.Store.Snapshots();
        string temporary = $"{file}.{Environment.ProcessId}.part";
        try
        {
            await using (FileStream stream = new(temporary, FileMode.CreateNew, FileAccess.Write, FileShare.None, 1 << 16))
            {
                await (to.Live is null
                    ? DifferenceFile.WriteAsync(store, from?.Reader.Info, to.Reader.Info, stream, cancel: cancellation)
                    : DifferenceFile.WriteAsync(store, from?.Reader.Info, to.Live.State, stream, cancellation)).ConfigureAwait(false);
                stream.Flush(flushToDisk: true);
            }

            File.Move(temporary, file, overwrite: true);
        }
        catch (Exception e) when (e is (IOException and not SnapshotStoreException) or UnauthorizedAccessException)
        {
            throw new HoldfastException("file.io", $"{file} cannot be written: {e.Message}", e is UnauthorizedAccessException ? ExitStatus.NotPermitted : ExitStatus.Failed, e);
        }
        finally
        {
            File.Delete(temporary);
        }

        session.Output.Confirm(
            new DifferenceFileJson(from?.Name, to.Reader.Info.Address, file, new FileInfo(file).Length), StorageJson.Default.DifferenceFileJson,
            d => $"{d.File}: {(d.From is null ? "" : $"{d.From} -> ")}{d.To}, {Output.Bytes(d.Bytes)}");
        return ExitStatus.Done;
    }

    /// <summary>One end of a difference, open.</summary>
    private sealed class End : IAsyncDisposable
    {
        private End(string name, SnapshotReader reader, LiveState? live) => (Name, Reader, Live) = (name, reader, live);

        public string Name { get; }

        public SnapshotReader Reader { get; }

        public LiveState? Live { get; }

        public static async Task<End> OpenAsync(Session session, string address, CancellationToken cancellation)
        {
            if (address.StartsWith(LivePrefix, StringComparison.Ordinal))
            {
                LiveState live = await LiveState.TakeAsync(session, address[LivePrefix.Length..], cancellation).ConfigureAwait(false);
                return new End(address, live.State.Reader, live);
            }

            SnapshotInfo snapshot = session.Store.Snapshot(address);
            return new End(snapshot.Address, session.Store.ExistingSnapshots()!.OpenSnapshot(snapshot), null);
        }

        public async ValueTask DisposeAsync()
        {
            if (Live is null)
            {
                Reader.Dispose();
            }
            else
            {
                await Live.DisposeAsync().ConfigureAwait(false);
            }
        }
    }
}
