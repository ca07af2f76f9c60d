namespace Holdfast.Snapshots;

/// <summary>Where an extent was stored.</summary>
/// <param name="Pack">In which pack.</param>
/// <param name="Position">Where in it.</param>
/// <param name="Encoded">True: it must be decoded as a whole.</param>
internal readonly record struct StoredExtent(PackId Pack, long Position, bool Encoded)
{
    /// <summary>Bytes in the pack, when it was stored just now; 0 when it was found.</summary>
    internal int Stored { get; init; }

    /// <summary>The row's codec, when it was stored just now.</summary>
    internal uint Codec { get; init; }

    /// <summary>CRC-32C of the stored bytes, when it was stored just now.</summary>
    internal uint Crc { get; init; }
}
