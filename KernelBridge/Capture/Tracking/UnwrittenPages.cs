namespace Holdfast.KernelBridge.Capture;

/// <summary>What of a process's memory is as a snapshot has it.</summary>
/// <param name="snapshot">The snapshot.</param>
/// <param name="ranges">The addresses; all of them hold something.</param>
/// <param name="verify">Whether the bytes are read and compared with the snapshot's all the same.</param>
internal sealed class UnwrittenPages(string snapshot, PageRanges ranges, bool verify)
{
    private const int PieceSize = 1 << 20;

    private byte[]? piece;

    /// <summary>The snapshot.</summary>
    public string Snapshot => snapshot;

    /// <summary>Bytes that need not be read.</summary>
    public long Length => (long)ranges.Length;

    /// <summary>Whether memory is read all the same.</summary>
    public bool IsVerified => verify;

    /// <summary>As <see cref="PageRanges.Contains"/>.</summary>
    public bool Look(ulong address, ulong limit, out ulong end) => ranges.Contains(address, limit, out end);

    /// <summary>As <see cref="Look"/>, where what lies together and is less than so many bytes is not told apart from what was written to.</summary>
    public bool LookForMuch(ulong address, ulong limit, ulong least, out ulong end)
    {
        bool same = Look(address, limit, out end) && end - address >= least;
        while (!same && end < limit)
        {
            if (Look(end, limit, out ulong next) && next - end >= least)
            {
                break;
            }

            end = next;
        }

        return same;
    }

    /// <summary>Keeps what the sink's base has there.</summary>
    /// <returns>False when it cannot be kept, so that it has to be read.</returns>
    /// <exception cref="BridgeException">It was to be verified, and memory is not what the base has (<c>memory.tracking</c>).</exception>
    public bool Keep(ulong start, ulong end, string stream, IPageSink sink, Linux.TargetMemory memory)
    {
        if (sink.Base != snapshot)
        {
            return false;
        }

        for (ulong at = start; verify && at < end; at += (ulong)piece!.Length)
        {
            piece ??= new byte[PieceSize];
            Span<byte> now = piece.AsSpan(0, (int)Math.Min(end - at, (ulong)piece.Length));
            memory.ReadMuch(at, now);
            if (!sink.Holds(stream, (long)at, now))
            {
                throw new BridgeException(
                    "memory.tracking", $"comparing memory of {stream} at {at:x}-{at + (ulong)now.Length:x} with snapshot {snapshot}", "it was written to, and nothing had noticed",
                    "set holdfast.checkpoint.track-writes to off, and report this kernel");
            }
        }

        return sink.Keep(stream, (long)start, (long)(end - start));
    }
}
