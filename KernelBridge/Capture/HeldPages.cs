using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Capture;

/// <summary>Pages that were read while a small process stood, and are given to the sink when it runs again.</summary>
internal sealed unsafe class HeldPages : IPageSink, IDisposable
{
    private readonly Lock gate = new();
    private readonly List<nint> blocks = [];
    private readonly List<(string Stream, long Offset, nint Block, int Start, int Length)> runs = [];
    private readonly List<(string Stream, long Offset, long Length)> kept = [];

    // Of the last block: bytes that are taken, and bytes that have memory behind them.
    private int used = HeldBlocks.Size, present;

    /// <inheritdoc/>
    public string? Base { get; set; }

    /// <summary>What they were counted as.</summary>
    public PageCounts Counts { get; set; }

    public void Write(string stream, long offset, ReadOnlySpan<byte> data)
    {
        while (data.Length > 0)
        {
            (nint block, int start, int length) = Take(stream, offset, data.Length);
            data[..length].CopyTo(Bytes(block, start, length));
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
        foreach ((string stream, long offset, nint block, int start, int length) in runs)
        {
            sink.Write(stream, offset, Bytes(block, start, length));
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
        blocks.ForEach(HeldBlocks.Return);
        blocks.Clear();
        used = HeldBlocks.Size;
    }

    private static Span<byte> Bytes(nint block, int start, int length) => new((byte*)block + start, length);

    /// <summary>Room for pages, or for the first of them.</summary>
    private (nint Block, int Start, int Length) Take(string stream, long offset, int wanted)
    {
        lock (gate)
        {
            if (used == HeldBlocks.Size)
            {
                blocks.Add(HeldBlocks.Rent(out present));
                used = 0;
            }

            int length = Math.Min(wanted, HeldBlocks.Size - used);
            if (used + length > present)
            {
                present = HeldBlocks.MakePresent(blocks[^1], present, used + length);
            }

            (nint Block, int Start, int Length) room = (blocks[^1], used, length);
            runs.Add((stream, offset, room.Block, room.Start, length));
            used += length;
            return room;
        }
    }
}
