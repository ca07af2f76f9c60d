using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Ptrace;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Capture;

/// <content>What the process has written to since an earlier snapshot.</content>
internal sealed partial class ProcessCheckpoint
{
    /// <summary>A copy of memory takes about as long as to read one page in so many.</summary>
    private const int WorthCopying = 32;

    private UnwrittenPages? unwritten;
    private bool scanned;

    /// <summary>Bytes of memory that the process has for itself.</summary>
    private long PrivateMemory => (Inspection!.View.Status.Kibibytes("RssAnon") + Inspection.View.Status.Kibibytes("VmSwap")) * 1024;

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

        if ((application.Trackers.Find(Pid, stat) ?? BeginTracking(stat)) is not { } tracker)
        {
            return;
        }

        PageRanges? same = tracker.Scan(Pid, Inspection.Areas);
        if (same is null)
        {
            application.Trackers.Remove(Pid, stat);
            return;
        }

        application.NoteScan(tracker);
        unwritten = tracker.Base is { } snapshot ? new UnwrittenPages(snapshot, same, application.Tracking == WriteTracking.Verify) : null;
    }

    private WriteTracker? BeginTracking(ProcessStat stat)
    {
        Tracee thread = threads.GetValueOrDefault(Pid) ?? threads.Values.First();
        WriteTracker? tracker;
        try
        {
            ulong slot = FindSlot() ?? throw new BridgeException("inject.stack", $"calling into process {Pid}", "there is no room on its main stack");
            using InjectedCalls calls = new(
                thread, memory, gadgets!, slot, PtraceCall.GetRegisters(thread.Tid), PtraceCall.GetExtendedState(thread.Tid), PtraceCall.GetSignalMask(thread.Tid))
            { Filters = filters };
            tracker = WriteTracker.TryCreate(Inspection!.View, calls);
        }
        catch (BridgeException e) when (e.Code is "inject.stack" or SeccompFilters.Code)
        {
            return null;
        }

        if (tracker is not null)
        {
            application.Trackers.Add(Pid, stat, tracker);
        }

        return tracker;
    }
}
