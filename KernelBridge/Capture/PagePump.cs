using System.Buffers;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Capture;

/// <summary>
/// Pumps the contents of a stopped process's private memory into a sink. Pages that were never touched, that equal their file or
/// that are all zero are not stored. See Documentation/admin-guide/mm/pagemap.rst of the kernel.
/// </summary>
internal sealed unsafe class PagePump : IDisposable
{
    public const int PageSize = 4096;

    private const int ChunkSize = 1 << 20;

    /// <summary>A run shorter than this is written before a thread for it has started.</summary>
    private const ulong WorthRelay = 8 << 20;

    private const int EntryCount = 8192;

    // PAGE_IS_… of include/uapi/linux/fs.h.
    private const ulong File = 4, Present = 8, Swapped = 16, ZeroFrame = 32, Guard = 256;

    private const ulong PAGEMAP_SCAN = 0xc0606610;

    private readonly TargetMemory memory;
    private readonly int pagemap;
    private readonly ulong[] entries = ArrayPool<ulong>.Shared.Rent(EntryCount);
    private readonly Region[] regions = ArrayPool<Region>.Shared.Rent(EntryCount);
    private bool scans;
    private byte[]? buffer;
    private PageRelay? relay;

    /// <summary>Opens the page map of a process.</summary>
    /// <param name="pid">The process.</param>
    /// <param name="memory">Its memory.</param>
    /// <param name="scans">Whether to ask by PAGEMAP_SCAN where the kernel has it.</param>
    public PagePump(int pid, TargetMemory memory, bool scans = true)
    {
        this.memory = memory;
        this.scans = scans;
        pagemap = Libc.open($"/proc/{pid}/pagemap", Libc.O_RDONLY | Libc.O_CLOEXEC, 0);
        if (pagemap < 0)
        {
            throw new BridgeException("memory.unreadable", $"opening /proc/{pid}/pagemap", Errno.Text(Libc.LastError));
        }
    }

    /// <summary>Pumps one area.</summary>
    public PageCounts Pump(Area area, string stream, IPageSink sink)
    {
        PageCounts counts = default;
        bool fileBacked = area.Kind == AreaKind.File;
        ulong runStart = 0, runEnd = 0;
        ulong seen = 0;
        ulong at = area.Map.Start;
        while (NextRegions(ref at, area.Map.End) is var found && found > 0)
        {
            for (int i = 0; i < found; i++)
            {
                Region region = regions[i];
                if ((region.Categories & Guard) != 0)
                {
                    continue;
                }

                long pages = (long)((region.End - region.Start) / PageSize);
                seen += region.End - region.Start;
                if (fileBacked && (region.Categories & (File | Swapped)) == File)
                {
                    counts = counts with { PagesUnchanged = counts.PagesUnchanged + pages };
                    continue;
                }

                if (!fileBacked && (region.Categories & ZeroFrame) != 0)
                {
                    counts = counts with { PagesZero = counts.PagesZero + pages };
                    continue;
                }

                if (region.Start != runEnd)
                {
                    counts += Flush(runStart, runEnd, stream, sink, fileBacked);
                    runStart = region.Start;
                }

                runEnd = region.End;
            }
        }

        long untouched = (long)((area.Map.Length - seen) / PageSize);
        counts = fileBacked ? counts with { PagesUnchanged = counts.PagesUnchanged + untouched } : counts with { PagesZero = counts.PagesZero + untouched };
        return counts + Flush(runStart, runEnd, stream, sink, fileBacked);
    }

    /// <summary>Finds guard ranges only: they belong to the image, which is put together before pages are pumped.</summary>
    public void FindGuards(Area area)
    {
        area.Guards.Clear();
        ulong at = area.Map.Start;
        while (NextRegions(ref at, area.Map.End) is var found && found > 0)
        {
            for (int i = 0; i < found; i++)
            {
                if ((regions[i].Categories & Guard) == 0)
                {
                    continue;
                }

                if (area.Guards.Count > 0 && area.Guards[^1].End == regions[i].Start)
                {
                    area.Guards[^1] = area.Guards[^1] with { End = regions[i].End };
                }
                else
                {
                    area.Guards.Add(new GuardRange(regions[i].Start, regions[i].End));
                }
            }
        }
    }

    /// <summary>Waits until the sink has everything.</summary>
    /// <returns>What was not counted yet.</returns>
    public PageCounts Complete() => relay?.Complete() ?? default;

