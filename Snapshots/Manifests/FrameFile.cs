using System.Buffers.Binary;
using Google.Protobuf;
using Holdfast.Snapshots.Format;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.Snapshots;

/// <summary>A kind of frame: four characters, read as a little-endian number.</summary>
internal enum FrameKind : uint
{
    Header = 0x44414548, // HEAD
    Root = 0x544F4F52,   // ROOT
    State = 0x54415453,  // STAT
    Sealed = 0x4C414553, // SEAL
    End = 0x20444E45,    // "END "
}

/// <summary>
/// A small file of checksummed frames: 8 bytes of magic, then frames of kind (4), CRC-32C (4), length (8) and payload, then an end frame.
/// The CRC covers kind, length and payload. Everything is little-endian.
/// </summary>
internal static class FrameFile
{
    internal const int FrameHeader = 16;

    /// <summary>Puts a file together in memory.</summary>
    /// <param name="magic">The first 8 bytes.</param>
    /// <param name="frames">The frames, without the end frame.</param>
    /// <param name="vault">Encrypts the payloads and puts a SEAL frame before them; null: they stay as they are.</param>
    internal static byte[] Build(ReadOnlySpan<byte> magic, IReadOnlyList<(FrameKind Kind, ReadOnlyMemory<byte> Payload)> frames, Vault? vault = null)
    {
        frames = vault is null ? frames : Seal(frames, vault);
        long length = magic.Length + FrameHeader;
        foreach ((_, ReadOnlyMemory<byte> payload) in frames)
        {
            length += FrameHeader + payload.Length;
        }

        byte[] file = GC.AllocateUninitializedArray<byte>(checked((int)length));
        magic.CopyTo(file);
        int at = magic.Length;
        foreach ((FrameKind kind, ReadOnlyMemory<byte> payload) in frames)
        {
            at += WriteFrame(file.AsSpan(at), kind, payload.Span);
        }

        WriteFrame(file.AsSpan(at), FrameKind.End, default);
        return file;
    }

    private static List<(FrameKind Kind, ReadOnlyMemory<byte> Payload)> Seal(IReadOnlyList<(FrameKind Kind, ReadOnlyMemory<byte> Payload)> frames, Vault vault)
    {
        byte[] id = PackId.New().ToBytes();
        using FileCipher cipher = vault.For(vault.Generation, id, "a new file");
        var sealed_ = new List<(FrameKind, ReadOnlyMemory<byte>)>
        {
            (FrameKind.Sealed, new Sealed { Generation = vault.Generation, FileId = ByteString.CopyFrom(id) }.ToByteArray()),
        };
        foreach ((FrameKind kind, ReadOnlyMemory<byte> payload) in frames)
        {
            byte[] stored = GC.AllocateUninitializedArray<byte>(payload.Length + FileCipher.TagSize);
            cipher.Seal(sealed_.Count, (uint)kind, payload.Span, stored);
            sealed_.Add((kind, stored));
        }

        return sealed_;
    }

    private static byte[] OpenFrame(FileCipher cipher, int number, FrameKind kind, byte[] stored, string path, long at)
    {
        byte[] plain = GC.AllocateUninitializedArray<byte>(Math.Max(0, stored.Length - FileCipher.TagSize));
        return cipher.TryOpen(number, (uint)kind, stored, plain)
            ? plain
            : throw new SnapshotDamagedException(path, at, "a frame does not decrypt");
    }

    private static FileCipher OpenSeal(byte[] payload, Vault? vault, string path, long at)
    {
        Sealed message = Parse(Sealed.Parser, payload, path, at);
        if (message.FileId.Length != PackId.Size)
        {
            throw new SnapshotDamagedException(path, at, "a SEAL frame is not possible");
        }

        return vault?.For(message.Generation, message.FileId.Span, path)
            ?? throw new SnapshotDamagedException(path, at, "is encrypted, in a store that is not");
    }

    private static int WriteFrame(Span<byte> into, FrameKind kind, ReadOnlySpan<byte> payload)
    {
        BinaryPrimitives.WriteUInt32LittleEndian(into, (uint)kind);
        BinaryPrimitives.WriteUInt64LittleEndian(into[8..], (ulong)payload.Length);
        payload.CopyTo(into[FrameHeader..]);
        BinaryPrimitives.WriteUInt32LittleEndian(into[4..], Checksum(into, payload));
        return FrameHeader + payload.Length;
    }

    private static uint Checksum(ReadOnlySpan<byte> header, ReadOnlySpan<byte> payload) =>
        Crc32C.Append(Crc32C.Append(Crc32C.Of(header[..4]), header[8..16]), payload);

