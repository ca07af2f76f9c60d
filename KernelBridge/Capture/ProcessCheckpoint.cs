using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Ptrace;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Capture;

/// <summary>One process in a checkpoint through ptrace.</summary>
internal sealed partial class ProcessCheckpoint : IProcessCheckpoint
{
    private readonly PtraceCheckpoint application;
    private readonly Dictionary<int, Tracee> threads = [];

    // Asked to stand in an earlier try, which they have not done yet, so that nobody could let them go.
    private readonly Dictionary<int, Tracee> late = [];
    private readonly TargetMemory memory;
    private ProcessInspection? prepared;
    private StandingFacts? common;
    private SeccompFilterSets? filters;
    private Gadgets? gadgets;
    private SleepNotes? sleeps;
    private FrozenCopy? copy;
    private HeldPages? held;
    private bool stopped;

    // Where calls are made in it, and where its threads stand: of the last look at the stopped process.
    private ulong? slot;
    private readonly Dictionary<int, UserRegisters> stand = [];

    // Threads that go on with registers of ours, or as they stand.
    private readonly HashSet<int> corrected = [];

    public ProcessCheckpoint(PtraceCheckpoint application, int pid)
    {
        this.application = application;
        Pid = pid;
        memory = new TargetMemory(pid);
    }

    public int Pid { get; }

    /// <summary>What the stopped process was found to be.</summary>
    public ProcessInspection? Inspection { get; private set; }

    public IReadOnlyList<Refusal> Prepare()
    {
        ProcessInspection inspection = ProcessInspection.Of(Pid, application.Reference, KnownAreas(), flags: application.Flags);
        prepared = inspection;
        if (!inspection.IsZombie)
        {
            gadgets = Gadgets.Find(inspection.Areas.Select(area => area.Map), memory);
            sleeps = SleepNotes.Take(Pid);
            application.MemoryLimits.LookAbove(Pid);
        }

        return inspection.Refusals;
    }

    public int Stop(TimeSpan deadline)
    {
        long end = Environment.TickCount64 + (long)deadline.TotalMilliseconds;
        application.NoteStop();

        // A thread may make another until the moment at which it stands: look again until no new one appears.
        while (true)
        {
            List<int> tids = ProcFs.Threads(Pid);
            if (tids.Count == 0)
            {
                throw new BridgeException("process.gone", $"stopping process {Pid}", "it ended");
            }

            if (tids.Count == 1 && !application.IsKnownToLive(Pid) && ProcessStat.TryRead(Pid)?.State is 'Z' or 'X')
            {
                return 0;
            }

            List<Tracee> seized = [];
            foreach (int tid in tids)
            {
                if (threads.ContainsKey(tid))
                {
                    continue;
                }

                bool asked = late.Remove(tid, out Tracee? thread);
                thread ??= Seize(tid, end);
                if (thread is null)
                {
                    continue;
                }

                threads[tid] = thread;
                seized.Add(thread);
                stopped = true;
                if (!asked)
                {
                    thread.Interrupt();
                }
            }

            foreach (Tracee thread in seized)
            {
                if (!thread.WaitUntilStands(end))
                {
                    threads.Remove(thread.Tid);
                }
            }

            if (seized.Count == 0)
            {
                foreach (int gone in threads.Keys.Except(tids).ToList())
                {
                    threads.Remove(gone);
                }

                return threads.Count;
            }
        }
    }

    /// <summary>Seizes a thread; one that a thread of ours still holds, which gave up on an earlier try, is waited for.</summary>
    private Tracee? Seize(int tid, long end)
    {
        while (true)
        {
            try
            {
                return Tracee.Seize(Pid, tid, PtraceCall.OptionSysGood);
            }
            catch (BridgeException e) when (e.Code == "process.traced" && Environment.TickCount64 < end && TracedByUs(tid))
            {
                _ = Libc.usleep(2000);
            }
        }
    }

    private static bool TracedByUs(int tid) =>
        ProcessStatus.TryRead(tid)?.Number("TracerPid") is { } tracer && (tracer == 0 || ProcFs.IsOwnThread(tracer));