    /// <summary>
    /// Pumps a run of pages, leaving out those that are zero (a zero page over a file's page is stored: the file has other bytes).
    /// Of a long run, one piece is read while those before it are written: the application stands for as long as the slower of the two takes.
    /// </summary>
    private PageCounts Flush(ulong start, ulong end, string stream, IPageSink sink, bool keepZeros)
    {
        PageCounts counts = default;
        while (start < end)
        {
            int length = (int)Math.Min(end - start, ChunkSize);
            byte[] piece = relay is null ? buffer ??= ArrayPool<byte>.Shared.Rent(ChunkSize) : relay.Take();
            try
            {
                memory.Read(start, piece.AsSpan(0, length));
            }
            catch
            {
                relay?.Return(piece);
                throw;
            }

            if (relay is not null)
            {
                relay.Post(new PagePiece(piece, length, (long)start, stream, keepZeros));
            }
            else
            {
                counts += WriteNonZero(piece.AsSpan(0, length), (long)start, stream, sink, keepZeros);
                relay = end - start > WorthRelay ? new PageRelay(sink, ChunkSize) : null;
            }

            start += (ulong)length;
        }

        return counts;
    }

    /// <summary>Hands runs of pages that are not zero to the sink.</summary>
    public static PageCounts WriteNonZero(ReadOnlySpan<byte> bytes, long offset, string stream, IPageSink sink, bool keepZeros)
    {
        PageCounts counts = new(bytes.Length, 0, 0, 0, 0);
        int from = 0;
        for (int at = 0; at < bytes.Length; at += PageSize)
        {
            ReadOnlySpan<byte> page = bytes.Slice(at, Math.Min(PageSize, bytes.Length - at));
            if (keepZeros || page.ContainsAnyExcept((byte)0))
            {
                continue;
            }

            if (at > from)
            {
                sink.Write(stream, offset + from, bytes[from..at]);
                counts = counts with { BytesWritten = counts.BytesWritten + at - from };
            }

            from = at + page.Length;
            counts = counts with { PagesZero = counts.PagesZero + 1 };
        }

        if (from < bytes.Length)
        {
            sink.Write(stream, offset + from, bytes[from..]);
            counts = counts with { BytesWritten = counts.BytesWritten + bytes.Length - from };
        }

        return counts;
    }

    public void Dispose()
    {
        relay?.Dispose();
        _ = Libc.close(pagemap);
        ArrayPool<ulong>.Shared.Return(entries);
        ArrayPool<Region>.Shared.Return(regions);
        if (buffer is not null)
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }

    /// <summary>The next regions that hold something, in ascending order: page tables that are not there cost nothing, so neither do huge reservations.</summary>
    /// <returns>How many of <see cref="regions"/>; 0 at the end.</returns>
    private int NextRegions(ref ulong at, ulong end)
    {
        while (at < end)
        {
            int found = scans ? Scan(ref at, end) : -1;
            if (found < 0)
            {
                scans = false;
                found = ReadEntries(ref at, end);
            }

            if (found > 0)
            {
                return found;
            }
        }

        return 0;
    }

    /// <summary>PAGEMAP_SCAN (kernel 6.7, guard pages 6.15); -1 where the kernel has none of that.</summary>
    private int Scan(ref ulong at, ulong end)
    {
        fixed (Region* vector = regions)
        {
            // struct pm_scan_arg: size, flags, start, end, walk_end, vec, vec_len, max_pages, category_inverted, category_mask, category_anyof_mask, return_mask.
            ulong* argument = stackalloc ulong[12] { 96, 0, at, end, 0, (ulong)vector, (ulong)regions.Length, 0, 0, 0, Present | Swapped | Guard, Present | Swapped | File | ZeroFrame | Guard };
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
        int count = (int)Math.Min((ulong)entries.Length, (end - at) / PageSize);
        fixed (ulong* p = entries)
        {
            nint expected = count * 8;
            if (Libc.pread(pagemap, p, (nuint)expected, (long)(at / PageSize * 8)) != expected)
            {
                throw new BridgeException("memory.unreadable", $"reading the page map at 0x{at:x}", Errno.Text(Libc.LastError));
            }
        }

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

            ulong address = at + (ulong)i * PageSize;
            if (found > 0 && regions[found - 1].End == address && regions[found - 1].Categories == categories)
            {
                regions[found - 1].End = address + PageSize;
            }
            else
            {
                regions[found++] = new Region { Start = address, End = address + PageSize, Categories = categories };
            }
        }

        at += (ulong)count * PageSize;
        return found;
    }

    /// <summary><c>struct page_region</c> of include/uapi/linux/fs.h.</summary>
    private struct Region
    {
        public ulong Start;
        public ulong End;
        public ulong Categories;
    }
}
