using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Capture;

/// <summary>
/// Pumps the contents of a stopped process's private memory into a sink. Pages that were never touched, that equal their file or
/// that are all zero are not stored. See Documentation/admin-guide/mm/pagemap.rst of the kernel.
/// </summary>
internal sealed class PagePump : IDisposable
{
    public const int PageSize = 4096;

    private const int ChunkSize = 256 << 10;

    /// <summary>What was not written to is left out of the question what the page tables hold where that much lies together: the kernel looks at each page for its answer.</summary>
    private const ulong WorthPassing = 64 * PageSize;

    /// <summary>What one thread moves at a time: it lies together in the store.</summary>
    private const ulong ShareSize = 8 << 20;

    /// <summary>Of the first few that are found, so that both threads have about as much to do where there is little.</summary>
    private const ulong FirstShareSize = 1 << 20;

    /// <summary>How many of these there are.</summary>
    private const int FirstShares = 16;

    /// <summary>Fewer are moved before a second thread has started.</summary>
    private const int WorthHelp = 4;

    private readonly TargetMemory memory;
    private readonly PageMap map;
    private readonly Queue<List<FoundPages>> few = new();
    private List<FoundPages> found = [];
    private ulong foundBytes;
    private int shares;
    private byte[]? buffer;
    private PageHelper? helper;

    /// <summary>Opens the page map of a process.</summary>
    /// <param name="pid">The process.</param>
    /// <param name="memory">Its memory.</param>
    /// <param name="scans">Whether to ask by PAGEMAP_SCAN where the kernel has it.</param>
    public PagePump(int pid, TargetMemory memory, bool scans = true)
    {
        this.memory = memory;
        map = new PageMap(pid, scans);
    }

    /// <summary>Looks which pages of an area are to be moved, and begins with that; <see cref="Complete"/> ends it.</summary>
    /// <param name="area">The area.</param>
    /// <param name="stream">The stream that it belongs to.</param>
    /// <param name="sink">Where pages go.</param>
    /// <param name="unwritten">What is known to be as it is in the sink's base: that is kept there, and not read. Null for nothing.</param>
    /// <param name="shared">What another process has as well, with which it is stored: that is not read either. Null for nothing.</param>
    public PageCounts Pump(Area area, string stream, IPageSink sink, UnwrittenPages? unwritten = null, SharedPages? shared = null)
    {
        PageCounts counts = default;
        area.Guards.Clear();
        bool fileBacked = area.Kind == AreaKind.File;
        ulong runStart = 0, runEnd = 0;
        ulong seen = 0;
        ulong at = area.Map.Start;
        while (true)
        {
            ulong limit = area.Map.End;
            if (shared is not null && unwritten is null && !fileBacked && at < limit)
            {
                // What is another's is not even asked for.
                ulong from = at;
                if (shared.Find(at, limit, out limit) is { } original && sink.Repeat(stream, original, (long)from, (long)(limit - from)))
                {
                    counts = counts with { PagesShared = counts.PagesShared + (long)((limit - from) / PageSize) };
                    seen += limit - from;
                    at = limit;
                    continue;
                }
            }

            if (unwritten is { IsVerified: false } && !fileBacked && at < limit)
            {
                ulong from = at;
                if (unwritten.LookForMuch(at, limit, WorthPassing, out limit) && unwritten.Keep(from, limit, stream, sink, memory))
                {
                    counts = counts with { PagesUnchanged = counts.PagesUnchanged + (long)((limit - from) / PageSize), BytesKept = counts.BytesKept + (long)(limit - from) };
                    seen += limit - from;
                    at = limit;
                    continue;
                }
            }

            ReadOnlySpan<PageRegion> regions = map.Next(ref at, limit);
            if (regions.IsEmpty && limit == area.Map.End)
            {
                break;
            }

            foreach (PageRegion region in regions)
            {
                if ((region.Categories & PageMap.Guard) != 0)
                {
                    AddGuard(area, region);
                    continue;
                }

                long pages = (long)((region.End - region.Start) / PageSize);
                seen += region.End - region.Start;
                if (fileBacked && (region.Categories & (PageMap.File | PageMap.Swapped)) == PageMap.File)
                {
                    counts = counts with { PagesUnchanged = counts.PagesUnchanged + pages };
                    continue;
                }

                if (!fileBacked && (region.Categories & PageMap.ZeroFrame) != 0)
                {
                    counts = counts with { PagesZero = counts.PagesZero + pages };
                    continue;
                }

                for (ulong start = region.Start, end; start < region.End; start = end)
                {
                    bool same = fileBacked || unwritten is null ? Nothing(region.End, out end) : unwritten.Look(start, region.End, out end);
                    if (same && unwritten!.Keep(start, end, stream, sink, memory))
                    {
                        counts = counts with { PagesUnchanged = counts.PagesUnchanged + (long)((end - start) / PageSize), BytesKept = counts.BytesKept + (long)(end - start) };
                        continue;
                    }

                    if (shared?.Find(start, end, out end) is { } original && !fileBacked && sink.Repeat(stream, original, (long)start, (long)(end - start)))
                    {
                        counts = counts with { PagesShared = counts.PagesShared + (long)((end - start) / PageSize) };
                        continue;
                    }

                    if (start != runEnd)
                    {
                        counts += Flush(runStart, runEnd, stream, sink, fileBacked);
                        runStart = start;
                    }

                    runEnd = end;
                }
            }
        }

        long untouched = (long)((area.Map.Length - seen) / PageSize);
        counts = fileBacked ? counts with { PagesUnchanged = counts.PagesUnchanged + untouched } : counts with { PagesZero = counts.PagesZero + untouched };
        return counts + Flush(runStart, runEnd, stream, sink, fileBacked);
    }

