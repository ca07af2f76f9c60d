using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Resources;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Restore;

/// <summary>What epoll sets watch. It is added when every open file is there and no process has its own descriptors yet, so that every number is free.</summary>
internal sealed partial class PtraceRestore
{
    private IEnumerable<EpollImage> Epolls => Image.OpenFiles.OfType<EpollImage>();

    private IEnumerable<int> EpollNumbers => Epolls.SelectMany(epoll => epoll.Entries).Select(entry => entry.Number);

    private void FillEpolls()
    {
        if (!Epolls.Any())
        {
            return;
        }

        // What has reported first, while nothing else can report.
        Dictionary<ProcessImage, SyscallTape> tapes = [];
        List<Holdings> all = [.. Living.Select(process => new Holdings(
            process, [.. process.Descriptors.Select(descriptor => (descriptor.Number, descriptor.File))], [.. process.Descriptors.Select(descriptor => descriptor.File)]))];
        for (int i = 0; i < Image.OpenFiles.Count; i++)
        {
            foreach (EpollEntryImage entry in (Image.OpenFiles[i] as EpollImage)?.Entries ?? [])
            {
                ProcessImage process = Adder(all, entry, i);
                if ((entry.Events & ~EpollSets.Modes) == 0)
                {
                    AddReported(stubs[process.Pid], entry, firstOpen + i);
                    continue;
                }

                if (!tapes.TryGetValue(process, out SyscallTape? tape))
                {
                    tapes[process] = tape = stubs[process.Pid].NewTape();
                }

                EpollImage.AddEntry(tape, entry, firstOpen + i, firstOpen + entry.File);
            }
        }

        foreach ((ProcessImage process, SyscallTape tape) in tapes)
        {
            stubs[process.Pid].Run(tape);
        }
    }

    /// <summary>
    /// The process that adds an entry: one in which the number is that file, best one that has the set too. For a signalfd that decides whose signals are
    /// waited for.
    /// </summary>
    private static ProcessImage Adder(List<Holdings> all, EpollEntryImage entry, int epoll) => all.MaxBy(holdings =>
        (holdings.Descriptors.Contains((entry.Number, entry.File)) ? 4 : 0) + (holdings.Files.Contains(epoll) ? 2 : 0) + (holdings.Files.Contains(entry.File) ? 1 : 0))!.Process;

    private void AddReported(Stub stub, EpollEntryImage entry, int epoll)
    {
        SyscallTape tape = stub.NewTape();
        (Action, Action)? makeReady = null;
        if (Image.OpenFiles[entry.File] is PipeEndImage end && (end.Flags & Libc.O_ACCMODE) == Libc.O_RDONLY && Image.Pipes.First(pipe => pipe.Id == end.Pipe).Bytes.Length == 0)
        {
            ulong place = tape.Reserve(1);
            makeReady = (
                () => tape.Add("a byte for a pipe", X64.Write, (ulong)context.PipeEnd(end.Pipe, write: true), place, 1),
                () => tape.Add("the byte out of the pipe", X64.Read, (ulong)context.PipeEnd(end.Pipe, write: false), place, 1));
        }

        int record = EpollImage.AddReported(tape, entry, epoll, firstOpen + entry.File, makeReady);
        long[] results = stub.Run(tape);
        SyscallTape finish = stub.NewTape();
        EpollImage.FinishReported(finish, entry, epoll, results[record] == 1);
        stub.Run(finish);
    }

    /// <summary>What a process has: its descriptors with their open files, and these alone.</summary>
    private sealed record Holdings(ProcessImage Process, HashSet<(int Number, int File)> Descriptors, HashSet<int> Files);
}