    /// <summary>Reads and verifies the frames of a file up to and with the wanted one, or all of them.</summary>
    /// <param name="file">The open file.</param>
    /// <param name="path">Its path, for errors.</param>
    /// <param name="magic">What it must begin with.</param>
    /// <param name="only">Stop after the first frame of this kind; null: all, and the file must end with the end frame.</param>
    /// <param name="vault">Decrypts; a file that is not encrypted is refused then.</param>
    /// <exception cref="SnapshotDamagedException">It is not what was written.</exception>
    internal static List<(FrameKind Kind, byte[] Payload)> Read(SafeFileHandle file, string path, ReadOnlySpan<byte> magic, FrameKind? only = null, Vault? vault = null)
    {
        FileCipher? cipher = null;
        try
        {
            return Read(file, path, magic, only, vault, ref cipher);
        }
        finally
        {
            cipher?.Dispose();
        }
    }

    private static List<(FrameKind Kind, byte[] Payload)> Read(SafeFileHandle file, string path, ReadOnlySpan<byte> magic, FrameKind? only, Vault? vault, ref FileCipher? cipher)
    {
        int number = 0;
        long size = RandomAccess.GetLength(file);
        Span<byte> found = stackalloc byte[magic.Length];
        if (size < magic.Length || Libc.Read(file, found, 0, path) != found.Length || !found.SequenceEqual(magic))
        {
            throw new SnapshotDamagedException(path, 0, $"expected to begin with {Printable(magic)}, found {(size < magic.Length ? $"{size} bytes" : Printable(found))}");
        }

        var frames = new List<(FrameKind, byte[])>();
        long at = magic.Length;
        Span<byte> header = stackalloc byte[FrameHeader];
        while (true)
        {
            if (size - at < FrameHeader || Libc.Read(file, header, at, path) != FrameHeader)
            {
                throw new SnapshotDamagedException(path, at, $"expected a frame, found the end of the file ({size} bytes)");
            }

            var kind = (FrameKind)BinaryPrimitives.ReadUInt32LittleEndian(header);
            uint expected = BinaryPrimitives.ReadUInt32LittleEndian(header[4..]);
            ulong length = BinaryPrimitives.ReadUInt64LittleEndian(header[8..]);
            if (length > (ulong)(size - at - FrameHeader) || length > int.MaxValue / 2)
            {
                throw new SnapshotDamagedException(path, at, $"a frame says it has {length} bytes, the file has {size - at - FrameHeader} more");
            }

            byte[] payload = GC.AllocateUninitializedArray<byte>((int)length);
            if (Libc.Read(file, payload, at + FrameHeader, path) != payload.Length)
            {
                throw new SnapshotDamagedException(path, at, "the file ends inside a frame");
            }

            uint actual = Checksum(header, payload);
            if (actual != expected)
            {
                throw new SnapshotDamagedException(path, at, $"frame with CRC-32C {expected:x8} expected, {actual:x8} found");
            }

            at += FrameHeader + payload.Length;
            if (kind == FrameKind.End)
            {
                if (at != size || only is not null)
                {
                    throw new SnapshotDamagedException(path, at, at != size ? $"{size - at} bytes after the end" : $"has no {only} frame");
                }

                return frames;
            }

            if (kind == FrameKind.Sealed && cipher is null && number == 0)
            {
                cipher = OpenSeal(payload, vault, path, at);
                number++;
                continue;
            }

            if ((cipher is null) != (vault is null))
            {
                throw new SnapshotDamagedException(path, at, "is not encrypted, in a store that is");
            }

            if (cipher is not null)
            {
                payload = OpenFrame(cipher, number, kind, payload, path, at);
            }

            number++;
            frames.Add((kind, payload));
            if (kind == only)
            {
                return frames;
            }
        }
    }

    /// <summary>Parses a message out of a frame whose checksum was right.</summary>
    internal static T Parse<T>(MessageParser<T> parser, ReadOnlySpan<byte> payload, string path, long position)
        where T : IMessage<T>
    {
        try
        {
            return parser.ParseFrom(payload);
        }
        catch (InvalidProtocolBufferException e)
        {
            throw new SnapshotDamagedException(path, position, $"is not a valid message: {e.Message}", e);
        }
    }

    private static string Printable(ReadOnlySpan<byte> bytes) => $"'{string.Concat(bytes.ToArray().Select(b => b is >= 32 and < 127 ? ((char)b).ToString() : $"\\x{b:x2}"))}'";
}
