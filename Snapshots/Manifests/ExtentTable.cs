using Holdfast.Snapshots.Format;

namespace Holdfast.Snapshots;

/// <summary>
/// The extent table of one stream of a manifest. Its leaves are read when they are needed. Several threads may use it at once.
/// </summary>
internal sealed class ExtentTable
{
    private const int HashSize = 32;

    /// <summary>So many leaves stay in memory once they were read: about 1 MiB of them.</summary>
    private const int Kept = 64;

    private readonly Leaf[] _leaves;
    private readonly Extent[]?[] _loaded;
    private readonly PackCache _packs;

    /// <summary>The leaves in memory, counted from 1, in the order in which they came.</summary>
    private readonly int[] _kept = [];
    private int _nextKept;

    /// <exception cref="SnapshotDamagedException">The table is not possible.</exception>
    internal ExtentTable(StreamTable table, PackId[] leafPacks, PackCache packs, string path)
    {
        Name = table.Name;
        Bytes = (long)table.Bytes;
        Count = (long)table.Extents;
        _packs = packs;
        if (table.Leaves is null)
        {
            Extent[]? extents = table.Inline is null ? [] : ExtentLeafCodec.Decode(table.Inline, 0);
            if (extents is null || extents.Length != Count || Sum(extents) != Bytes)
            {
                throw Impossible(path);
            }

            _leaves = extents.Length == 0 ? [] : [new Leaf(extents[0].Offset, extents[^1].End, extents.Length, default, 0, ReadOnlyMemory<byte>.Empty)];
            _loaded = extents.Length == 0 ? [] : [extents];
            return;
        }

        LeafIndex index = table.Leaves;
        int rows = index.BaseGap.Count;
        if (index.Span.Count != rows || index.Count.Count != rows || index.Pack.Count != rows || index.Position.Count != rows || index.Hashes.Length != (long)rows * HashSize)
        {
            throw Impossible(path);
        }

        _leaves = new Leaf[rows];
        _loaded = new Extent[]?[rows];
        _kept = new int[Math.Min(rows, Kept)];
        ReadOnlyMemory<byte> hashes = index.Hashes.Memory;
        ulong at = 0;
        ulong total = 0;
        for (int i = 0; i < rows; i++)
        {
            ulong start = at + index.BaseGap[i];
            ulong end = start + index.Span[i];
            if (index.BaseGap[i] > long.MaxValue || index.Span[i] > long.MaxValue || start > long.MaxValue || end > long.MaxValue
                || index.Count[i] == 0 || index.Count[i] > index.Span[i] || index.Pack[i] >= leafPacks.Length || index.Position[i] > long.MaxValue)
            {
                throw Impossible(path);
            }

            total += index.Count[i];
            _leaves[i] = new Leaf((long)start, (long)end, (int)Math.Min(index.Count[i], int.MaxValue), leafPacks[index.Pack[i]], (long)index.Position[i], hashes.Slice(i * HashSize, HashSize));
            at = end;
        }

        if (total != table.Extents)
        {
            throw Impossible(path);
        }
    }

    internal string Name { get; }

    internal long Bytes { get; }

    internal long Count { get; }

    internal int LeafCount => _leaves.Length;

    /// <summary>The leaf without its extents. <see cref="Leaf.Hash"/> is empty for a table that is kept inside the manifest.</summary>
    internal Leaf LeafAt(int leaf) => _leaves[leaf];

    /// <summary>The extents of a leaf, read and checked unless it is among those that were read last.</summary>
    /// <exception cref="SnapshotDamagedException">The leaf cannot be read.</exception>
    internal Extent[] Load(int leaf) => Volatile.Read(ref _loaded[leaf]) ?? LoadFromPack(leaf);

    /// <summary>All extents, ascending.</summary>
    internal IEnumerable<Extent> All()
    {
        for (int leaf = 0; leaf < _leaves.Length; leaf++)
        {
            foreach (Extent extent in Load(leaf))
            {
                yield return extent;
            }
        }
    }

    /// <summary>The extents, clipped, that overlap a range.</summary>
    internal IEnumerable<Extent> Range(long from, long to)
    {
        foreach (ReadOnlyMemory<Extent> part in Parts(from, to))
        {
            for (int i = 0; i < part.Length; i++)
            {
                yield return part.Span[i];
            }
        }
    }

