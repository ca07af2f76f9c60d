using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Capture;

/// <summary>
/// Knows which pages of a process were written to since a snapshot of it. Lives from checkpoint to checkpoint in the supervisor; with the supervisor ends all
/// that it knows, since the kernel forgets a userfaultfd's areas with its last descriptor, and nobody else knows when soft-dirty bits were cleared.
/// </summary>
/// <remarks>
/// The one thing it says of a page is: it holds something now, it is the one that an earlier scan saw (<see cref="IWriteNotes"/>), nothing was written to it since, and none of the scans
/// since the base saw it written. All else is read. So it need not know of what the program does with its memory.
/// Mappings of files are left out. There, a page that was dropped leaves its protection behind (PTE_MARKER_UFFD_WP of the kernel), and the page of the file that is
/// copied in its place has it for the moment until the write that caused the copy is made: it would be taken for the page that was dropped.
/// </remarks>
internal sealed class WriteTracker : IDisposable
{
    /// <summary>Smaller memory is read every time: registering each would take longer.</summary>
    private const ulong Least = 64 << 10;

    private readonly IWriteNotes notes;
    private readonly (ulong, ulong, ulong, ulong) program;

    private bool changesFlags;

    // What scans since the base have reported: each of them makes the kernel forget it.
    private PageRanges written = new();

    private WriteTracker(IWriteNotes notes, ProcessStat stat)
    {
        this.notes = notes;
        program = Program(stat);
    }

    /// <summary>The snapshot that the process's memory is compared with; null when there is none, and all of it counts as written.</summary>
    public string? Base { get; private set; }

    /// <summary>Whether the flags of its areas have been seen to change at the wrong moment, so that they are asked for while it stands.</summary>
    public bool ComparesFlagsAtOnce { get; set; }

    /// <summary>Its areas at the last checkpoint, with flags; null when there was none, or when flags have been seen to change from one checkpoint to the next.</summary>
    public IReadOnlyList<MemoryMap>? Areas
    {
        get;
        set => field = changesFlags ? null : value;
    }

    /// <summary>The flags of its areas are not those of <see cref="Areas"/>: they are not relied on any more.</summary>
    public void NoteChangedFlags()
    {
        changesFlags = true;
        Areas = null;
    }

    /// <summary>Why writes of a process cannot all be noticed.</summary>
    /// <returns>Null when they can.</returns>
    public static string? Obstacle(ProcessInspection inspection) =>
        // A device, or the kernel, writes into pinned pages, whatever protects them from the process.
        inspection.View.Status.Kibibytes("VmPin") > 0 ? "it has pinned memory"
        : inspection.Descriptors.Any(descriptor => descriptor.IsAnonymous("io_uring")) ? "it has an io_uring"
        : inspection.Maps.Any(map => map.Name.StartsWith("/[aio]", StringComparison.Ordinal)) ? "it has a context of Linux AIO"
        : null;

    /// <summary>Begins to track a process that stands: a userfaultfd is made inside it, taken out and closed there; or its soft-dirty bits are used, which needs nothing.</summary>
    /// <param name="view">The process.</param>
    /// <param name="calls">Calls inside one of its threads; nothing has been called yet.</param>
    /// <returns>Null when it, or this kernel, does not allow that.</returns>
    public static WriteTracker? TryCreate(ProcessView view, InjectedCalls calls)
    {
        if (WriteTrackers.BySoftDirtyBits)
        {
            return new WriteTracker(new SoftDirtyPages(), view.Stat);
        }

        // All that could open descriptors stand, so that the lowest free number is what it gets. Should the tracer die in between, it is closed all the same.
        int number = LowestFree(view.Pid);
        long made = calls.Begin(new InjectedCall(X64.Userfaultfd, WriteProtection.Flags), new InjectedCall(X64.Close, (ulong)number));
        if (made < 0)
        {
            return null;
        }

        (int descriptor, _) = Libc.CopyDescriptor(view.Pid, (int)made);
        _ = calls.Next();
        if (made != number)
        {
            _ = calls.Call(X64.Close, (ulong)made);
        }

        return descriptor < 0 || WriteProtection.TryUse(descriptor) is not { } protection ? null : new WriteTracker(new ProtectedPages(protection), view.Stat);
    }

    /// <summary>Whether this is still the process's memory: it has not executed another program since.</summary>
    public bool IsOf(ProcessStat stat) => program == Program(stat);

    /// <summary>Finds what was written since the last scan, and begins anew. The process stands, and nobody may write to its memory before it is copied or read.</summary>
    /// <param name="pid">The process.</param>
    /// <param name="areas">Its memory.</param>
    /// <returns>What is as it is in <see cref="Base"/>; null when nothing is known, and this tracker is of no more use.</returns>
    public PageRanges? Scan(int pid, IEnumerable<Area> areas)
    {
        if (!notes.TryScan(pid, Tracked(areas), out PageRanges untouched, out PageRanges touched))
        {
            return null;
        }

        PageRanges unwritten = untouched.Without(written);
        written = written.Union(touched);
        if (written.IsFull)
        {
            Base = null;
        }

        return Base is null ? new PageRanges() : unwritten;
    }

    /// <summary>A snapshot has all that the last scan reported: from now on it is what memory is compared with.</summary>
    public void Rebase(string snapshot)
    {
        Base = snapshot;
        written = new PageRanges();
    }

    /// <summary>Nothing is known any more of what was written.</summary>
    public void Forget() => Base = null;

    public void Dispose() => notes.Dispose();

    /// <summary>
    /// Anonymous areas; those that touch each other all, or none. The kernel joins only areas that are registered alike: what was in pieces for a moment (mprotect(2)) would stay
    /// so, and an mremap(2) of the whole would be EFAULT.
    /// </summary>
    private static List<Area> Tracked(IEnumerable<Area> areas)
    {
        List<Area> tracked = [];
        int first = 0;
        foreach (Area area in areas.Where(area => area.Kind == AreaKind.Anonymous && !HugePages.IsPrivate(area)))
        {
            if (tracked.Count > 0 && tracked[^1].Map.End != area.Map.Start)
            {
                LeaveOutLittle();
            }

            tracked.Add(area);
        }

        LeaveOutLittle();
        return tracked;

        // Ends a row of areas that touch each other.
        void LeaveOutLittle()
        {
            if (tracked.Count > first && tracked[^1].Map.End - tracked[first].Map.Start < Least)
            {
                tracked.RemoveRange(first, tracked.Count - first);
            }

            first = tracked.Count;
        }
    }

    /// <summary>What execve(2) changes: where code, stack, heap and arguments begin.</summary>
    private static (ulong, ulong, ulong, ulong) Program(ProcessStat stat) => (stat.Field(26), stat.Field(28), stat.Field(47), stat.Field(48));

    private static int LowestFree(int pid)
    {
        HashSet<int> used = [.. ProcFs.Numbers($"/proc/{pid}/fd")];
        int number = 0;
        while (used.Contains(number))
        {
            number++;
        }

        return number;
    }
}
