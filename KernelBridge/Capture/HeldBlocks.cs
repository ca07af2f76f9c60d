using System.Collections.Concurrent;
using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Capture;

/// <summary>
/// Pieces of memory for <see cref="HeldPages"/>. They are mapped by ourselves: as arrays, those of a hundred small processes would bring on garbage collections while all of them
/// stand. Some are kept for the next checkpoint, as long as the kernel needs their memory for nothing else; the others go back to it.
/// </summary>
internal static class HeldBlocks
{
    /// <summary>Bytes of one.</summary>
    public const int Size = 1 << 18;

    /// <summary>As many as 16 MiB: what a few small processes take, or what one writes to from one checkpoint to the next.</summary>
    private const int Kept = 64;

    /// <summary>Bytes that are asked for at once; <see cref="Size"/> is a multiple.</summary>
    private const int Piece = 1 << 16;

    private static readonly ConcurrentStack<nint> free = [];

    /// <summary>A piece, which means nothing yet.</summary>
    /// <param name="present">How many of its bytes have memory behind them; the others need <see cref="MakePresent"/>.</param>
    /// <exception cref="InsufficientMemoryException">The kernel has no more.</exception>
    public static nint Rent(out int present)
    {
        if (free.TryPop(out nint block))
        {
            present = Size;
            return block;
        }

        present = 0;
        block = Libc.mmap(0, Size, Libc.PROT_READ | Libc.PROT_WRITE, Libc.MAP_PRIVATE | Libc.MAP_ANONYMOUS, -1, 0);
        return block != -1 ? block : throw new InsufficientMemoryException("no memory to hold pages of a process in");
    }

    /// <summary>
    /// Has the kernel put memory behind the bytes that are about to be written to. Without it each page would fault twice: .NET reads a byte of what it is about to copy to, so that
    /// the page of zeros is mapped there first, and its replacement interrupts all processors on which this process runs.
    /// </summary>
    /// <param name="block">The piece.</param>
    /// <param name="present">How many bytes have been made present already.</param>
    /// <param name="wanted">How many are to be: more than that, up to <see cref="Size"/>.</param>
    /// <returns>How many are now.</returns>
    public static int MakePresent(nint block, int present, int wanted)
    {
        int end = (wanted + Piece - 1) / Piece * Piece;
        PresentMemory.Make(block + present, end - present);
        return end;
    }

    /// <summary>Gives one back.</summary>
    public static void Return(nint block)
    {
        if (free.Count < Kept && Libc.madvise(block, Size, Libc.MADV_FREE) == 0)
        {
            free.Push(block);
        }
        else
        {
            _ = Libc.munmap(block, Size);
        }
    }
}