    public ProcessFacts Locate()
    {
        common = application.Standing;
        Inspection = ProcessInspection.Of(Pid, application.Reference, prepared?.SeenAreas, common, application.Flags);
        foreach (Tracee thread in Inspection.IsZombie ? [] : (IEnumerable<Tracee>)threads.Values)
        {
            stand[thread.Tid] = PtraceCall.GetRegisters(thread.Tid);
        }

        slot = Inspection.IsZombie ? null : FindSlot();
        if (!Inspection.IsZombie && slot is null && StackRoom.TryMake(Inspection, memory))
        {
            // Its stack has grown since the kernel told of it.
            Inspection = ProcessInspection.Of(Pid, application.Reference, prepared is null ? null : new SeenAreas(prepared.Maps), common, application.Flags);
            slot = FindSlot();
        }

        List<Refusal> refusals = [.. Inspection.Refusals];
        if (!Inspection.IsZombie)
        {
            // The program may have executed another one, or unmapped a library, since the look in Prepare.
            if (gadgets is null || !gadgets.StillThere(memory))
            {
                gadgets = Gadgets.Find(Inspection.Areas.Select(area => area.Map), memory);
            }

            if (gadgets is null)
            {
                refusals.Add(Gadgets.Missing(Inspection.View));
            }

            foreach (Tracee thread in threads.Values)
            {
                if (stand[thread.Tid].Cs != X64.UserCodeSegment)
                {
                    refusals.Add(ProcessAttributes.Refuse32Bit(Inspection.View));
                    break;
                }

                if (PtraceCall.UsesSyscallUserDispatch(thread.Tid))
                {
                    refusals.Add(Inspection.View.Refuse("process.dispatch", "program", "it uses syscall user dispatch", "run it without"));
                    break;
                }
            }

            filters = refusals.Count == 0 ? SeccompFilterSets.Read(Inspection.View, Inspection.Threads, refusals) : null;
            if (slot is null)
            {
                refusals.Add(Inspection.View.Refuse("inject.stack", "stack", "its main stack has no room below what is in use", "try again, or give it a larger stack"));
            }
        }

        return new ProcessFacts(Pid, threads.Count, refusals) { Inspection = Inspection };
    }

    public ProcessImage CaptureState()
    {
        ProcessInspection inspection = Inspection ?? throw new InvalidOperationException("Locate comes first.");
        ProcessImage image = ProcessCapture.Begin(application, inspection, threads.Values.Select(thread => thread.StoppedBy).DefaultIfEmpty().Max(), Libc.Nanoseconds(Libc.CLOCK_MONOTONIC));
        if (inspection.IsZombie)
        {
            return image;
        }

        ProcessCapture.FindGuards(inspection, memory);
        image.Threads = CaptureThreads(image);
        ProcessCapture.Describe(application, inspection, image);
        return image;
    }

    public bool KeepMemory(IPageSink? sink = null)
    {
        application.NoteKeeping();
        if (Inspection is null || Inspection.IsZombie || held is not null)
        {
            return true;
        }

        FindUnwritten();
        List<Area> areas = [.. Inspection.Areas.Where(area => area.HasPrivatePages)];
        HeldPages pages = new() { Base = sink?.Base };
        long size = PrivateMemory;
        long changed = unwritten is { IsVerified: false } known && known.Snapshot == pages.Base ? Math.Max(0, size - known.Length) : size;
        bool canBeHeld = size <= application.HoldUpTo;
        // Flags that were assumed are compared while it stands, unless there is a copy to compare them with.
        (bool small, bool fewChanged) = (canBeHeld && !Inspection.FlagsAreAssumed, changed <= size / WorthCopying);
        if ((small || fewChanged) && application.TryHold(changed, copyable: small && !fewChanged))
        {
            Hold(areas, pages);
            return true;
        }

        if (application.HasSubreaper || filters?.Of(LeadingThread.Tid) is { AllowCopy: false } || FrozenCopy.Obstacle(Inspection, application.MemoryLimits, common) is not null)
        {
            return HoldInstead();
        }

        pages.Base = null;
        List<Area> apart = areas.FindAll(IsApart);
        if (!application.TryHold(apart.Sum(area => (long)area.Map.Length)))
        {
            return false;
        }

        Tracee thread = LeadingThread;
        try
        {
            using InjectedCalls calls = new(
                thread, memory, gadgets!, Slot, PtraceCall.GetRegisters(thread.Tid), PtraceCall.GetExtendedState(thread.Tid), PtraceCall.GetSignalMask(thread.Tid))
            { Filters = filters?.Of(thread.Tid) };
            copy = FrozenCopy.Make(calls, thread);
        }
        catch (BridgeException e) when (e.Code is "copy.failed" or "inject.stack" or SeccompFilters.Code)
        {
            return HoldInstead();
        }

        pages.Counts = Pump(Pid, memory, apart, pages);
        held = pages;
        return true;

        bool HoldInstead()
        {
            if (!canBeHeld || !application.TryHold(changed))
            {
                return false;
            }

            Hold(areas, pages);
            return true;
        }
    }

    private void Hold(List<Area> areas, HeldPages pages)
    {
        if (tracker is null or { ComparesFlagsAtOnce: true })
        {
            CompareFlags(Pid);
        }

        pages.Counts = Pump(Pid, memory, areas, pages);
        held = pages;
    }

