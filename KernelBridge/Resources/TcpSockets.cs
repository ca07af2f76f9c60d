using System.Buffers.Binary;
using System.Net;
using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Spaces;
using static Holdfast.KernelBridge.Linux.SocketCalls;

namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// TCP sockets; see tcp(7). A connection whose two ends are the application's comes back with all bytes: what one end has sent lies in the other's queue, where it can be
/// read without taking it out. One with someone outside comes back reset, since its other end has moved on.
/// </summary>
internal static class TcpSockets
{
    /// <summary>Code and words of the refusal where connections cannot be made in repair mode.</summary>
    public const string Rights = "rights.tcp", WithoutRights = "a connection of the host's network can only be made again with CAP_NET_ADMIN, which an ordinary user does not have",
        RightsRemedy = "give the application a network of its own (run --isolate pid,mount,uts,ipc,time,shm,net), or run as root";

    /// <summary>Most bytes that a receiver without room is made to take: a connection that is made again carries as many at once.</summary>
    private const long MostUnsent = 32 << 20;

    private const int TCP_REPAIR = 19;

    /// <summary>Whether this process may make connections of its own network namespace in repair mode.</summary>
    public static bool MayRepair()
    {
        using SocketCopy probe = SocketCopy.Own(socket(AF_INET, SOCK_STREAM | Libc.O_CLOEXEC, 0));
        return probe.Set(IPPROTO_TCP, TCP_REPAIR, BitConverter.GetBytes(1)) == 0;
    }

    /// <summary>Whether a socket in this state is made in repair mode by a restore.</summary>
    public static bool NeedsRepair(SocketState state) => state is SocketState.Connected or SocketState.Ended or SocketState.Reset;

    /// <summary>Whether somebody outside is concerned with it: it listens, or its other end is not the application's.</summary>
    public static bool CanBeKept(SocketImage socket) => socket.State is SocketState.Listening or SocketState.Reset or SocketState.Ended;

    /// <summary>Whether it listens, or is connected, as the kernel sees it.</summary>
    public static bool IsAlive(SocketCopy socket) => TcpCounts.Read(socket).State
        is TcpSocketState.Established or TcpSocketState.FinWait1 or TcpSocketState.FinWait2 or TcpSocketState.CloseWait or TcpSocketState.Listening;

    /// <summary>Finds the state of each, or refuses it.</summary>
    public static void Look(SocketCensus census, SocketDiagnosis? diagnosis)
    {
        List<SocketFacts> own = [.. census.Known.Values.Where(socket => socket.Type == SOCK_STREAM && socket.Protocol == IPPROTO_TCP && socket.Family is AF_INET or AF_INET6)];
        if (own.Count == 0)
        {
            return;
        }

        if (diagnosis?.TcpSockets() is not { } all)
        {
            census.Refusals.Add(own[0].Refuse("socket.diag", "this kernel does not say what TCP sockets are connected with", "use a kernel with CONFIG_INET_DIAG"));
            return;
        }

        Dictionary<ulong, TcpSocketState> states = all.Where(state => state.Inode != 0).DistinctBy(state => state.Inode).ToDictionary(state => state.Inode);
        ILookup<(IPEndPoint, IPEndPoint), TcpSocketState> orphans = all.Where(state => state.Inode == 0).ToLookup(state => (state.Local, state.Remote));
        Dictionary<(IPEndPoint, IPEndPoint), SocketFacts> ends = [];
        foreach (SocketFacts socket in own.Where(socket => SocketName.IsNamed(socket.Remote) && SocketName.IsInternet(socket.Local)))
        {
            ends.TryAdd((SocketName.EndPoint(socket.Local), SocketName.EndPoint(socket.Remote)), socket);
        }

        bool repairs = census.OwnsNetwork || Authority.Own.RepairsConnections;
        int reset = 0;
        foreach (SocketFacts socket in own)
        {
            states.TryGetValue(socket.Inode, out TcpSocketState? state);
            socket.Shutdown = state?.Shutdown ?? 0;
            if (state is null && socket.Tcp.State != TcpSocketState.Closed)
            {
                census.Refusals.Add(socket.Refuse("socket.namespace", "it belongs to another network namespace", "make it in the application's own"));
            }
            else if (state?.State == TcpSocketState.Listening)
            {
                socket.State = SocketState.Listening;
                socket.Backlog = (int)state.SendQueue;
            }
            else if (socket.Tcp.State == TcpSocketState.Closed)
            {
                // Never connected, or both ends have said that they are done; or the other end is lost.
                socket.State = (socket.Events & POLLERR) != 0 ? SocketState.Reset : (socket.Events & POLLRDHUP) != 0 ? SocketState.Ended : SocketState.Idle;
                socket.Shutdown = socket.State == SocketState.Ended ? 3 : 0;
            }
            else if (!SocketName.IsNamed(socket.Remote))
            {
                socket.State = SocketState.Reset;
            }
            else
            {
                (IPEndPoint local, IPEndPoint remote) = (SocketName.EndPoint(socket.Local), SocketName.EndPoint(socket.Remote));
                if (ends.TryGetValue((remote, local), out SocketFacts? other) && other != socket)
                {
                    Inside(census, socket, other);
                }
                else
                {
                    HalfInside(census, socket, [.. orphans[(remote, local)]], own);
                }
            }

            if (!repairs && NeedsRepair(socket.State))
            {
                census.Refusals.Add(socket.Refuse(Rights, WithoutRights, RightsRemedy));
            }

            reset += socket.State == SocketState.Reset ? 1 : 0;
        }

        if (reset > 0)
        {
            census.Caveats.Add($"{reset} TCP connections with others than the application's own processes are reset by a restore: the next use of each gets ECONNRESET");
        }
    }

