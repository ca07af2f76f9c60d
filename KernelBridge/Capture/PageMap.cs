using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Capture;

/// <summary><c>struct page_region</c> of include/uapi/linux/fs.h.</summary>
internal struct PageRegion
{
    public ulong Start;
    public ulong End;
    public ulong Categories;
}

/// <summary>The page map of a process: what its page tables say. See Documentation/admin-guide/mm/pagemap.rst of the kernel.</summary>
internal sealed unsafe class PageMap : IDisposable
{
    /// <summary>PAGE_IS_… of include/uapi/linux/fs.h.</summary>
    public const ulong Written = 2, File = 4, Present = 8, Swapped = 16, ZeroFrame = 32, Guard = 256;

    private const int EntryCount = 8192;

    private const ulong PAGEMAP_SCAN = 0xc0606610, PM_SCAN_WP_MATCHING = 1, PM_SCAN_CHECK_WPASYNC = 2;

    private readonly int pagemap;

    // Many maps are open at once when pages are compared that processes share, and need neither.
    private PageRegion[]? rentedRegions;
    private ulong[]? rentedEntries;
    private bool scans;

    /// <summary>Whether <see cref="Guard"/> is a category of this kernel (6.15).</summary>
    private bool knowsGuards = true;

    /// <summary>Opens the page map of a process.</summary>
    /// <param name="pid">The process.</param>
    /// <param name="scans">Whether to ask by PAGEMAP_SCAN where the kernel has it.</param>
    public PageMap(int pid, bool scans = true)
    {
        this.scans = scans;
        pagemap = Libc.open($"/proc/{pid}/pagemap", Libc.O_RDONLY | Libc.O_CLOEXEC, 0);
        if (pagemap < 0)
        {
            throw new BridgeException("memory.unreadable", $"opening /proc/{pid}/pagemap", Errno.Text(Libc.LastError));
        }
    }

    /// <summary>The next regions that hold something, in ascending order: page tables that are not there cost nothing, so neither do huge reservations.</summary>
    /// <param name="at">Where to look from; moves on behind what was found.</param>
    /// <param name="end">Where to look up to.</param>
    /// <returns>Valid until the next call; empty at the end.</returns>
    public ReadOnlySpan<PageRegion> Next(ref ulong at, ulong end)
    {
        while (at < end)
        {
            int found = scans ? Scan(ref at, end, 0, 0, Present | Swapped | Guard, Present | Swapped | File | ZeroFrame | Guard) : -1;
            if (found < 0)
            {
                scans = false;
                found = ReadEntries(ref at, end);
            }

            if (found > 0)
            {
                return Regions.AsSpan(0, found);
            }
        }

        return [];
    }

    /// <summary>
    /// The next regions that hold something of memory under asynchronous write protection (kernel 6.7), with <see cref="Written"/> where they were written to;
    /// from now on they count as not written. In one step, page by page: a write is reported now or the next time.
    /// </summary>
    /// <param name="at">Where to look from; moves on behind what was found.</param>
    /// <param name="end">Where to look up to.</param>
    /// <param name="found">Valid until the next call; empty at the end.</param>
    /// <returns>False when the kernel reports an error: what was written is not known any more.</returns>
    public bool TryNextWritten(ref ulong at, ulong end, out ReadOnlySpan<PageRegion> found)
    {
        found = [];
        while (at < end)
        {
            const ulong flags = PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC;
            int count = Scan(ref at, end, flags, knowsGuards ? Guard : 0, Present | Swapped, Written | Present | Swapped);
            if (count < 0 && knowsGuards && Libc.LastError == Errno.EINVAL)
            {
                knowsGuards = false;
                continue;
            }

            if (count != 0)
            {
                found = count < 0 ? [] : Regions.AsSpan(0, count);
                return count > 0;
            }
        }

        return true;
    }

