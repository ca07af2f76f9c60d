using System.Globalization;
using Holdfast.Actors;
using Holdfast.KernelBridge;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Storage;

/// <summary>The snapshots of one application: what the actors write checkpoints to.</summary>
internal sealed class ApplicationSnapshots(SnapshotStore store, string name) : ISnapshotStore
{
    public const string ProcessesTag = "processes";
    public const string ThreadsTag = "threads";
    public const string FreezeTag = "freeze-ms";
    public const string ElapsedTag = "total-ms";
    public const string CommandTag = "command";

    public IReadOnlyList<string> Command { get; init; } = [];

    public ISnapshotWriter Begin() => Begin(new SnapshotWriterOptions());

    public ISnapshotWriter Begin(Policies.Compression compression) => Begin(compression switch
    {
        Policies.Compression.Fast => new SnapshotWriterOptions { Compression = Compression.Auto, CompressionLevel = 1 },
        Policies.Compression.Strong => new SnapshotWriterOptions { Compression = Compression.Auto, CompressionLevel = 9 },
        _ => new SnapshotWriterOptions(),
    });

    private ISnapshotWriter Begin(SnapshotWriterOptions options)
    {
        // The parent is named for the catalogue; this bridge hands over every page, so nothing is kept from it.
        SnapshotInfo? parent = store.List(name).LastOrDefault(s => s.Damage is null);
        return new Writer(store.BeginSnapshot(name, Store.ApplicationKind, parent, options), string.Join(' ', Command));
    }

    private sealed class Writer(SnapshotWriter writer, string command) : ISnapshotWriter
    {
        private readonly Lock _gate = new();
        private bool _closed;

        public void Write(string stream, long offset, ReadOnlySpan<byte> data) => writer.Write(stream, offset, data);

        public SnapshotReceipt Commit(ApplicationImage image, SnapshotFacts facts)
        {
            // Either the commit or the dispose goes first: a checkpoint that was given up never becomes visible afterwards.
            lock (_gate)
            {
                ObjectDisposedException.ThrowIf(_closed, this);
                writer.SetState(image.Encode());
                writer.SetTag(ProcessesTag, facts.Processes.ToString(CultureInfo.InvariantCulture));
                writer.SetTag(ThreadsTag, facts.Threads.ToString(CultureInfo.InvariantCulture));
                writer.SetTag(FreezeTag, facts.FreezeTime.TotalMilliseconds.ToString("0.###", CultureInfo.InvariantCulture));
                writer.SetTag(ElapsedTag, facts.Elapsed.TotalMilliseconds.ToString("0.###", CultureInfo.InvariantCulture));
                writer.SetTag(CommandTag, command);
                foreach ((string tag, string value) in facts.Tags)
                {
                    writer.SetTag(tag, value);
                }

                SnapshotInfo info = writer.Commit();
                return new SnapshotReceipt(info.Id, info.Parent, info.StoredBytes);
            }
        }

        public void Dispose()
        {
            lock (_gate)
            {
                _closed = true;
                writer.Dispose();
            }
        }
    }
}

/// <summary>The pages of a snapshot, for a restore.</summary>
internal sealed class SnapshotPages(SnapshotReader reader) : IPageSource
{
    public IReadOnlyList<PageRun> Runs(string stream) => [.. reader.Runs(stream).Select(r => new PageRun(r.Offset, r.Length))];

    public void Read(string stream, long offset, Span<byte> into) => reader.Read(stream, offset, into);
}
