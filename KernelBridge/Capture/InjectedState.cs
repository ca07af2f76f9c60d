using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Ptrace;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Capture;

/// <summary>What a thread is asked by calls made inside it, and by ptrace.</summary>
internal sealed unsafe class InjectedState : IProcessState
{
    private const int PR_GET_PDEATHSIG = 2, PR_GET_DUMPABLE = 3, PR_GET_SECUREBITS = 27, PR_GET_TIMERSLACK = 30, PR_MCE_KILL_GET = 34, PR_GET_CHILD_SUBREAPER = 37, PR_GET_TID_ADDRESS = 40,
        PR_GET_THP_DISABLE = 42, PR_GET_IO_FLUSHER = 58, PR_GET_MDWE = 66, PR_GET_MEMORY_MERGE = 68, MEMBARRIER_GET_REGISTRATIONS = 512;

    private static readonly Question alternateStack = new(at => new InjectedCall(X64.Sigaltstack, 0, at), sizeof(AlternateStack)),
        clearTidAddress = Prctl(PR_GET_TID_ADDRESS, sizeof(ulong)), parentDeathSignal = Prctl(PR_GET_PDEATHSIG, sizeof(int)), timerSlack = Prctl(PR_GET_TIMERSLACK),
        secureBits = Prctl(PR_GET_SECUREBITS), dumpable = Prctl(PR_GET_DUMPABLE), programBreak = new(_ => new InjectedCall(X64.Brk)),
        childSubreaper = Prctl(PR_GET_CHILD_SUBREAPER, sizeof(int)), hugePagesDisabled = Prctl(PR_GET_THP_DISABLE), machineCheckPolicy = Prctl(PR_MCE_KILL_GET),
        denyWriteExecute = Prctl(PR_GET_MDWE), memoryMerge = Prctl(PR_GET_MEMORY_MERGE), ioFlusher = Prctl(PR_GET_IO_FLUSHER),
        membarrierRegistrations = new(_ => new InjectedCall(X64.Membarrier, MEMBARRIER_GET_REGISTRATIONS));

    private static readonly Question[] intervalTimers = [.. Enumerable.Range(0, 3).Select(which => new Question(at => new InjectedCall(X64.Getitimer, (ulong)which, at), sizeof(TimerTimes)))];

    private static readonly Question[] ofThread = [alternateStack, clearTidAddress, parentDeathSignal, timerSlack, secureBits, dumpable, MemoryPolicies.OfThread];

    private static readonly Question[] ofProcess =
    [
        .. ofThread, programBreak, childSubreaper, hugePagesDisabled, machineCheckPolicy, denyWriteExecute, memoryMerge, ioFlusher, membarrierRegistrations, .. intervalTimers,
    ];

    private readonly int tid;
    private readonly InjectedCalls calls;
    private readonly TaskIterator? iterator;

    /// <summary>Begins to ask; what needs no call in the thread is better done before the first answer is read.</summary>
    /// <param name="tid">As the host sees it.</param>
    /// <param name="calls">Calls in it.</param>
    /// <param name="stand">What ptrace has told of it.</param>
    /// <param name="first">It is the first of its process, and asked what belongs to that.</param>
    /// <param name="iterator">Tells of the process what the kernel knows; null where the thread is to be asked all.</param>
    public InjectedState(int tid, InjectedCalls calls, ThreadStand stand, bool first, TaskIterator? iterator = null)
    {
        this.iterator = iterator;
        this.tid = tid;
        this.calls = calls;
        Rseq = stand.Rseq;
        PendingSignals = stand.PendingSignals;
        SharedSignals = first ? PtraceCall.PeekSignals(tid, shared: true) : [];
        calls.BeginToAnswer(first ? ofProcess : ofThread);
    }

    public IReadOnlyList<byte[]> PendingSignals { get; }

    public IReadOnlyList<byte[]> SharedSignals { get; }

    public AlternateStack AlternateStack => Ask<AlternateStack>(alternateStack);

    public ulong ClearTidAddress => Ask<ulong>(clearTidAddress);

    public int ParentDeathSignal => Ask<int>(parentDeathSignal);

    public long TimerSlack => Result(timerSlack);

    public (ulong Head, ulong Length) RobustList
    {
        get
        {
            ulong head, length;
            return Libc.get_robust_list(tid, &head, &length) < 0 ? (0, 24) : (head, length);
        }
    }

