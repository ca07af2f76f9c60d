using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Ptrace;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Capture;

/// <summary>The threads of a stopped process: what each is, and with what it goes on.</summary>
internal sealed partial class ProcessCheckpoint
{
    /// <summary>
    /// Captures them. The first is asked alone, since what belongs to the process is asked of it and may take long. Of the others several answer at the same time, each in a
    /// slot of its own: nobody waits for one to be woken up, nor for another processor to have time for it.
    /// </summary>
    private List<ThreadImage> CaptureThreads(ProcessImage image)
    {
        ulong slot = Slot;
        WaitNotes notes = new(slot + StackRoom.NotesOffset, memory, image.CapturedAt - image.CapturedAtHost);
        List<(int Tid, UserRegisters Registers, long Remaining)> waits = [];
        IReadOnlyList<(int Tid, ProcessStatus Status)> all = Inspection!.Threads;
        List<ThreadImage> captured = new(all.Count);
        int smallSlot;
        using (SlotContents contents = new(memory, slot, InjectedCalls.SlotSize))
        using (AskedThread first = Begin(0, contents, null))
        {
            smallSlot = InjectedCalls.SmallSlotSize(first.Stand.ExtendedState);
            captured.Add(Capture(first));
            AskOfProcess(first, image);
        }

        if (all.Count > 1)
        {
            ulong? room = FindSlot(answers: true);
            int places = Math.Clamp((room is null ? InjectedCalls.SlotSize : StackRoom.AnswersSize) / smallSlot, 1, all.Count - 1);
            using SlotContents contents = new(memory, room is { } at ? at + StackRoom.AnswersOffset : slot, places * smallSlot);
            List<AskedThread> asked = new(all.Count - 1);
            try
            {
                for (int i = 0; i < all.Count - 1 + places; i++)
                {
                    if (i >= places)
                    {
                        asked[i - places].Dispose();
                    }

                    if (i + 1 < all.Count)
                    {
                        asked.Add(Begin(i + 1, contents, i % places));
                    }

                    // It is asked to stop when its answers are read: some time before it is waited for.
                    if (i - (places / 2) is >= 0 and var answered && answered < asked.Count)
                    {
                        captured.Add(Capture(asked[answered]));
                    }
                }
            }
            finally
            {
                asked.ForEach(thread => thread.GiveUp());
            }
        }

        notes.Write(waits);
        return captured;

        AskedThread Begin(int index, SlotContents contents, int? part)
        {
            (int tid, ProcessStatus status) = all[index];
            ThreadStand stands = ThreadStand.Of(tid);
            UserRegisters registers = Corrected(tid, status, slot, index, stands.Rseq);
            (registers, long? remaining) = TimedWait(tid, status.Innermost("NSpid"), registers, notes, waits);
            // Read after what is left: a wait may end late, by what lies between the two, never early.
            long sinceCapture = image.SinceCapture();
            // So that a thread which is stopped again before it ran is still known to be in the noted wait.
            UserRegisters goOn = remaining is null ? registers : registers with { OrigRax = X64.RestartSyscall };
            InjectedCalls calls = new(threads[tid], memory, gadgets!, contents, part, goOn, stands.ExtendedState, stands.SignalMask) { Filters = filters?.Of(tid) };
            corrected.Add(tid);
            try
            {
                InjectedState state = new(tid, calls, stands, first: index == 0);
                return new AskedThread(tid, status, stands, registers, remaining is null or SleepNotes.Forever ? remaining : remaining + sinceCapture, calls, state);
            }
            catch (BridgeException)
            {
                calls.Dispose();
                throw;
            }
        }
    }

    private ThreadImage Capture(AskedThread thread)
    {
        ThreadImage image = Resources.Threads.Capture(
            thread.Tid, thread.Status, Inspection!.View.Depth, thread.Registers, thread.Stand.ExtendedState, thread.Stand.SignalMask, thread.State, thread.Remaining);
        image.SeccompFilters = filters?.Own(thread.Tid) ?? [];
        return image;
    }

    /// <summary>Asks the first thread what belongs to the process.</summary>
    private void AskOfProcess(AskedThread first, ProcessImage image)
    {
        ProcessInspection inspection = Inspection!;
        ProcessCapture.Ask(inspection, first.State, image);
        image.SeccompFilters = filters?.Common ?? [];
        application.SocketQueues.Copy(inspection.Descriptors, application.Sockets, new InjectedSockets(first.Calls));
        application.TerminalOutput.Copy(inspection.Descriptors, first.Calls);
        application.TerminalInput.Copy(inspection.Descriptors, index => application.Terminals?.CanBeOpened(index) == true, first.Calls);
        application.EventSemaphores.Ask(inspection.Descriptors, first.Calls);
        application.PosixQueues.Copy(application.Reference.Pid, Pid, inspection.Descriptors, first.Calls);
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

    /// <summary>A thread that is asked, or was: until it is disposed of it stands, or runs, in calls of ours.</summary>
    /// <param name="Tid">As the host sees it.</param>
    /// <param name="Status">Its status.</param>
    /// <param name="Stand">What ptrace has told of it.</param>
    /// <param name="Registers">Corrected for what the stop did.</param>
    /// <param name="Remaining">What is left of a timed wait, nanoseconds; null when it is in none.</param>
    /// <param name="Calls">Calls inside it.</param>
    /// <param name="State">What it is asked.</param>
    private sealed record AskedThread(int Tid, ProcessStatus Status, ThreadStand Stand, UserRegisters Registers, long? Remaining, InjectedCalls Calls, InjectedState State) : IDisposable
    {
        public void Dispose() => Calls.Dispose();

        /// <summary>Puts it back after something else went wrong, which is what is reported.</summary>
        public void GiveUp()
        {
            try
            {
                Dispose();
            }
            catch (BridgeException)
            {
                // It has ended, or went on by itself with its own state.
            }
        }
    }
}
