using Google.Protobuf;
using Holdfast.Snapshots.Format;

namespace Holdfast.Snapshots;

/// <summary>
/// Puts the root of a manifest together. Large tables are cut into leaves where the extents themselves say so, so that a leaf whose extents
/// did not change is the parent's leaf, and is only referred to.
/// </summary>
internal sealed class ManifestBuilder(SnapshotStore store, Func<PackWriter> pack, SnapshotReader? parent)
{
    /// <summary>A table up to this many extents is kept inside the manifest.</summary>
    private const int InlineLimit = 1024;

    private const int LeafMinimum = 128;
    private const int LeafMaximum = 1024;

    /// <summary>One extent in this many ends its leaf.</summary>
    private const uint LeafMask = 255;

    private readonly Dictionary<PackId, uint> _packs = [];

    internal ManifestRoot Root { get; } = new();

    internal long Bytes { get; private set; }

    internal long Extents { get; private set; }

    internal void Add(string name, ReadOnlySpan<Extent> extents)
    {
        var table = new StreamTable { Name = name, Extents = (ulong)extents.Length };
        foreach (ref readonly Extent extent in extents)
        {
            table.Bytes += (ulong)extent.Length;
        }

        if (extents.Length <= InlineLimit)
        {
            table.Inline = ExtentLeafCodec.Encode(extents, 0);
        }
        else
        {
            table.Leaves = WriteLeaves(name, extents);
        }

        Bytes += (long)table.Bytes;
        Extents += extents.Length;
        Root.Streams.Add(table);
    }

    private LeafIndex WriteLeaves(string name, ReadOnlySpan<Extent> extents)
    {
        Dictionary<Hash, ExtentTable.Leaf> known = KnownLeaves(name);
        var index = new LeafIndex();
        using var hashes = new MemoryStream();
        Span<byte> hash = stackalloc byte[32];
        long end = 0;
        for (int at = 0; at < extents.Length;)
        {
            ReadOnlySpan<Extent> leaf = extents.Slice(at, LeafLength(extents[at..]));
            byte[] bytes = ExtentLeafCodec.Encode(leaf, leaf[0].Offset).ToByteArray();
            store.HashContent(bytes, hash);
            PackId holder;
            long position;
            if (known.TryGetValue(Hash.From(hash), out ExtentTable.Leaf same))
            {
                (holder, position) = (same.Pack, same.Position);
            }
            else
            {
                StoredExtent stored = pack().WriteExtent(bytes, Codec.Raw, 0, default);
                (holder, position) = (stored.Pack, stored.Position);
            }

            index.BaseGap.Add((ulong)(leaf[0].Offset - end));
            index.Span.Add((ulong)(leaf[^1].End - leaf[0].Offset));
            index.Count.Add((uint)leaf.Length);
            index.Pack.Add(Intern(holder));
            index.Position.Add((ulong)position);
            hashes.Write(hash);
            end = leaf[^1].End;
            at += leaf.Length;
        }

        index.Hashes = ByteString.CopyFrom(hashes.GetBuffer().AsSpan(0, (int)hashes.Length));
        return index;
    }

    private Dictionary<Hash, ExtentTable.Leaf> KnownLeaves(string name)
    {
        var known = new Dictionary<Hash, ExtentTable.Leaf>();
        if (parent?.Table(name) is { } table)
        {
            for (int i = 0; i < table.LeafCount; i++)
            {
                ExtentTable.Leaf leaf = table.LeafAt(i);
                if (!leaf.Hash.IsEmpty)
                {
                    known[Hash.From(leaf.Hash.Span)] = leaf;
                }
            }
        }

        return known;
    }

    private static int LeafLength(ReadOnlySpan<Extent> extents)
    {
        int limit = Math.Min(extents.Length, LeafMaximum);
        for (int i = LeafMinimum; i < limit; i++)
        {
            ref readonly Extent extent = ref extents[i];
            ulong mixed = ((ulong)extent.Position ^ (ulong)extent.Skip) * 0x9E3779B97F4A7C15;
            if (((uint)(mixed >> 40) & LeafMask) == 0)
            {
                return i + 1;
            }
        }

        return limit;
    }

    private uint Intern(PackId id)
    {
        if (!_packs.TryGetValue(id, out uint number))
        {
            number = (uint)_packs.Count;
            _packs.Add(id, number);
            Root.Packs.Add(ByteString.CopyFrom(id.ToBytes()));
        }

        return number;
    }
}
