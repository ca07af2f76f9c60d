using System.Collections.Concurrent;
using System.Security.Cryptography;

namespace Holdfast.Snapshots;

/// <summary>Stores single extents: deduplicated, compressed, encrypted, as the options and the store say. Several threads may use it at once.</summary>
internal sealed class ExtentEncoder : IDisposable
{
    private readonly SnapshotStore _store;
    private readonly Func<PackWriter> _pack;
    private readonly Codec _codec;
    private readonly int _level;
    private readonly bool _deduplicate;
    private readonly ConcurrentDictionary<Hash, ContentIndex.Place> _own = new();
    private readonly ConcurrentDictionary<PackId, PackReader?> _pinned = new();
    private readonly ConcurrentDictionary<(PackId, long), bool> _checked = new();

    internal ExtentEncoder(SnapshotStore store, Func<PackWriter> pack, SnapshotWriterOptions options)
    {
        _store = store;
        _pack = pack;
        _codec = Codecs.Choose(options.Compression);
        _level = options.CompressionLevel;
        _deduplicate = options.Deduplicate;
    }

    /// <summary>Stores the bytes, or finds them.</summary>
    /// <param name="data">At most 4 MiB.</param>
    /// <param name="isNew">False when the store had them already.</param>
    internal StoredExtent Store(ReadOnlySpan<byte> data, out bool isNew)
    {
        isNew = true;
        if (!_deduplicate)
        {
            return _pack().WriteExtent(data, _codec, _level, default);
        }

        Span<byte> bytes = stackalloc byte[Hash.Size];
        _store.HashContent(data, bytes);
        Hash hash = Hash.From(bytes);
        if (TryFind(hash, data.Length) is { } known)
        {
            isNew = false;
            return known;
        }

        StoredExtent stored = _pack().WriteExtent(data, _codec, _level, bytes);
        _own.TryAdd(hash, new ContentIndex.Place(stored.Pack, stored.Position, data.Length, stored.Encoded));
        return stored;
    }

    /// <summary>Stores bytes that are compressed already and whose content has this hash, or finds them.</summary>
    internal StoredExtent StoreCompressed(ReadOnlySpan<byte> compressed, Codec codec, int length, ReadOnlySpan<byte> hash)
    {
        if (!hash.IsEmpty && TryFind(Hash.From(hash), length) is { } known)
        {
            return known;
        }

        StoredExtent stored = _pack().WriteRow(compressed, codec, length, hash);
        if (!hash.IsEmpty)
        {
            _own.TryAdd(Hash.From(hash), new ContentIndex.Place(stored.Pack, stored.Position, length, stored.Encoded));
        }

        return stored;
    }

    /// <summary>Finds bytes by their hash, in what this snapshot wrote and in the store.</summary>
    internal StoredExtent? TryFind(Hash hash, int length)
    {
        if (_own.TryGetValue(hash, out ContentIndex.Place place) && place.Length == length)
        {
            return new StoredExtent(place.Pack, place.Position, place.Encoded);
        }

        ContentIndex index = _store.Contents;
        if (!index.TryGet(hash, out place) || place.Length != length)
        {
            return null;
        }

        if (!IsUsable(hash, place))
        {
            index.Remove(hash, place);
            return null;
        }

        return new StoredExtent(place.Pack, place.Position, place.Encoded);
    }

    /// <summary>What was stored becomes known to other writers of this process.</summary>
    internal void Publish()
    {
        if (_store.ContentsIfLoaded is { } index)
        {
            foreach ((Hash hash, ContentIndex.Place place) in _own)
            {
                index.Add(hash, place);
            }
        }
    }

    /// <summary>The pack is pinned until this snapshot is done, and the bytes are still there: nothing new is built on a damaged or collected extent.</summary>
    private bool IsUsable(Hash hash, ContentIndex.Place place)
    {
        PackReader? pack = _pinned.GetOrAdd(place.Pack, Pin);
        return pack is not null && _checked.GetOrAdd((place.Pack, place.Position), _ => IsSound(pack, hash, place));
    }

    private PackReader? Pin(PackId id)
    {
        PackReader? pack = null;
        try
        {
            pack = new PackReader(_store.Layout.Packs, id, _store.Vault);
            if (pack.TryPin())
            {
                return pack;
            }
        }
        catch (SnapshotStoreException)
        {
            // Gone or damaged: then the bytes are stored again.
        }

        pack?.Dispose();
        return null;
    }

    private static bool IsSound(PackReader pack, Hash hash, ContentIndex.Place place)
    {
        try
        {
            int row = pack.Find(place.Position);
            return pack.Row(row).Position == place.Position && pack.Row(row).Logical == place.Length
                && !pack.HashOf(row).IsEmpty && Hash.From(pack.HashOf(row)).Equals(hash) && pack.IsSound(row);
        }
        catch (SnapshotDamagedException)
        {
            return false;
        }
    }

    public void Dispose()
    {
        foreach (PackReader? pack in _pinned.Values)
        {
            pack?.Dispose();
        }
    }
}
