using System.Collections.Concurrent;
using Holdfast.Snapshots.Format;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.Snapshots;

/// <summary>
/// Writes one snapshot. <see cref="Write"/> and <see cref="KeepFromParent"/> may be called by several threads at once; the rest by one, when they are done.
/// Disposing it without <see cref="Commit"/> leaves nothing.
/// </summary>
public sealed partial class SnapshotWriter : IDisposable
{
    private readonly SnapshotStore _store;
    private readonly SnapshotReader? _parent;
    private readonly ConcurrentDictionary<string, StreamBuilder> _streams = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> _tags = new(StringComparer.Ordinal);
    private readonly ExtentEncoder _encoder;
    private readonly int _extentSize;
    private readonly bool _plain;
    private readonly PackSet _packs;
    private readonly string _encodedName;
    private readonly string _kind;
    private readonly DateTimeOffset _createdAt;
    private ReadOnlyMemory<byte> _state;
    private SnapshotInfo? _template;
    private bool _replace;
    private Action<SnapshotReader>? _verify;
    private bool _done;

    internal SnapshotWriter(SnapshotStore store, string objectName, string kind, SnapshotInfo? parent, SnapshotWriterOptions options)
    {
        options = options.Validated();
        _store = store;
        _extentSize = options.ExtentSize;
        _plain = options is { Compression: Compression.None, Deduplicate: false } && store.Vault is null;
        _packs = new PackSet(store);
        _encoder = new ExtentEncoder(store, () => _packs.First, options);
        Object = objectName;
        _encodedName = store.EncodeName(objectName);
        _kind = kind;
        _createdAt = options.CreatedAt ?? store.Options.Time.GetUtcNow();
        if (parent is not null)
        {
            _parent = store.OpenSnapshot(parent);
        }
    }

    /// <summary>The storage object.</summary>
    public string Object { get; }

    /// <summary>The parent's description; null without one.</summary>
    public SnapshotInfo? Parent => _parent?.Info;

    /// <summary>Adds bytes to a stream; blocks until they are handed to the kernel.</summary>
    /// <param name="stream">The stream's name, not empty.</param>
    /// <param name="offset">Offset of the first byte, 0 or above.</param>
    /// <param name="data">The bytes; only used during the call. Ranges of one stream must not overlap.</param>
    /// <exception cref="SnapshotStoreException">They could not be written (<c>store.full</c>, <c>store.io</c>); the snapshot cannot be committed any more.</exception>
    public void Write(string stream, long offset, ReadOnlySpan<byte> data)
    {
        ObjectDisposedException.ThrowIf(_done, this);
        ArgumentException.ThrowIfNullOrEmpty(stream);
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(data.Length, long.MaxValue - offset);
        StreamBuilder builder = Builder(stream);
        if (data.IsEmpty)
        {
            return;
        }

        if (_plain)
        {
            (PackId pack, long position) = _packs.WriteRaw(data);
            builder.Add(new Extent(offset, data.Length, pack, position, Encoded: false, Skip: 0), isNew: true);
            return;
        }

        while (data.Length > 0)
        {
            int length = (int)Math.Min(data.Length, _extentSize - (offset & (_extentSize - 1)));
            WriteEncoded(builder, offset, data[..length]);
            offset += length;
            data = data[length..];
        }
    }

    /// <summary>Adds bytes to a stream as exactly one extent: for a source that knows where its content is best cut.</summary>
    /// <param name="stream">The stream's name, not empty.</param>
    /// <param name="offset">Offset of the first byte, 0 or above.</param>
    /// <param name="data">1 byte to 4 MiB; only used during the call.</param>
    /// <exception cref="SnapshotStoreException">They could not be written (<c>store.full</c>, <c>store.io</c>); the snapshot cannot be committed any more.</exception>
    public void WriteExtent(string stream, long offset, ReadOnlySpan<byte> data)
    {
        ObjectDisposedException.ThrowIf(_done, this);
        ArgumentException.ThrowIfNullOrEmpty(stream);
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfZero(data.Length);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(data.Length, Math.Min(4 * 1024 * 1024, long.MaxValue - offset));
        WriteEncoded(Builder(stream), offset, data);
    }

    private void WriteEncoded(StreamBuilder builder, long offset, ReadOnlySpan<byte> data)
    {
        StoredExtent stored = _encoder.Store(data, out bool isNew);
        builder.Add(new Extent(offset, data.Length, stored.Pack, stored.Position, stored.Encoded, Skip: 0), isNew);
    }

