using System.Globalization;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.KernelBridge.Spaces;

/// <summary>How a process ended that is no child of ours.</summary>
internal static class ExitInformation
{
    // _IOWR(0xFF, 11, struct pidfd_info) with its first published size; linux/pidfd.h.
    private const nuint PidfdGetInfo = 0xc040ff0b;
    private const ulong ExitMask = 8;
    private const int ExitCodeField = 49;

    /// <summary>struct pidfd_info, its first 64 bytes.</summary>
    [StructLayout(LayoutKind.Explicit, Size = 64)]
    private struct PidfdInformation
    {
        [FieldOffset(0)]
        public ulong Mask;

        [FieldOffset(60)]
        public int ExitCode;
    }

    /// <summary>Its exit status: 0–255, or 128+n when signal n killed it.</summary>
    /// <param name="pid">Its pid.</param>
    /// <param name="startTime">Its start time, since the pid may be another's by now.</param>
    /// <param name="pidfd">A pidfd that was opened while it lived and has become readable.</param>
    /// <returns>Null when it cannot be known: reaped already, on a kernel before 6.15.</returns>
    public static unsafe int? Of(int pid, ulong startTime, SafeFileHandle pidfd)
    {
        // Until it is reaped /proc knows, afterwards the pidfd: in this order none of the two can be missed.
        if (FromStat(pid, startTime) is { } status)
        {
            return Decode(status);
        }

        var information = new PidfdInformation { Mask = ExitMask };
        return SpaceNative.Ioctl(Descriptors.Number(pidfd), PidfdGetInfo, &information) == 0 && (information.Mask & ExitMask) != 0
            ? Decode(information.ExitCode)
            : null;
    }

    private static int? FromStat(int pid, ulong startTime)
    {
        if (ProcessIdentity.Read(pid) is not { IsDead: true } identity || identity.StartTime != startTime)
        {
            return null;
        }

        try
        {
            // Field 52, exit_code, in the form of waitpid(2).
            string stat = File.ReadAllText(string.Create(CultureInfo.InvariantCulture, $"/proc/{pid}/stat"));
            return int.Parse(stat[(stat.LastIndexOf(')') + 2)..].Split(' ')[ExitCodeField], CultureInfo.InvariantCulture);
        }
        catch (IOException)
        {
            return null;
        }
    }

    private static int Decode(int status) => (status & 0x7f) != 0 ? 128 + (status & 0x7f) : (status >> 8) & 0xff;
}