    private static void Inside(SocketCensus census, SocketFacts socket, SocketFacts other)
    {
        if (socket.Tcp.State is TcpSocketState.SynSent or TcpSocketState.SynReceived || other.Tcp.State is TcpSocketState.SynSent or TcpSocketState.SynReceived)
        {
            socket.State = SocketState.Reset;
            return;
        }

        socket.State = SocketState.Connected;
        socket.Peer = other.Inode;
        long missing = Missing(socket.Tcp, other.Tcp);
        if (missing is > 0 and <= MostUnsent)
        {
            other.Sender = socket;
        }
        else if (missing != 0)
        {
            census.Refusals.Add(socket.Refuse(
                "socket.unsent", $"{Math.Abs(missing)} bytes of it are still on their way to process {other.Descriptor.InnerPid}, fd {other.Descriptor.Number}, whose receive buffer is full",
                "let that process read, and try again"));
        }
    }

    /// <summary>Bytes that one end has written and the other has not yet received.</summary>
    private static long Missing(TcpCounts sender, TcpCounts receiver) => sender.Sent - receiver.Received + sender.Unsent;

    /// <summary>
    /// Lets bytes come in for which a receiver has no room: its buffer becomes large for a moment, and the kernel of both ends sends them over. The application stands; it
    /// finds them where it would have found them a little later.
    /// </summary>
    /// <param name="receiver">Our copy of the receiver.</param>
    /// <param name="facts">What is known of it.</param>
    /// <param name="number">Its descriptor in the process that is captured.</param>
    /// <param name="keeper">Puts the buffer back.</param>
    /// <exception cref="BridgeException"><c>socket.unsent</c>: they did not come.</exception>
    public static void ReceiveAll(SocketCopy receiver, SocketFacts facts, int number, ISocketKeeper keeper)
    {
        using SocketCopy? sender = SocketCopy.TryTake(facts.Sender!.Descriptor.Pid, facts.Sender.Descriptor.Number);
        long missing = sender is null ? 0 : Missing(TcpCounts.Read(sender), TcpCounts.Read(receiver));
        if (sender is null || missing <= 0)
        {
            return;
        }

        int size = receiver.Number(SOL_SOCKET, SO_RCVBUF);
        int locks = receiver.Number(SOL_SOCKET, SO_BUF_LOCK);
        IDisposable kept = keeper.KeepReceiveBuffer(receiver, number, size, locks);
        try
        {
            // What lies there already takes room too, and a byte in a small segment more than one: SK_MEMINFO_RMEM_ALLOC is the first of SO_MEMINFO.
            receiver.SetBuffer(SO_RCVBUF, (int)Math.Min(1 << 29, (4 * missing) + size + receiver.Number(SOL_SOCKET, SO_MEMINFO)));
            long deadline = Environment.TickCount64 + 2000;
            while (Missing(TcpCounts.Read(sender), TcpCounts.Read(receiver)) != 0)
            {
                // A look makes the receiver say how much room it has.
                receiver.PeekByte();
                if (Environment.TickCount64 > deadline)
                {
                    throw new BridgeException([facts.Sender.Refuse("socket.unsent", $"{missing} bytes of it are still on their way to process {facts.Descriptor.InnerPid}, and do not arrive", "let that process read, and try again")]);
                }

                _ = Libc.usleep(200);
            }
        }
        finally
        {
            kept.Dispose();

            // A process may not set as much as the kernel has found right by itself.
            receiver.SetBuffer(SO_RCVBUF, size / 2);
            receiver.Set(SOL_SOCKET, SO_BUF_LOCK, locks);
        }
    }

