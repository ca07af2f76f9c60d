using System.Buffers.Binary;

namespace Holdfast.Snapshots;

/// <summary>How the bytes of an extent are stored.</summary>
internal enum Codec : uint
{
    Raw = 0,
    Zstd = 1,
    Deflate = 2,
}

/// <summary>The fixed parts of a pack file; see FORMAT.md.</summary>
internal static class PackFormat
{
    /// <summary>The header fills a page, so that page aligned extents are aligned in the file.</summary>
    internal const int HeaderSize = 4096;

    /// <summary>How much of the header means something; its CRC is the last four bytes of that.</summary>
    internal const int HeaderUsed = 64;

    /// <summary>Footer position (8), footer length (8), footer CRC (4), CRC of the 20 bytes before (4), magic (8).</summary>
    internal const int TrailerSize = 32;

    /// <summary>The most that an extent which has to be decoded as a whole may hold.</summary>
    internal const int MaxEncoded = 16 * 1024 * 1024;

    internal const string Extension = ".pack";

    internal const string PartialExtension = ".part";

    internal static ReadOnlySpan<byte> Magic => "HFPACK1\n"u8;

    internal static ReadOnlySpan<byte> TrailerMagic => "HFPEND1\n"u8;

    /// <summary>Set in a row's codec when the stored bytes are encrypted.</summary>
    internal const uint Encrypted = 256;

    /// <summary>Domains of nonces within a pack.</summary>
    internal const uint ExtentDomain = 1;
    internal const uint FooterDomain = 2;

    /// <param name="into">At least <see cref="HeaderUsed"/> bytes.</param>
    /// <param name="id">The pack's id.</param>
    /// <param name="generation">Generation of the data key; 0: not encrypted.</param>
    internal static void WriteHeader(Span<byte> into, PackId id, uint generation)
    {
        into[..HeaderUsed].Clear();
        Magic.CopyTo(into);
        id.CopyTo(into[8..]);
        BinaryPrimitives.WriteUInt32LittleEndian(into[24..], generation);
        BinaryPrimitives.WriteUInt32LittleEndian(into[60..], Crc32C.Of(into[..60]));
    }

    /// <returns>The generation of the data key; 0: not encrypted.</returns>
    internal static uint CheckHeader(ReadOnlySpan<byte> header, PackId id, string path)
    {
        if (header.Length < HeaderUsed || !header[..8].SequenceEqual(Magic))
        {
            throw new SnapshotDamagedException(path, 0, "is not a pack, or is cut off");
        }

        uint expected = BinaryPrimitives.ReadUInt32LittleEndian(header[60..]);
        uint found = Crc32C.Of(header[..60]);
        if (expected != found)
        {
            throw new SnapshotDamagedException(path, 0, $"header with CRC-32C {expected:x8} expected, {found:x8} found");
        }

        if (PackId.From(header.Slice(8, PackId.Size)) != id)
        {
            throw new SnapshotDamagedException(path, 8, $"pack {id} expected, {PackId.From(header.Slice(8, PackId.Size))} found");
        }

        return BinaryPrimitives.ReadUInt32LittleEndian(header[24..]);
    }

    internal static void WriteTrailer(Span<byte> into, long footerPosition, ReadOnlySpan<byte> footer)
    {
        BinaryPrimitives.WriteInt64LittleEndian(into, footerPosition);
        BinaryPrimitives.WriteInt64LittleEndian(into[8..], footer.Length);
        BinaryPrimitives.WriteUInt32LittleEndian(into[16..], Crc32C.Of(footer));
        BinaryPrimitives.WriteUInt32LittleEndian(into[20..], Crc32C.Of(into[..20]));
        TrailerMagic.CopyTo(into[24..]);
    }
}
