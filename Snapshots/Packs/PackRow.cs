namespace Holdfast.Snapshots;

/// <summary>A row of a pack's index.</summary>
/// <param name="Position">Where it is stored.</param>
/// <param name="Stored">Bytes in the pack.</param>
/// <param name="Logical">Bytes when decoded.</param>
/// <param name="Codec">The codec, with <see cref="PackFormat.Encrypted"/> set when it is.</param>
internal readonly record struct PackRow(long Position, long Stored, long Logical, uint Codec)
{
    internal long End => Position + Stored;

    internal bool IsRaw => Codec == 0;
}
