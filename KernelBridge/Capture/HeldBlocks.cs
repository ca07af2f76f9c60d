using System.Collections.Concurrent;
using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Capture;

/// <summary>
/// Pieces of memory for <see cref="HeldPages"/>. They are mapped by ourselves: as arrays, those of a hundred small processes would bring on garbage collections while all of them
/// stand. A few are kept for the next checkpoint, the others go back to the kernel.
/// </summary>
internal static class HeldBlocks
{
    /// <summary>Bytes of one.</summary>
    public const int Size = 1 << 18;

    /// <summary>What the memory of one small process takes, and a little more.</summary>
    private const int Kept = 12;

    private static readonly ConcurrentStack<nint> free = [];

    /// <summary>A piece, which means nothing yet.</summary>
    /// <exception cref="InsufficientMemoryException">The kernel has no more.</exception>
    public static nint Rent()
    {
        if (free.TryPop(out nint block))
        {
            return block;
        }

        block = Libc.mmap(0, Size, Libc.PROT_READ | Libc.PROT_WRITE, Libc.MAP_PRIVATE | Libc.MAP_ANONYMOUS, -1, 0);
        return block != -1 ? block : throw new InsufficientMemoryException("no memory to hold pages of a process in");
    }

    /// <summary>Gives one back.</summary>
    public static void Return(nint block)
    {
        if (free.Count < Kept)
        {
            free.Push(block);
        }
        else
        {
            _ = Libc.munmap(block, Size);
        }
    }
}