    public PageCounts PumpPages(IPageSink sink)
    {
        if (Inspection is null || Inspection.IsZombie)
        {
            return default;
        }

        IEnumerable<Area> areas = Inspection.Areas.Where(area => area.HasPrivatePages);
        if (held is null)
        {
            CompareFlags(Pid);
            FindUnwritten();
            NoteAreas();
            return Pump(Pid, memory, areas, sink, application.SharedOf(this));
        }

        // Beside each other: to ask for the flags takes as long as to store what has changed.
        Beside? compared = copy is null && tracker is { ComparesFlagsAtOnce: false } known ? new(() => CompareFlagsAfterwards(known)) : null;
        PageCounts counts = held.PumpTo(sink);
        compared?.Finish();
        if (copy is not null)
        {
            CompareFlags(copy.Pid);
            counts += Pump(copy.Pid, copy.Memory, areas.Where(area => !IsApart(area)), sink, application.SharedOf(this));
            copy.Dispose();
            copy = null;
        }

        NoteAreas();
        return counts;
    }

    /// <summary>Flags that were assumed must be those of the process when it stood, or of its copy.</summary>
    private void CompareFlags(int pid)
    {
        if (!Inspection!.FlagsAreAssumed)
        {
            return;
        }

        List<MemoryMap> said = MemoryMap.ReadWithFlags(pid, Inspection.HasMuchMemory);
        application.Flags.Learn(pid, said);
        Dictionary<(ulong, ulong), MemoryMap> now = said.ToDictionary(map => (map.Start, map.End));
        foreach (MemoryMap map in Inspection.Maps.Where(map => map.Name != "[vsyscall]"))
        {
            // What is not to be copied is not in a copy.
            bool same = now.TryGetValue((map.Start, map.End), out MemoryMap? found) ? map.HasFlagsOf(found) : pid != Pid && map.HasFlag("dc ");
            if (!same)
            {
                throw FlagsChanged(map);
            }
        }
    }

    private BridgeException FlagsChanged(MemoryMap map)
    {
        knewAreas?.NoteChangedFlags();
        return new(
            "memory.changed", $"comparing memory of process {Pid} at {map.Start:x}-{map.End:x}", "its flags changed before it was stopped (madvise(2), for one)", "try again");
    }

    /// <summary>Where its memory is as it was when the process stood, from now until it is pumped.</summary>
    /// <param name="copies">Whether processes may go on meanwhile, so that only a copy keeps it.</param>
    /// <returns>Null where it has no such memory.</returns>
    public MemoryHolder? Holder(bool copies) =>
        Inspection is null || Inspection.IsZombie || (copies ? copy is null : !stopped) ? null
        : new MemoryHolder(copies ? copy!.Pid : Pid, Stream, [.. Inspection.Areas.Where(area => area.HasPrivatePages && (!copies || !IsApart(area)))]);

    /// <summary>Whether it is known what of it was not written to since an earlier snapshot.</summary>
    public bool IsKeptFromBase => unwritten is not null;

    private string Stream => $"mem/{Inspection!.View.InnerPid}";

    /// <summary>clone(2) leaves it out, or empties it.</summary>
    private static bool IsApart(Area area) => area.Map.Flags.Contains("dc") || area.Map.Flags.Contains("wf");

    private PageCounts Pump(int pid, TargetMemory from, IEnumerable<Area> areas, IPageSink sink, SharedPages? shared = null)
    {
        PageCounts counts = default;
        using PagePump pump = new(pid, from);
        string stream = Stream;
        foreach (Area area in areas)
        {
            counts += pump.Pump(area, stream, sink, unwritten, shared);
        }

        return counts + pump.Complete();
    }

    public void Resume()
    {
        if (!stopped)
        {
            return;
        }

        stopped = false;
        // While all stand, since their stacks are looked at.
        foreach ((int index, Tracee thread) in threads.Values.Index())
        {
            RepeatEndedCall(thread.Tid, index);
        }

        foreach (Tracee thread in threads.Values.Where(thread => !thread.Release()))
        {
            late[thread.Tid] = thread;
        }

        threads.Clear();
        corrected.Clear();
        application.NoteResume();
        copy?.OfferToOutOfMemoryKiller();
    }

    public void Dispose()
    {
        Resume();
        held?.Dispose();
        copy?.Dispose();
        memory.Dispose();
    }

    /// <summary>Who makes the calls that any thread could: the first, or another where that has ended.</summary>
    private Tracee LeadingThread => threads.GetValueOrDefault(Pid) ?? threads.Values.First();

    private ulong Slot => slot ?? throw new BridgeException("inject.stack", $"calling into process {Pid}", "there is no room on its main stack");

    private ulong? FindSlot(bool answers = false) =>
        StackRoom.Find(Inspection!, memory, [.. threads.Keys.Select(tid => stand[tid].Rsp)], stand.TryGetValue(Pid, out UserRegisters first) ? first.Rsp : null, answers);
}
