namespace Holdfast.Snapshots;

/// <summary>Where a run of a stream's bytes is stored.</summary>
/// <param name="Offset">First byte in the stream.</param>
/// <param name="Length">Bytes, above 0.</param>
/// <param name="Pack">The pack that holds them.</param>
/// <param name="Position">Raw: position of the first byte; otherwise that of the stored extent.</param>
/// <param name="Encoded">False: raw bytes, of which any part can be addressed.</param>
/// <param name="Skip">Encoded: how many bytes of the decoded extent come before.</param>
internal readonly record struct Extent(long Offset, long Length, PackId Pack, long Position, bool Encoded, int Skip)
{
    internal long End => Offset + Length;

    /// <summary>The part of it inside a range of the stream, which must overlap it.</summary>
    internal Extent Clip(long from, long to)
    {
        long start = Math.Max(Offset, from);
        long cut = start - Offset;
        return new Extent(start, Math.Min(End, to) - start, Pack, Encoded ? Position : Position + cut, Encoded, Encoded ? Skip + (int)cut : 0);
    }

    /// <summary>True when another goes on where this one ends, in the stream and in the pack.</summary>
    internal bool Continues(in Extent next) =>
        End == next.Offset && Pack == next.Pack && Encoded == next.Encoded
        && (Encoded ? Position == next.Position && Skip + Length == next.Skip : Position + Length == next.Position);
}
