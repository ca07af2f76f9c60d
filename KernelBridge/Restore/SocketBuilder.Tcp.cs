using System.Net;
using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Resources;
using static Holdfast.KernelBridge.Linux.SocketCalls;

namespace Holdfast.KernelBridge.Restore;

/// <summary>
/// TCP sockets. Both ends of a connection are made here in repair mode, which needs no listener and no handshake (tcp(7), TCP_REPAIR); then the bytes really go
/// from one to the other. A connection with someone outside becomes one with a helper that resets it.
/// </summary>
internal sealed partial class SocketBuilder
{
    private const int TCP_REPAIR = 19, TCP_REPAIR_QUEUE = 20, TCP_QUEUE_SEQ = 21, TCP_REPAIR_OPTIONS = 22, TCP_REPAIR_WINDOW = 29;

    private const int EADDRINUSE = 98, EADDRNOTAVAIL = 99;

    private void BuildTcp()
    {
        List<SocketImage> all = [.. All.Where(socket => socket.IsTcp && !kept.ContainsKey(socket.Id))];
        foreach (SocketImage socket in all.Where(socket => socket.State is SocketState.Idle or SocketState.Listening))
        {
            BuiltSocket made = Create(socket);
            SocketOptions.Write(made.Copy, socket);
            BindInternet(made, socket.Local, evenIfWaiting: true);
            if (socket.State == SocketState.Listening)
            {
                Require(socket, "listening", listen(made.Copy.Fd, socket.Backlog) < 0 ? Libc.LastError : 0);
            }
        }

        foreach (SocketImage socket in all.Where(socket => socket.State == SocketState.Connected && !built.ContainsKey(socket.Id)))
        {
            BuiltSocket one = Create(socket);
            BuiltSocket other = Create(all.First(peer => peer.Id == socket.Peer));
            Establish(one, socket.Local, other, other.Image.Local);
            FillTcp(one, other);
            FillTcp(other, one);
            ShutTcp(one, other);
            ShutTcp(other, one);
        }

        foreach (SocketImage socket in all.Where(socket => socket.State is SocketState.Ended or SocketState.Reset))
        {
            BuiltSocket one = Create(socket);
            BuiltSocket helper = Helper(socket);
            EstablishAlone(one, helper);
            if (socket.State == SocketState.Ended)
            {
                FillTcp(one, helper);
                if ((socket.Shutdown & 2) != 0)
                {
                    _ = shutdown(one.Copy.Fd, 1);
                }
            }
            else
            {
                // Closing with a linger time of 0 resets.
                helper.Copy.Set(SOL_SOCKET, SO_LINGER, BitConverter.GetBytes(1L));
            }

            Close(helper);
        }

        foreach (SocketImage socket in all.Where(socket => socket.State == SocketState.Pending))
        {
            BuiltSocket made = Create(socket);
            BindInternet(made, socket.Local, evenIfWaiting: true);
            ConnectInternet(made, socket.Remote);
        }
    }

    /// <summary>Connects two new sockets with each other under given addresses, without a packet.</summary>
    private void Establish(BuiltSocket one, byte[] oneLocal, BuiltSocket other, byte[] otherLocal)
    {
        const uint sequence = 0x10000000;
        (BuiltSocket Socket, byte[] Local, byte[] Remote, uint Sends, uint Receives)[] ends =
        [
            (one, oneLocal, Translate(otherLocal, one.Image.Family), sequence, 2 * sequence),
            (other, otherLocal, Translate(oneLocal, other.Image.Family), 2 * sequence, sequence),
        ];
        foreach ((BuiltSocket socket, byte[] local, byte[] remote, uint sends, uint receives) in ends)
        {
            MakeRoom(socket == one ? other : one, socket);
            SocketOptions.Write(socket.Copy, socket.Image with { Options = [.. socket.Image.Options.Where(option => option.Level is IPPROTO_IP or IPPROTO_IPV6)] });
            Repair(socket, TCP_REPAIR, 1);
            BindInternet(socket, local, evenIfWaiting: false);
            Repair(socket, TCP_REPAIR_QUEUE, 2);
            Repair(socket, TCP_QUEUE_SEQ, (int)sends);
            Repair(socket, TCP_REPAIR_QUEUE, 1);
            Repair(socket, TCP_QUEUE_SEQ, (int)receives);
            Repair(socket, TCP_REPAIR_QUEUE, 0);
            ConnectInternet(socket, remote);
        }

        foreach ((BuiltSocket socket, _, _, _, uint receives) in ends)
        {
            // struct tcp_repair_opt: largest segment, both window scales, selective acknowledgements. struct tcp_repair_window: windows that hold the queue.
            const uint scale = 10;
            ReadOnlySpan<uint> options = [2, 65475, 3, scale | scale << 16, 4, 0];
            Require(socket.Image, "setting TCP_REPAIR_OPTIONS", socket.Copy.Set(IPPROTO_TCP, TCP_REPAIR_OPTIONS, MemoryMarshal.AsBytes(options)));
            uint Window(BuiltSocket end) => (uint)Math.Min(65535 << (int)scale, 65536 + end.Image.Queue.Sum(message => (long)message.Bytes.Length));
            uint sending = Window(socket == one ? other : one);
            ReadOnlySpan<uint> window = [receives, sending, sending, Window(socket), receives];
            Require(socket.Image, "setting TCP_REPAIR_WINDOW", socket.Copy.Set(IPPROTO_TCP, TCP_REPAIR_WINDOW, MemoryMarshal.AsBytes(window)));
        }

        foreach ((BuiltSocket socket, _, _, _, _) in ends)
        {
            Repair(socket, TCP_REPAIR, 0);
        }
    }

