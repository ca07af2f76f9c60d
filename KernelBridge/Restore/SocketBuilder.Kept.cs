using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Resources;
using Holdfast.KernelBridge.Tape;
using static Holdfast.KernelBridge.Linux.SocketCalls;

namespace Holdfast.KernelBridge.Restore;

/// <summary>Sockets that were held since the capture (<see cref="Spaces.KeptConnections"/>): they are not made, but handed to the process as they are.</summary>
internal sealed partial class SocketBuilder
{
    private const int ControlSize = 24;

    private void PlaceKept()
    {
        List<SocketImage> own = [.. All.Where(socket => kept.ContainsKey(socket.Id))];
        if (own.Count == 0)
        {
            return;
        }

        SyscallTape make = root.NewTape();
        ulong pair = make.Reserve(8);
        make.Add("making a pair of sockets", X64.Socketpair, AF_UNIX, SOCK_DGRAM, 0, pair);
        root.Run(make);
        (int theirs, int ours) = root.Memory.Read<(int, int)>(pair);
        using (SocketCopy line = SocketCopy.TryTake(root.HostPid, ours) ?? throw Failed(own[0], "handing it over", Libc.LastError))
        {
            foreach (SocketImage socket in own)
            {
                HandOver(line, kept[socket.Id], socket);
                SyscallTape take = root.NewTape();
                ulong control = take.Reserve(ControlSize);
                ulong part = take.Place((take.Reserve(8), 8ul));
                ulong header = take.Place((0ul, 0ul, part, 1ul, control, (ulong)ControlSize, 0ul));
                take.Add($"taking over {socket.Description}", X64.Recvmsg, (ulong)theirs, header, 0);
                root.Run(take);
                byte[] received = new byte[ControlSize];
                root.Memory.Read(control, received);
                if (DescriptorsInFlight.Received(received) is not [var number])
                {
                    throw Failed(socket, "taking it over", Errno.EBADF);
                }

                SyscallTape place = root.NewTape();
                place.Add("placing a socket", X64.Dup2, (ulong)number, (ulong)numbers[socket.Id]);
                place.Add("placing a socket", X64.Close, (ulong)number);
                root.Run(place);
            }
        }

        SyscallTape close = root.NewTape();
        close.Add("closing the pair of sockets", X64.Close, (ulong)theirs);
        close.Add("closing the pair of sockets", X64.Close, (ulong)ours);
        root.Run(close);
    }

    private static unsafe void HandOver(SocketCopy line, SocketCopy socket, SocketImage image)
    {
        byte one = 1;
        Libc.Iovec part = new() { Base = (ulong)&one, Length = 1 };
        int result;
        fixed (byte* control = Rights([socket.Fd]))
        {
            MessageHeader header = new() { Parts = &part, PartCount = 1, Control = control, ControlLength = ControlSize };
            result = (int)sendmsg(line.Fd, &header, MSG_NOSIGNAL);
        }

        if (result < 0)
        {
            throw Failed(image, "handing it over", Libc.LastError);
        }
    }
}
