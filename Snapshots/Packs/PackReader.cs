using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Google.Protobuf.Collections;
using Holdfast.Snapshots.Format;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.Snapshots;

/// <summary>Reads one pack. Every byte that it hands out was checked. Several threads may read at once.</summary>
internal sealed class PackReader : IDisposable
{
    /// <summary>What is read before it is checksummed: it stays in the second-level cache between the two.</summary>
    private const int HotChunk = 256 * 1024;

    private readonly SafeFileHandle _file;
    private readonly long[] _positions;
    private readonly long[] _stored;

    /// <summary>Null when all rows are raw: then the stored bytes are the logical ones.</summary>
    private readonly long[]? _logical;
    private readonly uint[]? _codecs;
    private readonly int[] _crcStarts;
    private readonly uint[] _crcs;
    private readonly ReadOnlyMemory<byte> _hashes;
    private readonly FileCipher? _cipher;
    private LastDecoded? _last;

    /// <summary>Opens a pack and checks its header, trailer and footer.</summary>
    /// <exception cref="SnapshotDamagedException">It is missing, cut off or altered.</exception>
    internal PackReader(string directory, PackId id, Vault? vault = null)
    {
        Id = id;
        FilePath = System.IO.Path.Combine(directory, id + PackFormat.Extension);
        _file = Libc.TryOpen(FilePath) ?? throw new SnapshotDamagedException(FilePath, 0, "the pack is missing");
        try
        {
            (PackIndex index, DataEnd, _cipher) = ReadIndex(vault);
            int rows = index.Position.Count;
            if (index.Stored.Count != rows || index.Logical.Count != rows || index.Codec.Count != rows)
            {
                throw new SnapshotDamagedException(FilePath, DataEnd, "the footer's columns differ in length");
            }

            _positions = new long[rows];
            _stored = new long[rows];
            if (index.Codec.Any(c => c != 0))
            {
                _logical = new long[rows];
                _codecs = [.. index.Codec];
            }

            _hashes = index.Hashes.Length == 0 || index.Hashes.Length == (long)rows * Hash.Size
                ? index.Hashes.Memory
                : throw new SnapshotDamagedException(FilePath, DataEnd, "the footer's columns differ in length");
            _crcStarts = new int[rows];
            ReadOnlySpan<byte> crcs = index.Crcs.Span;
            _crcs = new uint[crcs.Length / 4];
            MemoryMarshal.Cast<byte, uint>(crcs[..(_crcs.Length * 4)]).CopyTo(_crcs);
            CheckRows(index.Position, index.Stored, index.Logical);
        }
        catch
        {
            _file.Dispose();
            throw;
        }
    }

    internal PackId Id { get; }

    internal string FilePath { get; }

    /// <summary>Where the extents end and the footer begins.</summary>
    internal long DataEnd { get; }

    /// <summary>Rows of the index.</summary>
    internal int Count => _positions.Length;

    internal PackRow Row(int row) => new(_positions[row], _stored[row], Logical(row), CodecOf(row));

    private long Logical(int row) => (_logical ?? _stored)[row];

    private uint CodecOf(int row) => _codecs is null ? 0 : _codecs[row];

    /// <summary>The hash of a row's decoded bytes; empty when none is known.</summary>
    internal ReadOnlySpan<byte> HashOf(int row)
    {
        if (_hashes.IsEmpty)
        {
            return default;
        }

        ReadOnlySpan<byte> hash = _hashes.Span.Slice(row * Hash.Size, Hash.Size);
        return hash.IndexOfAnyExcept((byte)0) < 0 ? default : hash;
    }

    /// <summary>Makes garbage collection leave the pack alone while it is open.</summary>
    /// <returns>False when it is being collected, or is gone already.</returns>
    internal bool TryPin() => Libc.Lock(_file, Libc.LockShared | Libc.LockNonBlocking, FilePath) && File.Exists(FilePath);

    /// <summary>Finds the row that holds a position.</summary>
    /// <exception cref="SnapshotDamagedException">None does.</exception>
    internal int Find(long position)
    {
        int row = Array.BinarySearch(_positions, position);
        row = row >= 0 ? row : ~row - 1;
        if (row < 0 || position >= _positions[row] + _stored[row])
        {
            throw new SnapshotDamagedException(FilePath, position, "the footer lists no extent here");
        }

        return row;
    }

