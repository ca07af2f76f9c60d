using System.Buffers;
using System.Runtime.InteropServices;
using Google.Protobuf;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.Snapshots;

/// <summary>
/// Writes one pack. Several threads may write at once: a position is reserved first, so that large writes go to the file
/// side by side and straight from the caller's memory. The file is locked, and has its partial name, until it is published.
/// </summary>
internal sealed partial class PackWriter : IDisposable
{
    /// <summary>Writes below this are gathered, so that a page does not cost a system call.</summary>
    internal const int SmallWrite = 64 * 1024;

    private const int StageSize = 1024 * 1024;

    /// <summary>What is checksummed before it is written: it stays in the second-level cache between the two.</summary>
    private const int HotChunk = 256 * 1024;

    private readonly Lock _indexLock = new();
    private readonly Lock _stageLock = new();
    private readonly string _directory;
    private readonly SafeFileHandle _file;
    private readonly List<Entry> _entries = [];
    private readonly List<uint> _crcs = [];
    private readonly List<Hash> _hashes = [];
    private readonly FileCipher? _cipher;
    private readonly SpaceBudget? _budget;
    private string _path;
    private byte[]? _stage;
    private long _stagePosition;
    private int _stageUsed;
    private int _stageEntryStart;
    private long _next = PackFormat.HeaderSize;
    private long _stored;
    private Exception? _failure;
    private bool _published;

    internal PackWriter(string directory, Vault? vault = null, SpaceBudget? budget = null)
    {
        _directory = directory;
        _budget = budget;
        PackId id = default;
        _file = Libc.CreateLocked(() => Path.Combine(directory, (id = PackId.New()) + PackFormat.PartialExtension), out _path);
        Id = id;
        try
        {
            _cipher = vault?.For(vault.Generation, id.ToBytes(), _path);
            byte[] header = new byte[PackFormat.HeaderSize];
            PackFormat.WriteHeader(header, id, vault?.Generation ?? 0);
            Libc.Write(_file, header, 0, _path);
        }
        catch
        {
            File.Delete(_path);
            _file.Dispose();
            throw;
        }
    }

    internal PackId Id { get; }

    /// <summary>Bytes of extents written so far; once it is finished, with header, index and trailer.</summary>
    internal long Stored => Interlocked.Read(ref _stored);

    /// <summary>Stores bytes as they are.</summary>
    /// <returns>The position of the first byte; the bytes follow one another in the file.</returns>
    internal long WriteRaw(ReadOnlySpan<byte> data)
    {
        if (_cipher is not null)
        {
            throw new InvalidOperationException("An encrypted pack takes no raw bytes.");
        }

        Interlocked.Add(ref _stored, data.Length);
        if (data.Length < SmallWrite)
        {
            return WriteStaged(data);
        }

        long position = Reserve(data.Length, data.Length % Crc32C.BlockSize == 0 ? Crc32C.BlockSize : 1);
        int blocks = (data.Length + Crc32C.BlockSize - 1) / Crc32C.BlockSize;
        uint[] crcs = ArrayPool<uint>.Shared.Rent(blocks);
        try
        {
            for (int done = 0; done < data.Length; done += HotChunk)
            {
                ReadOnlySpan<byte> chunk = data.Slice(done, Math.Min(HotChunk, data.Length - done));
                Crc32C.OfBlocks(chunk, crcs.AsSpan(done / Crc32C.BlockSize));
                Put(chunk, position + done);
            }

            AddRaw(position, data.Length, crcs.AsSpan(0, blocks));
            return position;
        }
        finally
        {
            ArrayPool<uint>.Shared.Return(crcs);
        }
    }

    /// <summary>Stores bytes as a row of the index of their own: compressed when that pays, encrypted when the store is.</summary>
    /// <param name="data">The bytes, at most 16 MiB.</param>
    /// <param name="codec">How to compress; raw: not at all.</param>
    /// <param name="level">How hard to compress.</param>
    /// <param name="hash">Hash of the bytes, or empty when none is known.</param>
    internal StoredExtent WriteExtent(ReadOnlySpan<byte> data, Codec codec, int level, ReadOnlySpan<byte> hash)
    {
        byte[] buffer = LargeArrays.Rent(data.Length);
        try
        {
            int length = 0;
            if (codec != Codec.Raw && data.Length > 64)
            {
                // Less than a sixteenth saved is not worth the decompression.
                length = Codecs.Compress(codec, level, data, buffer.AsSpan(0, data.Length - (data.Length / 16)));
            }

            return length == 0 ? WriteRow(data, Codec.Raw, data.Length, hash) : WriteRow(buffer.AsSpan(0, length), codec, data.Length, hash);
        }
        finally
        {
            LargeArrays.Return(buffer);
        }
    }

