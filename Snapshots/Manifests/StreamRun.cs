namespace Holdfast.Snapshots;

/// <summary>A run of stored bytes of a stream; between runs are holes.</summary>
/// <param name="Offset">First byte, 0 or above.</param>
/// <param name="Length">Bytes, above 0.</param>
public readonly record struct StreamRun(long Offset, long Length)
{
    /// <summary>The first byte after it.</summary>
    public long End => Offset + Length;
}
