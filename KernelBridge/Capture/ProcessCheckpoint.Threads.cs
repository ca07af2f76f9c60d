using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Ptrace;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Capture;

/// <summary>The threads of a stopped process: what each is, and with what it goes on.</summary>
internal sealed partial class ProcessCheckpoint
{
    /// <summary>
    /// Captures them. The first is asked alone, since what belongs to the process is asked of it and may take long, unless the kernel tells as much and others have answered what
    /// it does not explain. Of the others too the kernel tells what it knows, and they stand; where it does not tell, several answer at the same time, each in a slot of its own: nobody waits for one to be woken up, nor for another processor to have
    /// time for it.
    /// </summary>
    private List<ThreadImage> CaptureThreads(ProcessImage image)
    {
        ulong slot = Slot;
        WaitNotes notes = new(slot + StackRoom.NotesOffset, memory, image.CapturedAt - image.CapturedAtHost);
        List<(int Tid, UserRegisters Registers, long Remaining)> waits = [];
        IReadOnlyList<(int Tid, ProcessStatus Status)> all = Inspection!.Threads;
        ThreadImage[] captured = new ThreadImage[all.Count];
        if (WhatIsTold() is ({ } ofFirst, { } answers, { } actions))
        {
            StandingThread first = Look(0);
            RecordedProcess state = new(ofFirst, first.Stand, answers, actions);
            captured[0] = Capture(first, state);
            ProcessCapture.Ask(Inspection, state, image);
            image.SeccompFilters = filters?.Common ?? [];
            GoOnWith(first);
        }
        else
        {
            using SlotContents contents = new(memory, slot, InjectedCalls.SlotSize);
            using AskedThread first = Begin(0, contents, null);
            captured[0] = Capture(first.Thread, first.State);
            AskOfProcess(first, image);
            if (filters is null && Inspection.Record?.Words is { } words)
            {
                application.Answers.Learn(words, ProcessAnswers.Of(first.State, image.Memory!.ProtectionKeys));
            }
        }

        List<int> toAsk = [];
        for (int i = 1; i < all.Count; i++)
        {
            if (!application.AsksThreads && Inspection.Records is { } records && records.TryGetValue(all[i].Tid, out TaskRecord record) && record.MemoryPolicy == 0)
            {
                StandingThread thread = Look(i);
                captured[i] = Capture(thread, new RecordedState(record, thread.Stand, captured[0].Credentials.Dumpable));
                GoOnWith(thread);
            }
            else
            {
                toAsk.Add(i);
            }
        }

        if (toAsk.Count > 0)
        {
            Ask(toAsk);
        }

        notes.Write(waits);
        return [.. captured];

        void Ask(List<int> indices)
        {
            ulong? room = FindSlot(answers: true);
            int smallSlot = InjectedCalls.SmallSlotSize(PtraceCall.GetExtendedState(all[indices[0]].Tid));
            int places = Math.Clamp((room is null ? InjectedCalls.SlotSize : StackRoom.AnswersSize) / smallSlot, 1, indices.Count);
            using SlotContents contents = new(memory, room is { } at ? at + StackRoom.AnswersOffset : slot, places * smallSlot);
            List<AskedThread> asked = new(indices.Count);
            try
            {
                for (int i = 0; i < indices.Count + places; i++)
                {
                    if (i >= places)
                    {
                        asked[i - places].Dispose();
                    }

                    if (i < indices.Count)
                    {
                        asked.Add(Begin(indices[i], contents, i % places));
                    }

                    // It is asked to stop when its answers are read: some time before it is waited for.
                    if (i - (places / 2) is >= 0 and var answered && answered < asked.Count)
                    {
                        captured[indices[answered]] = Capture(asked[answered].Thread, asked[answered].State);
                    }
                }
            }
            finally
            {
                asked.ForEach(thread => thread.GiveUp());
            }
        }

        StandingThread Look(int index)
        {
            (int tid, ProcessStatus status) = all[index];
            ThreadStand stands = ThreadStand.Of(tid);
            UserRegisters registers = Corrected(tid, status, slot, index, stands.Rseq);
            (registers, long? remaining) = TimedWait(tid, status.Innermost("NSpid"), registers, notes, waits);
            // Read after what is left: a wait may end late, by what lies between the two, never early.
            long sinceCapture = image.SinceCapture();
            return new StandingThread(tid, status, stands, registers, remaining is null or SleepNotes.Forever ? remaining : remaining + sinceCapture);
        }

        AskedThread Begin(int index, SlotContents contents, int? part)
        {
            StandingThread thread = Look(index);
            InjectedCalls calls = new(threads[thread.Tid], memory, gadgets!, contents, part, thread.GoOn, thread.Stand.ExtendedState, thread.Stand.SignalMask) { Filters = filters?.Of(thread.Tid) };
            corrected.Add(thread.Tid);
            try
            {
                return new AskedThread(thread, calls, new InjectedState(thread.Tid, calls, thread.Stand, first: index == 0, application.AsksThreads ? null : TaskIterator.IfReady));
            }
            catch (BridgeException)
            {
                calls.Dispose();
                throw;
            }
        }
    }

