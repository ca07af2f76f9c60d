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
            case Errno.ERESTART_RESTARTBLOCK when !X64.WaitsUntilAbsoluteTime(registers):
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
    /// Whether the thread stands at the end of one of the few calls that return EINTR after any stop, even when no handler ran.
    /// The application must not see that, unless a signal is due.
    /// </summary>
    public static bool EndedEarly(in UserRegisters registers) =>
        (long)registers.Rax == -Errno.EINTR && (long)registers.OrigRax >= 0 && X64.EndsEarlyOnStop(registers.OrigRax);

    /// <summary>The registers with which such a call is made again, with what is left of its time.</summary>
    /// <param name="registers">The registers at its early end.</param>
    /// <param name="elapsed">How long it has waited.</param>
    /// <param name="memory">The process's memory.</param>
    /// <param name="room">
    /// 16 bytes in it for a shortened timeout; the kernel reads it as soon as the thread runs. Where there are none, a timeout in memory counts anew: late is better than
    /// an error that nobody expects.
    /// </param>
    public static UserRegisters Repeat(in UserRegisters registers, TimeSpan elapsed, TargetMemory memory, ulong? room)
    {
        UserRegisters repeated = registers;
        repeated.Rax = registers.OrigRax;
        repeated.Rip -= 2;
        repeated.OrigRax = ulong.MaxValue;
        switch (registers.OrigRax)
        {
            case X64.EpollWait or X64.EpollPwait when (int)registers.R10 > 0:
                repeated.R10 = (ulong)Math.Max(0, (int)registers.R10 - (long)elapsed.TotalMilliseconds);
                break;
            case X64.RtSigtimedwait when registers.Rdx != 0:
                repeated.Rdx = Shorten(registers.Rdx, elapsed, memory, room);
                break;
            case X64.Semtimedop or X64.EpollPwait2 when registers.R10 != 0:
                repeated.R10 = Shorten(registers.R10, elapsed, memory, room);
                break;
            case X64.IoGetevents or X64.IoPgetevents when registers.R8 != 0:
                repeated.R8 = Shorten(registers.R8, elapsed, memory, room);
                break;
        }

        return repeated;
    }

    private static ulong Shorten(ulong address, TimeSpan elapsed, TargetMemory memory, ulong? room)
    {
        if (room is not { } place)
        {
            return address;
        }

        (long seconds, long nanoseconds) = memory.Read<(long, long)>(address);
        long left = Math.Max(0, seconds * 1_000_000_000 + nanoseconds - (long)elapsed.TotalNanoseconds);
        memory.Write(place, Math.DivRem(left, 1_000_000_000));
        return place;
    }
}