    /// <summary>Stores bytes that are compressed already as a row of the index.</summary>
    internal StoredExtent WriteRow(ReadOnlySpan<byte> bytes, Codec codec, int logicalLength, ReadOnlySpan<byte> hash)
    {
        if (_cipher is not null)
        {
            int length = bytes.Length + FileCipher.TagSize;
            long place = Reserve(length, 1);
            byte[] stored = LargeArrays.Rent(length);
            try
            {
                _cipher.Seal(place, PackFormat.ExtentDomain, bytes, stored);
                return PutRow(stored.AsSpan(0, length), place, (uint)codec | PackFormat.Encrypted, logicalLength, hash);
            }
            finally
            {
                LargeArrays.Return(stored);
            }
        }

        bool aligned = codec == Codec.Raw && bytes.Length % Crc32C.BlockSize == 0;
        return PutRow(bytes, Reserve(bytes.Length, aligned ? Crc32C.BlockSize : 1), (uint)codec, logicalLength, hash);
    }

    private StoredExtent PutRow(ReadOnlySpan<byte> stored, long position, uint codec, int logicalLength, ReadOnlySpan<byte> hash)
    {
        Interlocked.Add(ref _stored, stored.Length);
        bool raw = codec == 0;
        uint[] crcs = new uint[raw ? (stored.Length + Crc32C.BlockSize - 1) / Crc32C.BlockSize : 1];
        uint whole = Crc32C.Of(stored);
        if (raw)
        {
            Crc32C.OfBlocks(stored, crcs);
        }
        else
        {
            crcs[0] = whole;
        }

        Put(stored, position);
        AddRow(position, stored.Length, logicalLength, codec, crcs, hash);
        return new StoredExtent(Id, position, !raw) { Stored = stored.Length, Codec = codec, Crc = whole };
    }

    private void AddRow(long position, int stored, int logicalLength, uint codec, uint[] crcs, ReadOnlySpan<byte> hash)
    {
        lock (_indexLock)
        {
            _entries.Add(new Entry(position, stored, logicalLength, codec, _crcs.Count) { Alone = true, Hash = hash.IsEmpty ? -1 : _hashes.Count });
            _crcs.AddRange(crcs);
            if (!hash.IsEmpty)
            {
                _hashes.Add(Hash.From(hash));
            }
        }
    }

    /// <summary>True: the partial file stays when the writer goes, so that it can be resumed.</summary>
    internal bool KeepPartial { get; set; }

    /// <summary>Size of the file now.</summary>
    internal long FileLength => RandomAccess.GetLength(_file);

    /// <summary>Writes what is gathered, the footer and the trailer, and makes the file durable.</summary>
    internal void Finish()
    {
        lock (_stageLock)
        {
            FlushStage();
            if (_stage is not null && _stagePosition + StageSize == _next)
            {
                _next = _stagePosition + _stageUsed;
            }
        }

        if (_failure is not null)
        {
            throw new SnapshotStoreException("store.io", $"pack {Id} is incomplete, an earlier write failed: {_failure.Message}", _failure);
        }

        byte[] footer = BuildIndex().ToByteArray();
        if (_cipher is not null)
        {
            byte[] sealed_ = new byte[footer.Length + FileCipher.TagSize];
            _cipher.Seal(_next, PackFormat.FooterDomain, footer, sealed_);
            footer = sealed_;
        }

        Span<byte> trailer = stackalloc byte[PackFormat.TrailerSize];
        PackFormat.WriteTrailer(trailer, _next, footer);
        Put(footer, _next);
        Put(trailer, _next + footer.Length);
        Libc.Flush(_file, _path);
        Interlocked.Add(ref _stored, PackFormat.HeaderSize + footer.Length + trailer.Length);
    }

