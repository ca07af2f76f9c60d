namespace Holdfast.KernelBridge.Linux;

/// <summary>Memory of this process that is there before it is written to: a fault for each page takes several times as long, and the more so where the host of a virtual machine has to find the memory.</summary>
internal static class PresentMemory
{
    /// <summary>Bytes that are asked for at once, at multiples of this: what is not mapped, or not for writing, ends a request only.</summary>
    private const nint Piece = 1 << 20;

    /// <summary>Makes it present where it is mapped for writing. Kernels before 5.14 do not know how (MADV_POPULATE_WRITE): it is done by the faults then.</summary>
    /// <param name="start">The first address.</param>
    /// <param name="length">Bytes.</param>
    public static void Make(nint start, long length)
    {
        nint end = (nint)((start + length + Environment.SystemPageSize - 1) & -(long)Environment.SystemPageSize);
        for (nint at = start & -Environment.SystemPageSize; at < end;)
        {
            nint next = Math.Min(end, (at & -Piece) + Piece);
            _ = Libc.madvise(at, (nuint)(next - at), Libc.MADV_POPULATE_WRITE);
            at = next;
        }
    }
}
