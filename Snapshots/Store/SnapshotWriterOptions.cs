namespace Holdfast.Snapshots;

/// <summary>How a snapshot is written. The defaults are the fastest: pages go to the store as they are.</summary>
public sealed record SnapshotWriterOptions
{
    /// <summary>When the state was taken; null: the moment at which the snapshot is begun.</summary>
    public DateTimeOffset? CreatedAt { get; init; }

    /// <summary>How extents are compressed.</summary>
    public Compression Compression { get; init; } = Compression.None;

    /// <summary>How hard zstd compresses: 1 to 19.</summary>
    public int CompressionLevel { get; init; } = 3;

    /// <summary>True: extents are hashed, and one whose bytes the store has already is only referred to.</summary>
    public bool Deduplicate { get; init; }

    /// <summary>
    /// Where extents are cut when they are compressed, deduplicated or encrypted: at multiples of this in the stream.
    /// A power of two from 4 KiB to 4 MiB.
    /// </summary>
    public int ExtentSize { get; init; } = 64 * 1024;

    internal SnapshotWriterOptions Validated()
    {
        if (ExtentSize is < 4096 or > 4 * 1024 * 1024 || !int.IsPow2(ExtentSize))
        {
            throw new ArgumentOutOfRangeException(nameof(ExtentSize), ExtentSize, "A power of two from 4 KiB to 4 MiB is expected.");
        }

        return CompressionLevel is >= 1 and <= 19 ? this : throw new ArgumentOutOfRangeException(nameof(CompressionLevel), CompressionLevel, "1 to 19 is expected.");
    }
}