    /// <summary>The checksum that was taken of raw bytes when they were stored; nothing is read.</summary>
    /// <param name="position">Of the first byte.</param>
    /// <param name="length">How many.</param>
    /// <param name="crc">CRC-32C of exactly those bytes.</param>
    /// <returns>False when there is none of exactly those bytes.</returns>
    internal bool TryChecksum(long position, int length, out uint crc)
    {
        int row = Find(position);
        long relative = position - _positions[row];
        bool found = CodecOf(row) == 0 && relative % Crc32C.BlockSize == 0 && length == Math.Min(Crc32C.BlockSize, _stored[row] - relative);
        crc = found ? _crcs[_crcStarts[row] + (int)(relative / Crc32C.BlockSize)] : 0;
        return found;
    }

    /// <summary>Reads a part of an extent.</summary>
    /// <param name="position">Raw: of the first wanted byte; otherwise of the stored extent.</param>
    /// <param name="skip">Bytes of the decoded extent before the wanted ones; 0 when raw.</param>
    /// <param name="into">Where to.</param>
    internal void Read(long position, int skip, Span<byte> into)
    {
        while (into.Length > 0)
        {
            int row = Find(position);
            if (CodecOf(row) != 0)
            {
                ReadEncoded(row, position, skip, into);
                return;
            }

            // Raw rows that lie side by side may be one extent of a table.
            int count = (int)Math.Min(into.Length, _positions[row] + _stored[row] - position);
            ReadRaw(row, position, into[..count]);
            into = into[count..];
            position += count;
        }
    }

    private void ReadEncoded(int row, long position, int skip, Span<byte> into)
    {
        if (_positions[row] != position || skip < 0 || skip + (long)into.Length > Logical(row))
        {
            throw new SnapshotDamagedException(FilePath, position, "the footer lists no such extent here");
        }

        if (skip == 0 && into.Length == Logical(row))
        {
            Decode(row, into);
            return;
        }

        byte[]? decoded = Volatile.Read(ref _last) is { } last && last.Row == row ? last.Bytes : null;
        if (decoded is null)
        {
            decoded = GC.AllocateUninitializedArray<byte>((int)Logical(row));
            Decode(row, decoded);
            Volatile.Write(ref _last, new LastDecoded(row, decoded));
        }

        decoded.AsSpan(skip, into.Length).CopyTo(into);
    }

    /// <summary>Reads the stored bytes of a row and checks them.</summary>
    /// <returns>An array of <see cref="LargeArrays"/>; the caller gives it back.</returns>
    internal byte[] ReadStored(int row)
    {
        int length = (int)_stored[row];
        byte[] stored = LargeArrays.Rent(length);
        try
        {
            if (CodecOf(row) == 0)
            {
                ReadRaw(row, _positions[row], stored.AsSpan(0, length));
                return stored;
            }

            Fill(stored.AsSpan(0, length), _positions[row]);
            uint expected = _crcs[_crcStarts[row]];
            uint found = Crc32C.Of(stored.AsSpan(0, length));
            return expected == found ? stored : throw Mismatch(_positions[row], expected, found);
        }
        catch
        {
            LargeArrays.Return(stored);
            throw;
        }
    }

    /// <summary>True when the stored bytes of a row are what was written.</summary>
    internal bool IsSound(int row)
    {
        try
        {
            LargeArrays.Return(ReadStored(row));
            return true;
        }
        catch (SnapshotDamagedException)
        {
            return false;
        }
    }

    /// <summary>Reads the bytes of a row as they were before encryption, compressed or not.</summary>
    /// <param name="row">The row.</param>
    /// <param name="length">How many bytes of the array mean something.</param>
    /// <returns>An array of <see cref="LargeArrays"/>; the caller gives it back.</returns>
    internal byte[] ReadCompressed(int row, out int length)
    {
        byte[] stored = ReadStored(row);
        length = (int)_stored[row];
        if ((CodecOf(row) & PackFormat.Encrypted) == 0)
        {
            return stored;
        }

        length -= FileCipher.TagSize;
        byte[] plain = LargeArrays.Rent(Math.Max(length, 1));
        if (length < 0 || _cipher is null || !_cipher.TryOpen(_positions[row], PackFormat.ExtentDomain, stored.AsSpan(0, (int)_stored[row]), plain.AsSpan(0, length)))
        {
            throw new SnapshotDamagedException(FilePath, _positions[row], "the extent does not decrypt");
        }

        LargeArrays.Return(stored);
        return plain;
    }

