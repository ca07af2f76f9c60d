using Holdfast.KernelBridge.Machine;

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
    private readonly List<(ulong Address, byte[] Bytes)> reserved = [];
    private ulong taken;

    /// <summary>Memory that nobody uses, put back at the end.</summary>
    /// <exception cref="BridgeException">There is not that much (<c>inject.stack</c>).</exception>
    public ulong Reserve(int length)
    {
        ulong address = Math.Max(taken, slot + (ulong)saved.Length + 63 & ~63ul);
        taken = address + (ulong)length + 63 & ~63ul;
        if (taken > slot + SlotSize)
        {
            throw new BridgeException("inject.stack", $"calling into thread {thread.Tid}", "its main stack has no room for these calls", "try again");
        }

        byte[] before = new byte[length];
        memory.Read(address, before);
        reserved.Add((address, before));
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
        ulong[] chain = gadgets.SigreturnByPop ? [gadgets.Sigreturn, X64.RtSigreturn] : [];
        for (int i = calls.Length - 1; i >= 0; i--)
        {
            UserRegisters registers = RegistersOf(calls[i], next);
            row.Insert(0, registers);
            if (i > 0)
            {
                byte[] bytes = new byte[chain.Length * 8 + X64.SignalFrameSize];
                Buffer.BlockCopy(chain, 0, bytes, 0, chain.Length * 8);
                X64.SignalFrame(gadgets.SigreturnByPop ? gadgets.SyscallReturn : gadgets.Sigreturn, registers, ulong.MaxValue).CopyTo(bytes, chain.Length * 8);
                next = Reserve(bytes.Length);
                memory.Write(next, bytes);
            }
        }

        rest.Clear();
        row.ForEach(rest.Enqueue);
        return Next();
    }

    private void PutBack()
    {
        memory.Write(slot, saved);

        // The oldest last: a piece may have been reserved more than once.
        for (int i = reserved.Count - 1; i >= 0; i--)
        {
            memory.Write(reserved[i].Address, reserved[i].Bytes);
        }
    }

    /// <summary>Makes the next call of a row.</summary>
    /// <returns>What the kernel returned: -4095…-1 are errors.</returns>
    public long Next()
    {
        Enter(rest.Dequeue());
        return MakePrepared();
    }
}
