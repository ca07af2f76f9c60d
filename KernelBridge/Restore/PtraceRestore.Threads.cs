using System.Globalization;
using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Interception;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Ptrace;
using Holdfast.KernelBridge.Resources;
using Holdfast.KernelBridge.Spaces;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Restore;

/// <summary>Threads, what each sets for itself, and the start.</summary>
internal sealed partial class PtraceRestore
{
    // All of them are stopped by ptrace already, which counts as standing.
    private static readonly TimeSpan letGoDeadline = TimeSpan.FromSeconds(5);

    private readonly List<(Tracee Thread, ThreadImage Image, Stub Stub)> threads = [];

    public void BuildThreads()
    {
        ProcessStatus own = ProcessStatus.Read(Environment.ProcessId);
        BuildMountNamespaces();
        (ulong bounding, ulong permitted) = (own.Mask("CapBnd"), own.Mask("CapPrm"));
        Dictionary<int, List<Tracee>> all = Living.ToDictionary(process => process.Pid, process => MakeThreads(stubs[process.Pid], process));
        SetSignalOwners();
        StopByJobControl(all);
        foreach (ProcessImage process in Living)
        {
            Stub stub = stubs[process.Pid];
            List<Tracee> made = all[process.Pid];
            AttributesImage attributes = process.Attributes!;
            WriteOwn(stub, "oom_score_adj", attributes.OomScoreAdjustment.ToString(CultureInfo.InvariantCulture));
            if (attributes.CoreDumpFilter is { } filter)
            {
                WriteOwn(stub, "coredump_filter", filter.ToString(CultureInfo.InvariantCulture));
            }

            SyscallTape common = stub.NewTape();
            AddLast(process, common);
            PidNamespaces.Restore(Image, process, common);
            foreach (IProcessResource resource in ProcessResources.All)
            {
                resource.Restore(process, SinceCapture(process), common);
            }

            stub.Run(common);
            for (int i = 0; i < made.Count; i++)
            {
                ThreadImage image = process.Threads[i];
                SetFilters(stub, made[i], image.SeccompFilters);
                SyscallTape tape = stub.NewTape();
                Threads.Restore(image, tape);
                Credentials.Restore(image.Credentials, bounding, permitted, tape);
                Threads.RestoreAfterCredentials(image, process.OwnPid, tape);
                if (i == 0)
                {
                    SignalActions.Queue(tape, process.PendingSignals, process.OwnPid, null);
                }

                stub.Run(made[i], tape);
                threads.Add((made[i], image, stub));
            }

            FinishProcess(process, stub, made);
        }
    }

