using Holdfast.KernelBridge.Ptrace;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Capture;

/// <summary>
/// What is asked of a thread that stands and procfs does not show: of the thread itself, by calls made inside it (<see cref="InjectedState"/>), of the kernel
/// (<see cref="RecordedState"/>), or of the kernel module (<see cref="CharDevice.DeviceThread"/>).
/// </summary>
internal interface IThreadState
{
    /// <summary>sigaltstack(2).</summary>
    AlternateStack AlternateStack { get; }

    /// <summary>PR_GET_TID_ADDRESS of prctl(2).</summary>
    ulong ClearTidAddress { get; }

    /// <summary>PR_GET_PDEATHSIG of prctl(2).</summary>
    int ParentDeathSignal { get; }

    /// <summary>PR_GET_TIMERSLACK of prctl(2), nanoseconds.</summary>
    long TimerSlack { get; }

    /// <summary>get_robust_list(2).</summary>
    (ulong Head, ulong Length) RobustList { get; }

    /// <summary>rseq(2); a zero pointer when there is none.</summary>
    RseqConfiguration Rseq { get; }

    /// <summary>PR_GET_SECUREBITS of prctl(2).</summary>
    int SecureBits { get; }

    /// <summary>PR_GET_DUMPABLE of prctl(2).</summary>
    int Dumpable { get; }

    /// <summary>get_mempolicy(2); null for the default policy.</summary>
    MemoryPolicyImage? MemoryPolicy { get; }

    /// <summary>Signals that wait for the thread, with their siginfo of 128 bytes each, oldest first.</summary>
    IReadOnlyList<byte[]> PendingSignals { get; }
}

/// <summary>What belongs to the process, and is asked of its first thread.</summary>
internal interface IProcessState : IThreadState
{
    /// <summary>Signals that wait for the process, as <see cref="IThreadState.PendingSignals"/>.</summary>
    IReadOnlyList<byte[]> SharedSignals { get; }

    /// <summary>brk(2).</summary>
    ulong Break { get; }

    /// <summary>PR_GET_CHILD_SUBREAPER of prctl(2).</summary>
    bool ChildSubreaper { get; }

    /// <summary>PR_GET_THP_DISABLE of prctl(2).</summary>
    bool HugePagesDisabled { get; }

    /// <summary>PR_MCE_KILL_GET of prctl(2).</summary>
    int MachineCheckPolicy { get; }

    /// <summary>PR_GET_MDWE of prctl(2); 0 where the kernel does not know it.</summary>
    long MemoryDenyWriteExecute { get; }

    /// <summary>PR_GET_MEMORY_MERGE of prctl(2).</summary>
    bool MemoryMerge { get; }

    /// <summary>PR_GET_IO_FLUSHER of prctl(2).</summary>
    bool IoFlusher { get; }

    /// <summary>MEMBARRIER_CMD_GET_REGISTRATIONS of membarrier(2); null where nobody tells.</summary>
    int? MembarrierRegistrations { get; }

    /// <summary>Protection keys that the process has allocated (pkey_alloc(2)), ascending, without the one that all memory begins with.</summary>
    /// <param name="pid">The process.</param>
    /// <param name="areas">Its memory.</param>
    IReadOnlyList<int> ProtectionKeys(int pid, IReadOnlyList<Area> areas);

    /// <summary>Contexts of Linux AIO (io_setup(2)), with the events that wait in them.</summary>
    /// <param name="view">The process.</param>
    /// <param name="areas">Its memory.</param>
    IReadOnlyList<AioContextImage> AioContexts(ProcessView view, IReadOnlyList<Area> areas);

    /// <summary>rt_sigaction(2) for several signals.</summary>
    IReadOnlyList<SignalActions.KernelAction> SignalActions(IReadOnlyList<int> signals);

    /// <summary>getitimer(2), microseconds.</summary>
    /// <param name="which">ITIMER_REAL, ITIMER_VIRTUAL, ITIMER_PROF: 0 to 2.</param>
    (long Left, long Interval) IntervalTimer(int which);

    /// <summary>timer_gettime(2), nanoseconds.</summary>
    (long Left, long Interval) PosixTimer(int id);

    /// <summary>When timers were last asked, or a little later: of this host's CLOCK_MONOTONIC, nanoseconds.</summary>
    long AnsweredAt { get; }
}

/// <summary><c>stack_t</c> of sigaltstack(2).</summary>
internal struct AlternateStack
{
    public ulong Pointer;
    public int Flags;
    public ulong Size;
}
