using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Ptrace;
using Holdfast.KernelBridge.Resources;
using Holdfast.KernelBridge.Spaces;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Restore;

/// <summary>The process tree.</summary>
internal sealed partial class PtraceRestore
{
    private const ulong CLONE_VM = 0x100, CLONE_FS = 0x200, CLONE_FILES = 0x400, CLONE_SIGHAND = 0x800, CLONE_PARENT = 0x8000, CLONE_THREAD = 0x10000, CLONE_SYSVSEM = 0x40000,
        CLONE_NEWPID = 0x20000000;

    public void BuildProcesses()
    {
        if (plan.Root is null)
        {
            throw new BridgeException(plan.Refusals);
        }

        foreach ((string path, long size) in request.Rehearse ? [] : checks.Truncations)
        {
            using FileStream file = new(path, FileMode.Open, FileAccess.Write);
            file.SetLength(size);
        }

        BeginClocks();
        Stub root = Stub.Adopt(StartRoot(), area);
        stubs[plan.Root.Pid] = root;
        PrepareRoot(root);
        PlanInheritance(root);
        BuildChildren(plan.Root, root);
        JoinGroups();
        BuildInside();
        SetForegroundGroups();
        EndHelpers(plan.Root);
        EndZombies();
    }

    /// <summary>From now on the application's clocks go on.</summary>
    private void BeginClocks()
    {
        clocksBegan = Libc.Nanoseconds(Libc.CLOCK_MONOTONIC);
        context.ClocksBegan = clocksBegan;
    }

    private int StartRoot()
    {
        if (Image.Scope == ApplicationScope.Tree)
        {
            tree = Space.StartStub(new StubRequest
            {
                StandardStreams = request.StandardStreams, WantedPid = Image.Processes[0].Pid, OwnSession = request.Detach,
            });
            return tree.Pid;
        }

        SpaceRequest wanted = new()
        {
            Mode = SpaceMode.Build, Name = request.Name, StateDirectory = request.StateDirectory, Detach = request.Detach,
            StandardStreams = request.StandardStreams, HostName = Image.HostName, WantedPid = plan.Root!.Pid,
        };
        wanted = wanted with { Isolate = new HashSet<string>([.. Image.Isolated ?? ["uts", "ipc", "time"], "pid", "mount"]) };
        if (wanted.Isolate.Contains("time"))
        {
            // What is left of timers and waits is counted from the very moment for which the space's clocks are set.
            BeginClocks();
            // A space's offsets count from the clocks of the machine, and so do those of a time namespace that Holdfast itself is in.
            (long monotonic, long boottime) = HostFacts.NamespaceOffsets("self");
            wanted = wanted with
            {
                MonotonicOffset = Offset(Image.Host.Monotonic + monotonic, clocksBegan),
                BootTimeOffset = Offset(Image.Host.Boottime + boottime, Libc.Nanoseconds(Libc.CLOCK_BOOTTIME)),
            };
        }

        space = Space.Start(wanted);
        BeginIpcLimits(space.MainPid);
        NetworkInterfaces.Restore(Image.Interfaces, space.MainPid);
        return space.MainPid;
    }

    /// <summary>What a clock of the space must be ahead of ours so that it goes on where it was.</summary>
    private static ClockOffset Offset(long was, long now)
    {
        long offset = was - now;
        long seconds = Math.DivRem(offset, 1_000_000_000, out long nanoseconds);
        return nanoseconds < 0 ? new ClockOffset(seconds - 1, (int)nanoseconds + 1_000_000_000) : new ClockOffset(seconds, (int)nanoseconds);
    }

    private void BuildChildren(BuildNode node, Stub stub)
    {
        Bequeath(node.Pid, stub);
        SyscallTape tape = stub.NewTape();
        List<BuildNode> children = [.. node.Before, .. node.After];
        foreach (BuildNode child in node.Before)
        {
            AddClone(tape, child);
        }

        if (node.LeadsSession && ProcessStatus.Read(stub.HostPid).Innermost("NSsid") != node.Numbers[^1])
        {
            tape.Add($"new session of process {node.Pid}", X64.Setsid);
        }

        AddControllingTerminal(tape, node.Pid);

        foreach (BuildNode child in node.After)
        {
            AddClone(tape, child);
        }

        BearChildren(stub, tape, children);
    }

