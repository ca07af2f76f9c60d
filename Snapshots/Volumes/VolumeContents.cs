using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.Snapshots;

/// <summary>Brings the bytes of a volume's files into its stream, block by block: pages of zeros are not stored, those of the parent are referred to.</summary>
internal sealed class VolumeContents(SnapshotWriter writer, string stream, CancellationToken cancellation)
{
    private const int PageSize = 4096;
    private const int SmallBlock = 64 * 1024;
    private const int LargeBlock = 1024 * 1024;

    // Above this size digests of small blocks would take too much memory.
    private const long SmallBlocksUpTo = 4L << 30;

    private long _read;

    /// <summary>Bytes that were read from files.</summary>
    public long BytesRead => Volatile.Read(ref _read);

    /// <summary>Stores a file, and notes what was stored: what has changed since can be told then.</summary>
    /// <param name="path">The file; it may be gone.</param>
    /// <param name="slot">Its room.</param>
    /// <param name="facts">What it was before.</param>
    public void Copy(byte[] path, VolumeSlot slot, in FileFacts facts)
    {
        slot.Copied = facts;
        slot.BlockSize = facts.Size > SmallBlocksUpTo ? LargeBlock : SmallBlock;
        slot.Digests = new UInt128[Blocks(facts.Size, slot.BlockSize)];
        using SafeFileHandle? file = Posix.TryOpen(path);
        if (file is not null)
        {
            Each(file, path, facts.Size, slot.BlockSize, (index, block) =>
            {
                slot.Digests[index] = Digest(block);
                Store(slot.Offset + (index * slot.BlockSize), block);
            });
        }
    }

    /// <summary>Stores of a file what differs from what was copied. The stream is sealed.</summary>
    /// <param name="file">The file, or a clone of it.</param>
    /// <param name="path">Its path, for an error.</param>
    /// <param name="slot">Its room.</param>
    /// <param name="size">Its size.</param>
    public void Update(SafeFileHandle file, byte[] path, VolumeSlot slot, long size)
    {
        if (slot.Digests is not { } known)
        {
            Discard(slot, 0);
            Each(file, path, size, SmallBlock, (index, block) => Store(slot.Offset + (index * SmallBlock), block));
            return;
        }

        long end = Blocks(size, slot.BlockSize);
        Each(file, path, size, slot.BlockSize, (index, block) =>
        {
            if (index < known.Length && known[index] == Digest(block))
            {
                return;
            }

            writer.Discard(stream, slot.Offset + (index * slot.BlockSize), slot.BlockSize);
            Store(slot.Offset + (index * slot.BlockSize), block);
        });
        Discard(slot, end * slot.BlockSize);
    }

    /// <summary>Takes a file's room from an offset on out of what was copied.</summary>
    public void Discard(VolumeSlot slot, long from)
    {
        if (from < slot.Room)
        {
            writer.Discard(stream, slot.Offset + from, slot.Room - from);
        }
    }

    private delegate void BlockAction(long index, ReadOnlySpan<byte> block);

    private static long Blocks(long size, int blockSize) => (size + blockSize - 1) / blockSize;

    /// <summary>Hands over each block; of blocks in a hole only those that were something else before matter, and an empty one stands for zeros.</summary>
    private void Each(SafeFileHandle file, byte[] path, long size, int blockSize, BlockAction action)
    {
        string name = Encoding.UTF8.GetString(path);
        byte[] buffer = LargeArrays.Rent(blockSize);
        try
        {
            List<StreamRun> data = Posix.DataRuns(file, size);
            int run = 0;
            for (long index = 0; index * blockSize < size; index++)
            {
                cancellation.ThrowIfCancellationRequested();
                long offset = index * blockSize;
                while (run < data.Count && data[run].End <= offset)
                {
                    run++;
                }

                if (run == data.Count || data[run].Offset >= offset + blockSize)
                {
                    action(index, []);
                    continue;
                }

                int length = (int)Math.Min(blockSize, size - offset);
                int got = Libc.Read(file, buffer.AsSpan(0, length), offset, name);
                Interlocked.Add(ref _read, got);

                // What became shorter meanwhile is looked at again inside the barrier.
                action(index, buffer.AsSpan(0, got));
            }
        }
        finally
        {
            LargeArrays.Return(buffer);
        }
    }

    /// <summary>Zero for zeros, whether they are stored in the file or not. A final block of another length is another one even then.</summary>
    private static UInt128 Digest(ReadOnlySpan<byte> block)
    {
        if (!block.ContainsAnyExcept((byte)0))
        {
            return UInt128.Zero;
        }

        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(block, hash);
        return BinaryPrimitives.ReadUInt128LittleEndian(hash);
    }

    private void Store(long offset, ReadOnlySpan<byte> block)
    {
        int from = 0;
        bool zeros = true;
        for (int at = 0; at < block.Length; at += PageSize)
        {
            bool empty = !block[at..Math.Min(block.Length, at + PageSize)].ContainsAnyExcept((byte)0);
            if (empty != zeros)
            {
                StoreRun(offset + from, block[from..at], zeros);
                (from, zeros) = (at, empty);
            }
        }

        StoreRun(offset + from, block[from..], zeros);
    }

    private void StoreRun(long offset, ReadOnlySpan<byte> bytes, bool zeros)
    {
        if (!zeros && bytes.Length > 0)
        {
            writer.WriteChanged(stream, offset, bytes);
        }
    }
}