    public void Verify()
    {
        foreach (ProcessImage process in Living)
        {
            Stub stub = stubs[process.Pid];
            ProcessImage maker = Living.FirstOrDefault(maker => maker.Pid == process.MountNamespace) ?? FirstProcess;
            Expect(process, "mount namespace", ProcFs.TryLink($"/proc/{stubs[maker.Pid].HostPid}/ns/mnt"), ProcFs.TryLink($"/proc/{stub.HostPid}/ns/mnt"));
            ProcessStatus status = ProcessStatus.Read(stub.HostPid);
            int depth = process.Nested.Count;
            Expect(process, "pid", process.Pid, status.Above("NSpid", depth));
            if (process.Session > 1 && Image.Processes.Any(other => other.Pid == process.Session))
            {
                Expect(process, "session", process.Session, status.Above("NSsid", depth));
            }

            if (process.ProcessGroup > 1 && Image.Processes.Any(other => other.Pid == process.ProcessGroup))
            {
                Expect(process, "process group", process.ProcessGroup, status.Above("NSpgid", depth));
            }

            foreach ((string line, Func<NestedNumbers, int> number) in (ReadOnlySpan<(string, Func<NestedNumbers, int>)>)[("NSpid", at => at.Pid), ("NSpgid", at => at.Group), ("NSsid", at => at.Session)])
            {
                Expect(process, line, string.Join(' ', process.Nested.Select(number)), string.Join(' ', status.Numbers(line)[^depth..]));
            }

            Expect(process, "number of threads", process.Threads.Count, status.Number("Threads"));
            foreach (int tid in HasFilters(process) ? ProcFs.Threads(stub.HostPid) : [])
            {
                // The restorer has none itself, or it could not have read them.
                ProcessStatus? thread = ProcessStatus.TryReadThread(stub.HostPid, tid);
                int own = process.Threads.FirstOrDefault(image => image.Tid == thread?.Above("NSpid", depth))?.SeccompFilters.Count ?? 0;
                Expect(process, "number of seccomp filters", process.SeccompFilters.Count + own, thread?.Number("Seccomp_filters"));
            }

            Expect(
                process, "descriptors", string.Join(' ', process.Descriptors.Select(d => d.Number).Order()),
                string.Join(' ', ProcFs.Numbers($"/proc/{stub.HostPid}/fd")));

            // Another kernel's vDSO is compared as what it became; this kernel's lies where nothing was, and the data of the other is gone.
            bool foreign = VdsoIsForeign;
            Expect(
                process, "memory map",
                Coverage(process.Memory!.Areas.Where(a => !foreign || !a.Name.StartsWith("[vvar", StringComparison.Ordinal)).Select(a => (a.Start, a.End, a.Protection, a.Shared))),
                Coverage(MemoryMap.Read(stub.HostPid).Where(map => map.Name != "[vsyscall]" && !(foreign && map.IsVdso)).Select(map => (map.Start, map.End, map.Protection, map.Shared))));
        }
    }

    public IRunningApplication Run()
    {
        if (space is not null)
        {
            // The checkpoint threads find it when they look for the first time.
            using InterceptBoard? board = InterceptBoard.TryOpen(space.InitPid);
            board?.Publish(BoardOperation.Restored);
        }

        // From here on nobody is killed with us: first all lose the bond, then all go. A builder that dies between two of these would let some run without
        // the others; so they stand frozen until all are free. Frozen ones end with the init, which sees us die.
        string? group = space?.CgroupPath;
        if (group is not null && CgroupFreezer.Freeze(group, letGoDeadline) is [{ } running, ..])
        {
            throw new BridgeException("restore.freeze", "letting the restored processes go together", $"{running} did not stand");
        }

        // Before anything runs: what is read from them from now on is read.
        kept?.Taken();
        const int plain = PtraceCall.OptionSysGood;
        foreach ((Tracee thread, _, _) in threads)
        {
            _ = PtraceCall.SetOptions(thread.Tid, plain);
        }

        released = true;
        foreach ((Tracee thread, _, _) in threads)
        {
            _ = thread.Release();
        }

        if (space is not null)
        {
            if (group is not null)
            {
                CgroupFreezer.Thaw(group);
            }

            return space.HandOver();
        }

        tree!.Keep();
        int root = tree.Pid;
        ProcessStat? stat = ProcessStat.TryRead(root);
        ApplicationTarget target = new(ApplicationScope.Tree, root, stat?.StartTime ?? 0, ProcessIdentity.BootId());
        return ApplicationFinder.Find(target) ?? throw new BridgeException("application.gone", "starting the restored application", "it ended at once");
    }