    /// <summary>Runs a tape that makes processes, and has these make theirs.</summary>
    private void BearChildren(Stub stub, SyscallTape tape, IReadOnlyList<BuildNode> children)
    {
        List<int> born = [];
        stub.Run(tape, host =>
        {
            // Known from its birth on, so that a failure in between leaves none behind.
            stubs[children[born.Count].Pid] = new Stub(Tracee.Inherited(host, host), area);
            born.Add(host);
        });
        foreach (BuildNode child in children)
        {
            AwaitBirth(stubs[child.Pid].Thread);
            BuildChildren(child, stubs[child.Pid]);
        }
    }

    /// <summary>
    /// Makes those who are in pid namespaces inside the application's: outer namespaces first, so that a namespace begins when all around it stands, process groups included,
    /// of which its members may be in some that they do not see.
    /// </summary>
    private void BuildInside()
    {
        foreach (IGrouping<int, (BuildNode Maker, BuildNode Child)> level in plan.Inside.GroupBy(entry => entry.Child.Numbers.Count - 1))
        {
            foreach ((BuildNode maker, BuildNode child) in level)
            {
                Stub stub = stubs[maker.Pid];
                SyscallTape tape = stub.NewTape();
                bool begins = child.Numbers[^1] == 1;
                if (!begins)
                {
                    int init = Image.Processes.First(process => process.Pid == child.Pid).Nested[^1].Namespace;
                    PidNamespaces.EnterForChildren(tape, PidNumbers.OfProcess(Image, Image.Processes.First(process => process.Pid == maker.Pid), init));
                }

                AddClone(tape, child, begins ? CLONE_NEWPID : 0);
                if (!begins)
                {
                    PidNamespaces.EnterForChildren(tape, maker.Numbers[^1]);
                }

                if (child.BirthGroup != 0)
                {
                    tape.Add($"process group in which process {child.Pid} begins", X64.Setpgid, (ulong)child.Numbers[maker.Numbers.Count - 1], (ulong)child.BirthGroup);
                }

                BearChildren(stub, tape, [child]);
            }

            JoinGroups();
        }
    }

    private static void AddClone(SyscallTape tape, BuildNode child, ulong flags = 0)
    {
        flags |= child.SiblingOfCreator ? CLONE_PARENT : 0;
        ulong exitSignal = child.Helper || child.SiblingOfCreator ? 0ul : Libc.SIGCHLD;
        tape.Add($"making process {child.Pid}", X64.Clone3, tape.Place(CloneArguments(tape, flags, exitSignal, child.Numbers)), 88);
    }

    /// <summary><c>struct clone_args</c> of include/uapi/linux/sched.h with wanted numbers.</summary>
    /// <param name="tape">The tape.</param>
    /// <param name="flags">CLONE_*.</param>
    /// <param name="exitSignal">What the parent gets.</param>
    /// <param name="numbers">Those that it must get, from the application's pid namespace to its own: the kernel wants the innermost first.</param>
    private static byte[] CloneArguments(SyscallTape tape, ulong flags, ulong exitSignal, IEnumerable<int> numbers)
    {
        int[] wanted = [.. numbers.Reverse()];
        ulong[] words = new ulong[11];
        words[0] = flags;
        words[4] = exitSignal;
        words[8] = tape.Place(MemoryMarshal.AsBytes<int>(wanted));
        words[9] = (ulong)wanted.Length;
        return MemoryMarshal.AsBytes<ulong>(words).ToArray();
    }

    private static void AwaitBirth(Tracee thread)
    {
        while (true)
        {
            WaitStatus status = thread.Wait();
            if (status.Ended)
            {
                throw new BridgeException("restore.stub", $"waiting for new process {thread.Tid}", "it ended");
            }

            if (status.Event == PtraceCall.EventStop)
            {
                return;
            }

            _ = PtraceCall.Continue(thread.Tid);
        }
    }

    /// <summary>Lets those join their process groups who are there by now, with the groups' leaders; in the order of the plan.</summary>
    private void JoinGroups()
    {
        foreach ((int pid, int group) in plan.Groups.Where(member => stubs.ContainsKey(member.Pid) && stubs.ContainsKey(member.Group) && joined.Add(member)))
        {
            SyscallTape tape = stubs[pid].NewTape();
            ulong number = pid == group ? 0 : (ulong)PidNumbers.OfGroup(Image, Image.Processes.First(process => process.Pid == pid), group);
            tape.Add($"process group {group} of process {pid}", X64.Setpgid, 0, number);
            stubs[pid].Run(tape);
        }
    }

