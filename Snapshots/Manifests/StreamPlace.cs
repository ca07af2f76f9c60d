namespace Holdfast.Snapshots;

/// <summary>Where a run of a stream is stored.</summary>
/// <param name="Offset">First byte in the stream, 0 or above.</param>
/// <param name="Length">Bytes, above 0.</param>
/// <param name="Pack">The pack.</param>
/// <param name="Part">The part of it that has to be decoded; -1 for raw bytes.</param>
/// <param name="Position">Of the first byte, in the decoded part or among the raw bytes.</param>
public readonly record struct StreamPlace(long Offset, long Length, Guid Pack, long Part, long Position);
