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
        ProcessInspection inspection = ProcessInspection.Of(Pid, application.Reference);
        prepared = inspection;
        if (!inspection.IsZombie)
        {
            gadgets = Gadgets.Find(inspection.Areas.Select(area => area.Map), memory);
            sleeps = SleepNotes.Take(Pid);
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

            if (ProcessStat.TryRead(Pid)?.State is 'Z' or 'X' && tids.Count == 1)
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
        Inspection = ProcessInspection.Of(Pid, application.Reference, prepared, application.Standing);
        foreach (Tracee thread in Inspection.IsZombie ? [] : (IEnumerable<Tracee>)threads.Values)
        {
            stand[thread.Tid] = PtraceCall.GetRegisters(thread.Tid);
        }

        slot = Inspection.IsZombie ? null : FindSlot();
        if (!Inspection.IsZombie && slot is null && StackRoom.TryMake(Inspection, memory))
        {
            Inspection = ProcessInspection.Of(Pid, application.Reference, prepared, application.Standing);
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
        ulong slot = Slot;
        WaitNotes notes = new(slot + StackRoom.NotesOffset, memory, HostFacts.ClockOffsets(Pid).Monotonic);
        List<(int Tid, UserRegisters Registers, long Remaining)> waits = [];
        List<ThreadImage> captured = [];
        using SlotContents contents = new(memory, slot);
        ThreadStand? ahead = null;
        foreach ((int tid, ProcessStatus status) in inspection.Threads)
        {
            Tracee thread = threads[tid];
            ThreadStand stands = ahead ?? ThreadStand.Of(tid);
            UserRegisters registers = Corrected(tid, status, slot, captured.Count, stands.Rseq);
            (registers, long? remaining) = TimedWait(tid, status.Innermost("NSpid"), registers, notes, waits);
            // Read after what is left: a wait may end late, by what lies between the two, never early.
            long sinceCapture = image.SinceCapture();
            // So that a thread which is stopped again before it ran is still known to be in the noted wait.
            UserRegisters goOn = remaining is null ? registers : registers with { OrigRax = X64.RestartSyscall };
            using InjectedCalls calls = new(thread, memory, gadgets!, contents, goOn, stands.ExtendedState, stands.SignalMask) { Filters = filters?.Of(tid) };
            corrected.Add(tid);
            InjectedState state = new(tid, calls, stands, first: tid == Pid);

            // While it answers, the next one is looked at.
            ahead = captured.Count + 1 < inspection.Threads.Count ? ThreadStand.Of(inspection.Threads[captured.Count + 1].Tid) : null;
            captured.Add(Resources.Threads.Capture(tid, status, inspection.View.Depth, registers, stands.ExtendedState, stands.SignalMask, state, remaining is null or SleepNotes.Forever ? remaining : remaining + sinceCapture));
            captured[^1].SeccompFilters = filters?.Own(tid) ?? [];
            if (tid == Pid)
            {
                ProcessCapture.Ask(inspection, state, image);
                image.SeccompFilters = filters?.Common ?? [];
                application.SocketQueues.Copy(inspection.Descriptors, application.Sockets, new InjectedSockets(calls));
                application.TerminalOutput.Copy(inspection.Descriptors, calls);
                application.TerminalInput.Copy(inspection.Descriptors, index => application.Terminals?.CanBeOpened(index) == true, calls);
                application.EventSemaphores.Ask(inspection.Descriptors, calls);
                application.PosixQueues.Copy(application.Reference.Pid, Pid, inspection.Descriptors, calls);
            }
        }

        notes.Write(waits);
        image.Threads = captured;
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
        (bool small, bool fewChanged) = (size <= application.HoldUpTo, changed <= size / WorthCopying);
        if ((small || fewChanged) && application.TryHold(changed, copyable: small && !fewChanged))
        {
            Hold(areas, pages);
            return true;
        }

        if (application.HasSubreaper || filters?.Of(LeadingThread.Tid) is { AllowCopy: false } || FrozenCopy.Obstacle(Inspection.View, Inspection.Areas, application.MemoryLimits) is not null)
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
            if (!small || !application.TryHold(changed))
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

        return counts;
    }

    /// <summary>Flags that were assumed must be those of the process when it stood, or of its copy.</summary>
    private void CompareFlags(int pid)
    {
        if (!Inspection!.FlagsAreAssumed)
        {
            return;
        }

        Dictionary<(ulong, ulong), MemoryMap> now = MemoryMap.ReadWithFlags(pid, Inspection.HasMuchMemory).ToDictionary(map => (map.Start, map.End));
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

    private BridgeException FlagsChanged(MemoryMap map) => new(
        "memory.changed", $"comparing memory of process {Pid} at {map.Start:x}-{map.End:x}", "its flags changed just before it was stopped (madvise(2), for one)", "try again");

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
    }

    public void Dispose()
    {
        Resume();
        held?.Dispose();
        copy?.Dispose();
        memory.Dispose();
    }

    /// <summary>The registers with which the thread has to go on: where they stand, but for what the stop itself has spoilt.</summary>
    private UserRegisters Corrected(int tid, ProcessStatus status, ulong slot, int index, RseqConfiguration rseq)
    {
        UserRegisters registers = stand[tid];
        if (Interruption.EndedEarly(registers) && !SignalActions.IsDue(status))
        {
            ulong room = StackRoom.Timeout(slot, index);
            registers = Interruption.Repeat(registers, sleeps?.Elapsed(Pid, tid) ?? TimeSpan.Zero, memory, room);
        }

        if (rseq.Pointer != 0)
        {
            registers = RestartableSequence.Abort(registers, rseq, memory);
        }

        return registers;
    }

    /// <summary>Where nothing was captured, as after a refusal, a call that the stop has ended early is made again too.</summary>
    private void RepeatEndedCall(int tid, int index)
    {
        if (corrected.Contains(tid))
        {
            return;
        }

        try
        {
            UserRegisters registers = PtraceCall.GetRegisters(tid);
            if (Interruption.EndedEarly(registers) && ProcessStatus.TryReadThread(Pid, tid) is { } status && !SignalActions.IsDue(status))
            {
                PtraceCall.SetRegisters(
                    tid, Interruption.Repeat(registers, sleeps?.Elapsed(Pid, tid) ?? TimeSpan.Zero, memory, slot is { } room ? StackRoom.Timeout(room, index) : null));
            }
        }
        catch (BridgeException)
        {
            // It has ended.
        }
    }

    /// <summary>For a thread in a timed wait that only the kernel's restart block knows: which call it is, and what is left of its time.</summary>
    private (UserRegisters Registers, long? Remaining) TimedWait(
        int tid, int inner, in UserRegisters registers, WaitNotes notes, List<(int Tid, UserRegisters Registers, long Remaining)> waits)
    {
        if (Interruption.RestartCode(registers) != Errno.ERESTART_RESTARTBLOCK || X64.WaitsUntilAbsoluteTime(registers))
        {
            return (registers, null);
        }

        // The kernel does not look at orig_rax when it goes on with a restart block: the number put there is for us and for the image.
        long? remaining;
        UserRegisters known = registers;
        if (registers.OrigRax == X64.RestartSyscall && notes.Find(inner, registers) is { } noted)
        {
            known.OrigRax = noted.Number;
            remaining = noted.Remaining;
        }
        else
        {
            known.OrigRax = registers.OrigRax == X64.RestartSyscall ? sleeps?.RestartedCall(tid, registers) ?? registers.OrigRax : registers.OrigRax;
            remaining = X64.WaitsUntilAbsoluteTime(known) ? null : sleeps?.Remaining(Pid, tid, known, registers.OrigRax == X64.RestartSyscall, memory);
        }

        if (remaining is { } left)
        {
            waits.Add((inner, known, left));
        }

        return (known, remaining);
    }

    /// <summary>Who makes the calls that any thread could: the first, or another where that has ended.</summary>
    private Tracee LeadingThread => threads.GetValueOrDefault(Pid) ?? threads.Values.First();

    private ulong Slot => slot ?? throw new BridgeException("inject.stack", $"calling into process {Pid}", "there is no room on its main stack");

    private ulong? FindSlot() =>
        StackRoom.Find(Inspection!, memory, [.. threads.Keys.Select(tid => stand[tid].Rsp)], stand.TryGetValue(Pid, out UserRegisters first) ? first.Rsp : null);
}
