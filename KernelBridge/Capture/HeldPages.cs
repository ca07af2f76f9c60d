using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Capture;

/// <summary>Pages that were read while a small process stood, and are given to the sink when it runs again.</summary>
/// <remarks>They lie in arrays that are used again: as new ones they would bring on a garbage collection while processes stand.</remarks>
internal sealed class HeldPages : IPageSink, IDisposable
{
    private const int BlockSize = 1 << 18;

    private readonly Lock gate = new();
    private readonly List<byte[]> blocks = [];
    private readonly List<(string Stream, long Offset, byte[] Block, int Start, int Length)> runs = [];
    private readonly List<(string Stream, long Offset, long Length)> kept = [];

    // Of the last block.
    private int used = BlockSize;

    /// <inheritdoc/>
    public string? Base { get; set; }

    /// <summary>What they were counted as.</summary>
    public PageCounts Counts { get; set; }

    public void Write(string stream, long offset, ReadOnlySpan<byte> data)
    {
        while (data.Length > 0)
        {
            (byte[] block, int start, int length) = Take(stream, offset, data.Length);
            data[..length].CopyTo(block.AsSpan(start));
            data = data[length..];
            offset += length;
        }
    }

    public bool Keep(string stream, long offset, long length)
    {
        kept.Add((stream, offset, length));
        return true;
    }

    /// <summary>Gives them to the sink, and forgets them.</summary>
    public PageCounts PumpTo(IPageSink sink)
    {
        foreach ((string stream, long offset, byte[] block, int start, int length) in runs)
        {
            sink.Write(stream, offset, block.AsSpan(start, length));
        }

        foreach ((string stream, long offset, long length) in kept)
        {
            // What was not read is there no more.
            if (!sink.Keep(stream, offset, length))
            {
                throw new BridgeException("memory.base", $"keeping memory of {stream} at {offset:x}", $"snapshot {Base} cannot be read there", "take a checkpoint with --full");
            }
        }

        Dispose();
        return Counts;
    }

    /// <summary>Forgets them.</summary>
    public void Dispose()
    {
        runs.Clear();
        kept.Clear();
        blocks.ForEach(block => LargeArrays<byte>.Pool.Return(block));
        blocks.Clear();
        used = BlockSize;
    }

    /// <summary>Room for pages, or for the first of them.</summary>
    private (byte[] Block, int Start, int Length) Take(string stream, long offset, int wanted)
    {
        lock (gate)
        {
            if (used == BlockSize)
            {
                blocks.Add(LargeArrays<byte>.Pool.Rent(BlockSize));
                used = 0;
            }

            int length = Math.Min(wanted, BlockSize - used);
            (byte[] Block, int Start, int Length) room = (blocks[^1], used, length);
            runs.Add((stream, offset, room.Block, room.Start, length));
            used += length;
            return room;
        }
    }
}