    private readonly HashSet<(int Pid, int Group)> joined = [];

    /// <summary>Helpers end from the leaves up, each reaped by its maker so that nothing of it is left.</summary>
    private void EndHelpers(BuildNode node)
    {
        foreach (BuildNode child in (IEnumerable<BuildNode>)[.. node.Before, .. node.After, .. node.Inside])
        {
            EndHelpers(child);
            if (!child.Helper)
            {
                continue;
            }

            End(child.Pid, child.Numbers[^1], 0);
            SyscallTape tape = stubs[node.Pid].NewTape();
            tape.Add($"reaping helper {child.Pid}", X64.Wait4, (ulong)child.Numbers[node.Numbers.Count - 1], 0, Libc.WALL, 0);
            stubs[node.Pid].Run(tape);
            stubs.Remove(child.Pid);
        }
    }

    private void EndZombies()
    {
        HashSet<int> parents = [];
        foreach (ProcessImage zombie in Image.Processes.Where(process => process.ZombieStatus is not null))
        {
            SyscallTape tape = stubs[zombie.Pid].NewTape();
            byte[] name = new byte[16];
            System.Text.Encoding.UTF8.GetBytes(zombie.Name).AsSpan(0, Math.Min(15, System.Text.Encoding.UTF8.GetByteCount(zombie.Name))).CopyTo(name);
            tape.Add("name", X64.Prctl, 15, tape.Place(name));

            // A signal that dumps core must not write one again.
            tape.Add("no core dump", X64.Prlimit64, 0, 4, tape.Place((0ul, 0ul)), 0);
            stubs[zombie.Pid].Run(tape);
            End(zombie.Pid, zombie.OwnPid, zombie.ZombieStatus!.Value);
            parents.Add(zombie.ParentPid);
            stubs.Remove(zombie.Pid);
        }

        foreach (Stub parent in parents.Where(stubs.ContainsKey).Select(pid => stubs[pid]))
        {
            // The deaths just made are old news to the application.
            SyscallTape tape = parent.NewTape();
            JobControl.ForgetChildSignal(tape);
            parent.Run(tape);
        }
    }

    /// <summary>Stops those that job control had stopped, and lets their parents know what they knew.</summary>
    private void StopByJobControl(Dictionary<int, List<Tracee>> all)
    {
        foreach (ProcessImage process in Living.Where(process => process.StoppedBy != 0))
        {
            JobControl.Stop(process, all[process.Pid]);
            if (stubs.TryGetValue(process.ParentPid, out Stub? parent))
            {
                SyscallTape tape = parent.NewTape();
                JobControl.Report(process, PidNumbers.OfProcess(Image, Image.Processes.First(its => its.Pid == process.ParentPid), process.Pid), tape);
                parent.Run(tape);
            }
        }
    }

    /// <summary>Ends a stub with a status as wait(2) reports it.</summary>
    /// <param name="pid">Its number in the application's pid namespace.</param>
    /// <param name="own">Its number in its own.</param>
    /// <param name="status">The status.</param>
    private void End(int pid, int own, int status)
    {
        Tracee thread = stubs[pid].Thread;
        int signal = status & 0x7f;
        if (own == 1 && signal == Libc.SIGKILL)
        {
            // The init of a namespace can only be killed from outside.
            _ = Libc.kill(thread.Pid, Libc.SIGKILL);
            while (!thread.Gone)
            {
                _ = thread.Wait();
            }

            stubs[pid].Dispose();
            return;
        }

        PtraceCall.SetSignalMask(thread.Tid, 0);
        UserRegisters registers = PtraceCall.GetRegisters(thread.Tid) with
        {
            Rip = area.Arena + TapeInterpreter.SyscallOffset,
            OrigRax = ulong.MaxValue,
            Rax = signal == 0 ? (ulong)X64.ExitGroup : X64.Kill,
            Rdi = signal == 0 ? (ulong)(status >> 8 & 0xff) : (ulong)own,
            Rsi = (ulong)signal,
        };
        PtraceCall.SetRegisters(thread.Tid, registers);
        while (!thread.Gone)
        {
            WaitStatus stop = thread.RunToStop();
            while (!stop.Ended && stop.Event == 0 && stop.Signal == signal)
            {
                _ = PtraceCall.Continue(thread.Tid, signal);
                stop = thread.Wait();
            }
        }

        stubs[pid].Dispose();
    }
}
