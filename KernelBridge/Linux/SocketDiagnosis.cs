using System.Buffers.Binary;
using System.Net;
using static Holdfast.KernelBridge.Linux.NetlinkSocket;
using static Holdfast.KernelBridge.Linux.SocketCalls;

namespace Holdfast.KernelBridge.Linux;

/// <summary>A Unix socket as sock_diag(7) shows it.</summary>
/// <param name="Inode">Its inode; 0 while it belongs to no descriptor.</param>
/// <param name="State">1 connected, 7 not, 10 listening.</param>
/// <param name="Peer">Inode of the other end; 0 when that end has no descriptor any more; null when there is none.</param>
/// <param name="Waiting">For a listening one, inodes of those that have connected and are not yet accepted.</param>
/// <param name="ReceiveQueue">For a listening one, how many are waiting.</param>
/// <param name="SendQueue">For a listening one, its backlog.</param>
/// <param name="Shutdown">1 for reading, 2 for writing.</param>
/// <param name="File">Device and inode of its path, or null.</param>
internal sealed record UnixSocketState(
    ulong Inode, int State, ulong? Peer, IReadOnlyList<ulong> Waiting, uint ReceiveQueue, uint SendQueue, int Shutdown, (uint Device, uint Inode)? File);

/// <summary>A TCP socket as sock_diag(7) shows it.</summary>
/// <param name="Inode">Its inode; 0 while it belongs to no descriptor.</param>
/// <param name="State">As in include/net/tcp_states.h.</param>
/// <param name="Local">Its own address; IPv4 in IPv6 form as IPv4.</param>
/// <param name="Remote">The other end's.</param>
/// <param name="SendQueue">For a listening one, its backlog.</param>
/// <param name="Shutdown">1 for reading, 2 for writing.</param>
internal sealed record TcpSocketState(ulong Inode, int State, IPEndPoint Local, IPEndPoint Remote, uint SendQueue, int Shutdown)
{
    public const int Established = 1, SynSent = 2, SynReceived = 3, FinWait1 = 4, FinWait2 = 5, TimeWait = 6, Closed = 7, CloseWait = 8, LastAck = 9, Listening = 10, Closing = 11;

    /// <summary>The answer's own <c>struct inet_diag_sockid</c>, and its family: what names the socket in a further question.</summary>
    public byte[] Identity { get; init; } = [];

    public int Family { get; init; }
}

/// <summary>Asks the kernel for all sockets of a network namespace; see sock_diag(7) and include/uapi/linux/{unix_diag,inet_diag}.h.</summary>
internal sealed class SocketDiagnosis : IDisposable
{
    private const int NETLINK_SOCK_DIAG = 4, SOCK_DIAG_BY_FAMILY = 20, SOCK_DESTROY = 21;

    private readonly NetlinkSocket socket;

    private SocketDiagnosis(NetlinkSocket socket)
    {
        this.socket = socket;
    }

    /// <summary>Asks in the network namespace of a process; null where this kernel cannot tell.</summary>
    public static SocketDiagnosis? TryOpen(int pid)
    {
        try
        {
            return NetlinkSocket.TryOpen(pid, NETLINK_SOCK_DIAG) is { } socket ? new SocketDiagnosis(socket) : null;
        }
        catch (BridgeException e) when (e.Code == "rights.missing")
        {
            return null;
        }
    }

