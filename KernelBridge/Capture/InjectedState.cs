using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Ptrace;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Capture;

/// <summary>What a thread is asked by calls made inside it, and by ptrace.</summary>
/// <param name="tid">As the host sees it.</param>
/// <param name="calls">Calls in it.</param>
internal sealed unsafe class InjectedState(int tid, InjectedCalls calls) : IThreadState
{
    private const int PR_GET_PDEATHSIG = 2, PR_GET_DUMPABLE = 3, PR_GET_SECUREBITS = 27, PR_GET_TIMERSLACK = 30, PR_MCE_KILL_GET = 34, PR_GET_CHILD_SUBREAPER = 37, PR_GET_TID_ADDRESS = 40,
        PR_GET_THP_DISABLE = 42, PR_GET_IO_FLUSHER = 58, PR_GET_MDWE = 66, PR_GET_MEMORY_MERGE = 68, MEMBARRIER_GET_REGISTRATIONS = 512;

    public AlternateStack AlternateStack => calls.Ask<AlternateStack>(X64.Sigaltstack, 0, calls.Scratch);

    public ulong ClearTidAddress => calls.Ask<ulong>(X64.Prctl, PR_GET_TID_ADDRESS, calls.Scratch);

    public int ParentDeathSignal => calls.Ask<int>(X64.Prctl, PR_GET_PDEATHSIG, calls.Scratch);

    public long TimerSlack => calls.Call(X64.Prctl, PR_GET_TIMERSLACK);

    public (ulong Head, ulong Length) RobustList
    {
        get
        {
            ulong head, length;
            return Libc.get_robust_list(tid, &head, &length) < 0 ? (0, 24) : (head, length);
        }
    }

    public RseqConfiguration Rseq => PtraceCall.GetRseq(tid);

    public int SecureBits => (int)calls.Call(X64.Prctl, PR_GET_SECUREBITS);

    public int Dumpable => (int)calls.Call(X64.Prctl, PR_GET_DUMPABLE);

    public MemoryPolicyImage? MemoryPolicy => MemoryPolicies.Ask(calls);

    public ulong Break => (ulong)calls.Call(X64.Brk, 0);

    public bool ChildSubreaper => calls.Ask<int>(X64.Prctl, PR_GET_CHILD_SUBREAPER, calls.Scratch) != 0;

    public bool HugePagesDisabled => calls.Call(X64.Prctl, PR_GET_THP_DISABLE) == 1;

    public int MachineCheckPolicy => (int)calls.Call(X64.Prctl, PR_MCE_KILL_GET);

    public long MemoryDenyWriteExecute => Math.Max(0, calls.Call(X64.Prctl, PR_GET_MDWE));

    public bool MemoryMerge => calls.Call(X64.Prctl, PR_GET_MEMORY_MERGE) == 1;

    public bool IoFlusher => calls.Call(X64.Prctl, PR_GET_IO_FLUSHER) == 1;

    public int? MembarrierRegistrations => calls.Call(X64.Membarrier, MEMBARRIER_GET_REGISTRATIONS, 0, 0) is >= 0 and var barriers ? (int)barriers : null;

    public IReadOnlyList<int> ProtectionKeys(int pid, IReadOnlyList<Area> areas) => Resources.ProtectionKeys.Capture(pid, areas, calls);

    public IReadOnlyList<byte[]> PendingSignals(bool shared) => PtraceCall.PeekSignals(tid, shared);

    public IReadOnlyList<SignalActions.KernelAction> SignalActions(IReadOnlyList<int> signals)
    {
        byte[]? all = calls.AskAll(X64.RtSigaction, signals, sizeof(SignalActions.KernelAction));
        return all is not null
            ? MemoryMarshal.Cast<byte, SignalActions.KernelAction>(all).ToArray()
            : [.. signals.Select(signal => calls.Ask<SignalActions.KernelAction>(X64.RtSigaction, (ulong)signal, 0, calls.Scratch, 8))];
    }

    public (long Left, long Interval) IntervalTimer(int which)
    {
        TimerTimes value = calls.Ask<TimerTimes>(X64.Getitimer, (ulong)which, calls.Scratch);
        return ((value.Seconds * 1_000_000) + value.Fraction, (value.IntervalSeconds * 1_000_000) + value.IntervalFraction);
    }

    public (long Left, long Interval) PosixTimer(int id)
    {
        TimerTimes value = calls.Ask<TimerTimes>(X64.TimerGettime, (ulong)id, calls.Scratch);
        return (PosixTimers.Nanoseconds(value.Seconds, value.Fraction), PosixTimers.Nanoseconds(value.IntervalSeconds, value.IntervalFraction));
    }
}

/// <summary><c>struct itimerval</c> of setitimer(2) and <c>struct itimerspec</c> of timer_settime(2): seconds and parts of them.</summary>
internal struct TimerTimes
{
    public long IntervalSeconds;
    public long IntervalFraction;
    public long Seconds;
    public long Fraction;
}