    /// <summary>Gives the finished pack its name. The directory still has to be made durable.</summary>
    /// <param name="directory">Where to; null: where it is.</param>
    internal void Publish(string? directory = null)
    {
        string final = Path.Combine(directory ?? _directory, Id + PackFormat.Extension);
        Libc.Rename(_path, final);
        _path = final;
        _published = true;
    }

    /// <summary>Removes a pack that was published and then not wanted.</summary>
    internal void Withdraw()
    {
        File.Delete(_path);
        _published = true;
    }

    /// <summary>Lets go of the file; removes it when it was not published.</summary>
    public void Dispose()
    {
        if (_file.IsClosed)
        {
            return;
        }

        if (!_published && !KeepPartial)
        {
            File.Delete(_path);
        }

        if (_stage is not null)
        {
            LargeArrays.Return(_stage);
            _stage = null;
        }

        _cipher?.Dispose();
        _file.Dispose();
    }

    private long WriteStaged(ReadOnlySpan<byte> data)
    {
        lock (_stageLock)
        {
            bool aligned = data.Length % Crc32C.BlockSize == 0;
            int at = aligned ? (_stageUsed + Crc32C.BlockSize - 1) & -Crc32C.BlockSize : _stageUsed;
            if (_stage is null || at + data.Length > StageSize)
            {
                FlushStage();
                _stage ??= LargeArrays.Rent(StageSize);
                _stagePosition = Reserve(StageSize, Crc32C.BlockSize, charge: false);
                _stageUsed = _stageEntryStart = at = 0;
            }

            if (at != _stageUsed)
            {
                // Bytes that are skipped belong to no row.
                IndexStage();
                _stage.AsSpan(_stageUsed, at - _stageUsed).Clear();
                _stageEntryStart = at;
            }

            Charge(data.Length);
            data.CopyTo(_stage.AsSpan(at));
            _stageUsed = at + data.Length;
            return _stagePosition + at;
        }
    }

    private void IndexStage()
    {
        int length = _stageUsed - _stageEntryStart;
        if (length == 0)
        {
            return;
        }

        Span<uint> crcs = stackalloc uint[StageSize / Crc32C.BlockSize];
        Crc32C.OfBlocks(_stage.AsSpan(_stageEntryStart, length), crcs);
        AddRaw(_stagePosition + _stageEntryStart, length, crcs[..((length + Crc32C.BlockSize - 1) / Crc32C.BlockSize)]);
        _stageEntryStart = _stageUsed;
    }

    private void FlushStage()
    {
        if (_stage is null || _stageUsed == 0)
        {
            return;
        }

        IndexStage();
        Put(_stage.AsSpan(0, _stageUsed), _stagePosition);
    }

    private long Reserve(int length, int alignment, bool charge = true)
    {
        while (true)
        {
            long next = Interlocked.Read(ref _next);
            long position = (next + alignment - 1) & -alignment;
            if (Interlocked.CompareExchange(ref _next, position + length, next) == next)
            {
                if (charge)
                {
                    Charge(position + length - next);
                }

                return position;
            }
        }
    }

    private void Charge(long bytes)
    {
        try
        {
            _budget?.Take(bytes);
        }
        catch (SnapshotStoreException e)
        {
            _failure ??= e;
            throw;
        }
    }

    private void Put(ReadOnlySpan<byte> data, long position)
    {
        try
        {
            Libc.Write(_file, data, position, _path);
        }
        catch (Exception e)
        {
            // A reserved position without its bytes: nothing of this pack may be published any more.
            _failure ??= e;
            throw;
        }
    }

    private void AddRaw(long position, int length, ReadOnlySpan<uint> crcs)
    {
        lock (_indexLock)
        {
            Span<Entry> entries = CollectionsMarshal.AsSpan(_entries);
            if (entries.Length > 0)
            {
                ref Entry last = ref entries[^1];
                if (!last.Alone && last.Position + last.Stored == position && last.Stored % Crc32C.BlockSize == 0)
                {
                    last = last with { Stored = last.Stored + length, Logical = last.Logical + length };
                    _crcs.AddRange(crcs);
                    return;
                }
            }

            _entries.Add(new Entry(position, length, length, 0, _crcs.Count));
            _crcs.AddRange(crcs);
        }
    }
}
