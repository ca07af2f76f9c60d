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

    private readonly SnapshotStore _store = store;
    private readonly Func<PackWriter> _pack = pack;
    private readonly Dictionary<PackId, uint> _packs = [];

    internal ManifestRoot Root { get; } = new();

    internal long Bytes { get; private set; }

    internal long Extents { get; private set; }

    /// <summary>Adds a stream.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="parts">Its extents, ascending. They are taken as they come: a table of millions is never in memory.</param>
    internal void Add(string name, IEnumerable<ReadOnlyMemory<Extent>> parts)
    {
        var table = new StreamTable { Name = name };
        LeafWriter? leaves = null;
        var waiting = new Extent[2 * LeafMaximum];
        int count = 0;
        foreach (ReadOnlyMemory<Extent> part in parts)
        {
            table.Extents += (ulong)part.Length;
            for (ReadOnlySpan<Extent> rest = part.Span; rest.Length > 0;)
            {
                int taken = Math.Min(rest.Length, waiting.Length - count);
                foreach (ref readonly Extent extent in rest[..taken])
                {
                    table.Bytes += (ulong)extent.Length;
                }

                rest[..taken].CopyTo(waiting.AsSpan(count));
                rest = rest[taken..];
                count += taken;
                if (count == waiting.Length)
                {
                    leaves ??= new LeafWriter(this, name);
                    count = leaves.Write(waiting, count, LeafMaximum);
                }
            }
        }

        if (leaves is null && count <= InlineLimit)
        {
            table.Inline = ExtentLeafCodec.Encode(waiting.AsSpan(0, count), 0);
        }
        else
        {
            leaves ??= new LeafWriter(this, name);
            leaves.Write(waiting, count, 1);
            table.Leaves = leaves.Finish();
        }

        Bytes += (long)table.Bytes;
        Extents += (long)table.Extents;
        Root.Streams.Add(table);
    }

    /// <summary>Cuts one table into leaves.</summary>
    private sealed class LeafWriter(ManifestBuilder builder, string name)
    {
        private readonly Dictionary<Hash, ExtentTable.Leaf> _known = builder.KnownLeaves(name);
        private readonly LeafIndex _index = new();
        private readonly MemoryStream _hashes = new();
        private long _end;

        /// <summary>Writes leaves as long as so many extents are there, and moves the others to the front.</summary>
        /// <returns>How many those are.</returns>
        internal int Write(Extent[] waiting, int count, int least)
        {
            ReadOnlySpan<Extent> rest = waiting.AsSpan(0, count);
            while (rest.Length >= least)
            {
                int length = LeafLength(rest);
                Write(rest[..length]);
                rest = rest[length..];
            }

            rest.CopyTo(waiting);
            return rest.Length;
        }

        private void Write(ReadOnlySpan<Extent> leaf)
        {
            byte[] bytes = ExtentLeafCodec.EncodeBytes(leaf, out int length);
            Span<byte> hash = stackalloc byte[32];
            builder._store.HashContent(bytes.AsSpan(0, length), hash);
            PackId holder;
            long position;
            if (_known.TryGetValue(Hash.From(hash), out ExtentTable.Leaf same))
            {
                (holder, position) = (same.Pack, same.Position);
            }
            else
            {
                StoredExtent stored = builder._pack().WriteExtent(bytes.AsSpan(0, length), Codec.Raw, 0, default);
                (holder, position) = (stored.Pack, stored.Position);
                builder._store.OpenPacks.Leaves?.Put(holder, position, leaf.ToArray());
            }

            LargeArrays.Return(bytes);
            _index.BaseGap.Add((ulong)(leaf[0].Offset - _end));
            _index.Span.Add((ulong)(leaf[^1].End - leaf[0].Offset));
            _index.Count.Add((uint)leaf.Length);
            _index.Pack.Add(builder.Intern(holder));
            _index.Position.Add((ulong)position);
            _hashes.Write(hash);
            _end = leaf[^1].End;
        }

        internal LeafIndex Finish()
        {
            _index.Hashes = ByteString.CopyFrom(_hashes.GetBuffer().AsSpan(0, (int)_hashes.Length));
            return _index;
        }
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