    /// <summary>As <see cref="Range"/>, side by side as far as they lie so. A part is good until the next one is asked for.</summary>
    internal IEnumerable<ReadOnlyMemory<Extent>> Parts(long from, long to)
    {
        if (from >= to)
        {
            // An extent around an empty range would come out as an empty piece of it.
            yield break;
        }

        var clipped = new Extent[1];
        for (int leaf = FirstLeaf(from); leaf < _leaves.Length && _leaves[leaf].Start < to; leaf++)
        {
            Extent[] extents = Load(leaf);
            int first = First(extents, from);
            int end = extents[^1].Offset < to ? extents.Length : First(extents, to);
            if (end < extents.Length && extents[end].Offset < to)
            {
                end++;
            }

            if (first < end && extents[first].Offset < from)
            {
                clipped[0] = extents[first++].Clip(from, to);
                yield return clipped;
            }

            int whole = first < end && extents[end - 1].End > to ? end - 1 : end;
            if (first < whole)
            {
                yield return extents.AsMemory(first..whole);
            }

            if (first < end && whole < end)
            {
                clipped[0] = extents[whole].Clip(from, to);
                yield return clipped;
            }
        }
    }

    /// <summary>Adds the extents, clipped, that overlap a small range.</summary>
    /// <returns>Bytes of them.</returns>
    internal long AddTo(List<Extent> into, long from, long to)
    {
        long bytes = 0;
        for (int leaf = FirstLeaf(from); from < to && leaf < _leaves.Length && _leaves[leaf].Start < to; leaf++)
        {
            Extent[] extents = Load(leaf);
            for (int i = First(extents, from); i < extents.Length && extents[i].Offset < to; i++)
            {
                Extent clipped = extents[i].Clip(from, to);
                into.Add(clipped);
                bytes += clipped.Length;
            }
        }

        return bytes;
    }

    private int FirstLeaf(long offset)
    {
        int low = 0;
        int high = _leaves.Length;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            if (_leaves[middle].End <= offset)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }

    private static int First(Extent[] extents, long offset)
    {
        int low = 0;
        int high = extents.Length;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            if (extents[middle].End <= offset)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }

    private Extent[] LoadFromPack(int leaf)
    {
        Leaf row = _leaves[leaf];
        PackReader pack = _packs.Get(row.Pack);
        LeafCache? decoded = _packs.Leaves;
        if (decoded?.TryGet(row.Pack, row.Position) is { } known && IsOf(row, known))
        {
            Keep(leaf, known);
            return known;
        }

        byte[] bytes = pack.ReadExtent(row.Position, out int length);
        try
        {
            Extent[]? extents = ExtentLeafCodec.Decode(bytes, length, row.Start);
            if (extents is null || !IsOf(row, extents))
            {
                throw new SnapshotDamagedException(pack.FilePath, row.Position, "the extent table here is not the one that the manifest refers to");
            }

            Keep(leaf, extents);
            decoded?.Put(row.Pack, row.Position, extents);
            return extents;
        }
        finally
        {
            LargeArrays.Return(bytes);
        }
    }

    private static bool IsOf(in Leaf row, Extent[] extents) => extents.Length == row.Count && extents[0].Offset == row.Start && extents[^1].End == row.End;

    /// <summary>Keeps a leaf in the place of the one that has been kept longest. Two threads may keep the same one: it goes when the first of its places is taken.</summary>
    private void Keep(int leaf, Extent[] extents)
    {
        Volatile.Write(ref _loaded[leaf], extents);
        uint place = ((uint)Interlocked.Increment(ref _nextKept)) % (uint)_kept.Length;
        int former = Interlocked.Exchange(ref _kept[place], leaf + 1) - 1;
        if (former >= 0 && former != leaf)
        {
            Volatile.Write(ref _loaded[former], null);
        }
    }

    private static long Sum(Extent[] extents)
    {
        long sum = 0;
        foreach (Extent extent in extents)
        {
            sum += extent.Length;
        }

        return sum;
    }

    private SnapshotDamagedException Impossible(string path) => new(path, 0, $"the extent table of stream {Name} is not possible");

    /// <summary>A row of the leaf index.</summary>
    internal readonly record struct Leaf(long Start, long End, int Count, PackId Pack, long Position, ReadOnlyMemory<byte> Hash);
}
