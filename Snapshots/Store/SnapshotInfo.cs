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

    /// <summary>Bytes that it added to the store: its pack, with index, and its manifest with tables and structured state.</summary>
    public long StoredBytes { get; init; }

    /// <summary>Bytes of its streams that it did not take over from its parent.</summary>
    public long NewBytes { get; init; }

    /// <summary>Entries of its extent tables.</summary>
    public long Extents { get; init; }

    /// <summary>Null for a sound manifest header; otherwise what is wrong with it. Then only the object and the id are known.</summary>
    public string? Damage { get; init; }

    /// <summary>NAME@ID.</summary>
    public string Address => $"{Object}@{Id}";

    /// <inheritdoc/>
    public override string ToString() => Address;
}
