using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Ptrace;

namespace Holdfast.KernelBridge.Capture;

/// <summary>
/// Restartable sequences (rseq(2)): a thread that stands inside a critical section must go on at its abort handler. The kernel does so when it
/// preempts a thread, but it looks at the registers of that moment: calls injected meanwhile make it forget the section.
/// </summary>
internal static class RestartableSequence
{
    /// <summary>Sends a thread that stands in a critical section to its abort handler.</summary>
    public static UserRegisters Abort(in UserRegisters registers, RseqConfiguration rseq, TargetMemory memory)
    {
        // struct rseq: cpu_id_start, cpu_id, then the pointer to struct rseq_cs { u32 version, flags; u64 start_ip, post_commit_offset, abort_ip }.
        ulong section;
        try
        {
            section = memory.Read<ulong>(rseq.Pointer + 8);
            if (section == 0)
            {
                return registers;
            }

            (ulong _, ulong start, ulong length, ulong abort) = memory.Read<(ulong, ulong, ulong, ulong)>(section);
            return registers.Rip - start < length ? registers with { Rip = abort, OrigRax = ulong.MaxValue } : registers;
        }
        catch (BridgeException e) when (e.Code == "memory.unreadable")
        {
            // A library was unloaded with its section descriptors; the kernel would ignore the stale pointer too, as the address is not inside.
            return registers;
        }
    }
}
