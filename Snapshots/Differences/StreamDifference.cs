namespace Holdfast.Snapshots;

/// <summary>How a stream differs between two snapshots.</summary>
/// <param name="Stream">Its name.</param>
/// <param name="BytesAdded">Bytes where the earlier snapshot has none.</param>
/// <param name="BytesRemoved">Bytes where the later snapshot has none.</param>
/// <param name="BytesChanged">Bytes that both have and that are not the same.</param>
/// <param name="BytesSame">Bytes that both have and that are the same.</param>
public sealed record StreamDifference(string Stream, long BytesAdded, long BytesRemoved, long BytesChanged, long BytesSame);
