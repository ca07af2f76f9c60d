namespace Holdfast.Snapshots;

/// <summary>Which bytes of which packs some snapshots refer to.</summary>
internal sealed class ReferenceMap
{
    private readonly Dictionary<PackId, PackReferences> _packs = [];
    private readonly HashSet<(PackId, long)> _leaves = [];

    internal IEnumerable<PackId> Packs => _packs.Keys;

    internal bool Contains(PackId pack) => _packs.ContainsKey(pack);

    internal PackReferences? Of(PackId pack) => _packs.GetValueOrDefault(pack);

    /// <summary>Adds all that a snapshot refers to. A leaf that another one shares is read once.</summary>
    /// <exception cref="SnapshotDamagedException">An extent table cannot be read.</exception>
    internal void Add(SnapshotReader snapshot)
    {
        foreach (ExtentTable table in snapshot.Tables)
        {
            for (int i = 0; i < table.LeafCount; i++)
            {
                ExtentTable.Leaf leaf = table.LeafAt(i);
                if (!leaf.Hash.IsEmpty)
                {
                    if (!_leaves.Add((leaf.Pack, leaf.Position)))
                    {
                        continue;
                    }

                    For(leaf.Pack).Rows.Add(leaf.Position);
                }

                foreach (Extent extent in table.Load(i))
                {
                    if (extent.Encoded)
                    {
                        For(extent.Pack).Rows.Add(extent.Position);
                    }
                    else
                    {
                        For(extent.Pack).Ranges.Add((extent.Position, extent.Position + extent.Length));
                    }
                }
            }
        }
    }

    private PackReferences For(PackId pack)
    {
        if (!_packs.TryGetValue(pack, out PackReferences? references))
        {
            _packs.Add(pack, references = new PackReferences());
        }

        return references;
    }
}

/// <summary>What is referred to in one pack.</summary>
internal sealed class PackReferences
{
    /// <summary>Positions of rows that are wanted as a whole.</summary>
    internal HashSet<long> Rows { get; } = [];

    /// <summary>Ranges of raw rows, in no order.</summary>
    internal List<(long Start, long End)> Ranges { get; } = [];

    /// <summary>The parts of a pack that nothing refers to, ascending. Blocks that share a checksum live and die together.</summary>
    internal List<(long Start, long End)> Dead(PackReader pack)
    {
        var live = new List<(long Start, long End)>();
        Ranges.Sort();
        int range = 0;
        for (int i = 0; i < pack.Count; i++)
        {
            PackRow row = pack.Row(i);
            if (Rows.Contains(row.Position))
            {
                live.Add((row.Position, row.End));
            }

            for (; range < Ranges.Count && Ranges[range].Start < row.End; range++)
            {
                long start = Math.Max(Ranges[range].Start, row.Position) - row.Position;
                long end = Math.Min(Ranges[range].End, row.End) - row.Position;
                live.Add((
                    row.Position + (start / Crc32C.BlockSize * Crc32C.BlockSize),
                    Math.Min(row.End, row.Position + ((end + Crc32C.BlockSize - 1) / Crc32C.BlockSize * Crc32C.BlockSize))));
                if (Ranges[range].End > row.End)
                {
                    // It goes on in the next row.
                    break;
                }
            }
        }

        live.Sort();
        var dead = new List<(long, long)>();
        long at = PackFormat.HeaderSize;
        foreach ((long start, long end) in live)
        {
            if (start > at)
            {
                dead.Add((at, start));
            }

            at = Math.Max(at, end);
        }

        if (pack.DataEnd > at)
        {
            dead.Add((at, pack.DataEnd));
        }

        return dead;
    }
}