    /// <summary>Takes over what the parent has in a range of a stream, by reference. Holes stay holes.</summary>
    /// <param name="stream">The stream's name, the same in the parent.</param>
    /// <param name="offset">Offset of the first byte, 0 or above.</param>
    /// <param name="length">Bytes.</param>
    /// <returns>How many bytes the parent has there.</returns>
    /// <exception cref="InvalidOperationException">There is no parent.</exception>
    /// <exception cref="SnapshotDamagedException">The parent's extent table cannot be read.</exception>
    public long KeepFromParent(string stream, long offset, long length)
    {
        ObjectDisposedException.ThrowIf(_done, this);
        ArgumentException.ThrowIfNullOrEmpty(stream);
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        Keep(stream, offset, length);
        long kept = 0;
        try
        {
            foreach (Extent extent in _parent!.Table(stream)?.Range(offset, End(offset, length)) ?? [])
            {
                kept += extent.Length;
            }
        }
        catch (SnapshotDamagedException e)
        {
            throw new SnapshotDamagedException(_parent!.Info.Address, stream, offset, e);
        }

        return kept;
    }

    /// <summary>As <see cref="KeepFromParent"/>, without looking at what the parent has there.</summary>
    internal void Keep(string stream, long offset, long length)
    {
        if (_parent is null)
        {
            throw new InvalidOperationException("The snapshot has no parent.");
        }

        if (length > 0)
        {
            Builder(stream).Keep(new StreamRun(offset, End(offset, length) - offset));
        }
    }

    /// <summary>Gives a stream what another stream of this snapshot has in the same range, by reference, when it is committed. Holes stay holes.</summary>
    /// <param name="stream">The stream's name.</param>
    /// <param name="original">The other's, which does not repeat another one there itself (<c>stream.repeat</c> at the commit).</param>
    /// <param name="offset">Offset of the first byte, 0 or above.</param>
    /// <param name="length">Bytes.</param>
    public void Repeat(string stream, string original, long offset, long length)
    {
        ObjectDisposedException.ThrowIf(_done, this);
        ArgumentException.ThrowIfNullOrEmpty(stream);
        ArgumentException.ThrowIfNullOrEmpty(original);
        ArgumentOutOfRangeException.ThrowIfNegative(offset);
        ArgumentOutOfRangeException.ThrowIfNegative(length);
        if (length > 0)
        {
            Builder(stream).Repeat(new StreamRun(offset, End(offset, length) - offset), original, Builder(original));
        }
    }

    /// <summary>Ends the first layer of a stream. Parts of it can be taken out with <see cref="Discard"/>, and others come in their place.</summary>
    internal void Seal(string stream) => Builder(stream).Seal();

    /// <summary>Takes a range out of the first layer of a stream.</summary>
    internal void Discard(string stream, long offset, long length)
    {
        if (length > 0)
        {
            Builder(stream).Discard(new StreamRun(offset, length));
        }
    }

    private static long End(long offset, long length) => length > long.MaxValue - offset ? long.MaxValue : offset + length;

    /// <summary>The parent's runs of a stream; empty without a parent.</summary>
    public IReadOnlyList<StreamRun> ParentRuns(string stream) => _parent?.Runs(stream) ?? [];

    /// <summary>Reads what the parent has in a range.</summary>
    /// <returns>The runs that it has there; the rest of the buffer is not touched.</returns>
    internal List<StreamRun> ReadParent(string stream, long offset, Span<byte> into)
    {
        List<StreamRun> runs = _parent?.RunsIn(stream, offset, offset + into.Length) ?? [];
        foreach (StreamRun run in runs)
        {
            _parent!.Read(stream, run.Offset, into.Slice((int)(run.Offset - offset), (int)run.Length));
        }

        return runs;
    }

    /// <summary>Stores bytes that are referred to with <see cref="Add(string, in Extent)"/>.</summary>
    internal StoredExtent Store(ReadOnlySpan<byte> data) => _encoder.Store(data, out _);

    internal SnapshotReader? ParentReader => _parent;