    /// <summary>
    /// A process enters one before it has threads, which would share its directories. Whoever looks for one is in the application's own, whose /proc shows all; who has made one that it is not in
    /// itself goes back there.
    /// </summary>
    private void BuildMountNamespaces()
    {
        foreach (MountNamespaceImage own in Image.MountNamespaces)
        {
            Stub maker = stubs[own.Maker];
            SyscallTape make = maker.NewTape();
            make.Add("looking for the application's mount namespace", X64.Open, make.Place("/proc/self/ns/mnt"), Libc.O_RDONLY | Libc.O_CLOEXEC, 0);
            MountNamespaces.Make(own, make);
            ulong back = (ulong)maker.Run(make)[0];
            List<ProcessImage> members = [.. Living.Where(process => process.MountNamespace == own.Id)];
            foreach (ProcessImage member in members.Where(member => member.Pid != own.Maker))
            {
                SyscallTape tape = stubs[member.Pid].NewTape();
                MountNamespaces.Enter(own.Maker, tape);
                stubs[member.Pid].Run(tape);
            }

            SyscallTape leave = maker.NewTape();
            if (!members.Exists(member => member.Pid == own.Maker))
            {
                leave.Add("back into the application's mount namespace", X64.Setns, back, MountNamespaces.CLONE_NEWNS);
            }

            leave.Add("closing a mount namespace", X64.Close, back);
            maker.Run(leave);
        }
    }

    /// <summary>How far the application's CLOCK_MONOTONIC has gone on since a process was captured, nanoseconds.</summary>
    private long SinceCapture(ProcessImage process) =>
        Math.Max(0, Image.Host.Monotonic + (Libc.Nanoseconds(Libc.CLOCK_MONOTONIC) - clocksBegan) - process.CapturedAt);

    private static List<Tracee> MakeThreads(Stub stub, ProcessImage process)
    {
        List<Tracee> made = [stub.Thread];
        // Its threads inherit both: the filters, and that they are not asked until the process goes.
        SetFilters(stub, stub.Thread, process.SeccompFilters);

        if (process.Threads.Count == 1)
        {
            return made;
        }

        SyscallTape births = stub.NewTape();
        foreach (ThreadImage thread in process.Threads.Skip(1))
        {
            const ulong flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM;
            births.Add($"making thread {thread.Tid}", X64.Clone3, births.Place(CloneArguments(births, flags, 0, [thread.Tid, .. thread.NestedTids])), 88);
        }

        List<int> born = [];
        stub.Run(births, born.Add);
        foreach (int tid in born)
        {
            Tracee thread = Tracee.Inherited(stub.HostPid, tid);
            AwaitBirth(thread);
            made.Add(thread);
        }

        return made;
    }

    private static bool HasFilters(ProcessImage process) => process.SeccompFilters.Count > 0 || process.Threads.Any(thread => thread.SeccompFilters.Count > 0);

    private static void SetFilters(Stub stub, Tracee thread, IReadOnlyList<SeccompFilterImage> filters)
    {
        foreach (SeccompFilterImage filter in filters)
        {
            PtraceCall.SetOptionsOrThrow(thread.Tid, Stub.TraceOptions | PtraceCall.OptionSuspendSeccomp);
            SyscallTape tape = stub.NewTape();
            SeccompFilters.Restore(filter, tape);
            stub.Run(thread, tape);
        }
    }

    private static void WriteOwn(Stub stub, string file, string value)
    {
        try
        {
            File.WriteAllText($"/proc/{stub.HostPid}/{file}", value);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new BridgeException("restore.attribute", $"setting {file} of process {stub.HostPid} to {value}", e.Message, "run as root or with CAP_SYS_RESOURCE");
        }
    }

    /// <summary>The last steps of a process: waits are entered again, the arena goes, and every thread gets its registers.</summary>
    private void FinishProcess(ProcessImage process, Stub stub, List<Tracee> made)
    {
        List<UserRegisters> final = [];
        for (int i = 0; i < made.Count; i++)
        {
            UserRegisters registers = MemoryMarshal.Read<UserRegisters>(process.Threads[i].Registers);
            final.Add(process.Threads[i].RemainingWait is { } remaining ? EnterWait(process, stub, made[i], registers, remaining) : Interruption.Resolve(registers));
        }

        // The breakpoint that ends a tape would have reset this action, had it been to ignore.
        ulong instruction = vdsoSyscalls[stub.HostPid];
        SignalActionImage? trap = process.SignalActions.FirstOrDefault(action => action.Signal == Libc.SIGTRAP);
        stub.Memory.Write(area.Data, SignalActions.KernelForm(trap));
        stub.CallOnce(instruction, X64.RtSigaction, Libc.SIGTRAP, area.Data, 0, 8);
        stub.CallOnce(instruction, X64.Munmap, area.Arena, WorkArea.ArenaSize);
        if (Interruption.RestartCode(final[0]) != 0)
        {
            // Only a stop of this kind makes the kernel go on with its restart block.
            stub.Thread.RunToInterruptStop();
        }

        for (int i = 0; i < made.Count; i++)
        {
            PtraceCall.SetExtendedState(made[i].Tid, process.Threads[i].ExtendedState);
            PtraceCall.SetRegisters(made[i].Tid, final[i]);
            PtraceCall.SetSignalMask(made[i].Tid, process.Threads[i].SignalMask);
        }
    }

