using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using static Holdfast.KernelBridge.Spaces.SpaceNative;

namespace Holdfast.KernelBridge.Spaces;

/// <summary>Messages over a SOCK_SEQPACKET socket, each with at most one descriptor; see unix(7), cmsg(3).</summary>
internal static unsafe class PacketSocket
{
    private const int ControlSize = 128;

    /// <summary>Sends a message.</summary>
    /// <param name="socket">The socket.</param>
    /// <param name="bytes">The message.</param>
    /// <param name="descriptor">Goes along, the receiver gets a copy; -1 for none.</param>
    /// <returns>0, or the error.</returns>
    public static int Send(SafeFileHandle socket, ReadOnlySpan<byte> bytes, int descriptor = -1)
    {
        byte* control = stackalloc byte[24];
        fixed (byte* start = bytes)
        {
            var vector = new IoVector { Base = start, Length = (nuint)bytes.Length };
            var message = new MessageHeader { Vector = &vector, VectorLength = 1 };
            if (descriptor >= 0)
            {
                *(ControlHeader*)control = new ControlHeader { Length = (nuint)(sizeof(ControlHeader) + sizeof(int)), Level = SOL_SOCKET, Type = SCM_RIGHTS };
                *(int*)(control + sizeof(ControlHeader)) = descriptor;
                message.Control = control;
                message.ControlLength = 24;
            }

            while (SendMessage(Descriptors.Number(socket), &message, MSG_NOSIGNAL) < 0)
            {
                int error = Marshal.GetLastPInvokeError();
                if (error != EINTR)
                {
                    return error;
                }
            }

            return 0;
        }
    }

    /// <summary>Receives a message.</summary>
    /// <param name="socket">The socket.</param>
    /// <param name="bytes">Takes it.</param>
    /// <param name="error">0, or the error.</param>
    /// <returns>Its length, 0 at the end; and what came along: a descriptor, -1 for none, and the sender's pid where it is asked for (SO_PASSCRED).</returns>
    public static (int Length, int Pid, int Descriptor) Receive(SafeFileHandle socket, Span<byte> bytes, out int error)
    {
        byte* control = stackalloc byte[ControlSize];
        fixed (byte* start = bytes)
        {
            var vector = new IoVector { Base = start, Length = (nuint)bytes.Length };
            var message = new MessageHeader { Vector = &vector, VectorLength = 1, Control = control, ControlLength = ControlSize };
            nint length;
            while ((length = ReceiveMessage(Descriptors.Number(socket), &message, MSG_CMSG_CLOEXEC)) < 0)
            {
                error = Marshal.GetLastPInvokeError();
                if (error != EINTR)
                {
                    return (0, 0, -1);
                }
            }

            error = 0;
            int pid = 0;
            int descriptor = -1;
            for (nuint at = 0; at + (nuint)sizeof(ControlHeader) <= message.ControlLength;)
            {
                var header = (ControlHeader*)(control + at);
                if (header->Level == SOL_SOCKET && header->Type == SCM_CREDENTIALS)
                {
                    pid = *(int*)(header + 1);
                }
                else if (header->Level == SOL_SOCKET && header->Type == SCM_RIGHTS)
                {
                    descriptor = *(int*)(header + 1);
                }

                at += (header->Length + 7) & ~(nuint)7;
            }

            return ((int)length, pid, descriptor);
        }
    }
}