    private void Decode(int row, Span<byte> into)
    {
        byte[] bytes = ReadCompressed(row, out int length);
        var codec = (Codec)(CodecOf(row) & ~PackFormat.Encrypted);
        if (codec == Codec.Raw && length == into.Length)
        {
            bytes.AsSpan(0, length).CopyTo(into);
        }
        else if (codec == Codec.Raw || !Codecs.Decompress(codec, bytes, length, into))
        {
            throw new SnapshotDamagedException(FilePath, _positions[row], $"the extent does not decode to {into.Length} bytes");
        }

        LargeArrays.Return(bytes);
    }

    /// <summary>Reads and decodes one whole extent, which begins at this position.</summary>
    /// <param name="position">Where it is stored.</param>
    /// <param name="length">Bytes of it in the returned array.</param>
    /// <returns>An array of <see cref="LargeArrays"/>; the caller gives it back.</returns>
    internal byte[] ReadExtent(long position, out int length)
    {
        int row = Find(position);
        if (_positions[row] != position || Logical(row) > int.MaxValue / 4)
        {
            throw new SnapshotDamagedException(FilePath, position, "the footer lists no such extent here");
        }

        length = (int)Logical(row);
        byte[] bytes = LargeArrays.Rent(length);
        try
        {
            Read(position, 0, bytes.AsSpan(0, length));
            return bytes;
        }
        catch
        {
            LargeArrays.Return(bytes);
            throw;
        }
    }

    private void ReadRaw(int row, long position, Span<byte> into)
    {
        long relative = position - _positions[row];
        int intoBlock = (int)(relative % Crc32C.BlockSize);
        if (intoBlock != 0)
        {
            int count = Math.Min(into.Length, Crc32C.BlockSize - intoBlock);
            ReadPartOfBlock(row, relative - intoBlock, intoBlock, into[..count]);
            into = into[count..];
            relative += count;
        }

        Span<uint> crcs = stackalloc uint[HotChunk / Crc32C.BlockSize];
        while (into.Length > 0)
        {
            long left = _stored[row] - relative;
            int count = Math.Min(into.Length, HotChunk);
            if (count < left)
            {
                count &= -Crc32C.BlockSize;
            }

            if (count == 0)
            {
                ReadPartOfBlock(row, relative, 0, into);
                return;
            }

            Span<byte> chunk = into[..count];
            Fill(chunk, _positions[row] + relative);
            int blocks = (count + Crc32C.BlockSize - 1) / Crc32C.BlockSize;
            Crc32C.OfBlocks(chunk, crcs);
            ReadOnlySpan<uint> expected = _crcs.AsSpan(_crcStarts[row] + (int)(relative / Crc32C.BlockSize), blocks);
            int different = crcs[..blocks].CommonPrefixLength(expected);
            if (different < blocks)
            {
                chunk.Clear();
                throw Mismatch(_positions[row] + relative + ((long)different * Crc32C.BlockSize), expected[different], crcs[different]);
            }

            into = into[count..];
            relative += count;
        }
    }

    private void ReadPartOfBlock(int row, long blockStart, int skip, Span<byte> into)
    {
        int length = (int)Math.Min(Crc32C.BlockSize, _stored[row] - blockStart);
        Span<byte> block = stackalloc byte[Crc32C.BlockSize];
        block = block[..length];
        Fill(block, _positions[row] + blockStart);
        uint expected = _crcs[_crcStarts[row] + (int)(blockStart / Crc32C.BlockSize)];
        uint found = Crc32C.Of(block);
        if (expected != found)
        {
            throw Mismatch(_positions[row] + blockStart, expected, found);
        }

        block.Slice(skip, into.Length).CopyTo(into);
    }

    private void Fill(Span<byte> into, long position)
    {
        int count = Libc.Read(_file, into, position, FilePath);
        if (count != into.Length)
        {
            throw new SnapshotDamagedException(FilePath, position, $"{into.Length} bytes expected, {count} found");
        }
    }

    private SnapshotDamagedException Mismatch(long position, uint expected, uint found) =>
        new(FilePath, position, $"CRC-32C {expected:x8} expected, {found:x8} found");

