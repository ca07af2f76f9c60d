using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Loading;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Resources;
using Holdfast.KernelBridge.Tape;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.KernelBridge.Restore;

/// <summary>Memory that comes when it is needed (<see cref="RestoreRequest.Lazy"/>).</summary>
internal sealed partial class PtraceRestore
{
    // What must be there at once, or what a child of fork does not inherit, which userfaultfd does not report.
    private static readonly string[] eagerFlags = ["lo", "lf", "dp", "dc", "wf", HugePages.Flag];

    private readonly List<LackingProcess> lacking = [];

    public IMemoryLoading? Loading { get; private set; }

    /// <summary>Whether a lazy restore is possible here.</summary>
    private IEnumerable<Refusal> CheckLazy()
    {
        if (!request.Lazy)
        {
            yield break;
        }

        if (Image.Scope == ApplicationScope.Tree)
        {
            yield return new Refusal(
                UserFault.Space, 0, null, "lazy restore", "processes with the host's pids have no init that keeps their missing pages while nobody loads them", "restore without --lazy");
        }

        if (UserFault.Check() is { } refused)
        {
            yield return refused;
        }
    }

    /// <summary>
    /// Private anonymous memory: where a page is missing, nothing else stands behind it. Private pages of files are filled at once, since a file's own page is not
    /// a missing one.
    /// </summary>
    private bool IsLazy(AreaImage mapped, IReadOnlyList<PageRun> runs) =>
        request.Lazy && mapped is { Kind: AreaKind.Anonymous, Shared: false } && !mapped.Flags.Any(eagerFlags.Contains) && HasRuns(mapped, runs);

    /// <summary>Parts what is stored of a process's memory into what is filled at once and what may come later.</summary>
    private (IReadOnlyList<PageRun> Now, IReadOnlyList<PageRun> Later) Part(ProcessImage process, IReadOnlyList<PageRun> runs)
    {
        if (!request.Lazy)
        {
            return (runs, []);
        }

        // Whoever reads another process's command line or environment in /proc does not wait for missing pages, and would find nothing (fs/proc/base.c).
        MemoryImage memory = process.Memory!;
        (ulong Start, ulong End)[] lazy =
        [
            .. memory.Areas.Where(mapped => IsLazy(mapped, runs)).Select(mapped => (mapped.Start, mapped.End))
                .SelectMany(range => Outside(range, memory.ArgumentsStart, memory.ArgumentsEnd))
                .SelectMany(range => Outside(range, memory.EnvironmentStart, memory.EnvironmentEnd)),
        ];
        List<PageRun> now = [], later = [];
        int area = 0;
        foreach (PageRun run in runs)
        {
            for (long at = run.Offset, end = run.Offset + run.Length; at < end;)
            {
                while (area < lazy.Length && lazy[area].End <= (ulong)at)
                {
                    area++;
                }

                bool inside = area < lazy.Length && lazy[area].Start <= (ulong)at;
                long next = area == lazy.Length ? end : Math.Min(end, (long)(inside ? lazy[area].End : lazy[area].Start));
                (inside ? later : now).Add(new PageRun(at, next - at));
                at = next;
            }
        }

        return (now, later);
    }

    // What of a range lies before and after the pages of another.
    private static IEnumerable<(ulong Start, ulong End)> Outside((ulong Start, ulong End) range, ulong start, ulong end)
    {
        const ulong Page = 4096;
        ulong from = Math.Clamp(start / Page * Page, range.Start, range.End);
        ulong to = Math.Clamp((end + Page - 1) / Page * Page, from, range.End);
        return new[] { (range.Start, from), (to, range.End) }.Where(part => part.Item1 < part.Item2);
    }

    /// <summary>Makes the userfaultfd of a process, and takes it out; the process's own goes with the builder's other descriptors.</summary>
    private SafeFileHandle? MakeUserFault(Stub stub, IReadOnlyList<PageRun> later)
    {
        if (later.Count == 0)
        {
            return null;
        }

        int number = firstOpen + Image.OpenFiles.Count;
        SyscallTape tape = stub.NewTape();
        UserFault.Make(tape, number);
        stub.Run(tape);
        return UserFault.Take(stub.HostPid, number);
    }

    /// <summary>From here on the missing pages of a process are waited for. Nothing may be unmapped or forked in it any more.</summary>
    private void AwaitPages(ProcessImage process, SafeFileHandle? userFault, IReadOnlyList<PageRun> runs, IReadOnlyList<PageRun> later)
    {
        if (userFault is null)
        {
            return;
        }

        List<(ulong Start, ulong End)> ranges = [.. process.Memory!.Areas.Where(mapped => IsLazy(mapped, runs)).Select(mapped => (mapped.Start, mapped.End))];
        lacking.Add(new LackingProcess(process.Pid, userFault, ranges, new LoadingWindows(process.Pid, process.Stream, later)));
        foreach ((ulong start, ulong end) in ranges)
        {
            UserFault.Register(userFault, start, end);
        }
    }

    /// <summary>Hands all that is missing over to the space's init.</summary>
    private void BeginLoading()
    {
        if (lacking.Count == 0)
        {
            return;
        }

        MemoryLoader loader = MemoryLoader.Begin(space!.Target.InitSocket!, lacking, request.Pages, request.LoadingRate);
        Loading = loader;
        lacking.ForEach(process => process.UserFault.Dispose());
        foreach (ProcessImage process in Living)
        {
            // The last one that is asked for is the first that comes.
            foreach (ThreadImage thread in process.Threads.Take(64).Reverse())
            {
                UserRegisters registers = MemoryMarshal.Read<UserRegisters>(thread.Registers);
                loader.Prefer(process.Pid, registers.Rip);
                loader.Prefer(process.Pid, registers.FsBase);
                loader.Prefer(process.Pid, registers.Rsp);
            }
        }
    }
}
