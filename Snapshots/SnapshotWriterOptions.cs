namespace Holdfast.Snapshots;

/// <summary>How a snapshot is written.</summary>
public sealed record SnapshotWriterOptions
{
    /// <summary>When the state was taken; null: the moment at which the snapshot is begun.</summary>
    public DateTimeOffset? CreatedAt { get; init; }
}