    /// <summary>The other end has no descriptor: it waits in a backlog of ours, was closed by one of us, or is outside.</summary>
    private static void HalfInside(SocketCensus census, SocketFacts socket, List<TcpSocketState> others, List<SocketFacts> own)
    {
        if (others.Find(other => other.State is TcpSocketState.Established or TcpSocketState.CloseWait or TcpSocketState.SynReceived) is { } pending
            && ListenerOf(pending.Local, own) is { } listener)
        {
            socket.State = SocketState.Pending;
            socket.Peer = listener.Inode;
            if (socket.Tcp.Sent > 0 || socket.Tcp.Unsent > 0)
            {
                census.Refusals.Add(socket.Refuse(
                    "socket.pending", "it has sent bytes, and the other end has not yet accepted the connection, so that they cannot be seen", "let it be accepted, and try again"));
            }
        }
        else
        {
            // With its FIN all that the other end had sent is here, wherever that end was: it can be read, and then the end of the stream.
            socket.State = socket.Tcp.State is TcpSocketState.CloseWait or TcpSocketState.LastAck or TcpSocketState.Closing ? SocketState.Ended : SocketState.Reset;
        }
    }

    private static SocketFacts? ListenerOf(IPEndPoint end, List<SocketFacts> own) => own.Find(socket =>
        socket.Listens && SocketName.Port(socket.Local) == end.Port && (SocketName.Internet(socket.Local) is var at && (at.Equals(end.Address) || at.Equals(IPAddress.Any) || at.Equals(IPAddress.IPv6Any))));
}

/// <summary>What TCP_INFO counts of a connection; see <c>struct tcp_info</c> in include/uapi/linux/tcp.h.</summary>
/// <param name="State">As in include/net/tcp_states.h.</param>
/// <param name="Sent">Bytes of data sent so far, each counted once.</param>
/// <param name="Received">Bytes of data received in order so far.</param>
/// <param name="Unsent">Bytes written and not yet sent.</param>
internal readonly record struct TcpCounts(int State, long Sent, long Received, int Unsent)
{
    private const int TCP_INFO = 11;

    public static TcpCounts Read(SocketCopy socket)
    {
        byte[] info = socket.Get(IPPROTO_TCP, TCP_INFO, 256) ?? [];
        if (info.Length < 216)
        {
            return new TcpCounts(info.Length > 0 ? info[0] : 0, 0, 0, 0);
        }

        long Long(int offset) => BinaryPrimitives.ReadInt64LittleEndian(info.AsSpan(offset));
        int state = info[0];

        // A FIN takes a place in the stream like a byte, on both sides.
        bool finReceived = state is TcpSocketState.CloseWait or TcpSocketState.LastAck or TcpSocketState.Closing or TcpSocketState.TimeWait;
        bool finWaits = state is TcpSocketState.FinWait1 or TcpSocketState.LastAck or TcpSocketState.Closing;
        int unsent = state == TcpSocketState.Listening ? 0 : socket.Ask(SIOCOUTQNSD);
        return new TcpCounts(state, Long(200) - Long(208), Long(128) - (finReceived ? 1 : 0), finWaits && unsent > 0 ? unsent - 1 : unsent);
    }
}
