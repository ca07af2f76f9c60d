using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Ptrace;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Capture;

/// <summary>What the kernel itself has told of a thread that is not the first of its process, and which so need not be asked anything: it stands all the time.</summary>
/// <param name="record">What the kernel has told.</param>
/// <param name="stand">What ptrace has told.</param>
/// <param name="dumpable">PR_GET_DUMPABLE of prctl(2), which is that of the process.</param>
internal sealed class RecordedState(TaskRecord record, ThreadStand stand, int dumpable) : IThreadState
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
