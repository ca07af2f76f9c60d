using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Ptrace;
using Holdfast.KernelBridge.Spaces;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>Threads: registers, extended state, masks, alternate stacks, robust lists, rseq, scheduling.</summary>
internal static unsafe class Threads
{
    private const int RLIMIT_RTPRIO = 14;

    private const int PR_SET_PDEATHSIG = 1, PR_SET_NAME = 15, PR_SET_TIMERSLACK = 29;

    /// <summary>Captures one stopped thread.</summary>
    /// <param name="tid">As the host sees it.</param>
    /// <param name="status">Its /proc/…/status.</param>
    /// <param name="depth">How many pid namespaces lie between the application's and its own.</param>
    /// <param name="registers">Its registers, corrected for what the stop did (rseq, calls that ended early).</param>
    /// <param name="extendedState">Its extended state.</param>
    /// <param name="signalMask">Its mask.</param>
    /// <param name="state">What it is asked.</param>
    /// <param name="remaining">What is left of a timed wait that the kernel would go on with, nanoseconds.</param>
    public static ThreadImage Capture(
        int tid, ProcessStatus status, int depth, in UserRegisters registers, byte[] extendedState, ulong signalMask, IThreadState state, long? remaining)
    {
        (ulong head, ulong length) = state.RobustList;
        RseqConfiguration rseq = state.Rseq;
        byte[] scheduling = new byte[56];
        fixed (byte* p = scheduling)
        {
            if (Libc.sched_getattr(tid, p, 56) < 0)
            {
                throw new BridgeException("thread.scheduling", $"reading the scheduling of thread {tid}", Errno.Text(Libc.LastError));
            }
        }

        byte[] affinity = new byte[1024];
        long bytes;
        fixed (byte* p = affinity)
        {
            bytes = Libc.sched_getaffinity(tid, affinity.Length, p);
        }

        // struct sched_attr: policy at 4, niceness at 16, which it does not tell of real-time threads (SCHED_FIFO 1, SCHED_RR 2, SCHED_DEADLINE 6).
        int nice = BitConverter.ToUInt32(scheduling, 4) is 1 or 2 or 6 ? ProcessStat.TryReadThread(tid, tid)?.Nice ?? 0 : BitConverter.ToInt32(scheduling, 16);
        int priority = (int)Libc.ioprio_get(1, tid);

        // Asked last: by now the thread has answered.
        AlternateStack stack = state.AlternateStack;
        return new ThreadImage
        {
            Tid = status.Above("NSpid", depth),
            NestedTids = status.Numbers("NSpid")[^depth..],
            Name = status["Name"] ?? string.Empty,
            Registers = MemoryMarshal.AsBytes(new ReadOnlySpan<UserRegisters>(in registers)).ToArray(),
            ExtendedState = extendedState,
            SignalMask = signalMask,
            AltStackPointer = stack.Pointer, AltStackFlags = stack.Flags, AltStackSize = stack.Size,
            ClearTidAddress = state.ClearTidAddress,
            ParentDeathSignal = state.ParentDeathSignal,
            TimerSlack = state.TimerSlack,
            RobustListHead = head, RobustListLength = length,
            RseqPointer = rseq.Pointer, RseqSize = rseq.Size, RseqSignature = rseq.Signature,
            Scheduling = scheduling,
            Nice = nice,
            IoPriority = priority,
            Affinity = bytes > 0 ? affinity[..(int)bytes] : [],
            PendingSignals = state.PendingSignals,
            RemainingWait = remaining,
            Credentials = Credentials.Capture(status, state),
            MemoryPolicy = state.MemoryPolicy,
        };
    }

    /// <summary>A niceness or priority that an ordinary user may not give to a process; null when there is none.</summary>
    public static Refusal? CheckRestore(ProcessImage process)
    {
        if (!Authority.Own.IsOfNamespace)
        {
            return null;
        }

        int own = ProcessStat.Read(Environment.ProcessId).Nice;
        foreach (ThreadImage thread in process.Threads)
        {
            Refusal Refuse(string what, string why, string remedy) => new("rights.priority", process.Pid, null, $"{what} of thread {thread.Tid}", why, remedy);
            if (thread.Nice < own)
            {
                return Refuse($"niceness {thread.Nice}", $"that of this session is {own}, and only root may lower it", "restore from a session with that niceness, or as root");
            }

            // struct sched_attr: policy at 4 (SCHED_FIFO 1, SCHED_RR 2, SCHED_DEADLINE 6), priority at 20.
            if (thread.Scheduling.Length >= 24 && BitConverter.ToUInt32(thread.Scheduling, 4) is 1 or 2 or 6
                && (ulong)BitConverter.ToUInt32(thread.Scheduling, 20) is var priority && (priority == 0 || ResourceLimits.Own(RLIMIT_RTPRIO) < priority))
            {
                return Refuse($"real-time priority {priority}", "this session may not give it", "restore from a session that may (ulimit -r), or as root");
            }
        }

        return null;
    }

