using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.CharDevice;

/// <summary>One process in a checkpoint through /dev/ckpt.</summary>
internal sealed class DeviceProcess(DeviceCheckpoint application, int pid) : IProcessCheckpoint
{
    private readonly TargetMemory memory = new(pid);
    private SleepNotes? sleeps;
    private ProcessInspection? inspection;
    private DeviceState? state;
    private SeccompFilterSets? filters;
    private ProcSnapshot files = new();
    private IReadOnlyList<string> later = [];
    private HeldPages? held;
    private TimeSpan bound;
    private bool stopped;
    private IReadOnlyList<int> rings = [];

    // Threads that go on with registers of ours, or as they stand.
    private readonly HashSet<int> corrected = [];

    public int Pid => pid;

    public IReadOnlyList<Refusal> Prepare()
    {
        ProcessInspection running;
        using (DeviceFiles.Read(application.Session, pid, application.Reference.Pid, ref later).Use())
        {
            running = ProcessInspection.Of(pid, application.Reference);
            if (!running.IsZombie)
            {
                sleeps = SleepNotes.Take(pid);
            }
        }

        // What a process that runs seems to have between two looks does not count before it is seen again.
        rings = [.. running.Descriptors.Where(facts => facts.IsAnonymous("io_uring")).Select(facts => facts.Number)];
        return Adapted(running, inFlight: false) is { Count: > 0 } ? Adapted(ProcessInspection.Of(pid, application.Reference), inFlight: false) : [];
    }

    public int Stop(TimeSpan deadline)
    {
        if (!stopped)
        {
            application.NoteStanding();
            stopped = true;
        }

        // What is in flight ends before anything is looked at that it may change.
        IoUrings.Await(pid, rings, application.Session);
        if (state is null && application.Join(pid) && application.Session.TryState(pid) is { } records)
        {
            state = new DeviceState(records, application.Session);
            bound = deadline;
            files = DeviceFiles.Read(application.Session, pid, application.Reference.Pid, ref later, state);
            application.Add(files);
        }

        return state is not null ? state.Threads.Count
            : ProcessStat.TryRead(pid) is { State: 'Z' or 'X' } ? 0
            : throw new BridgeException("process.gone", $"stopping process {pid}", "it ended");
    }

    public ProcessFacts Locate()
    {
        using IDisposable ahead = files.Use();
        inspection = ProcessInspection.Of(pid, application.Reference);
        if (!inspection.IsZombie && Room() is null && StackRoom.TryMake(inspection, memory))
        {
            inspection = ProcessInspection.Of(pid, application.Reference);
        }

        List<Refusal> refusals = Adapted(inspection, inFlight: true);
        foreach (DeviceThread thread in inspection.IsZombie ? [] : State.Threads)
        {
            if (thread.Registers.Cs != X64.UserCodeSegment)
            {
                refusals.Add(ProcessAttributes.Refuse32Bit(inspection.View));
                break;
            }

            if ((thread.Flags & CkptAbi.ThreadDispatch) != 0)
            {
                refusals.Add(inspection.View.Refuse("process.dispatch", "program", "it uses syscall user dispatch", "run it without"));
                break;
            }

            if (thread.AtBreakpoint)
            {
                refusals.Add(inspection.View.Refuse(ProcessAttributes.Traced, "debugger", "it stands at a breakpoint or after a step, from which only its debugger can let it go on", "let it go on in the debugger"));
                break;
            }
        }

        if (refusals.Count == 0 && DeviceLimits.HasFilters(inspection))
        {
            filters = DeviceFilters.Read(application.Session, inspection, bound, refusals);
        }

        return new ProcessFacts(pid, state?.Threads.Count ?? 0, refusals) { Inspection = inspection };
    }

    public ProcessImage CaptureState()
    {
        ProcessInspection found = inspection ?? throw new InvalidOperationException("Locate comes first.");
        using IDisposable ahead = files.Use();
        ProcessImage image = ProcessCapture.Begin(application, found, found.IsZombie ? 0 : (int)State.Process.StopSignal, found.IsZombie ? Libc.Nanoseconds(Libc.CLOCK_MONOTONIC) : State.ReadAt);
        if (found.IsZombie)
        {
            return image;
        }

        ProcessCapture.FindGuards(found, memory, all: true);
        Dictionary<int, DeviceThread> threads = State.Threads.ToDictionary(thread => thread.Tid);
        List<ThreadImage> captured = [];
        foreach ((int tid, ProcessStatus status) in found.Threads)
        {
            DeviceThread thread = threads.GetValueOrDefault(tid) ?? throw new BridgeException("device.state", $"reading the state of process {pid}", $"thread {tid} is not in it", "try again");
            UserRegisters registers = Corrected(thread, status, captured.Count);
            (registers, long? remaining) = DeviceWaits.Of(thread, registers);
            long sinceCapture = image.SinceCapture();
            corrected.Add(tid);
            captured.Add(Resources.Threads.Capture(
                tid, status, found.View.Depth, registers, thread.ExtendedState, thread.SignalMask, thread, remaining is null or SleepNotes.Forever ? remaining : remaining + sinceCapture));
            captured[^1].SeccompFilters = filters?.Own(tid) ?? [];
            if (tid == pid)
            {
                ProcessCapture.Ask(found, thread, image);
            }
        }

        image.Threads = captured;
        image.SeccompFilters = filters?.Common ?? [];
        application.SocketQueues.Copy(found.Descriptors, application.Sockets, new DeviceSockets(application.Session));
        application.EventSemaphores.Know(found.Descriptors, State.Semaphores);
        application.PosixQueues.Note(application.Reference.Pid);
        ProcessCapture.Describe(application, found, image, application.Session);
        return image;
    }

