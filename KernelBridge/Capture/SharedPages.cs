using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Capture;

/// <summary>
/// Pages of a process that are those of another one at the same address, since both come from the same process: copy-on-write memory that nobody has written to.
/// They are stored with that other one.
/// </summary>
/// <param name="most">More ranges than these are not worth knowing one by one.</param>
internal sealed class SharedPages(int most)
{
    private readonly List<(ulong Start, ulong End, string Original)> ranges = [];

    public int Count => ranges.Count;

    /// <summary>Adds a range behind those that are there.</summary>
    /// <param name="start">First byte.</param>
    /// <param name="end">Behind its last.</param>
    /// <param name="original">The stream of the process with which it is stored.</param>
    public void Append(ulong start, ulong end, string original)
    {
        Span<(ulong Start, ulong End, string Original)> known = CollectionsMarshal.AsSpan(ranges);
        if (known.Length > 0 && known[^1].End == start && known[^1].Original == original)
        {
            known[^1].End = end;
        }
        else if (known.Length < most)
        {
            ranges.Add((start, end, original));
        }
    }

    /// <summary>The stream that has a page, or null when it has to be read.</summary>
    /// <param name="address">The page.</param>
    /// <param name="limit">Up to where the answer is wanted, above the address.</param>
    /// <param name="end">Up to where it holds.</param>
    public string? Find(ulong address, ulong limit, out ulong end)
    {
        int low = 0;
        int high = ranges.Count;
        while (low < high)
        {
            int middle = (low + high) / 2;
            (low, high) = ranges[middle].End <= address ? (middle + 1, high) : (low, middle);
        }

        bool inside = low < ranges.Count && ranges[low].Start <= address;
        end = low == ranges.Count ? limit : Math.Min(limit, inside ? ranges[low].End : ranges[low].Start);
        return inside ? ranges[low].Original : null;
    }
}

/// <summary>Whose memory is looked at: it does not change meanwhile, since it is that of a frozen copy or of a process that stands.</summary>
/// <param name="Pid">The host's number of the copy, or of the process.</param>
/// <param name="Stream">Where its memory is stored.</param>
/// <param name="Areas">Its memory.</param>
internal sealed record MemoryHolder(int Pid, string Stream, IReadOnlyList<Area> Areas);

/// <summary>
/// Finds <see cref="SharedPages"/> by the numbers of page frames (Documentation/admin-guide/mm/pagemap.rst of the kernel; they show with CAP_SYS_ADMIN only).
/// </summary>
/// <remarks>
/// Equal numbers that were read one after the other prove nothing by themselves: the kernel moves pages (compaction), and another one may be in a frame by then. So
/// the first number is read again behind all others, and the counters of the kernel for whatever gives an anonymous page of a process that does not run another frame
/// must stand still meanwhile (/proc/vmstat: migration, collapsing into huge pages, swapping in). Where they do not, bytes are compared.
/// </remarks>
internal sealed class SharedPageFinder
{
    private const ulong Present = 1ul << 63, Swapped = 1ul << 62, OfFile = 1ul << 61, Exclusive = 1ul << 56, Frame = (1ul << 55) - 1;

    /// <summary>Pages that are looked at in one go, and bytes of page-map entries of all processes.</summary>
    private const int MostPages = 1 << 14, MostEntries = 1 << 20;

    /// <summary>Ranges of all processes.</summary>
    private const int MostRanges = 1 << 20;

    private const int PieceSize = 1 << 18;

    private readonly IReadOnlyList<MemoryHolder> holders;
    private readonly SharedPages[] found;
    private readonly int pages;

    // Of the window that is being looked at, by holder and page: entries, and whose page it is.
    private readonly ulong[] first;
    private readonly int[] originals;
    private readonly ulong[] again;
    private readonly Func<ulong> readMoves;

    /// <summary>Looks for what some have in common.</summary>
    /// <param name="holders">Whose memory; parents before children.</param>
    /// <param name="readMoves">How often the kernel has moved pages by now; changing numbers make bytes be compared. Null for <see cref="Moves"/>.</param>
    public SharedPageFinder(IReadOnlyList<MemoryHolder> holders, Func<ulong>? readMoves = null)
    {
        this.holders = holders;
        this.readMoves = readMoves ?? Moves;
        found = [.. holders.Select(_ => new SharedPages(MostRanges / holders.Count))];
        pages = Math.Clamp(MostEntries / Math.Max(1, holders.Count), 64, MostPages);
        first = new ulong[holders.Count * pages];
        originals = new int[holders.Count * pages];
        again = new ulong[pages];
    }

