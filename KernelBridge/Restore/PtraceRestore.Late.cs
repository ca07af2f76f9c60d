using Holdfast.KernelBridge.Resources;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Restore;

/// <summary>What descriptors need beyond being opened in the first process: other processes, or that nothing is opened and closed any more.</summary>
internal sealed partial class PtraceRestore
{
    /// <summary>Descriptors of processes: opened by one that has them, once all processes are there, and taken over by the others.</summary>
    private void OpenPidFds()
    {
        for (int i = 0; i < Image.OpenFiles.Count; i++)
        {
            if (Image.OpenFiles[i] is not PidFdImage file)
            {
                continue;
            }

            int? holder = null;
            foreach (ProcessImage process in Living.Where(process => process.Descriptors.Any(descriptor => descriptor.File == i)))
            {
                SyscallTape tape = stubs[process.Pid].NewTape();
                if (holder is { } first)
                {
                    file.TakeOver(tape, firstOpen + i, first, firstOpen + Image.OpenFiles.Count);
                }
                else
                {
                    file.Open(tape, firstOpen + i);
                    holder = process.Pid;
                }

                FileLocks.Take(tape, file, firstOpen + i);
                stubs[process.Pid].Run(tape);
            }
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
                .MaxBy(holder => holder.process.Threads.Any(thread => thread.Tid == signals.Owner));
            SyscallTape tape = stubs[process.Pid].NewTape();
            SignalDrivenFiles.Restore(tape, Image.OpenFiles[i], number);
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

    private readonly HashSet<int> watching = [];
}
