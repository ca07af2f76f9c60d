using System.Buffers;
using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Ptrace;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Capture;

/// <summary>
/// System calls made inside a stopped thread, to ask for what procfs does not show. No code is written: the thread runs an existing
/// <c>syscall; ret</c> on a piece of stack that nobody uses, and below the return address lies a signal frame that holds its true state.
/// So a thread whose tracer dies at any moment returns from the call into rt_sigreturn and goes on where it was.
/// </summary>
/// <remarks>
/// Order is what makes it safe: frame written and checked, then registers, then the signal mask; at the end the mask, then the registers.
/// Completion is seen by system-call stops only. The last stop is one of PTRACE_INTERRUPT, since only there the kernel restarts an
/// interrupted call with its own restart block.
/// </remarks>
internal sealed partial class InjectedCalls : IDisposable
{
    /// <summary>Bytes of a slot for results, at its beginning.</summary>
    public const int ScratchSize = 1024;

    /// <summary>Bytes of a slot in which any call is made, and reserves memory: scratch, stack, frame with its extended state.</summary>
    public const int SlotSize = 20480;

    /// <summary>Bytes behind the scratch, up to the frame: the stack of calls that are made all at once; in a whole slot, and where a thread only answers what all are asked.</summary>
    private const int StackSize = 4096, SmallStackSize = 1536;

    private readonly Tracee thread;
    private readonly TargetMemory memory;
    private readonly Gadgets gadgets;
    private readonly ulong slot;
    private readonly ulong slotEnd;
    private readonly SlotContents contents;
    private readonly bool ownContents;
    private readonly UserRegisters original;
    private readonly ulong originalMask;
    private readonly ulong frame;

    /// <summary>The frame with its chain, until it is written: before the thread's registers are changed for the first time.</summary>
    private byte[]? unwrittenFrame;

    private readonly int frameLength;
    private bool entered;

    /// <summary>The thread stands in a stop of PTRACE_INTERRUPT, in a call of ours.</summary>
    private bool interrupted;

    /// <summary>Prepares the calls; the thread stands in a stop of PTRACE_INTERRUPT.</summary>
    /// <param name="thread">The thread.</param>
    /// <param name="memory">Its memory.</param>
    /// <param name="gadgets">The instructions to use.</param>
    /// <param name="slot">Page-aligned address of <see cref="SlotSize"/> writable bytes that nobody uses; put back at the end.</param>
    /// <param name="registers">The registers to return to.</param>
    /// <param name="extendedState">The extended state to return to.</param>
    /// <param name="signalMask">The mask to return to.</param>
    public InjectedCalls(
        Tracee thread, TargetMemory memory, Gadgets gadgets, ulong slot, in UserRegisters registers, byte[] extendedState, ulong signalMask)
        : this(thread, memory, gadgets, new SlotContents(memory, slot, SlotSize), null, registers, extendedState, signalMask) => ownContents = true;

    /// <summary>The same, where several threads make calls: who calls puts back what they use, once for all.</summary>
    /// <param name="thread">The thread.</param>
    /// <param name="memory">Its memory.</param>
    /// <param name="gadgets">The instructions to use.</param>
    /// <param name="contents">What they use.</param>
    /// <param name="part">Which of the small slots in it, each of <see cref="SmallSlotSize"/> bytes; null for all of it, as a whole slot.</param>
    /// <param name="registers">The registers to return to.</param>
    /// <param name="extendedState">The extended state to return to.</param>
    /// <param name="signalMask">The mask to return to.</param>
    public InjectedCalls(
        Tracee thread, TargetMemory memory, Gadgets gadgets, SlotContents contents, int? part, in UserRegisters registers, byte[] extendedState, ulong signalMask)
    {
        this.thread = thread;
        this.memory = memory;
        this.gadgets = gadgets;
        this.contents = contents;
        ulong size = part is null ? (ulong)contents.Length : (ulong)SmallSlotSize(extendedState);
        slot = contents.Slot + (ulong)(part ?? 0) * size;
        slotEnd = slot + size;
        original = registers;
        originalMask = signalMask;
        frame = slot + ScratchSize + (ulong)(part is null ? StackSize : SmallStackSize);

        // The chain that ret runs into: the sigreturn sequence with the frame right behind its address, or pop %rax; ret, 15, syscall, frame.
        ulong[] chain = gadgets.SigreturnByPop ? [gadgets.Sigreturn, X64.RtSigreturn] : [];
        ulong frameAddress = frame + (ulong)chain.Length * 8;
        frameLength = chain.Length * 8 + X64.SignalFrameLength(frameAddress, extendedState);
        if (frame + (ulong)frameLength > slotEnd || slotEnd > contents.Slot + (ulong)contents.Length)
        {
            throw new BridgeException("inject.frame", $"calling into thread {thread.Tid}", $"its extended state of {extendedState.Length} bytes is larger than known");
        }

        contents.Use(frame + (ulong)frameLength);
        unwrittenFrame = ArrayPool<byte>.Shared.Rent(frameLength);
        Span<byte> all = unwrittenFrame.AsSpan(0, frameLength);
        all.Clear();
        MemoryMarshal.AsBytes(chain.AsSpan()).CopyTo(all);
        X64.SignalFrame(
            all[(chain.Length * 8)..], frameAddress, gadgets.SigreturnByPop ? gadgets.SyscallReturn : gadgets.Sigreturn, Interruption.Resolve(registers), extendedState, signalMask);
    }