    /// <summary>What each of them has in common with one before it.</summary>
    public IReadOnlyList<SharedPages> Find()
    {
        List<(ulong Start, ulong End, int Holder)> regions = [];
        PageMap[] maps = new PageMap[holders.Count];
        try
        {
            for (int i = 0; i < maps.Length; i++)
            {
                maps[i] = new PageMap(holders[i].Pid);
                ulong dense = 2 * (ulong)(ProcessStatus.TryRead(holders[i].Pid)?.Kibibytes("RssAnon") ?? 0) * 1024;
                foreach (Area area in holders[i].Areas.Where(area => area.Kind == AreaKind.Anonymous && !area.Map.Shared && !HugePages.IsPrivate(area)))
                {
                    Add(regions, maps[i], area, i, ref dense);
                }
            }

            regions.Sort();
            LookAt(regions, maps);
        }
        finally
        {
            foreach (PageMap? map in maps)
            {
                map?.Dispose();
            }
        }

        return found;
    }

    /// <summary>Events of the kernel that give a page of a process that does not run another frame; a number of its own each time where it does not tell.</summary>
    private static ulong Moves()
    {
        ulong sum = 0;
        bool tells = false;
        foreach (string line in File.ReadLines("/proc/vmstat"))
        {
            bool migrations = line.StartsWith("pgmigrate_success ", StringComparison.Ordinal);
            if (migrations || line.StartsWith("thp_collapse_alloc ", StringComparison.Ordinal) || line.StartsWith("pswpin ", StringComparison.Ordinal))
            {
                tells |= migrations;
                sum += ulong.Parse(line.AsSpan(line.IndexOf(' ') + 1));
            }
        }

        return tells ? sum : (ulong)Libc.Nanoseconds(Libc.CLOCK_MONOTONIC);
    }

    private static void Add(List<(ulong Start, ulong End, int Holder)> regions, PageMap map, Area area, int holder, ref ulong dense)
    {
        // Asking which pages are there takes longer than to read the entries of a range that is mostly full.
        if (area.Map.Length <= dense)
        {
            dense -= area.Map.Length;
            regions.Add((area.Map.Start, area.Map.End, holder));
            return;
        }

        ulong at = area.Map.Start;
        while (map.Next(ref at, area.Map.End) is { Length: > 0 } next)
        {
            foreach (PageRegion region in next)
            {
                if ((region.Categories & PageMap.Present) == 0 || (region.Categories & (PageMap.File | PageMap.ZeroFrame | PageMap.Guard)) != 0)
                {
                    continue;
                }

                if (regions.Count > 0 && regions[^1].Holder == holder && regions[^1].End == region.Start)
                {
                    regions[^1] = regions[^1] with { End = region.End };
                }
                else
                {
                    regions.Add((region.Start, region.End, holder));
                }
            }
        }
    }

    /// <summary>Goes through all addresses in windows, and looks at those in which several have something.</summary>
    private void LookAt(List<(ulong Start, ulong End, int Holder)> regions, PageMap[] maps)
    {
        ulong size = (ulong)pages * PagePump.PageSize;
        List<(ulong Start, ulong End, int Holder)> open = [];
        int next = 0;
        ulong at = 0;
        while (next < regions.Count || open.Count > 0)
        {
            at = open.Count > 0 ? at : regions[next].Start;
            ulong end = at + size;
            while (next < regions.Count && regions[next].Start < end)
            {
                open.Add(regions[next++]);
            }

            (int Holder, ulong Start, ulong End)[] looked =
                [.. open.GroupBy(region => region.Holder).OrderBy(group => group.Key).Select(group => (group.Key, Math.Max(at, group.Min(region => region.Start)), Math.Min(end, group.Max(region => region.End))))];
            if (looked.Length > 1)
            {
                Look(at, looked, maps);
            }

            open.RemoveAll(region => region.End <= end);
            at = end;
        }
    }