    /// <summary>Connects a socket with a helper, under its old local address if this host has it.</summary>
    private void EstablishAlone(BuiltSocket one, BuiltSocket helper)
    {
        byte[] local = one.Image.Local;
        bool usable = SocketName.IsNamed(local) && !SocketName.Internet(local).Equals(IPAddress.Any) && !SocketName.Internet(local).Equals(IPAddress.IPv6Any) && HasAddress(one, local);
        if (!usable)
        {
            // Without an address of its own, that of the loopback device, at a port which the kernel finds.
            bool six = one.Image.Family == AF_INET6 && SocketOptions.Get(one.Image, IPPROTO_IPV6, 26) is [not 0, ..];
            local = SocketName.Of(one.Image.Family, six ? IPAddress.IPv6Loopback : IPAddress.Loopback, 0);
            local = FreePort(one, local);
        }

        Establish(one, local, helper, FreePort(one, SocketName.Of(one.Image.Family, SocketName.Internet(local), 0)));
    }

    private bool HasAddress(BuiltSocket like, byte[] address)
    {
        BuiltSocket probe = Helper(like.Image);
        byte[] any = [.. address];
        any.AsSpan(2, 2).Clear();
        bool has = Bind(probe, any) == 0;
        Close(probe);
        return has;
    }

    private byte[] FreePort(BuiltSocket like, byte[] address)
    {
        BuiltSocket probe = Helper(like.Image);
        Require(like.Image, "looking for a free port", Bind(probe, address));
        byte[] name = probe.Copy.Name();
        Close(probe);
        return name;
    }

    private static void Repair(BuiltSocket socket, int option, int value) => Require(socket.Image, "setting it up in repair mode", socket.Copy.Set(IPPROTO_TCP, option, value));

    private static byte[] Translate(byte[] address, int family) =>
        SocketName.FamilyOf(address) == family ? address : SocketName.Of(family, SocketName.Internet(address), SocketName.Port(address));

    private static unsafe int Bind(BuiltSocket socket, byte[] address)
    {
        fixed (byte* p = address)
        {
            return bind(socket.Copy.Fd, p, (uint)address.Length) < 0 ? Libc.LastError : 0;
        }
    }

    /// <summary>Binds to an Internet address. Connections of the past that only wait for late packets (TIME-WAIT) do not stand in the way.</summary>
    private void BindInternet(BuiltSocket socket, byte[] address, bool evenIfWaiting)
    {
        if (!SocketName.IsNamed(address))
        {
            return;
        }

        if (evenIfWaiting && socket.Image.Type == SOCK_STREAM)
        {
            socket.Copy.Set(SOL_SOCKET, SO_REUSEADDR, 1);
        }

        int error = Bind(socket, address);
        if (error == EADDRINUSE && socket.Image.Type == SOCK_STREAM)
        {
            SocketDiagnosis.Forget(root.HostPid, old => old.Local.Port == SocketName.Port(address));
            error = Bind(socket, address);
        }

        if (error == EADDRINUSE)
        {
            throw new BridgeException("port.taken", $"binding {socket.Image.Description}", "the port is in use", "end the process that uses it");
        }

        Require(socket.Image, "binding it", error);
    }

    /// <summary>Connects; while an earlier connection between the same ends is not forgotten (it was ended a moment ago), it is ended for good, or waited for.</summary>
    private unsafe void ConnectInternet(BuiltSocket socket, byte[] remote)
    {
        long deadline = Environment.TickCount64 + 5000;
        while (true)
        {
            int error;
            fixed (byte* p = remote)
            {
                error = connect(socket.Copy.Fd, p, (uint)remote.Length) < 0 ? Libc.LastError : 0;
            }

            // 115: EINPROGRESS, for one that waits to be accepted.
            if (error is 0 or 115)
            {
                return;
            }

            if (error != EADDRNOTAVAIL || Environment.TickCount64 > deadline)
            {
                throw error == EADDRNOTAVAIL
                    ? new BridgeException("port.taken", $"connecting {socket.Image.Description}", "a connection between the same addresses exists", "end the process that holds it, and try again")
                    : Failed(socket.Image, "connecting it", error);
            }

            (IPEndPoint local, IPEndPoint other) = (SocketName.EndPoint(socket.Copy.Name()), SocketName.EndPoint(remote));
            SocketDiagnosis.Forget(root.HostPid, old => (old.Local.Equals(local) && old.Remote.Equals(other)) || (old.Local.Equals(other) && old.Remote.Equals(local)));
            _ = Libc.usleep(5000);
        }
    }

    private void FillTcp(BuiltSocket to, BuiltSocket from)
    {
        long total = 0;
        foreach (SocketMessageImage message in to.Image.Queue)
        {
            Send(from, message, null, to.Image);
            total += message.Bytes.Length;
        }

        long deadline = Environment.TickCount64 + 5000;
        while (to.Copy.Ask(SIOCINQ) < total)
        {
            if (Environment.TickCount64 > deadline)
            {
                throw new BridgeException("restore.socket", $"{to.Image.Description}: filling its queue", $"{to.Copy.Ask(SIOCINQ)} of {total} bytes arrived");
            }

            _ = Libc.usleep(200);
        }
    }

    /// <summary>What was shut for writing sends its FIN again; what was shut for reading only, does that.</summary>
    private static void ShutTcp(BuiltSocket socket, BuiltSocket other)
    {
        if ((socket.Image.Shutdown & 2) != 0)
        {
            ShutDown(socket, 2);
        }

        if ((socket.Image.Shutdown & 1) != 0 && (other.Image.Shutdown & 2) == 0)
        {
            ShutDown(socket, 1);
        }
    }
}
