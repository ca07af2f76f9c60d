namespace Holdfast.Snapshots;

/// <summary>How extents are compressed. Bytes that do not shrink are stored as they are, whatever is chosen.</summary>
public enum Compression
{
    /// <summary>Not at all: the fastest, for memory pages on a fast device.</summary>
    None,

    /// <summary>zstd where the system's libzstd is found, otherwise deflate.</summary>
    Auto,

    /// <summary>zstd (RFC 8878) through the system's libzstd.</summary>
    Zstd,

    /// <summary>deflate (RFC 1951), which the .NET runtime brings along.</summary>
    Deflate,
}
