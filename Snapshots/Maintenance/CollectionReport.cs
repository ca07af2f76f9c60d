namespace Holdfast.Snapshots;

/// <summary>What a garbage collection did.</summary>
public sealed record CollectionReport
{
    /// <summary>Snapshots whose data was kept, forgotten ones that somebody still reads among them.</summary>
    public int Snapshots { get; init; }

    /// <summary>Packs that were removed.</summary>
    public int PacksRemoved { get; init; }

    /// <summary>Packs of which parts were given back to the device.</summary>
    public int PacksTrimmed { get; init; }

    /// <summary>Packs with something to give back that a writer uses at the moment; the next collection takes them.</summary>
    public int PacksBusy { get; init; }

    /// <summary>Leftovers of writers that died.</summary>
    public int LeftoversRemoved { get; init; }

    /// <summary>Bytes that the device got back.</summary>
    public long BytesFreed { get; init; }

    /// <summary>
    /// Snapshots whose tables cannot be read. While there are any, no pack is touched: what they refer to is not known.
    /// Repair or forget them.
    /// </summary>
    public IReadOnlyList<SnapshotDamagedException> Damaged { get; init; } = [];
}