    /// <summary>Bytes of a slot in which a thread answers what all are asked.</summary>
    /// <param name="extendedState">The thread's extended state, of which the kernel has as many bytes for each.</param>
    public static int SmallSlotSize(byte[] extendedState) => ScratchSize + SmallStackSize + 16 + X64.SignalFrameLength(0, extendedState) + 127 & ~63;

    /// <summary>What must allow each call before it is made; null when nothing has to.</summary>
    public SeccompFilters? Filters { get; init; }

    /// <summary>Where results may be written: <see cref="ScratchSize"/> bytes.</summary>
    public ulong Scratch => slot;

    /// <summary>Makes one call.</summary>
    /// <returns>What the kernel returned: -4095…-1 are errors.</returns>
    public long Call(long number, ulong a0 = 0, ulong a1 = 0, ulong a2 = 0, ulong a3 = 0, ulong a4 = 0, ulong a5 = 0)
    {
        Enter(number, a0, a1, a2, a3, a4, a5);
        return MakePrepared();
    }

    /// <summary>
    /// Gives the thread a call that it will make by itself should its tracer die from here on: what is changed behind its back until
    /// <see cref="MakePrepared"/> is put back in any case.
    /// </summary>
    /// <param name="value">Goes to <see cref="Scratch"/>.</param>
    /// <param name="number">The call.</param>
    /// <param name="a0">Its arguments.</param>
    /// <param name="a1">Its second.</param>
    /// <param name="a2">Its third.</param>
    /// <param name="a3">Its fourth.</param>
    /// <param name="a4">Its fifth.</param>
    public void Prepare(int value, long number, ulong a0, ulong a1, ulong a2, ulong a3, ulong a4)
    {
        memory.Write(Scratch, BitConverter.GetBytes(value));
        Enter(number, a0, a1, a2, a3, a4, 0);
    }

    /// <summary>Makes the call that was prepared.</summary>
    /// <returns>What the kernel returned: -4095…-1 are errors.</returns>
    public long MakePrepared()
    {
        thread.RunToSyscallStop();
        thread.RunToSyscallStop();
        return (long)PtraceCall.GetRegisters(thread.Tid).Rax;
    }

    private void Enter(long number, ulong a0, ulong a1, ulong a2, ulong a3, ulong a4, ulong a5) => Enter(RegistersOf(new InjectedCall(number, a0, a1, a2, a3, a4, a5)));

    /// <summary>The registers with which a thread of the process, or of a copy of it, makes a call.</summary>
    public UserRegisters RegistersOf(InjectedCall call) => RegistersOf(call, frame);

    private UserRegisters RegistersOf(InjectedCall call, ulong next)
    {
        Require(call);
        return original with
        {
            Rax = (ulong)call.Number,
            OrigRax = ulong.MaxValue,
            Rdi = call.A0,
            Rsi = call.A1,
            Rdx = call.A2,
            R10 = call.A3,
            R8 = call.A4,
            R9 = call.A5,
            Rip = gadgets.SyscallReturn,
            Rsp = next,
        };
    }

    /// <summary>Whether filters let a call pass.</summary>
    public bool Allows(InjectedCall call) => Filters?.Allows(call, gadgets.SyscallReturn + 2) ?? true;

    /// <summary>The instruction pointer that a filter sees is behind the two bytes of the instruction.</summary>
    private void Require(InjectedCall call) => Filters?.Require(call, gadgets.SyscallReturn + 2);

    private void Enter(in UserRegisters registers)
    {
        EndAnswers();
        EndStop();
        interrupted = false;
        if (unwrittenFrame is { } frameBytes)
        {
            memory.Write(frame, frameBytes.AsSpan(0, frameLength));
            ReturnFrame();
        }

        PtraceCall.SetRegisters(thread.Tid, registers);
        if (!entered)
        {
            entered = true;
            PtraceCall.SetSignalMask(thread.Tid, ulong.MaxValue);
        }
    }

    /// <summary>It is written, or no longer needed.</summary>
    private void ReturnFrame()
    {
        ArrayPool<byte>.Shared.Return(unwrittenFrame!);
        unwrittenFrame = null;
    }

    /// <summary>Makes one call that writes a value into the scratch area.</summary>
    public unsafe T Ask<T>(long number, ulong a0, ulong a1, ulong a2 = 0, ulong a3 = 0, ulong a4 = 0)
        where T : unmanaged
    {
        long result = Call(number, a0, a1, a2, a3, a4);
        return result < 0
            ? throw new BridgeException("inject.failed", $"system call {number} inside thread {thread.Tid}", Errno.Text((int)-result))
            : memory.Read<T>(Scratch);
    }

    /// <summary>Puts everything back; the thread stands as it stood before.</summary>
    public void Dispose()
    {
        if (!entered)
        {
            if (unwrittenFrame is not null)
            {
                ReturnFrame();
            }

            PutBack();
            return;
        }

        while (rest.Count > 0)
        {
            _ = Next();
        }

        EndAnswers();
        EndStop();
        entered = false;
        if (thread.Gone)
        {
            return;
        }

        if (!interrupted)
        {
            thread.RunToInterruptStop();
        }

        PtraceCall.SetSignalMask(thread.Tid, originalMask);
        PtraceCall.SetRegisters(thread.Tid, original);
        PutBack();
    }
}