    /// <summary>
    /// Makes the thread begin its timed wait again, with what was left of it, and stops it at once: then the kernel holds a restart block of its own
    /// for it, as it did before, and the thread goes on through that.
    /// </summary>
    private UserRegisters EnterWait(ProcessImage process, Stub stub, Tracee thread, in UserRegisters image, long remaining)
    {
        remaining = remaining == SleepNotes.Forever ? remaining : Math.Max(0, remaining - SinceCapture(process));
        (long, long) time = Math.DivRem(remaining, 1_000_000_000);
        stub.Memory.Write(area.Data, time);
        UserRegisters call = image with { Rip = area.Arena + TapeInterpreter.SyscallOffset, Rax = image.OrigRax, OrigRax = ulong.MaxValue, Rsp = area.Arena + 0xff00 };
        switch (image.OrigRax)
        {
            case X64.Nanosleep:
                call.Rdi = area.Data;
                break;
            case X64.ClockNanosleep:
                call.Rdx = area.Data;
                break;
            case X64.Futex:
                call.R10 = area.Data;
                break;
            case X64.Poll:
                call.Rdx = remaining == SleepNotes.Forever ? ulong.MaxValue : (ulong)Math.Min(remaining / 1_000_000 + 1, int.MaxValue);
                break;
        }

        PtraceCall.SetRegisters(thread.Tid, call);
        thread.RunToSyscallStop();
        thread.RunToInterruptStop();
        UserRegisters after = PtraceCall.GetRegisters(thread.Tid);
        return Interruption.RestartCode(after) == Errno.ERESTART_RESTARTBLOCK
            ? image with { OrigRax = X64.RestartSyscall }

            // It needed no waiting any more: the call has its result.
            : image with { Rax = after.Rax, OrigRax = ulong.MaxValue };
    }

    private static string Coverage(IEnumerable<(ulong Start, ulong End, int Protection, bool Shared)> areas)
    {
        // The kernel joins neighbours that are alike, or keeps apart what differs in ways that do not show: compare what is covered, and how.
        List<string> lines = [];
        (ulong Start, ulong End, int Protection, bool Shared)? open = null;
        foreach ((ulong Start, ulong End, int Protection, bool Shared) next in areas)
        {
            if (open is { } last && last.End == next.Start && last.Protection == next.Protection && last.Shared == next.Shared)
            {
                open = last with { End = next.End };
                continue;
            }

            if (open is { } done)
            {
                lines.Add($"{done.Start:x}-{done.End:x} {done.Protection}{(done.Shared ? 's' : 'p')}");
            }

            open = next;
        }

        if (open is { } final)
        {
            lines.Add($"{final.Start:x}-{final.End:x} {final.Protection}{(final.Shared ? 's' : 'p')}");
        }

        return string.Join('\n', lines);
    }

    private static void Expect<T>(ProcessImage process, string what, T expected, T found)
    {
        if (!EqualityComparer<T>.Default.Equals(expected, found))
        {
            throw new BridgeException("restore.verify", $"comparing process {process.Pid} with its image", $"{what} is {found}, expected {expected}", "report this");
        }
    }
}