    public RseqConfiguration Rseq { get; }

    public int SecureBits => (int)Result(secureBits);

    public int Dumpable => (int)Result(dumpable);

    public MemoryPolicyImage? MemoryPolicy => MemoryPolicies.Ask(calls);

    public ulong Break => (ulong)Result(programBreak);

    public bool ChildSubreaper => Ask<int>(childSubreaper) != 0;

    public bool HugePagesDisabled => Result(hugePagesDisabled) == 1;

    public int MachineCheckPolicy => (int)Result(machineCheckPolicy);

    public long MemoryDenyWriteExecute => Math.Max(0, Result(denyWriteExecute));

    public bool MemoryMerge => Result(memoryMerge) == 1;

    public bool IoFlusher => Result(ioFlusher) == 1;

    public int? MembarrierRegistrations => Result(membarrierRegistrations) is >= 0 and var barriers ? (int)barriers : null;

    public IReadOnlyList<int> ProtectionKeys(int pid, IReadOnlyList<Area> areas) => Resources.ProtectionKeys.Capture(pid, areas, calls);

    public IReadOnlyList<AioContextImage> AioContexts(ProcessView view, IReadOnlyList<Area> areas) => Resources.AioContexts.Capture(view, areas, calls);

    public IReadOnlyList<SignalActions.KernelAction> SignalActions(IReadOnlyList<int> signals)
    {
        if (iterator?.Actions(tid) is { } known)
        {
            return [.. signals.Select(signal => known[signal - 1])];
        }

        byte[]? all = calls.AskAll(X64.RtSigaction, signals, sizeof(SignalActions.KernelAction));
        return all is not null
            ? MemoryMarshal.Cast<byte, SignalActions.KernelAction>(all).ToArray()
            : [.. signals.Select(signal => calls.Ask<SignalActions.KernelAction>(X64.RtSigaction, (ulong)signal, 0, calls.Scratch, 8))];
    }

    public (long Left, long Interval) IntervalTimer(int which)
    {
        TimerTimes value = Ask<TimerTimes>(intervalTimers[which]);
        return ((value.Seconds * 1_000_000) + value.Fraction, (value.IntervalSeconds * 1_000_000) + value.IntervalFraction);
    }

    public (long Left, long Interval) PosixTimer(int id)
    {
        TimerTimes value = calls.Ask<TimerTimes>(X64.TimerGettime, (ulong)id, calls.Scratch);
        return (PosixTimers.Nanoseconds(value.Seconds, value.Fraction), PosixTimers.Nanoseconds(value.IntervalSeconds, value.IntervalFraction));
    }

    public long AnsweredAt => Libc.Nanoseconds(Libc.CLOCK_MONOTONIC);

    private static Question Prctl(ulong option, int size = 0) => new(at => new InjectedCall(X64.Prctl, option, size > 0 ? at : 0), size);

    private long Result(Question question) => calls.Answer(question).Result;

    private T Ask<T>(Question question)
        where T : unmanaged
    {
        (long result, ReadOnlyMemory<byte> bytes) = calls.Answer(question);
        return result < 0
            ? throw new BridgeException("inject.failed", $"system call {question.Call(0).Number} inside thread {tid}", Errno.Text((int)-result))
            : MemoryMarshal.Read<T>(bytes.Span);
    }
}

/// <summary>What ptrace tells of a thread that stands, before it is asked anything.</summary>
/// <param name="Rseq">rseq(2).</param>
/// <param name="ExtendedState">XSAVE area.</param>
/// <param name="SignalMask">Its mask.</param>
/// <param name="PendingSignals">Signals that wait for itself.</param>
internal sealed record ThreadStand(RseqConfiguration Rseq, byte[] ExtendedState, ulong SignalMask, IReadOnlyList<byte[]> PendingSignals)
{
    public static ThreadStand Of(int tid) => new(PtraceCall.GetRseq(tid), PtraceCall.GetExtendedState(tid), PtraceCall.GetSignalMask(tid), PtraceCall.PeekSignals(tid, shared: false));
}

/// <summary><c>struct itimerval</c> of setitimer(2) and <c>struct itimerspec</c> of timer_settime(2): seconds and parts of them.</summary>
internal struct TimerTimes
{
    public long IntervalSeconds;
    public long IntervalFraction;
    public long Seconds;
    public long Fraction;
}
