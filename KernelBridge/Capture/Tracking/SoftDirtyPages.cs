using System.Globalization;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Capture;

/// <summary>
/// The soft-dirty bits of a process (Documentation/admin-guide/mm/soft-dirty.rst of the kernel), for kernels that have nothing better: writes set them, and a 4 in
/// <c>/proc/PID/clear_refs</c> clears all of them.
/// </summary>
/// <remarks>
/// The bits alone would deceive: mremap(2) moves whole page tables with the bits that they have, joined areas lose the mark of new ones (VM_SOFTDIRTY), and a page that was dropped and is
/// read again is the kernel's page of zeros, which nobody wrote to. So a page counts as not written to only if it is also the same page frame as the last time. That would deceive only where the
/// kernel itself had put other contents into a frame that became free: where it has brought in swapped pages or moved any (compaction, NUMA balancing) since, on the whole machine, all counts
/// as written. So it does if somebody else has cleared the bits meanwhile, which shows by a page that is written to after they were cleared.
/// Page frames are shown to CAP_SYS_ADMIN of the host only. Swapped pages count as written.
/// </remarks>
internal sealed unsafe class SoftDirtyPages : IWriteNotes
{
    /// <summary>Bits of an entry of /proc/PID/pagemap.</summary>
    private const ulong Present = 1ul << 63, Swapped = 1ul << 62, OfFile = 1ul << 61, SoftDirty = 1ul << 55, FrameMask = (1ul << 55) - 1;

    /// <summary>Pages whose frames are remembered together: what one page table maps.</summary>
    private const int Together = 512;

    // Frames of the last scan, 0 for pages that were not there.
    private Dictionary<ulong, ulong[]> frames = [];

    // What the kernel had moved before these were read.
    private long moved;

    // A byte in the page that shows whether the bits are those that we cleared.
    private ulong mark;

    /// <summary>Tries in memory of this process whether the kernel has such bits, and shows us page frames.</summary>
    /// <returns>Null when it has, else what is missing.</returns>
    public static string? Try()
    {
        nint page = Libc.mmap(0, PagePump.PageSize, Libc.PROT_READ | Libc.PROT_WRITE, Libc.MAP_PRIVATE | Libc.MAP_ANONYMOUS, -1, 0);
        try
        {
            *(byte*)page = 1;
            ulong entry = 0;
            int pagemap = Open(Environment.ProcessId);
            bool read = Libc.pread(pagemap, &entry, 8, page / PagePump.PageSize * 8) == 8;
            _ = Libc.close(pagemap);
            return !read || (entry & SoftDirty) == 0 ? "no soft-dirty bits (CONFIG_MEM_SOFT_DIRTY)"
                : (entry & FrameMask) == 0 ? "soft-dirty bits, but page frames are shown to root only"
                : null;
        }
        finally
        {
            _ = Libc.munmap(page, PagePump.PageSize);
        }
    }

    public bool TryScan(int pid, IReadOnlyList<Area> areas, out PageRanges untouched, out PageRanges touched)
    {
        long before = Moved();
        int pagemap = Open(pid);
        try
        {
            if (!IsMarked(pagemap))
            {
                frames = [];
            }

            if (!TryScan(pagemap, areas, out Dictionary<ulong, ulong[]> now, out untouched, out touched))
            {
                return false;
            }

            if (Moved() != moved)
            {
                frames = [];
                if (!TryScan(pagemap, areas, out now, out untouched, out touched))
                {
                    return false;
                }
            }

            frames = now;
            moved = before;
        }
        finally
        {
            _ = Libc.close(pagemap);
        }

        return TryClear(pid);
    }

    public void Dispose()
    {
    }

    private static int Open(int pid)
    {
        int pagemap = Libc.open($"/proc/{pid}/pagemap", Libc.O_RDONLY | Libc.O_CLOEXEC, 0);
        return pagemap >= 0 ? pagemap : throw new BridgeException("memory.unreadable", $"opening /proc/{pid}/pagemap", Errno.Text(Libc.LastError));
    }

    /// <summary>How many pages the kernel has brought in from swap, or moved, since it started.</summary>
    private static long Moved() => ProcFs.Text("/proc/vmstat").Split('\n').Select(line => line.Split(' ')).Where(words => words[0] is "pswpin" or "zswpin" or "pgmigrate_success" or "thp_migration_success")
        .Sum(words => long.Parse(words[1], CultureInfo.InvariantCulture));

    private bool IsMarked(int pagemap)
    {
        ulong entry = 0;
        return mark != 0 && Libc.pread(pagemap, &entry, 8, (long)(mark / PagePump.PageSize * 8)) == 8 && (entry & (Present | Swapped)) != 0 && (entry & SoftDirty) != 0;
    }

    private bool TryScan(int pagemap, IReadOnlyList<Area> areas, out Dictionary<ulong, ulong[]> now, out PageRanges untouched, out PageRanges touched)
    {
        (now, untouched, touched) = ([], new PageRanges(), new PageRanges());
        foreach (Area area in areas)
        {
            if (!TryScan(pagemap, area.Map, now, untouched, touched))
            {
                return false;
            }
        }

        return true;
    }

    private bool TryScan(int pagemap, MemoryMap area, Dictionary<ulong, ulong[]> now, PageRanges untouched, PageRanges touched)
    {
        const ulong span = Together * PagePump.PageSize;
        ulong* entries = stackalloc ulong[Together];
        for (ulong group = area.Start / span * span; group < area.End; group += span)
        {
            ulong start = Math.Max(group, area.Start);
            int count = (int)((Math.Min(group + span, area.End) - start) / PagePump.PageSize);
            if (Libc.pread(pagemap, entries, (nuint)(count * 8), (long)(start / PagePump.PageSize * 8)) != count * 8)
            {
                return false;
            }

            ulong[]? before = frames.GetValueOrDefault(group);
            ulong[]? kept = now.GetValueOrDefault(group);
            int first = (int)((start - group) / PagePump.PageSize);
            for (int i = 0; i < count; i++)
            {
                ulong entry = entries[i];
                if ((entry & (Present | Swapped)) == 0)
                {
                    continue;
                }

                ulong frame = (entry & (Present | OfFile)) == Present ? entry & FrameMask : 0;
                bool same = frame != 0 && (entry & SoftDirty) == 0 && before is not null && before[first + i] == frame;
                ulong page = start + (ulong)i * PagePump.PageSize;
                (same ? untouched : touched).Append(page, page + PagePump.PageSize);
                if (frame != 0)
                {
                    if (kept is null)
                    {
                        now[group] = kept = new ulong[Together];
                    }

                    kept[first + i] = frame;
                }
            }
        }

        return true;
    }

    /// <summary>Clears the bits, and has one set again: the topmost page of the stack, which holds the environment, is written with what it holds.</summary>
    private bool TryClear(int pid)
    {
        MemoryMap? stack = MemoryMap.Read(pid).Find(map => map.Name == "[stack]");
        if (stack is null)
        {
            return false;
        }

        try
        {
            File.WriteAllText($"/proc/{pid}/clear_refs", "4");
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return false;
        }

        mark = stack.End - 1;
        using TargetMemory memory = new(pid);
        memory.Write(mark, memory.Read<byte>(mark));
        return true;
    }
}