    /// <summary>Looks at one window.</summary>
    /// <param name="at">Where it begins.</param>
    /// <param name="looked">Who has something there, and from where to where.</param>
    /// <param name="maps">Page maps of all.</param>
    private void Look(ulong at, (int Holder, ulong Start, ulong End)[] looked, PageMap[] maps)
    {
        ulong moves = readMoves();
        foreach ((int holder, ulong start, ulong end) in looked)
        {
            Span<ulong> entries = first.AsSpan(holder * pages, pages);
            entries.Clear();
            maps[holder].Read(start, entries.Slice((int)((start - at) / PagePump.PageSize), (int)((end - start) / PagePump.PageSize)));
        }

        List<(int Holder, int From, int To, int Original)> candidates = Candidates(looked);
        foreach (int original in candidates.Select(candidate => candidate.Original).Distinct())
        {
            (_, ulong start, ulong end) = looked.First(one => one.Holder == original);
            again.AsSpan().Clear();
            maps[original].Read(start, again.AsSpan((int)((start - at) / PagePump.PageSize), (int)((end - start) / PagePump.PageSize)));
            Span<ulong> before = first.AsSpan(original * pages, pages);
            for (int page = 0; page < pages; page++)
            {
                // What is not as it was is nobody's.
                before[page] = (before[page] & (Present | Frame)) == (again[page] & (Present | Frame)) ? before[page] : 0;
            }
        }

        bool compares = readMoves() != moves;
        foreach ((int holder, int from, int to, int original) in candidates)
        {
            for (int page = from; page < to;)
            {
                int start = page;
                while (page < to && first[original * pages + page] != 0)
                {
                    page++;
                }

                if (page > start)
                {
                    Accept(holder, original, at + (ulong)start * PagePump.PageSize, at + (ulong)page * PagePump.PageSize, compares);
                }

                page = Math.Max(page, start + 1);
            }
        }
    }

    /// <summary>Runs of pages that seem to be those of one before.</summary>
    private List<(int Holder, int From, int To, int Original)> Candidates((int Holder, ulong Start, ulong End)[] looked)
    {
        List<(int Holder, int From, int To, int Original)> candidates = [];
        Dictionary<ulong, int> owners = [];
        foreach ((int holder, _, _) in looked)
        {
            ReadOnlySpan<ulong> entries = first.AsSpan(holder * pages, pages);
            int likely = looked[0].Holder;
            for (int page = 0; page < pages; page++)
            {
                ulong entry = entries[page];
                originals[holder * pages + page] = holder;
                if ((entry & (Present | Swapped | OfFile | Exclusive)) != Present || (entry & Frame) == 0)
                {
                    continue;
                }

                if (likely == holder || !IsSame(first[likely * pages + page], entry))
                {
                    if (!owners.TryGetValue(entry & Frame, out int owner))
                    {
                        owners[entry & Frame] = holder;
                        continue;
                    }

                    if (owner == holder || !IsSame(first[owner * pages + page], entry))
                    {
                        continue;
                    }

                    likely = owner;
                }

                // Whose page is somebody else's as well is not asked for it.
                likely = originals[holder * pages + page] = originals[likely * pages + page];
                if (candidates.Count > 0 && candidates[^1] is var last && last.Holder == holder && last.To == page && last.Original == likely)
                {
                    candidates[^1] = last with { To = page + 1 };
                }
                else
                {
                    candidates.Add((holder, page, page + 1, likely));
                }
            }
        }

        return candidates;
    }

    private static bool IsSame(ulong original, ulong entry) =>
        (original & (Present | Swapped | OfFile)) == Present && (original & Frame) == (entry & Frame);

    private void Accept(int holder, int original, ulong start, ulong end, bool compares)
    {
        if (!compares)
        {
            found[holder].Append(start, end, holders[original].Stream);
            return;
        }

        using TargetMemory own = new(holders[holder].Pid);
        using TargetMemory other = new(holders[original].Pid);
        byte[] ours = new byte[PieceSize];
        byte[] theirs = new byte[PieceSize];
        for (ulong at = start; at < end; at += PieceSize)
        {
            int length = (int)Math.Min(end - at, PieceSize);
            own.Read(at, ours.AsSpan(0, length));
            other.Read(at, theirs.AsSpan(0, length));
            for (int page = 0; page < length; page += PagePump.PageSize)
            {
                if (ours.AsSpan(page, PagePump.PageSize).SequenceEqual(theirs.AsSpan(page, PagePump.PageSize)))
                {
                    found[holder].Append(at + (ulong)page, at + (ulong)page + PagePump.PageSize, holders[original].Stream);
                }
            }
        }
    }
}
