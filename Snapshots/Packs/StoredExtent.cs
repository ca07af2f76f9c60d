namespace Holdfast.Snapshots;

/// <summary>Where an extent was stored.</summary>
/// <param name="Pack">In which pack.</param>
/// <param name="Position">Where in it.</param>
/// <param name="Encoded">True: it must be decoded as a whole.</param>
internal readonly record struct StoredExtent(PackId Pack, long Position, bool Encoded);