    public bool KeepMemory(IPageSink? sink = null)
    {
        if (inspection is null || inspection.IsZombie || held is not null)
        {
            return true;
        }

        long size = (inspection.View.Status.Kibibytes("RssAnon") + inspection.View.Status.Kibibytes("VmSwap")) * 1024;
        if (size > application.HoldUpTo || !application.TryHold(size))
        {
            return false;
        }

        HeldPages pages = new();
        pages.Counts = Pump(pages);
        held = pages;
        return true;
    }

    public PageCounts PumpPages(IPageSink sink) =>
        inspection is null || inspection.IsZombie ? default : held is not null ? held.PumpTo(sink) : Pump(sink);

    public void Resume()
    {
        if (stopped)
        {
            stopped = false;
            RepeatEndedCalls();
            application.NoteDone();
        }
    }

    public void Dispose()
    {
        Resume();
        held?.Dispose();
        memory.Dispose();
    }

    private DeviceState State => state ?? throw new InvalidOperationException("Stop comes first.");

    private List<Refusal> Adapted(ProcessInspection found, bool inFlight)
    {
        List<Refusal> refusals = [.. found.Refusals];
        DeviceLimits.Adapt(found, refusals, application.Session, inFlight);
        return refusals;
    }

    private PageCounts Pump(IPageSink sink) =>
        new DevicePages(application.Session, pid).Pump([.. inspection!.Areas.Where(area => area.HasPrivatePages)], $"mem/{inspection.View.InnerPid}", sink);

    /// <summary>The registers with which the thread has to go on: where they stand, but for what the stop itself, or a tracer's, has spoilt.</summary>
    private UserRegisters Corrected(DeviceThread thread, ProcessStatus status, int index)
    {
        UserRegisters registers = thread.Registers;
        if ((thread.Flags & CkptAbi.ThreadEntry) != 0)
        {
            // Its call is still to be made.
            registers = registers with { Rax = registers.OrigRax, Rip = registers.Rip - 2, OrigRax = ulong.MaxValue };
        }
        else if (Interruption.EndedEarly(registers) && !SignalActions.IsDue(status))
        {
            registers = Repeated(thread, index, Room() ?? throw new BridgeException("inject.stack", $"shortening a wait of process {pid}", "its main stack has no room below what is in use", "try again, or give it a larger stack"));
            application.Session.SetRegisters(pid, thread.Tid, registers);
        }

        return thread.Rseq.Pointer != 0 ? RestartableSequence.Abort(registers, thread.Rseq, memory) : registers;
    }

    private ulong? Room()
    {
        Dictionary<int, ulong> pointers = State.Threads.ToDictionary(thread => thread.Tid, thread => thread.Registers.Rsp);
        return StackRoom.Find(inspection!, memory, pointers.Values, pointers.TryGetValue(pid, out ulong first) ? first : null);
    }

    private UserRegisters Repeated(DeviceThread thread, int index, ulong? room) =>
        Interruption.Repeat(thread.Registers, sleeps?.Elapsed(pid, thread.Tid) ?? TimeSpan.Zero, memory, room is { } place ? StackRoom.Timeout(place, index) : null);

    /// <summary>Where nothing was captured, as after a refusal, calls that the stop has ended early are made again too.</summary>
    private void RepeatEndedCalls()
    {
        foreach ((int index, DeviceThread thread) in (state?.Threads ?? []).Index())
        {
            try
            {
                if (!corrected.Contains(thread.Tid) && (thread.Flags & CkptAbi.ThreadEntry) == 0 && Interruption.EndedEarly(thread.Registers)
                    && ProcessStatus.TryReadThread(pid, thread.Tid) is { } status && !SignalActions.IsDue(status))
                {
                    application.Session.SetRegisters(pid, thread.Tid, Repeated(thread, index, inspection is { IsZombie: false } ? Room() : null));
                }
            }
            catch (BridgeException)
            {
                // It has ended.
            }
        }
    }
}
