using System.Collections.Concurrent;
using System.Globalization;
using Holdfast.Actors;
using Holdfast.KernelBridge;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Storage;

/// <summary>The snapshots of one application: what the actors write checkpoints to.</summary>
internal sealed class ApplicationSnapshots(SnapshotStore store, string name) : ISnapshotStore, IDisposable
{
    public const string ProcessesTag = "processes";
    public const string ThreadsTag = "threads";
    public const string FreezeTag = "freeze-ms";
    public const string ElapsedTag = "total-ms";
    public const string CommandTag = "command";
    public const string VolumesFreezeTag = "volumes-freeze-ms";

    private readonly ConcurrentDictionary<string, LiveSnapshot> _live = new(StringComparer.Ordinal);

    public IReadOnlyList<string> Command { get; init; } = [];

    /// <summary>The directories whose files belong to its snapshots.</summary>
    public IReadOnlyList<string> Volumes { get; init; } = [];

    /// <summary>How checkpoints are written.</summary>
    public SnapshotWriterOptions Options { get; init; } = new();

    /// <summary>Pages that equal the parent's are referred to.</summary>
    public bool Incremental { get; init; } = true;

    public ISnapshotWriter Begin(bool live, Policies.Compression compression)
    {
        SnapshotInfo? parent = store.List(name).LastOrDefault(s => s.Damage is null && s.Kind == Store.ApplicationKind);
        SnapshotWriterOptions options = AtLeast(compression);
        SnapshotWriter writer;
        try
        {
            writer = store.BeginSnapshot(name, Store.ApplicationKind, parent, options);
        }
        catch (SnapshotStoreException) when (parent is not null)
        {
            // Forgotten or damaged meanwhile: then everything is stored.
            writer = store.BeginSnapshot(name, Store.ApplicationKind, null, options);
        }

        try
        {
            return new Writer(this, writer, Volumes.Count == 0 ? null : new VolumeCapture(writer, Volumes), live);
        }
        catch
        {
            writer.Dispose();
            throw;
        }
    }

    public void Forget(string snapshot) => store.Forget(
        store.List(name).FirstOrDefault(s => s.Id == snapshot) ?? throw new SnapshotStoreException("snapshot.unknown", $"there is no snapshot {name}@{snapshot}"));

    /// <summary>The configured options, or what a policy asks for beyond them.</summary>
    private SnapshotWriterOptions AtLeast(Policies.Compression compression)
    {
        SnapshotWriterOptions compressed = Options.Compression == Compression.None ? Options with { Compression = Compression.Auto, CompressionLevel = 1 } : Options;
        return compression switch
        {
            Policies.Compression.Fast => compressed,
            Policies.Compression.Strong => compressed with { CompressionLevel = Math.Max(9, compressed.CompressionLevel) },
            _ => Options,
        };
    }

    /// <summary>Lets go of a state that was taken live.</summary>
    public void Release(string live)
    {
        if (_live.TryRemove(live, out LiveSnapshot? state))
        {
            state.Dispose();
        }
    }

    public void Dispose()
    {
        foreach (string live in _live.Keys)
        {
            Release(live);
        }
    }

    private sealed class CapturedVolumes(VolumeCapture capture) : IVolumeCapture
    {
        public void CopyFirst(CancellationToken cancellation) => capture.CopyFirst(cancellation);

        public void CaptureChanges(CancellationToken cancellation) => capture.CaptureChanges(cancellation);
    }

    private sealed class Writer(ApplicationSnapshots owner, SnapshotWriter writer, VolumeCapture? volumes, bool live) : ISnapshotWriter
    {
        private readonly Lock _gate = new();
        private readonly string? _parent = writer.Parent?.Id;
        private bool _closed;

        public string? Base => owner.Incremental ? _parent : null;

        public IVolumeCapture? Volumes { get; } = volumes is null ? null : new CapturedVolumes(volumes);

        public void Write(string stream, long offset, ReadOnlySpan<byte> data)
        {
            if (owner.Incremental)
            {
                writer.WriteChanged(stream, offset, data);
            }
            else
            {
                writer.Write(stream, offset, data);
            }
        }

        public bool Keep(string stream, long offset, long length)
        {
            try
            {
                writer.KeepFromParent(stream, offset, length);
                return true;
            }
            catch (SnapshotDamagedException)
            {
                return false;
            }
        }

        public bool Repeat(string stream, string original, long offset, long length)
        {
            writer.Repeat(stream, original, offset, length);
            return true;
        }

        public bool Holds(string stream, long offset, ReadOnlySpan<byte> data) => writer.ParentHolds(stream, offset, data);

        public SnapshotReceipt Commit(ApplicationImage image, SnapshotFacts facts)
        {
            // Either the commit or the dispose goes first: a checkpoint that was given up never becomes visible afterwards.
            lock (_gate)
            {
                ObjectDisposedException.ThrowIf(_closed, this);
                VolumeCounts? counts = volumes?.Complete(CancellationToken.None);
                if (counts is not null)
                {
                    writer.SetTag(VolumesFreezeTag, counts.Inside.TotalMilliseconds.ToString("0.###", CultureInfo.InvariantCulture));
                }

                writer.SetState(image.Encode());
                writer.SetTag(ProcessesTag, facts.Processes.ToString(CultureInfo.InvariantCulture));
                writer.SetTag(ThreadsTag, facts.Threads.ToString(CultureInfo.InvariantCulture));
                writer.SetTag(FreezeTag, facts.FreezeTime.TotalMilliseconds.ToString("0.###", CultureInfo.InvariantCulture));
                writer.SetTag(ElapsedTag, facts.Elapsed.TotalMilliseconds.ToString("0.###", CultureInfo.InvariantCulture));
                writer.SetTag(CommandTag, string.Join(' ', owner.Command));
                foreach ((string tag, string value) in facts.Tags)
                {
                    writer.SetTag(tag, value);
                }

                if (!live)
                {
                    SnapshotInfo info = writer.Commit();
                    return new SnapshotReceipt(info.Id, info.Parent, info.StoredBytes) { Volumes = counts };
                }

                LiveSnapshot state = writer.CommitLive();
                owner._live[state.Manifest] = state;
                return new SnapshotReceipt(state.Info.Id, _parent, state.Info.StoredBytes, state.Manifest) { Volumes = counts };
            }
        }

        public void Dispose()
        {
            lock (_gate)
            {
                _closed = true;
                volumes?.Dispose();
                writer.Dispose();
            }
        }
    }
}

/// <summary>The pages of a snapshot, for a restore.</summary>
internal sealed class SnapshotPages(SnapshotReader reader) : IPageSource
{
    public IReadOnlyList<PageRun> Runs(string stream) => [.. reader.Runs(stream).Select(r => new PageRun(r.Offset, r.Length))];

    public IReadOnlyList<PagePlace> Places(string stream) => [.. reader.Places(stream).Select(p => new PagePlace(p.Offset, p.Length, p.Pack, p.Part, p.Position))];

    public void Read(string stream, long offset, Span<byte> into) => reader.Read(stream, offset, into);
}
