namespace Holdfast.Snapshots;

/// <summary>How a path is taken into a store.</summary>
public sealed record CaptureOptions
{
    /// <summary>How extents are written. The default deduplicates and compresses.</summary>
    public SnapshotWriterOptions Writer { get; init; } = new() { Compression = Compression.Auto, CompressionLevel = 6, Deduplicate = true };

    /// <summary>Tags of the snapshot.</summary>
    public IReadOnlyDictionary<string, string> Tags { get; init; } = new Dictionary<string, string>();

    /// <summary>True: an image file is taken as a block image, page by page, rather than as a file with its metadata. Devices always are.</summary>
    public bool AsBlockImage { get; init; }

    /// <summary>
    /// For a single file or an image: a directory on its file system, which shares extents, in which a clone of it is kept, so that the next snapshot reads only
    /// what changed since; null: none, and one that was kept before is removed.
    /// </summary>
    public string? CloneDirectory { get; init; }

    /// <summary>Told how many bytes of the source's content were read, each time some are; from several calls, one after the other.</summary>
    public Action<long>? Read { get; init; }

    /// <summary>True: files whose size, times and inode did not change are read and compared all the same.</summary>
    public bool Paranoid { get; init; }
}