    /// <summary>Composes what a thread sets for itself, before its credentials.</summary>
    public static void Restore(ThreadImage image, SyscallTape tape)
    {
        byte[] name = new byte[16];
        System.Text.Encoding.UTF8.GetBytes(image.Name).AsSpan(0, Math.Min(15, System.Text.Encoding.UTF8.GetByteCount(image.Name))).CopyTo(name);
        tape.Add("thread name", X64.Prctl, PR_SET_NAME, tape.Place(name));
        tape.Add("clear-tid address", X64.SetTidAddress, image.ClearTidAddress);
        if (image.RobustListHead != 0)
        {
            tape.Add("robust list", X64.SetRobustList, image.RobustListHead, image.RobustListLength);
        }

        if (image.RseqPointer != 0)
        {
            tape.Add("rseq", X64.Rseq, image.RseqPointer, image.RseqSize, 0, image.RseqSignature);
        }

        if (image.AltStackPointer != 0 || image.AltStackSize != 0)
        {
            // SS_ONSTACK (1) is where the thread is, not what it asked for; SS_AUTODISARM stays.
            AlternateStack stack = new() { Pointer = image.AltStackPointer, Flags = image.AltStackFlags & ~1, Size = image.AltStackSize };
            tape.Add("alternate stack", X64.Sigaltstack, tape.Place(stack), 0);
        }

        if (image.TimerSlack > 0)
        {
            tape.Add("timer slack", X64.Prctl, PR_SET_TIMERSLACK, (ulong)image.TimerSlack);
        }

        if (image.Affinity.Length > 0)
        {
            // May name processors that this host lacks; the kernel then takes those that there are.
            tape.AddWith("affinity", X64.SchedSetaffinity, TapeFlags.MayFail, 0, (ulong)image.Affinity.Length, tape.Place(image.Affinity));
        }

        if (image.IoPriority > 0)
        {
            tape.Add("I/O priority", X64.IoprioSet, 1, 0, (ulong)image.IoPriority);
        }

        MemoryPolicies.Restore(image.MemoryPolicy, tape);

        // A real-time thread keeps a nice value for later, which sched_setattr does not take.
        tape.Add("nice", X64.Setpriority, 0, 0, (ulong)(long)image.Nice);
        tape.Add("scheduling", X64.SchedSetattr, 0, tape.Place(image.Scheduling), 0);
    }

    /// <summary>Composes what must follow the credentials, which clear it.</summary>
    /// <param name="image">The thread.</param>
    /// <param name="pid">Its process's number in the process's own pid namespace.</param>
    /// <param name="tape">The tape.</param>
    public static void RestoreAfterCredentials(ThreadImage image, int pid, SyscallTape tape)
    {
        if (image.ParentDeathSignal != 0)
        {
            tape.Add("parent-death signal", X64.Prctl, PR_SET_PDEATHSIG, (ulong)image.ParentDeathSignal);
        }

        SignalActions.Queue(tape, image.PendingSignals, pid, image.OwnTid);
    }
}

/// <summary>One thread of an image.</summary>
internal sealed record ThreadImage
{
    /// <summary>Number in the application's pid namespace.</summary>
    public required int Tid { get; init; }

    /// <summary>Its numbers in the pid namespaces inside that, down to its own.</summary>
    public IReadOnlyList<int> NestedTids { get; set; } = [];

    /// <summary>Its number in its own pid namespace.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public int OwnTid => NestedTids.Count > 0 ? NestedTids[^1] : Tid;

    public required string Name { get; init; }

    /// <summary><c>struct user_regs_struct</c>, as the thread stood; a restart code in rax included.</summary>
    public required byte[] Registers { get; init; }

    /// <summary>XSAVE area as NT_X86_XSTATE gives it.</summary>
    public required byte[] ExtendedState { get; init; }

    public required ulong SignalMask { get; init; }

    public required ulong AltStackPointer { get; init; }

    public required int AltStackFlags { get; init; }

    public required ulong AltStackSize { get; init; }

    public required ulong ClearTidAddress { get; init; }

    public required int ParentDeathSignal { get; init; }

    /// <summary>Nanoseconds.</summary>
    public required long TimerSlack { get; init; }

    public required ulong RobustListHead { get; init; }

    public required ulong RobustListLength { get; init; }

    public required ulong RseqPointer { get; init; }

    public required uint RseqSize { get; init; }

    public required uint RseqSignature { get; init; }

    /// <summary><c>struct sched_attr</c>.</summary>
    public required byte[] Scheduling { get; init; }

    /// <summary>−20…19.</summary>
    public required int Nice { get; init; }

    /// <summary>As ioprio_get(2) has it; 0 when none was set.</summary>
    public required int IoPriority { get; init; }

    /// <summary>CPU mask.</summary>
    public required byte[] Affinity { get; init; }

    /// <summary>Seccomp filters that it has beside those of all threads, the oldest first.</summary>
    public IReadOnlyList<SeccompFilterImage> SeccompFilters { get; set => field = value ?? []; } = [];

    /// <summary>Pending signals of the thread itself: siginfo of 128 bytes each.</summary>
    public required IReadOnlyList<byte[]> PendingSignals { get; init; }

    /// <summary>What is left of a timed wait that only the kernel's restart block knows, nanoseconds; null when the thread is in none.</summary>
    public required long? RemainingWait { get; init; }

    public required CredentialsImage Credentials { get; init; }

    /// <summary>From which NUMA nodes it gets memory; null for the default policy.</summary>
    public MemoryPolicyImage? MemoryPolicy { get; init; }
}
