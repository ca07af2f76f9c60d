using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Ptrace;

namespace Holdfast.KernelBridge.Capture;

/// <summary>
/// Many questions of one kind, asked without a stop for each: the thread runs over a stack whose words load the registers of one call after the other, made of ends
/// of functions that it has. Behind the last question it waits (rt_sigtimedwait(2), which leaves its restart block alone) until it is stopped; and behind that lies
/// the frame with its true state: a thread whose tracer dies goes on when that wait is over.
/// </summary>
internal sealed partial class InjectedCalls
{
    private const long Patience = 3;

    /// <summary>Asks one call once for each of several first arguments. It must not fail for any, and never answer with all bits set.</summary>
    /// <param name="number">The call: first argument, 0, address of the answer, size of something.</param>
    /// <param name="firsts">The first arguments.</param>
    /// <param name="size">Bytes of an answer.</param>
    /// <param name="fourth">The fourth argument: 8, the size of a signal mask, which the wait needs too.</param>
    /// <returns>The answers, one behind the other; null when this program lacks the instructions: then they have to be asked one by one.</returns>
    /// <exception cref="BridgeException"><c>inject.late</c>: this process got no processor for so long that the wait was over.</exception>
    public byte[]? AskAll(int number, IReadOnlyList<int> firsts, int size, ulong fourth = 8)
    {
        if (gadgets.Pops is not { } pops)
        {
            return null;
        }

        ulong answers = Reserve(firsts.Count * size);
        ulong nothing = Reserve(24);
        List<ulong> words = [];
        for (int i = 0; i < firsts.Count; i++)
        {
            Require(new InjectedCall(number, (ulong)firsts[i], 0, answers + (ulong)(i * size), fourth));
            words.AddRange(pops.Load((ulong)number, (ulong)firsts[i], answers + (ulong)(i * size)));
            words.Add(gadgets.SyscallReturn);
        }

        // No signal is waited for; struct timespec behind the empty set.
        Require(new InjectedCall(X64.RtSigtimedwait, nothing, 0, nothing + 8, fourth));
        words.AddRange(pops.Load(X64.RtSigtimedwait, nothing, nothing + 8));
        words.Add(gadgets.SyscallReturn);
        ulong stack = frame - (ulong)words.Count * 8;
        if (stack < slot + ScratchSize)
        {
            throw new InvalidOperationException("More calls at once than their stack holds.");
        }

        byte[] bytes = new byte[words.Count * 8];
        Buffer.BlockCopy(words.ToArray(), 0, bytes, 0, bytes.Length);
        byte[] answered = new byte[firsts.Count * size];
        answered.AsSpan().Fill(0xff);
        memory.Write(answers, answered);
        memory.Write(nothing, [.. new byte[8], .. BitConverter.GetBytes(Patience), .. new byte[8]]);
        memory.Write(stack, bytes);
        Enter(original with { OrigRax = ulong.MaxValue, Rip = words[0], Rsp = stack + 8, Rsi = 0, R10 = fourth });
        thread.RunUntil(() =>
        {
            memory.Read(answers + (ulong)((firsts.Count - 1) * size), answered.AsSpan(0, size));
            return answered.AsSpan(0, size).ContainsAnyExcept((byte)0xff);
        });
        UserRegisters registers = PtraceCall.GetRegisters(thread.Tid);
        if (registers.Rsp < stack || registers.Rsp > frame)
        {
            throw new BridgeException("inject.late", $"calling into thread {thread.Tid}", $"it was not stopped within {Patience} s, and went on", "try again when the machine is less busy");
        }

        memory.Read(answers, answered);
        ReleaseReserved();
        return answered;
    }
}