    /// <summary>Finds guard ranges only, of an area that is not pumped.</summary>
    public void FindGuards(Area area)
    {
        area.Guards.Clear();
        ulong at = area.Map.Start;
        while (map.Next(ref at, area.Map.End) is { Length: > 0 } regions)
        {
            foreach (PageRegion region in regions)
            {
                if ((region.Categories & PageMap.Guard) != 0)
                {
                    AddGuard(area, region);
                }
            }
        }
    }

    private static void AddGuard(Area area, in PageRegion region)
    {
        if (area.Guards.Count > 0 && area.Guards[^1].End == region.Start)
        {
            area.Guards[^1] = area.Guards[^1] with { End = region.End };
        }
        else
        {
            area.Guards.Add(new GuardRange(region.Start, region.End));
        }
    }

    private static bool Nothing(ulong upTo, out ulong end)
    {
        end = upTo;
        return false;
    }

    /// <summary>Waits until the sinks have everything.</summary>
    /// <returns>What was not counted yet.</returns>
    public PageCounts Complete()
    {
        PageCounts counts = Move(found);
        found.Clear();
        foundBytes = 0;
        while (few.TryDequeue(out List<FoundPages>? own))
        {
            counts += Move(own);
        }

        while (helper?.Next() is { } share)
        {
            counts += Move(share);
        }

        return counts + (helper?.Complete() ?? default);
    }

    /// <summary>Notes a run of pages that are to be moved, but for those that are zero (a zero page over a file's page is stored: the file has other bytes). Of many, two threads take their shares.</summary>
    /// <returns>What was moved meanwhile.</returns>
    private PageCounts Flush(ulong start, ulong end, string stream, IPageSink sink, bool keepZeros)
    {
        PageCounts counts = default;
        for (ulong length; start < end; start += length)
        {
            ulong size = shares < FirstShares ? FirstShareSize : ShareSize;
            length = Math.Min(end - start, size - foundBytes);
            found.Add(new FoundPages(start, length, stream, sink, keepZeros));
            foundBytes += length;
            if (foundBytes == size)
            {
                few.Enqueue(found);
                counts += ++shares < WorthHelp ? default : Share();
                found = [];
                foundBytes = 0;
            }
        }

        return counts;
    }

    private PageCounts Share()
    {
        PageCounts counts = default;
        helper ??= new PageHelper(ChunkSize, Move);
        while (few.TryDequeue(out List<FoundPages>? full))
        {
            counts += helper.Add(full) is { } share ? Move(share) : default;
        }

        return counts;
    }

    private PageCounts Move(List<FoundPages> share) => share.Count == 0 ? default : Move(share, buffer ??= LargeArrays<byte>.Pool.Rent(ChunkSize));

    private PageCounts Move(List<FoundPages> share, byte[] through)
    {
        PageCounts counts = default;
        foreach (FoundPages pages in share)
        {
            for (ulong done = 0; done < pages.Length;)
            {
                Span<byte> piece = through.AsSpan(0, (int)Math.Min(pages.Length - done, ChunkSize));
                memory.ReadMuch(pages.Start + done, piece);
                counts += WriteNonZero(piece, (long)(pages.Start + done), pages.Stream, pages.Sink, pages.KeepZeros);
                done += (ulong)piece.Length;
            }
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
        helper?.Dispose();
        map.Dispose();
        if (buffer is not null)
        {
            LargeArrays<byte>.Pool.Return(buffer);
        }
    }
}
