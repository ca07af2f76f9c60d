using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Ptrace;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Capture;

/// <summary>What the kernel itself has told of a thread, which so need not be asked anything: it stands all the time.</summary>
/// <param name="record">What the kernel has told.</param>
/// <param name="stand">What ptrace has told.</param>
/// <param name="dumpable">PR_GET_DUMPABLE of prctl(2), which is that of the process.</param>
internal class RecordedState(TaskRecord record, ThreadStand stand, int dumpable) : IThreadState
{
    private const int SS_DISABLE = 2;

    /// <summary>SS_AUTODISARM: all that may be asked for with an alternate stack.</summary>
    private const uint StackFlags = 1u << 31;

    /// <summary>sizeof(struct robust_list_head).</summary>
    private const ulong RobustListLength = 24;

    public AlternateStack AlternateStack => new()
    {
        Pointer = record.AlternateStackPointer,
        Size = record.AlternateStackSize,
        Flags = unchecked((int)((uint)record.AlternateStackFlags & StackFlags)) | (record.AlternateStackSize == 0 ? SS_DISABLE : 0),
    };

    public ulong ClearTidAddress => record.ClearTidAddress;

    public int ParentDeathSignal => (int)record.ParentDeathSignal;

    public long TimerSlack => (long)record.TimerSlack;

    public (ulong Head, ulong Length) RobustList => (record.RobustListHead, RobustListLength);

    public RseqConfiguration Rseq => stand.Rseq;

    public int SecureBits => (int)record.SecureBits;

    public int Dumpable => dumpable;

    /// <inheritdoc/>
    /// <remarks>A thread that has a policy of its own is asked for it.</remarks>
    public MemoryPolicyImage? MemoryPolicy => null;

    public IReadOnlyList<byte[]> PendingSignals => stand.PendingSignals;
}

/// <summary>What the kernel has told of the first thread of a process and of that process, where it has no timers, requests in flight, or anything else that only calls inside it show.</summary>
/// <param name="record">What the kernel has told.</param>
/// <param name="stand">What ptrace has told.</param>
/// <param name="answers">What others have answered in its place.</param>
/// <param name="actions">What it does on signals, from signal 1 on.</param>
internal sealed class RecordedProcess(TaskRecord record, ThreadStand stand, ProcessAnswers answers, IReadOnlyList<SignalActions.KernelAction> actions)
    : RecordedState(record, stand, answers.Dumpable), IProcessState
{
    public IReadOnlyList<byte[]> SharedSignals { get; } = PtraceCall.PeekSignals((int)record.Tid, shared: true);

    public ulong Break { get; } = record.Break;

    public bool ChildSubreaper => answers.ChildSubreaper;

    public bool HugePagesDisabled => answers.HugePagesDisabled;

    public int MachineCheckPolicy => answers.MachineCheckPolicy;

    public long MemoryDenyWriteExecute => answers.MemoryDenyWriteExecute;

    public bool MemoryMerge => answers.MemoryMerge;

    public bool IoFlusher => answers.IoFlusher;

    public int? MembarrierRegistrations => answers.MembarrierRegistrations;

    public long AnsweredAt => Libc.Nanoseconds(Libc.CLOCK_MONOTONIC);

    public IReadOnlyList<int> ProtectionKeys(int pid, IReadOnlyList<Area> areas) =>
        [.. Enumerable.Range(0, Resources.ProtectionKeys.Count).Where(key => (answers.ProtectionKeys >> key & 1) != 0)];

    public IReadOnlyList<AioContextImage> AioContexts(ProcessView view, IReadOnlyList<Area> areas) => [];

    public IReadOnlyList<SignalActions.KernelAction> SignalActions(IReadOnlyList<int> signals) => [.. signals.Select(signal => actions[signal - 1])];

    public (long Left, long Interval) IntervalTimer(int which) => (0, 0);

    public (long Left, long Interval) PosixTimer(int id) => throw new InvalidOperationException("It was told to have none.");
}
