namespace Holdfast.Snapshots;

/// <content>Differences and comparisons.</content>
public sealed partial class SnapshotStore
{
    /// <summary>Compares two snapshots of this store.</summary>
    /// <param name="from">The earlier end; null: everything is added.</param>
    /// <param name="to">The later end.</param>
    /// <param name="options">Defaults when null.</param>
    public SnapshotDifference Compare(SnapshotInfo? from, SnapshotInfo to, DifferenceOptions? options = null)
    {
        using SnapshotReader? earlier = from is null ? null : OpenSnapshot(from);
        using SnapshotReader later = OpenSnapshot(to);
        return SnapshotDifference.Compare(earlier, later, options);
    }

    /// <summary>The digest of a snapshot's content as 64 hexadecimal digits: the same in every store that has it.</summary>
    public string ContentDigestOf(SnapshotInfo snapshot)
    {
        using SnapshotReader reader = OpenSnapshot(snapshot);
        return Convert.ToHexStringLower(Digests.Of(reader));
    }

    /// <summary>Gives up transfers into this store that nobody is sending at the moment.</summary>
    /// <param name="idleFor">Only those to which nothing was added for this long.</param>
    /// <returns>How many.</returns>
    public int AbandonTransfers(TimeSpan idleFor)
    {
        int abandoned = 0;
        foreach (string directory in System.IO.Directory.EnumerateDirectories(_layout.Incoming))
        {
            if (Options.Time.GetUtcNow() - System.IO.Directory.EnumerateFiles(directory).Select(File.GetLastWriteTimeUtc).DefaultIfEmpty().Max() >= idleFor
                && IncomingTransfer.TryAbandon(this, directory))
            {
                abandoned++;
            }
        }

        return abandoned;
    }

    /// <summary>The snapshot with exactly this id; null when there is none.</summary>
    internal SnapshotInfo? Exists(string objectName, string id) =>
        SnapshotId.IsValid(id) ? ReadInfo(objectName, EncodeName(objectName), id) : null;

    internal DifferenceSource OpenDifference(SnapshotInfo? from, SnapshotInfo to, DifferenceOptions? options, Func<SnapshotReader>? open = null, Func<SnapshotReader>? openFrom = null)
    {
        if (from is not null && from.Object != to.Object)
        {
            throw new SnapshotStoreException("diff.object", $"{from.Address} and {to.Address} are of different objects: a difference that can be applied is between snapshots of one");
        }

        SnapshotReader? earlier = null;
        SnapshotReader? later = null;
        try
        {
            earlier = from is null ? null : openFrom is null ? OpenSnapshot(from) : openFrom();
            later = open is null ? OpenSnapshot(to) : open();
            return new DifferenceSource(this, earlier, later, options ?? new DifferenceOptions());
        }
        catch
        {
            earlier?.Dispose();
            later?.Dispose();
            throw;
        }
    }
}
