using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Ptrace;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Capture;

/// <content>What the process has written to since an earlier snapshot.</content>
internal sealed partial class ProcessCheckpoint
{
    /// <summary>A copy of memory takes about as long as to read one page in so many.</summary>
    private const int WorthCopying = 32;

    private WriteTracker? tracker;
    private UnwrittenPages? unwritten;
    private bool scanned;

    // The tracker whose areas were taken for those of the process before it was stopped.
    private WriteTracker? knewAreas;

    /// <summary>Bytes of memory that the process has for itself.</summary>
    private long PrivateMemory => (Inspection!.View.Status.Kibibytes("RssAnon") + Inspection.View.Status.Kibibytes("VmSwap") + Inspection.View.Status.Kibibytes("HugetlbPages")) * 1024;

    /// <summary>
    /// Asks what was written to since the last checkpoint, and begins anew: the process stands, and its memory is copied or read before it goes on. Done once.
    /// Whatever goes wrong here makes this checkpoint, or the next one, read everything.
    /// </summary>
    private void FindUnwritten()
    {
        if (scanned || application.Tracking == WriteTracking.Off || PrivateMemory <= application.HoldUpTo)
        {
            return;
        }

        scanned = true;
        ProcessStat stat = Inspection!.View.Stat;
        if (WriteTracker.Obstacle(Inspection) is not null)
        {
            application.Trackers.Remove(Pid, stat);
            return;
        }

        tracker = application.Trackers.Find(Pid, stat) ?? BeginTracking(stat);
        PageRanges? same = tracker?.Scan(Pid, Inspection.Areas);
        if (tracker is null || same is null)
        {
            application.Trackers.Remove(Pid, stat);
            tracker = null;
            return;
        }

        application.NoteScan(tracker);
        unwritten = tracker.Base is { } snapshot ? new UnwrittenPages(snapshot, same, application.Tracking == WriteTracking.Verify) : null;
    }

    private WriteTracker? BeginTracking(ProcessStat stat)
    {
        Tracee thread = LeadingThread;
        WriteTracker? begun;
        try
        {
            using InjectedCalls calls = new(
                thread, memory, gadgets!, Slot, PtraceCall.GetRegisters(thread.Tid), PtraceCall.GetExtendedState(thread.Tid), PtraceCall.GetSignalMask(thread.Tid))
            { Filters = filters?.Of(thread.Tid) };
            begun = WriteTracker.TryCreate(Inspection!.View, calls);
        }
        catch (BridgeException e) when (e.Code is "inject.stack" or SeccompFilters.Code)
        {
            return null;
        }

        if (begun is not null)
        {
            application.Trackers.Add(Pid, stat, begun);
        }

        return begun;
    }

    /// <summary>
    /// Its areas as they were at the last checkpoint. While it runs, their flags need not be asked for again: to do so for each page of much memory is most of what is done before it
    /// stands, and those that are assumed for a checkpoint are compared afterwards in either case.
    /// </summary>
    /// <returns>Null when nothing is known.</returns>
    private SeenAreas? KnownAreas()
    {
        knewAreas = application.Tracking != WriteTracking.Off && ProcessStat.TryRead(Pid) is { } stat && application.Trackers.Find(Pid, stat) is { Base: not null, ComparesFlagsAtOnce: false } known ? known : null;
        return knewAreas?.Areas is { } areas ? new SeenAreas(areas) : null;
    }

    /// <summary>Its areas are as they were found: their flags were asked for while it stood, or have been compared since.</summary>
    private void NoteAreas()
    {
        if (tracker is not null)
        {
            tracker.Areas = Inspection!.Maps;
        }
    }

    /// <summary>
    /// Flags that were assumed are compared with those of the process after it went on: what changed between the look before it was stopped and the one now would
    /// show, unless it was changed and changed back meanwhile. To ask while it stands would take several times as long as all else that is done to it then.
    /// A program of which that was seen to change is asked for them before each checkpoint from then on (<see cref="KnownAreas"/>), and when that does not do, while it stands.
    /// </summary>
    /// <exception cref="BridgeException">They have changed (<c>memory.changed</c>).</exception>
    private void CompareFlagsAfterwards(WriteTracker known)
    {
        if (!Inspection!.FlagsAreAssumed)
        {
            return;
        }

        List<MemoryMap> now = MemoryMap.ReadWithFlags(Pid, much: true);
        int at = 0;
        foreach (MemoryMap map in Inspection.Maps.Where(map => map.Name != "[vsyscall]"))
        {
            while (at < now.Count && now[at].End <= map.Start)
            {
                at++;
            }

            bool seen = false;
            for (int i = at; i < now.Count && now[i].Start < map.End; i++)
            {
                seen = map.HasFlagsOf(now[i]);
                if (!seen)
                {
                    break;
                }
            }

            if (!seen)
            {
                if (!prepared!.FlagsAreAssumed)
                {
                    known.ComparesFlagsAtOnce = true;
                }

                throw FlagsChanged(map);
            }
        }
    }
}