    /// <summary>What the kernel tells of the first thread and of the process, where that is all there is to ask; else nulls.</summary>
    private (TaskRecord? Record, ProcessAnswers? Answers, IReadOnlyList<SignalActions.KernelAction>? Actions) WhatIsTold() =>
        !application.AsksThreads && Inspection!.Record is { MemoryPolicy: 0, Words: { } words } record && application.Answers.Of(words) is { } answers
        && Inspection.Areas.TrueForAll(area => area.Kind != AreaKind.RequestRing)
        && Inspection.Descriptors.TrueForAll(facts => facts.Identity.Type != FileIdentity.Socket
            && DescriptorKinds.Of(facts) is not (null or PseudoTerminals or HungUpTerminals or EventFds or PosixQueues or Sockets or IoUrings))
        && !application.PosixQueues.AreToBeTaken(application.Reference.Pid) && TaskIterator.IfReady?.Actions(Pid) is { } actions
            ? (record, answers, actions)
            : default;

    private ThreadImage Capture(StandingThread thread, IThreadState state)
    {
        ThreadImage image = Resources.Threads.Capture(
            thread.Tid, thread.Status, Inspection!.View.Depth, thread.Registers, thread.Stand.ExtendedState, thread.Stand.SignalMask, state, thread.Remaining);
        image.SeccompFilters = filters?.Own(thread.Tid) ?? [];
        return image;
    }

    /// <summary>Gives a thread that stands where it was stopped what it has to go on with.</summary>
    private void GoOnWith(StandingThread thread)
    {
        UserRegisters registers = thread.GoOn;
        if (!registers.Equals(stand[thread.Tid]))
        {
            PtraceCall.SetRegisters(thread.Tid, registers);
        }

        corrected.Add(thread.Tid);
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

    /// <summary>A thread that stands where it was stopped.</summary>
    /// <param name="Tid">As the host sees it.</param>
    /// <param name="Status">Its status.</param>
    /// <param name="Stand">What ptrace has told of it.</param>
    /// <param name="Registers">Corrected for what the stop did.</param>
    /// <param name="Remaining">What is left of a timed wait, nanoseconds; null when it is in none.</param>
    private sealed record StandingThread(int Tid, ProcessStatus Status, ThreadStand Stand, UserRegisters Registers, long? Remaining)
    {
        /// <summary>The registers with which it goes on: one that is stopped again before it ran is still known to be in the noted wait.</summary>
        public UserRegisters GoOn => Remaining is null ? Registers : Registers with { OrigRax = X64.RestartSyscall };
    }

    /// <summary>A thread that is asked, or was: until it is disposed of it stands, or runs, in calls of ours.</summary>
    /// <param name="Thread">The thread.</param>
    /// <param name="Calls">Calls inside it.</param>
    /// <param name="State">What it is asked.</param>
    private sealed record AskedThread(StandingThread Thread, InjectedCalls Calls, InjectedState State) : IDisposable
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
