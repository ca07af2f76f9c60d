using System.IO.Compression;

namespace Holdfast.Snapshots;

/// <summary>Compresses and decompresses single extents.</summary>
internal static class Codecs
{
    /// <summary>What <see cref="Compression"/> comes to on this machine.</summary>
    /// <exception cref="SnapshotStoreException">zstd was asked for and there is none (<c>codec.missing</c>).</exception>
    internal static Codec Choose(Compression compression) => compression switch
    {
        Compression.None => Codec.Raw,
        Compression.Deflate => Codec.Deflate,
        Compression.Auto => Zstd.IsAvailable ? Codec.Zstd : Codec.Deflate,
        Compression.Zstd => Zstd.IsAvailable ? Codec.Zstd : throw Missing(),
        _ => throw new ArgumentOutOfRangeException(nameof(compression)),
    };

    /// <summary>Compresses into a buffer that is smaller than the data.</summary>
    /// <returns>Bytes used; 0 when it does not fit, so that compressing does not pay.</returns>
    internal static int Compress(Codec codec, int level, ReadOnlySpan<byte> data, Span<byte> into)
    {
        if (codec == Codec.Zstd)
        {
            return Zstd.Compress(data, into, level);
        }

        using var target = new MemoryStream(into.Length);
        using (var deflate = new DeflateStream(target, level <= 1 ? CompressionLevel.Fastest : CompressionLevel.Optimal, leaveOpen: true))
        {
            deflate.Write(data);
        }

        if (target.Length > into.Length)
        {
            return 0;
        }

        target.GetBuffer().AsSpan(0, (int)target.Length).CopyTo(into);
        return (int)target.Length;
    }

    /// <summary>Decompresses exactly.</summary>
    /// <returns>False when the bytes do not decompress to that length.</returns>
    /// <exception cref="SnapshotStoreException">The codec is not known or not available here (<c>codec.missing</c>).</exception>
    internal static bool Decompress(Codec codec, byte[] data, int length, Span<byte> into)
    {
        switch (codec)
        {
            case Codec.Zstd:
                return Zstd.IsAvailable ? Zstd.Decompress(data.AsSpan(0, length), into) : throw Missing();
            case Codec.Deflate:
                try
                {
                    using var source = new MemoryStream(data, 0, length, writable: false);
                    using var inflate = new DeflateStream(source, CompressionMode.Decompress);
                    return inflate.ReadAtLeast(into, into.Length, throwOnEndOfStream: false) == into.Length && inflate.ReadByte() < 0;
                }
                catch (InvalidDataException)
                {
                    return false;
                }

            default:
                throw new SnapshotStoreException("codec.missing", $"an extent is stored with codec {(uint)codec}, which this program does not know; use a newer one");
        }
    }

    private static SnapshotStoreException Missing() =>
        new("codec.missing", "zstd is needed and libzstd.so.1 was not found; install it (Debian: apt-get install libzstd1)");
}
