using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Ptrace;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.CharDevice;

/// <summary>What CKPT_STATE says of a thread that stands, and of the process that it belongs to.</summary>
/// <param name="process">Its process.</param>
/// <param name="record">The record of the thread.</param>
internal sealed class DeviceThread(DeviceState process, CkptStructures.Thread record) : IProcessState
{
    /// <summary>Bytes of <c>struct robust_list_head</c>, the only length that the kernel takes.</summary>
    private const ulong RobustListLength = 24;

    private const int SI_KERNEL = 0x80;

    private CkptStructures.Thread record = record;

    /// <summary>Its number in the session's pid namespace: the host's.</summary>
    public int Tid => record.Tid;

    /// <summary>CKPT_THREAD_….</summary>
    public uint Flags => record.Flags;

    /// <summary>Which table of descriptors it has: the same number for the same one.</summary>
    public ulong Files => record.Files;

    /// <summary>The same of its directories.</summary>
    public ulong Directories => record.Directories;

    /// <summary>Its registers.</summary>
    public UserRegisters Registers { get; private set; }

    /// <summary>Its extended state.</summary>
    public byte[] ExtendedState { get; private set; } = [];

    /// <summary>Its signal mask.</summary>
    public ulong SignalMask => record.Blocked;

    /// <summary>Signals that wait for it.</summary>
    public List<byte[]> Signals { get; } = [];

    /// <summary>A signal that its tracer decides on.</summary>
    public byte[]? HeldByTracer { get; set; }

    /// <summary>Whether its tracer has made it stand at a breakpoint or after a step: it could not go on without him.</summary>
    public bool AtBreakpoint => HeldByTracer is { } signal && Number(signal) == Libc.SIGTRAP && Code(signal) > 0;

    /// <summary>CKPT_RESTART_….</summary>
    public uint Restart => record.Restart;

    /// <summary>What is left of the wait that the kernel would go on with, nanoseconds; null when it is in none that is known.</summary>
    public long? RemainingWait => record.Restart is CkptAbi.RestartNone or CkptAbi.RestartOther ? null
        : record.RestartExpires == ulong.MaxValue ? SleepNotes.Forever
        : Math.Max(0, (long)record.RestartExpires - Libc.Nanoseconds(record.RestartClock));

    public AlternateStack AlternateStack => new() { Pointer = record.AltstackBase, Size = record.AltstackSize, Flags = StackFlags() };

    public ulong ClearTidAddress => record.ClearChildTid;

    public int ParentDeathSignal => (int)record.ParentDeathSignal;

    public long TimerSlack => (long)record.TimerSlack;

    public (ulong Head, ulong Length) RobustList => (record.RobustList, RobustListLength);

    public RseqConfiguration Rseq => new() { Pointer = record.Rseq, Size = record.RseqSize, Signature = record.RseqSignature };

    public int SecureBits => (int)record.Securebits;

    public int Dumpable => (int)process.Process.Dumpable;

    public unsafe MemoryPolicyImage? MemoryPolicy
    {
        get
        {
            fixed (byte* nodes = record.PolicyNodes)
            {
                return MemoryPolicies.Image((int)record.Policy, new ReadOnlySpan<byte>(nodes, 128));
            }
        }
    }

    public ulong Break => process.Process.Brk;

    public bool ChildSubreaper => Has(CkptAbi.ProcessSubreaper);

    public bool HugePagesDisabled => Has(CkptAbi.ProcessNoHugePages);

    public int MachineCheckPolicy => (int)record.MachineCheck;

    // PR_MDWE_REFUSE_EXEC_GAIN 1, PR_MDWE_NO_INHERIT 2.
    public long MemoryDenyWriteExecute => (Has(CkptAbi.ProcessMdwe) ? 1 : 0) | (Has(CkptAbi.ProcessMdweNoInherit) ? 2 : 0);

    public bool MemoryMerge => Has(CkptAbi.ProcessMerge);

    public bool IoFlusher => (record.Flags & CkptAbi.ThreadIoFlusher) != 0;

    public int? MembarrierRegistrations => (int)process.Process.Membarrier;

    /// <summary>Takes a register set.</summary>
    public void Add(int note, ReadOnlySpan<byte> bytes)
    {
        if (note == X64.NotePrstatus)
        {
            Registers = MemoryMarshal.Read<UserRegisters>(bytes);
        }
        else if (note == X64.NoteExtendedState)
        {
            ExtendedState = bytes.ToArray();
        }
    }

    public IReadOnlyList<int> ProtectionKeys(int pid, IReadOnlyList<Area> areas) => [.. Enumerable.Range(1, 15).Where(key => (process.Process.ProtectionKeys & (1u << key)) != 0)];

    public IReadOnlyList<AioContextImage> AioContexts(ProcessView view, IReadOnlyList<Area> areas) => Resources.AioContexts.Capture(view, areas, process.Rings);

    public IReadOnlyList<byte[]> PendingSignals
    {
        get
        {
            // What a tracer has sent to make it stand is his; all else had been taken from the queue and comes first.
            bool taken = HeldByTracer is { } signal && !(Number(signal) == Libc.SIGSTOP && Code(signal) == SI_KERNEL);
            return taken ? [HeldByTracer!, .. Signals] : Signals;
        }
    }

    public IReadOnlyList<byte[]> SharedSignals => process.Signals;

    public IReadOnlyList<SignalActions.KernelAction> SignalActions(IReadOnlyList<int> signals) =>
        [.. signals.Select(signal => process.Actions.TryGetValue((uint)signal, out CkptStructures.Action action)
            ? new SignalActions.KernelAction { Handler = action.Handler, Flags = action.Flags, Restorer = action.Restorer, Mask = action.Mask }
            : default)];

    public (long Left, long Interval) IntervalTimer(int which) =>
        process.Timers.TryGetValue((uint)which, out CkptStructures.Timer timer) ? ((long)(timer.Value + 999) / 1000, (long)timer.Interval / 1000) : (0, 0);

    public (long Left, long Interval) PosixTimer(int id) =>
        process.PosixTimers.TryGetValue(id, out CkptStructures.PosixTimer timer) ? ((long)timer.Value, (long)timer.Interval) : (0, 0);

    public long AnsweredAt => process.ReadAt;

    private bool Has(uint flag) => (process.Process.Flags & flag) != 0;

    /// <summary>As sigaltstack(2) tells them: SS_DISABLE (2) where there is none, SS_ONSTACK (1) where it is in use, SS_AUTODISARM as it was asked for.</summary>
    private int StackFlags()
    {
        const int autodisarm = 1 << 31;
        int kept = (int)record.AltstackFlags & autodisarm;
        bool on = kept == 0 && record.AltstackSize != 0 && Registers.Rsp > record.AltstackBase && Registers.Rsp - record.AltstackBase <= record.AltstackSize;
        return kept | (record.AltstackSize == 0 ? 2 : on ? 1 : 0);
    }

    private static int Number(ReadOnlySpan<byte> signal) => MemoryMarshal.Read<int>(signal);

    // si_code is the third number.
    private static int Code(ReadOnlySpan<byte> signal) => MemoryMarshal.Read<int>(signal[8..]);
}