    private (PackIndex Index, long DataEnd, FileCipher? Cipher) ReadIndex(Vault? vault)
    {
        Span<byte> header = stackalloc byte[PackFormat.HeaderUsed];
        int got = Libc.Read(_file, header, 0, FilePath);
        uint generation = PackFormat.CheckHeader(header[..got], Id, FilePath);
        if ((generation != 0) != (vault is not null))
        {
            throw new SnapshotDamagedException(FilePath, 24, generation != 0 ? "is encrypted, in a store that is not" : "is not encrypted, in a store that is");
        }

        FileCipher? cipher = vault?.For(generation, Id.ToBytes(), FilePath);
        long size = RandomAccess.GetLength(_file);
        Span<byte> trailer = stackalloc byte[PackFormat.TrailerSize];
        if (size < PackFormat.HeaderSize + PackFormat.TrailerSize)
        {
            throw new SnapshotDamagedException(FilePath, size, "is cut off");
        }

        Fill(trailer, size - PackFormat.TrailerSize);
        if (!trailer[24..].SequenceEqual(PackFormat.TrailerMagic))
        {
            throw new SnapshotDamagedException(FilePath, size - 8, "does not end with a trailer: it is cut off, or something follows");
        }

        uint expected = BinaryPrimitives.ReadUInt32LittleEndian(trailer[20..]);
        uint found = Crc32C.Of(trailer[..20]);
        long position = BinaryPrimitives.ReadInt64LittleEndian(trailer);
        long length = BinaryPrimitives.ReadInt64LittleEndian(trailer[8..]);
        if (expected != found || position < PackFormat.HeaderSize || length < 0 || length > int.MaxValue / 2 || position != size - PackFormat.TrailerSize - length)
        {
            throw new SnapshotDamagedException(FilePath, size - PackFormat.TrailerSize, $"the trailer is not valid (CRC-32C {expected:x8} expected, {found:x8} found; footer at {position}, {length} bytes)");
        }

        byte[] footer = LargeArrays.Rent((int)length);
        try
        {
            Span<byte> bytes = footer.AsSpan(0, (int)length);
            Fill(bytes, position);
            expected = BinaryPrimitives.ReadUInt32LittleEndian(trailer[16..]);
            found = Crc32C.Of(bytes);
            if (expected != found)
            {
                throw new SnapshotDamagedException(FilePath, position, $"footer with CRC-32C {expected:x8} expected, {found:x8} found");
            }

            if (cipher is not null)
            {
                byte[] plain = new byte[Math.Max(0, length - FileCipher.TagSize)];
                bytes = cipher.TryOpen(position, PackFormat.FooterDomain, bytes, plain)
                    ? plain
                    : throw new SnapshotDamagedException(FilePath, position, "the footer does not decrypt");
            }

            PackIndex index = FrameFile.Parse(PackIndex.Parser, bytes, FilePath, position);
            if (index.PackId.Length != PackId.Size || PackId.From(index.PackId.Span) != Id)
            {
                throw new SnapshotDamagedException(FilePath, position, "the footer is another pack's");
            }

            return (index, position, cipher);
        }
        finally
        {
            LargeArrays.Return(footer);
        }
    }

    private void CheckRows(RepeatedField<ulong> positions, RepeatedField<ulong> stored, RepeatedField<ulong> logical)
    {
        ulong end = PackFormat.HeaderSize;
        long crcs = 0;
        for (int i = 0; i < positions.Count; i++)
        {
            ulong room = (ulong)DataEnd;
            bool raw = CodecOf(i) == 0;
            if (positions[i] < end || positions[i] > room || stored[i] == 0 || stored[i] > room - positions[i]
                || (raw ? logical[i] != stored[i] : logical[i] == 0 || logical[i] > PackFormat.MaxEncoded || stored[i] > PackFormat.MaxEncoded + FileCipher.TagSize))
            {
                throw new SnapshotDamagedException(FilePath, DataEnd, $"row {i} of the footer is not possible");
            }

            end = positions[i] + stored[i];
            _positions[i] = (long)positions[i];
            _stored[i] = (long)stored[i];
            if (_logical is not null)
            {
                _logical[i] = (long)logical[i];
            }

            _crcStarts[i] = (int)crcs;
            crcs += raw ? (_stored[i] + Crc32C.BlockSize - 1) / Crc32C.BlockSize : 1;
        }

        if (crcs != _crcs.Length)
        {
            throw new SnapshotDamagedException(FilePath, DataEnd, $"the footer has {_crcs.Length} checksums for {crcs} blocks");
        }
    }

    public void Dispose()
    {
        _cipher?.Dispose();
        _file.Dispose();
    }

    private sealed record LastDecoded(int Row, byte[] Bytes);
}
