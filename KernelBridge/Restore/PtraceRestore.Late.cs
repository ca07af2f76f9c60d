using Holdfast.KernelBridge.CharDevice;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Resources;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Restore;

/// <summary>What descriptors need beyond being opened in the first process: other processes, or that nothing is opened and closed any more.</summary>
internal sealed partial class PtraceRestore
{
    /// <summary>Opened by one process, once all are there, and taken over by the others that have it.</summary>
    private void OpenLate()
    {
        for (int i = 0; i < Image.OpenFiles.Count; i++)
        {
            OpenFileImage file = Image.OpenFiles[i];
            if (!file.OpenedLate)
            {
                continue;
            }

            List<ProcessImage> holders = [.. Living.Where(process => process.Descriptors.Any(descriptor => descriptor.File == i))];
            // /dev/tty is whatever controls the process that opens it.
            List<ProcessImage> openers = file is TerminalSlaveImage slave ? [.. Image.Terminals.First(terminal => terminal.Index == slave.Terminal).Members(Image)] : holders;
            if (openers.Count == 0)
            {
                continue;
            }

            // Processes are looked for by who sees all of them, and those in pid namespaces of their own take over from who has passed on to them how to find it.
            bool nested = holders.Exists(holder => holder.Nested.Count > 0);
            ProcessImage first = FirstProcess;
            ProcessImage opener = nested && file is PidFdImage ? first : openers.Find(holders.Contains) ?? openers[0];
            SyscallTape open = stubs[opener.Pid].NewTape();
            file.OpenLate(open, firstOpen + i);
            stubs[opener.Pid].Run(open);
            if (nested && opener != first && !holders.Contains(first))
            {
                SyscallTape tape = stubs[first.Pid].NewTape();
                TakeOver(tape, file.Description, firstOpen + i, opener.Pid, first);
                stubs[first.Pid].Run(tape);
            }

            foreach (ProcessImage holder in holders.OrderByDescending(holder => holder == first))
            {
                SyscallTape tape = stubs[holder.Pid].NewTape();
                if (holder != opener)
                {
                    TakeOver(tape, file.Description, firstOpen + i, opener.Pid, holder);
                }

                FileLocks.Take(tape, file, firstOpen + i);
                stubs[holder.Pid].Run(tape);
            }
        }
    }

    /// <summary>Rings of io_uring count on from where they were.</summary>
    private void FinishRings()
    {
        for (int i = 0; i < Image.OpenFiles.Count; i++)
        {
            if (Image.OpenFiles[i] is UringImage ring && Living.FirstOrDefault(process => process.Descriptors.Any(descriptor => descriptor.File == i)) is { } holder)
            {
                IoUrings.Finish(stubs[holder.Pid].HostPid, firstOpen + i, ring, rings!);
            }
        }
    }

    private void TakeOver(SyscallTape tape, string what, int number, int holder, ProcessImage taker)
    {
        if (taker.Nested.Count > 0)
        {
            tape.Add($"taking over {what}", X64.PidfdGetfd, (ulong)firstProcess, (ulong)number, 0);
            RestoreContext.Place(tape, what, number);
            return;
        }

        int spare = firstOpen + Image.OpenFiles.Count;
        tape.Add($"looking for process {holder}", X64.PidfdOpen, (ulong)holder, 0);
        RestoreContext.Place(tape, $"process {holder}", spare);
        tape.Add($"taking over {what}", X64.PidfdGetfd, (ulong)spare, (ulong)number, 0);
        RestoreContext.Place(tape, what, number);
        tape.Add($"leaving process {holder}", X64.Close, (ulong)spare);
    }

    /// <summary>The process that is made first and sees all others.</summary>
    private ProcessImage FirstProcess => Image.Processes.First(process => process.Pid == plan.Root!.Pid);

    /// <summary>A descriptor of the first process, which those in pid namespaces inside the application's inherit.</summary>
    private int firstProcess;

    private void FindFirstProcess(SyscallTape tape)
    {
        if (Image.Processes.Any(process => process.Nested.Count > 0))
        {
            firstProcess = context.Spare();
            tape.Add("looking for the first process", X64.PidfdOpen, (ulong)plan.Root!.Pid, 0);
            RestoreContext.Place(tape, "the first process", firstProcess);
        }
    }

    /// <summary>Who gets signals about open files: any thread of any process may.</summary>
    private void SetSignalOwners()
    {
        for (int i = 0; i < Image.OpenFiles.Count; i++)
        {
            if (Image.OpenFiles[i].Signals is not { } signals)
            {
                continue;
            }

            // With O_ASYNC, the number under which it is set goes into the siginfo: the owner's own, where it has one.
            (ProcessImage process, int number) = Living.SelectMany(process => process.Descriptors.Where(descriptor => descriptor.File == i).Select(descriptor => (process, descriptor.Number)))
                .Where(holder => SignalDrivenFiles.OwnerFor(Image, holder.process, signals) is not null)
                .MaxBy(holder => holder.process.Threads.Any(thread => thread.Tid == signals.Owner));
            SyscallTape tape = stubs[process.Pid].NewTape();
            SignalDrivenFiles.Restore(tape, Image.OpenFiles[i], number, SignalDrivenFiles.OwnerFor(Image, process, signals)!.Value);
            stubs[process.Pid].Run(tape);
        }
    }

    /// <summary>Composes what comes when no process opens or closes anything any more: record locks and watches.</summary>
    private void AddLast(ProcessImage process, SyscallTape tape)
    {
        FileLocks.Take(tape, process);
        foreach (DescriptorImage descriptor in process.Descriptors)
        {
            if (Image.OpenFiles[descriptor.File] is InotifyImage inotify && watching.Add(descriptor.File))
            {
                inotify.AddWatches(tape, descriptor.Number);
            }
        }
    }

    /// <summary>Composes what seals memfds again: after the last process has mapped them.</summary>
    private void AddSeals(SyscallTape tape)
    {
        foreach (GhostFileImage ghost in Image.GhostFiles.Where(ghost => ghost.Memfd is not null))
        {
            Memfds.Seal(tape, ghost.Memfd!, firstGhost + ghost.Id);
        }
    }

    /// <summary>Who lets them; null where nobody can, or there are none.</summary>
    private static CkptSession? OpenRingKeeper(ApplicationImage image)
    {
        try
        {
            CkptSession? session = image.OpenFiles.Any(file => file is UringImage) ? CkptSession.TryOpen() : null;
            if (session is null || (session.Features & CkptAbi.FeatureRing) != 0)
            {
                return session;
            }

            session.Dispose();
        }
        catch (BridgeException)
        {
            // It may not be opened, or is another version.
        }

        return null;
    }

    private readonly HashSet<int> watching = [];
}