    /// <summary>Sets the structured state: opaque bytes that come back as <see cref="SnapshotReader.State"/>.</summary>
    /// <param name="state">At most 512 MiB; must not change before <see cref="Commit"/>.</param>
    public void SetState(ReadOnlyMemory<byte> state)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThan(state.Length, 512 * 1024 * 1024);
        _state = state;
    }

    /// <summary>Adds a tag, or replaces its value.</summary>
    public void SetTag(string name, string value)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        _tags[name] = value;
    }

    /// <summary>Makes the snapshot durable and visible: packs, manifest and directories are synchronised, the manifest is renamed into place.</summary>
    /// <returns>The snapshot.</returns>
    /// <exception cref="SnapshotStoreException">It could not be; nothing is visible. <c>stream.overlap</c>: ranges of a stream overlap.</exception>
    public SnapshotInfo Commit() => CommitAs(live: false).Info;

    /// <summary>Makes the state readable for who holds the result, without a visible snapshot.</summary>
    /// <exception cref="SnapshotStoreException">It could not be written.</exception>
    public LiveSnapshot CommitLive() => CommitAs(live: true).Live!;

    private (SnapshotInfo Info, LiveSnapshot? Live) CommitAs(bool live)
    {
        ObjectDisposedException.ThrowIf(_done, this);
        SnapshotInfo info = _template ?? new SnapshotInfo
        {
            Object = Object,
            Id = string.Empty,
            Kind = _kind,
            Parent = _parent?.Info.Id,
            CreatedAt = new DateTimeOffset(_createdAt.UtcTicks - (_createdAt.UtcTicks % TimeSpan.TicksPerMicrosecond), TimeSpan.Zero),
            Tags = new Dictionary<string, string>(_tags),
        };
        var builder = new ManifestBuilder(_store, () => _packs.First, _parent);
        foreach ((string name, StreamBuilder stream) in _streams.OrderBy(s => s.Key, StringComparer.Ordinal))
        {
            Add(builder, name, stream);
            info = info with { NewBytes = info.NewBytes + stream.NewBytes };
        }

        ManifestRoot root = builder.Root;
        if (!_packs.IsEmpty)
        {
            _packs.Publish(_store.Layout.Packs);
            Libc.FlushDirectory(_store.Layout.Packs);
        }

        info = info with { LogicalBytes = builder.Bytes, Extents = builder.Extents, StoredBytes = _packs.Stored + root.CalculateSize() + _state.Length };
        Verify(info, root);
        LiveSnapshot? alive = null;
        if (live)
        {
            (info, alive) = PublishLive(info, root);
        }
        else
        {
            info = PublishManifest(info, root);
            _store.Record(StoreEvent.Committed, _encodedName, info.Id);
        }

        _encoder.Publish();
        _done = true;
        Release();
        return (info, alive);
    }

    private void Add(ManifestBuilder builder, string name, StreamBuilder stream)
    {
        try
        {
            builder.Add(name, stream.Finish(name, other => _parent?.Table(other)));
        }
        catch (SnapshotDamagedException e) when (_parent is not null)
        {
            throw new SnapshotDamagedException(_parent.Info.Address, name, stream.Reached, e);
        }
    }

    /// <summary>Ends the writing. What was not committed is removed.</summary>
    public void Dispose()
    {
        if (!_done)
        {
            _done = true;
            Release();
        }
    }

    private void Release()
    {
        _packs.Dispose();
        _encoder.Dispose();
        _parent?.Dispose();
    }

    /// <summary>Makes this snapshot another store's: its id, parent, times and tags are taken over.</summary>
    /// <param name="template">What it is described as; counts are made here.</param>
    /// <param name="verify">Looks at the finished content before anybody sees it; throws when it is wrong.</param>
    /// <param name="replace">True: it takes the place of a damaged manifest of the same id.</param>
    internal void Receive(SnapshotInfo template, Action<SnapshotReader> verify, bool replace = false)
    {
        _replace = replace;
        _template = template with { NewBytes = 0 };
        _verify = verify;
    }

    /// <summary>Writes into this pack instead of one of its own.</summary>
    internal void Use(PackWriter pack) => _packs.Use(pack);

    /// <summary>Adds what is stored already.</summary>
    internal void Add(string stream, in Extent extent) => Builder(stream).Add(extent, isNew: true);

    /// <summary>Makes a stream, which may stay without bytes.</summary>
    internal void Touch(string stream) => Builder(stream);

    private StreamBuilder Builder(string stream) =>
        _streams.TryGetValue(stream, out StreamBuilder? builder) ? builder : _streams.GetOrAdd(stream, new StreamBuilder());
}