    /// <summary>All Unix sockets; null where this kernel cannot tell (CONFIG_UNIX_DIAG).</summary>
    public List<UnixSocketState>? UnixSockets()
    {
        byte[] question = new byte[24];
        question[0] = AF_UNIX;
        BinaryPrimitives.WriteUInt32LittleEndian(question.AsSpan(4), uint.MaxValue);
        // UDIAG_SHOW_VFS, _PEER, _ICONS, _RQLEN.
        BinaryPrimitives.WriteUInt32LittleEndian(question.AsSpan(12), 0x1e);
        question.AsSpan(16).Fill(0xff);
        List<UnixSocketState> found = [];
        return Dump(question, answer =>
        {
            ulong? peer = null;
            List<ulong> waiting = [];
            (uint, uint) queues = default;
            (uint, uint)? file = null;
            int shutdown = 0;
            Attributes(answer[16..], (type, value) =>
            {
                switch (type)
                {
                    case 1 when value.Length >= 8:
                        file = (U32(value, 4), U32(value, 0));
                        break;
                    case 2 when value.Length >= 4:
                        peer = U32(value, 0);
                        break;
                    case 3:
                        for (int i = 0; i + 4 <= value.Length; i += 4)
                        {
                            waiting.Add(U32(value, i));
                        }

                        break;
                    case 4 when value.Length >= 8:
                        queues = (U32(value, 0), U32(value, 4));
                        break;
                    case 6 when value.Length >= 1:
                        shutdown = value[0];
                        break;
                }
            });
            found.Add(new UnixSocketState(U32(answer, 4), answer[2], peer, waiting, queues.Item1, queues.Item2, shutdown, file));
        }) ? found : null;
    }

    /// <summary>All TCP sockets of both families; null where this kernel cannot tell (CONFIG_INET_DIAG).</summary>
    public List<TcpSocketState>? TcpSockets()
    {
        List<TcpSocketState> found = [];
        foreach (int family in (ReadOnlySpan<int>)[AF_INET, AF_INET6])
        {
            byte[] question = new byte[56];
            question[0] = (byte)family;
            question[1] = IPPROTO_TCP;
            BinaryPrimitives.WriteUInt32LittleEndian(question.AsSpan(4), uint.MaxValue);
            bool told = Dump(question, answer =>
            {
                int shutdown = 0;
                Attributes(answer[72..], (type, value) => shutdown = type == 8 && value.Length >= 1 ? value[0] : shutdown);
                found.Add(new TcpSocketState(U32(answer, 68), answer[1], End(answer, 4, 8), End(answer, 6, 24), U32(answer, 60), shutdown)
                {
                    Identity = answer.Slice(4, 48).ToArray(), Family = family,
                });
            });
            if (!told && family == AF_INET)
            {
                return null;
            }

            IPEndPoint End(ReadOnlySpan<byte> answer, int port, int address)
            {
                IPAddress ip = new(answer.Slice(address, family == AF_INET ? 4 : 16));
                return new IPEndPoint(ip.IsIPv4MappedToIPv6 ? ip.MapToIPv4() : ip, BinaryPrimitives.ReadUInt16BigEndian(answer[port..]));
            }
        }

        return found;
    }

    /// <summary>
    /// Ends connections of the past that only wait for late packets. Both ends have said all and nobody holds a descriptor; but they keep their port from a
    /// server that is started again without SO_REUSEADDR for up to a minute.
    /// </summary>
    /// <param name="pid">A process in the network namespace in question.</param>
    /// <param name="which">Which of them.</param>
    public static void Forget(int pid, Predicate<TcpSocketState> which)
    {
        using SocketDiagnosis? diagnosis = TryOpen(pid);
        foreach (TcpSocketState old in diagnosis?.TcpSockets() ?? [])
        {
            if (old is { Inode: 0, State: TcpSocketState.TimeWait or TcpSocketState.FinWait2 } && which(old))
            {
                diagnosis!.Destroy(old);
            }
        }
    }

    /// <summary>Ends a socket that belongs to no descriptor any more (SOCK_DESTROY); whether the kernel did.</summary>
    private bool Destroy(TcpSocketState state)
    {
        byte[] question = new byte[56];
        question[0] = (byte)state.Family;
        question[1] = IPPROTO_TCP;
        BinaryPrimitives.WriteUInt32LittleEndian(question.AsSpan(4), uint.MaxValue);
        state.Identity.CopyTo(question, 8);
        return socket.Ask(SOCK_DESTROY, NetlinkSocket.Acknowledged, question) == 0;
    }

    public void Dispose() => socket.Dispose();

    private delegate void Answered(ReadOnlySpan<byte> answer);

    private bool Dump(byte[] question, Answered take) => socket.Ask(SOCK_DIAG_BY_FAMILY, NetlinkSocket.Dump, question, (_, answer) => take(answer)) == 0;
}
