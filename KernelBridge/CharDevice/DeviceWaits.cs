using Holdfast.KernelBridge.Machine;

namespace Holdfast.KernelBridge.CharDevice;

/// <summary>Timed waits that a stop has interrupted: the module tells which one the kernel would go on with, and when it ends.</summary>
internal static class DeviceWaits
{
    /// <summary>For a thread in a timed wait that only the kernel's restart block knows: which call it is, and what is left of its time.</summary>
    /// <param name="thread">The thread.</param>
    /// <param name="registers">Its registers.</param>
    /// <returns>The registers with the number of the call that was interrupted first, and nanoseconds.</returns>
    public static (UserRegisters Registers, long? Remaining) Of(DeviceThread thread, in UserRegisters registers)
    {
        if (thread.RemainingWait is not { } remaining || registers.OrigRax == ulong.MaxValue || X64.WaitsUntilAbsoluteTime(registers))
        {
            return (registers, null);
        }

        if (registers.OrigRax != X64.RestartSyscall)
        {
            return (registers, remaining);
        }

        // A clock's number is no address.
        ulong number = thread.Restart switch
        {
            CkptAbi.RestartFutex => X64.Futex,
            CkptAbi.RestartPoll => X64.Poll,
            _ => registers.Rdi < 4096 ? (ulong)X64.ClockNanosleep : X64.Nanosleep,
        };
        UserRegisters known = registers with { OrigRax = number };
        return X64.WaitsUntilAbsoluteTime(known) ? (known, null) : (known, remaining);
    }
}