    /// <summary>Reads entries as they are.</summary>
    /// <param name="address">The first page.</param>
    /// <param name="into">One for each page.</param>
    /// <exception cref="BridgeException">They cannot be read (<c>memory.unreadable</c>).</exception>
    public void Read(ulong address, Span<ulong> into)
    {
        fixed (ulong* p = into)
        {
            nint expected = into.Length * 8;
            if (Libc.pread(pagemap, p, (nuint)expected, (long)(address / PagePump.PageSize * 8)) != expected)
            {
                throw new BridgeException("memory.unreadable", $"reading the page map at 0x{address:x}", Errno.Text(Libc.LastError));
            }
        }
    }

    private static readonly Lazy<bool> showsGuards = new(() =>
    {
        using PageMap own = new(Environment.ProcessId);
        ulong at = 0;
        return own.Scan(ref at, PagePump.PageSize, 0, 0, Guard, Guard) >= 0;
    });

    /// <summary>Whether guard pages show as such (kernel 6.15).</summary>
    public static bool ShowsGuards => showsGuards.Value;

    /// <summary>Whether the area that holds an address is under asynchronous write protection of a userfaultfd: what nobody in the process can notice.</summary>
    public bool IsWriteProtectedAsync(ulong address)
    {
        // Without a vector nothing is reported, and nothing matches that could be changed.
        ulong at = address;
        return Scan(ref at, address + PagePump.PageSize, PM_SCAN_CHECK_WPASYNC, 0, Present | Swapped, Present) >= 0;
    }

    public void Dispose()
    {
        _ = Libc.close(pagemap);
        if (rentedRegions is not null)
        {
            LargeArrays<PageRegion>.Pool.Return(rentedRegions);
        }

        if (rentedEntries is not null)
        {
            LargeArrays<ulong>.Pool.Return(rentedEntries);
        }
    }

    private PageRegion[] Regions => rentedRegions ??= LargeArrays<PageRegion>.Pool.Rent(EntryCount);

    /// <summary>PAGEMAP_SCAN (kernel 6.7, guard pages 6.15); -1 where the kernel has none of that.</summary>
    private int Scan(ref ulong at, ulong end, ulong flags, ulong none, ulong any, ulong reported)
    {
        PageRegion[] regions = Regions;
        fixed (PageRegion* vector = regions)
        {
            // struct pm_scan_arg: size, flags, start, end, walk_end, vec, vec_len, max_pages, category_inverted, category_mask, category_anyof_mask, return_mask.
            ulong* argument = stackalloc ulong[12] { 96, flags, at, end, 0, (ulong)vector, (ulong)regions.Length, 0, none, none, any, reported };
            int found = Libc.ioctl(pagemap, PAGEMAP_SCAN, argument);
            if (found >= 0)
            {
                // Not by walk_end: the kernel leaves a stale one there when it filled its own buffer before it reached the end.
                at = found < regions.Length ? end : regions[found - 1].End;
            }

            return found;
        }
    }

    /// <summary>The same out of the entries of /proc/PID/pagemap.</summary>
    private int ReadEntries(ref ulong at, ulong end)
    {
        PageRegion[] regions = Regions;
        ulong[] entries = rentedEntries ??= LargeArrays<ulong>.Pool.Rent(EntryCount);
        int count = (int)Math.Min((ulong)entries.Length, (end - at) / PagePump.PageSize);
        Read(at, entries.AsSpan(0, count));
        int found = 0;
        for (int i = 0; i < count; i++)
        {
            // Bits of an entry: present 63, swapped 62, file page or shared 61, guard 58.
            ulong entry = entries[i];
            ulong categories = (entry >> 63 & 1) * Present | (entry >> 62 & 1) * Swapped | (entry >> 61 & 1) * File | (entry >> 58 & 1) * Guard;
            if ((categories & (Present | Swapped | Guard)) == 0)
            {
                continue;
            }

            ulong address = at + (ulong)i * PagePump.PageSize;
            if (found > 0 && regions[found - 1].End == address && regions[found - 1].Categories == categories)
            {
                regions[found - 1].End = address + PagePump.PageSize;
            }
            else
            {
                regions[found++] = new PageRegion { Start = address, End = address + PagePump.PageSize, Categories = categories };
            }
        }

        at += (ulong)count * PagePump.PageSize;
        return found;
    }
}
