using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Tests.Capture;

public sealed class PresentMemoryTests
{
    /// <summary>MADV_NOHUGEPAGE.</summary>
    private const int DoNotTakeHugePages = 15;

    private const int Page = 4096, Length = 8 << 20;

    [Fact]
    public unsafe void What_is_mapped_for_writing_is_present_and_keeps_what_is_in_it_and_nothing_else_is_touched()
    {
        nint at = Libc.mmap(0, Length, Libc.PROT_READ | Libc.PROT_WRITE, Libc.MAP_PRIVATE | Libc.MAP_ANONYMOUS, -1, 0);
        Assert.NotEqual(-1, at);
        try
        {
            // Where huge pages are always taken, one byte would make 512 pages present; EINVAL where the kernel has none.
            _ = Libc.madvise(at, Length, DoNotTakeHugePages);

            // A hole in the middle, and a page that means something.
            Assert.Equal(0, Libc.munmap(at + (3 << 20), 1 << 20));
            *(int*)(at + (2 << 20)) = 4711;
            int before = Present(at);

            PresentMemory.Make(at + Page + 100, (6 << 20) - Page);

            Assert.Equal(1, before);
            Assert.Equal(4711, *(int*)(at + (2 << 20)));
            int pages = Present(at);
            // Kernels before 5.14 leave all of it to the faults.
            Assert.True(pages == 1 || pages == ((5 << 20) / Page), $"{pages} pages");
        }
        finally
        {
            _ = Libc.munmap(at, Length);
        }
    }

    /// <summary>Pages of the mapping that have memory behind them: bit 63 of an entry of /proc/self/pagemap.</summary>
    private static int Present(nint at)
    {
        using FileStream file = new("/proc/self/pagemap", FileMode.Open, FileAccess.Read, FileShare.ReadWrite, bufferSize: 0);
        file.Position = at / Page * 8;
        byte[] entries = new byte[Length / Page * 8];
        file.ReadExactly(entries);
        return Enumerable.Range(0, Length / Page).Count(i => (entries[(i * 8) + 7] & 0x80) != 0);
    }
}
