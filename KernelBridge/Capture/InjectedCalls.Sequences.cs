using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Ptrace;

namespace Holdfast.KernelBridge.Capture;

/// <summary>A system call with its arguments.</summary>
internal readonly record struct InjectedCall(long Number, ulong A0 = 0, ulong A1 = 0, ulong A2 = 0, ulong A3 = 0, ulong A4 = 0, ulong A5 = 0);

/// <summary>
/// Calls of which the first must not be made without the others. Each returns into a signal frame that makes the next one, the last into the thread's true
/// state: a thread whose tracer dies makes all that are left. While the tracer lives it sets the registers itself, so that the extended state stays.
/// </summary>
internal sealed partial class InjectedCalls
{
    private readonly Queue<UserRegisters> rest = [];
    private ulong taken;

    /// <summary>Memory that nobody uses, put back at the end.</summary>
    /// <exception cref="BridgeException">There is not that much (<c>inject.stack</c>).</exception>
    public ulong Reserve(int length)
    {
        ulong address = Math.Max(taken, frame + (ulong)frameLength + 63 & ~63ul);
        taken = address + (ulong)length + 63 & ~63ul;
        if (taken > slotEnd)
        {
            throw new BridgeException("inject.stack", $"calling into thread {thread.Tid}", "its main stack has no room for these calls", "try again");
        }

        contents.Use(taken);
        return address;
    }

    /// <summary>Lets what was reserved be reserved again; all rows have been made.</summary>
    public void ReleaseReserved() => taken = 0;

    /// <summary>Writes into memory that was reserved.</summary>
    public void Write(ulong address, ReadOnlySpan<byte> bytes) => memory.Write(address, bytes);

    /// <summary>Reads from it.</summary>
    public byte[] Read(ulong address, int length)
    {
        byte[] bytes = new byte[length];
        memory.Read(address, bytes);
        return bytes;
    }

    /// <summary>
    /// Makes the first of several calls; the others follow by <see cref="Next"/>, at the latest when this object is disposed of. What is left of an earlier
    /// row is not made any more: from one row to the other it is a single step.
    /// </summary>
    /// <returns>What the kernel returned for the first: -4095…-1 are errors.</returns>
    public long Begin(params ReadOnlySpan<InjectedCall> calls)
    {
        // Frames lie behind each other from the last to the first: each knows where the next one is.
        ulong next = frame;
        List<UserRegisters> row = [];
        for (int i = calls.Length - 1; i >= 0; i--)
        {
            UserRegisters registers = RegistersOf(calls[i], next);
            row.Insert(0, registers);
            if (i > 0)
            {
                next = ReserveFrame(registers);
            }
        }

        rest.Clear();
        row.ForEach(rest.Enqueue);
        return Next();
    }

    /// <summary>Reserves a stack for a clone of the thread whose tracer may die: it ends the process, whatever call the clone returns from.</summary>
    /// <returns>The stack pointer to give it.</returns>
    public ulong ReserveEnding() => ReserveFrame(RegistersOf(new InjectedCall(X64.ExitGroup), frame));

    /// <summary>Makes one call in a process that was cloned from this one and still has the same memory at the same place.</summary>
    /// <param name="clone">The process, which stands.</param>
    /// <param name="stack">Its stack pointer.</param>
    /// <param name="call">The call.</param>
    /// <returns>What the kernel returned: -4095…-1 are errors.</returns>
    public long CallElsewhere(Tracee clone, ulong stack, InjectedCall call)
    {
        PtraceCall.SetRegisters(clone.Tid, RegistersOf(call, stack));
        clone.RunToSyscallStop();
        if (PtraceCall.GetRegisters(clone.Tid).OrigRax == ulong.MaxValue)
        {
            // The end of the call in which it was born.
            clone.RunToSyscallStop();
        }

        clone.RunToSyscallStop();
        return (long)PtraceCall.GetRegisters(clone.Tid).Rax;
    }

    /// <summary>
    /// Lets a process that was cloned from this one go through several calls by itself, without a stop for each, as in <see cref="BeginToAnswer"/>; it only has to be let run. With the last
    /// of them it must end.
    /// </summary>
    /// <param name="clone">The process, which stands.</param>
    /// <param name="cloned">Its memory.</param>
    /// <param name="calls">The calls, of three arguments at most.</param>
    /// <returns>Where the results will be, 8 bytes each, in the order of the calls; null where this program lacks the instructions: then they have to be made one by one.</returns>
    public ulong? PrepareElsewhere(Tracee clone, TargetMemory cloned, params ReadOnlySpan<InjectedCall> calls)
    {
        if (gadgets.Pops is not { Store: not null } pops)
        {
            return null;
        }

        ulong results = Reserve(calls.Length * 8);
        List<ulong> words = [];
        for (int i = 0; i < calls.Length; i++)
        {
            Require(calls[i]);
            pops.Call(words, calls[i], gadgets.SyscallReturn);
            pops.Keep(words, results + (ulong)(i * 8));
        }

        ulong row = Reserve(words.Count * 8);
        cloned.Write(row, MemoryMarshal.AsBytes(CollectionsMarshal.AsSpan(words)));
        PtraceCall.SetRegisters(clone.Tid, original with { OrigRax = ulong.MaxValue, Rip = words[0], Rsp = row + 8, R10 = 0, R8 = 0, R9 = 0 });
        return results;
    }

    /// <summary>Puts back, in a copy of the process's memory, what these calls have changed so far.</summary>
    public void PutBackIn(TargetMemory copy) => contents.PutBackIn(copy);

    private void PutBack()
    {
        if (ownContents)
        {
            contents.Dispose();
        }
    }

    /// <summary>Reserves and writes a signal frame.</summary>
    /// <returns>The stack pointer with which a call returns into it.</returns>
    private ulong ReserveFrame(in UserRegisters registers)
    {
        ulong[] chain = gadgets.SigreturnByPop ? [gadgets.Sigreturn, X64.RtSigreturn] : [];
        byte[] bytes = new byte[chain.Length * 8 + X64.SignalFrameSize];
        Buffer.BlockCopy(chain, 0, bytes, 0, chain.Length * 8);
        X64.SignalFrame(gadgets.SigreturnByPop ? gadgets.SyscallReturn : gadgets.Sigreturn, registers, ulong.MaxValue).CopyTo(bytes, chain.Length * 8);
        ulong address = Reserve(bytes.Length);
        memory.Write(address, bytes);
        return address;
    }

    /// <summary>Makes what is left of a row, and lets what was reserved be reserved again.</summary>
    public void FinishRow()
    {
        while (rest.Count > 0)
        {
            _ = Next();
        }

        ReleaseReserved();
    }

    /// <summary>Makes the next call of a row.</summary>
    /// <returns>What the kernel returned: -4095…-1 are errors.</returns>
    public long Next()
    {
        Enter(rest.Dequeue());
        return MakePrepared();
    }
}
