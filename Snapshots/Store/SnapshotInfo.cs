using Google.Protobuf;

namespace Holdfast.Snapshots;

/// <summary>What is known of a snapshot without reading its extent tables.</summary>
public sealed record SnapshotInfo
{
    /// <summary>The storage object's name.</summary>
    public required string Object { get; init; }

    /// <summary>The snapshot's id: 11 characters, ascending with creation time within one object.</summary>
    public required string Id { get; init; }

    /// <summary>What kind of storage object it is a state of, such as <c>application</c>, <c>directory</c>, <c>file</c>, <c>block</c>.</summary>
    public string Kind { get; init; } = string.Empty;

    /// <summary>Id of the snapshot of the same object that it was made against; null for none. That one may be gone.</summary>
    public string? Parent { get; init; }

    /// <summary>When the state was taken, to the microsecond.</summary>
    public DateTimeOffset CreatedAt { get; init; }

    /// <summary>Free names and values.</summary>
    public IReadOnlyDictionary<string, string> Tags { get; init; } = new Dictionary<string, string>();

    /// <summary>Bytes of all its streams, holes not counted.</summary>
    public long LogicalBytes { get; init; }

    /// <summary>Bytes that it added to the store: its packs, with their indexes, and its manifest with tables and structured state.</summary>
    public long StoredBytes { get; init; }

    /// <summary>Bytes of its streams that it did not take over from its parent.</summary>
    public long NewBytes { get; init; }

    /// <summary>Entries of its extent tables.</summary>
    public long Extents { get; init; }

    /// <summary>Null for a sound manifest header; otherwise what is wrong with it. Then only the object and the id are known.</summary>
    public string? Damage { get; init; }

    /// <summary>Fields of the header that a newer program wrote and this one does not know, as they are encoded; they go where the snapshot goes.</summary>
    internal ByteString UnknownFields { get; init; } = ByteString.Empty;

    /// <summary>
    /// Refuses where another store has another state under the same id. Ids end in ten random bits, so that two stores which take snapshots of one object in
    /// the same millisecond make the same one in a thousand times.
    /// </summary>
    /// <param name="here">The snapshots of one store.</param>
    /// <param name="there">Those of another, of the same object.</param>
    /// <exception cref="SnapshotStoreException"><c>snapshot.conflict</c>.</exception>
    internal static void RequireNoConflict(IEnumerable<SnapshotInfo> here, IEnumerable<SnapshotInfo> there)
    {
        Dictionary<string, SnapshotInfo> others = there.Where(s => s.Damage is null).ToDictionary(s => s.Id);
        foreach (SnapshotInfo own in here.Where(s => s.Damage is null))
        {
            if (others.TryGetValue(own.Id, out SnapshotInfo? other)
                && (other.CreatedAt != own.CreatedAt || other.Kind != own.Kind || other.LogicalBytes != own.LogicalBytes))
            {
                throw new SnapshotStoreException(
                    "snapshot.conflict", $"{own.Address} is another state here ({own.CreatedAt:O}) than there ({other.CreatedAt:O}), by chance of the same id; forget one of the two");
            }
        }
    }

    /// <summary>NAME@ID.</summary>
    public string Address => $"{Object}@{Id}";

    /// <inheritdoc/>
    public override string ToString() => Address;
}
