using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;

namespace Holdfast.KernelBridge.Capture;

/// <summary>What a stop does to a thread in the middle of a system call; see kernel/signal.c and arch/x86/kernel/signal.c of the kernel.</summary>
internal static class Interruption
{
    /// <summary>The restart code (512–516) that the thread stands on, or 0.</summary>
    public static int RestartCode(in UserRegisters registers) =>
        (long)registers.OrigRax >= 0 && (long)registers.Rax is <= -Errno.ERESTARTSYS and >= -Errno.ERESTART_RESTARTBLOCK ? (int)-(long)registers.Rax : 0;

    /// <summary>
    /// The registers with which the thread repeats its call without the kernel's help, for a signal frame and for an image.
    /// A call that needs the kernel's restart block (516) becomes EINTR here; a restore makes it again with its remaining time.
    /// </summary>
    public static UserRegisters Resolve(in UserRegisters registers)
    {
        UserRegisters resolved = registers;
        switch (RestartCode(registers))
        {
            case 0:
                break;
            case Errno.ERESTART_RESTARTBLOCK:
                resolved.Rax = unchecked((ulong)-Errno.EINTR);
                break;
            default:
                resolved.Rax = registers.OrigRax;
                resolved.Rip -= 2;
                break;
        }

        resolved.OrigRax = ulong.MaxValue;
        return resolved;
    }

    /// <summary>
    /// A few calls return EINTR after any stop, even when no handler ran. The application must not see that: repeat the call,
    /// an epoll wait with what is left of its time.
    /// </summary>
    /// <param name="registers">The registers of the stopped thread.</param>
    /// <param name="signalIsDue">Whether a signal that the thread does not block is pending: then EINTR is true.</param>
    /// <param name="elapsed">How long the call has waited.</param>
    public static UserRegisters RepeatEndedEarly(in UserRegisters registers, bool signalIsDue, TimeSpan elapsed)
    {
        if ((long)registers.Rax != -Errno.EINTR || (long)registers.OrigRax < 0 || signalIsDue || !X64.EndsEarlyOnStop(registers.OrigRax))
        {
            return registers;
        }

        UserRegisters repeated = registers;
        repeated.Rax = registers.OrigRax;
        repeated.Rip -= 2;
        repeated.OrigRax = ulong.MaxValue;
        if (X64.IsEpollWait(registers.OrigRax) && (int)registers.R10 > 0)
        {
            repeated.R10 = (ulong)Math.Max(0, (int)registers.R10 - (long)elapsed.TotalMilliseconds);
        }

        return repeated;
    }
}
