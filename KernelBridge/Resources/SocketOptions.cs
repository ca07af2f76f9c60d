using Holdfast.KernelBridge.Linux;
using static Holdfast.KernelBridge.Linux.SocketCalls;

namespace Holdfast.KernelBridge.Resources;

/// <summary>The options of setsockopt(2) that belong to a socket's state. They are put back where a new socket's value differs.</summary>
internal static class SocketOptions
{
    private const int IPV6_V6ONLY = 26, TCP_CONGESTION = 13, TCP_FASTOPEN = 23, TCP_SAVE_SYN = 27, TCP_FASTOPEN_CONNECT = 30, TCP_ULP = 31, TCP_FASTOPEN_NO_COOKIE = 34;

    private static readonly (int Level, int Option, int Size, string Name)[] Common =
    [
        (SOL_SOCKET, SO_REUSEADDR, 4, "SO_REUSEADDR"), (SOL_SOCKET, 5, 4, "SO_DONTROUTE"), (SOL_SOCKET, 6, 4, "SO_BROADCAST"), (SOL_SOCKET, 9, 4, "SO_KEEPALIVE"),
        (SOL_SOCKET, 10, 4, "SO_OOBINLINE"), (SOL_SOCKET, 12, 4, "SO_PRIORITY"), (SOL_SOCKET, SO_LINGER, 8, "SO_LINGER"), (SOL_SOCKET, SO_REUSEPORT, 4, "SO_REUSEPORT"),
        (SOL_SOCKET, SO_PASSCRED, 4, "SO_PASSCRED"), (SOL_SOCKET, 18, 4, "SO_RCVLOWAT"), (SOL_SOCKET, 20, 16, "SO_RCVTIMEO"), (SOL_SOCKET, 21, 16, "SO_SNDTIMEO"),
        (SOL_SOCKET, 25, 16, "SO_BINDTODEVICE"), (SOL_SOCKET, 29, 4, "SO_TIMESTAMP"), (SOL_SOCKET, 34, 4, "SO_PASSSEC"), (SOL_SOCKET, 35, 4, "SO_TIMESTAMPNS"),
        (SOL_SOCKET, 36, 4, "SO_MARK"), (SOL_SOCKET, 40, 4, "SO_RXQ_OVFL"), (SOL_SOCKET, SO_PEEK_OFF, 4, "SO_PEEK_OFF"), (SOL_SOCKET, 46, 4, "SO_BUSY_POLL"),
        (SOL_SOCKET, 60, 4, "SO_ZEROCOPY"), (SOL_SOCKET, 76, 4, "SO_PASSPIDFD"), (SOL_SOCKET, 83, 4, "SO_PASSRIGHTS"),
    ];

    private static readonly (int Level, int Option, int Size, string Name)[] Internet =
    [
        (IPPROTO_IP, 1, 4, "IP_TOS"), (IPPROTO_IP, 2, 4, "IP_TTL"), (IPPROTO_IP, 6, 4, "IP_RECVOPTS"), (IPPROTO_IP, 8, 4, "IP_PKTINFO"), (IPPROTO_IP, 10, 4, "IP_MTU_DISCOVER"),
        (IPPROTO_IP, 11, 4, "IP_RECVERR"), (IPPROTO_IP, 12, 4, "IP_RECVTTL"), (IPPROTO_IP, 13, 4, "IP_RECVTOS"), (IPPROTO_IP, 15, 4, "IP_FREEBIND"),
        (IPPROTO_IP, 19, 4, "IP_TRANSPARENT"), (IPPROTO_IP, 20, 4, "IP_RECVORIGDSTADDR"), (IPPROTO_IP, 21, 4, "IP_MINTTL"), (IPPROTO_IP, 24, 4, "IP_BIND_ADDRESS_NO_PORT"),
        (IPPROTO_IP, 33, 4, "IP_MULTICAST_TTL"), (IPPROTO_IP, 34, 4, "IP_MULTICAST_LOOP"), (IPPROTO_IP, 51, 4, "IP_LOCAL_PORT_RANGE"),
    ];

    private static readonly (int Level, int Option, int Size, string Name)[] Version6 =
    [
        (IPPROTO_IPV6, IPV6_V6ONLY, 4, "IPV6_V6ONLY"), (IPPROTO_IPV6, 16, 4, "IPV6_UNICAST_HOPS"), (IPPROTO_IPV6, 18, 4, "IPV6_MULTICAST_HOPS"), (IPPROTO_IPV6, 19, 4, "IPV6_MULTICAST_LOOP"),
        (IPPROTO_IPV6, 23, 4, "IPV6_MTU_DISCOVER"), (IPPROTO_IPV6, 25, 4, "IPV6_RECVERR"), (IPPROTO_IPV6, 49, 4, "IPV6_RECVPKTINFO"), (IPPROTO_IPV6, 51, 4, "IPV6_RECVHOPLIMIT"),
        (IPPROTO_IPV6, 66, 4, "IPV6_RECVTCLASS"), (IPPROTO_IPV6, 67, 4, "IPV6_TCLASS"), (IPPROTO_IPV6, 75, 4, "IPV6_TRANSPARENT"), (IPPROTO_IPV6, 78, 4, "IPV6_FREEBIND"),
    ];

    private static readonly (int Level, int Option, int Size, string Name)[] Tcp =
    [
        (IPPROTO_TCP, 1, 4, "TCP_NODELAY"), (IPPROTO_TCP, 3, 4, "TCP_CORK"), (IPPROTO_TCP, 4, 4, "TCP_KEEPIDLE"), (IPPROTO_TCP, 5, 4, "TCP_KEEPINTVL"), (IPPROTO_TCP, 6, 4, "TCP_KEEPCNT"),
        (IPPROTO_TCP, 7, 4, "TCP_SYNCNT"), (IPPROTO_TCP, 8, 4, "TCP_LINGER2"), (IPPROTO_TCP, 9, 4, "TCP_DEFER_ACCEPT"), (IPPROTO_TCP, TCP_CONGESTION, 16, "TCP_CONGESTION"),
        (IPPROTO_TCP, 16, 4, "TCP_THIN_LINEAR_TIMEOUTS"), (IPPROTO_TCP, 18, 4, "TCP_USER_TIMEOUT"), (IPPROTO_TCP, 23, 4, "TCP_FASTOPEN"), (IPPROTO_TCP, 25, 4, "TCP_NOTSENT_LOWAT"),
        (IPPROTO_TCP, 27, 4, "TCP_SAVE_SYN"), (IPPROTO_TCP, 30, 4, "TCP_FASTOPEN_CONNECT"), (IPPROTO_TCP, 34, 4, "TCP_FASTOPEN_NO_COOKIE"), (IPPROTO_TCP, 36, 4, "TCP_INQ"),
    ];

    private static readonly (int Level, int Option, int Size, string Name)[] Udp =
    [
        (IPPROTO_UDP, 1, 4, "UDP_CORK"), (IPPROTO_UDP, 101, 4, "UDP_NO_CHECK6_TX"), (IPPROTO_UDP, 102, 4, "UDP_NO_CHECK6_RX"), (IPPROTO_UDP, 103, 4, "UDP_SEGMENT"),
        (IPPROTO_UDP, 104, 4, "UDP_GRO"),
    ];

    private static readonly (int Level, int Option, int Size, string Name)[] Netlink =
    [
        (NetlinkSockets.SOL_NETLINK, 3, 4, "NETLINK_PKTINFO"), (NetlinkSockets.SOL_NETLINK, 4, 4, "NETLINK_BROADCAST_ERROR"), (NetlinkSockets.SOL_NETLINK, 5, 4, "NETLINK_NO_ENOBUFS"),
        (NetlinkSockets.SOL_NETLINK, 8, 4, "NETLINK_LISTEN_ALL_NSID"), (NetlinkSockets.SOL_NETLINK, 10, 4, "NETLINK_CAP_ACK"), (NetlinkSockets.SOL_NETLINK, 11, 4, "NETLINK_EXT_ACK"),
        (NetlinkSockets.SOL_NETLINK, 12, 4, "NETLINK_GET_STRICT_CHK"),
    ];

    /// <summary>The values of all options that this kind of socket has. Asking changes nothing.</summary>
    public static List<SocketOptionImage> Read(SocketCopy socket, int family, int type)
    {
        List<SocketOptionImage> options = [];
        foreach ((int level, int option, int size, _) in Table(family, type))
        {
            if (socket.Get(level, option, size) is { } value)
            {
                options.Add(new SocketOptionImage(level, option, value));
            }
        }

        // Buffers come doubled, as the kernel accounts for its own overhead. The last says whether the application has set them, which ends their growing by themselves.
        foreach (int option in (ReadOnlySpan<int>)[SO_SNDBUF, SO_RCVBUF, SO_BUF_LOCK])
        {
            if (socket.Get(SOL_SOCKET, option, 4) is { } value)
            {
                options.Add(new SocketOptionImage(SOL_SOCKET, option, value));
            }
        }

        return options;
    }

    /// <summary>Gives a socket the values of an image.</summary>
    /// <exception cref="BridgeException"><c>restore.socket</c>: the kernel refuses one.</exception>
    public static void Write(SocketCopy socket, SocketImage image)
    {
        bool connects = image.State is not (SocketState.Idle or SocketState.Listening);
        foreach (SocketOptionImage option in image.Options)
        {
            // An accepted connection inherits some that can only be set before there is a connection, and mean nothing in one.
            if (connects && option is { Level: IPPROTO_TCP, Option: TCP_FASTOPEN or TCP_SAVE_SYN or TCP_FASTOPEN_CONNECT or TCP_FASTOPEN_NO_COOKIE })
            {
                continue;
            }

            if (socket.Get(option.Level, option.Option, option.Value.Length) is { } now && now.AsSpan().SequenceEqual(option.Value))
            {
                continue;
            }

            int error = (option.Level, option.Option) switch
            {
                // Binding to an IPv6 address sets it as well; for a socket that has an address, and so for connected ones, it means nothing any more.
                (IPPROTO_IPV6, IPV6_V6ONLY) when SocketName.IsNamed(socket.Name()) => 0,
                (SOL_SOCKET, SO_SNDBUF or SO_RCVBUF) => socket.SetBuffer(option.Option, BitConverter.ToInt32(option.Value) / 2),
                _ => socket.Set(option.Level, option.Option, option.Value),
            };
            if (error != 0)
            {
                throw new BridgeException("restore.socket", $"setting {NameOf(option)} of {image.Description}", Errno.Text(error));
            }
        }
    }

    /// <summary>An option of SOL_SOCKET in an image.</summary>
    public static int? Value(SocketImage image, int option) => Get(image, SOL_SOCKET, option) is { Length: 4 } found ? BitConverter.ToInt32(found) : null;

    /// <summary>An option in an image.</summary>
    public static byte[]? Get(SocketImage image, int level, int option) => image.Options.FirstOrDefault(known => known.Level == level && known.Option == option)?.Value;

    /// <summary>What no such table holds and a socket may not have: a filter, another protocol above TCP. Null when there is nothing.</summary>
    public static string? Unknown(SocketCopy socket, int type, int protocol) =>
        HasFilter(socket) ? "a filter"
        : type == SOCK_STREAM && protocol == IPPROTO_TCP && socket.Get(IPPROTO_TCP, TCP_ULP, 16) is { Length: > 0 } above && above[0] != 0
            ? $"the upper-layer protocol {System.Text.Encoding.UTF8.GetString(above).TrimEnd('\0')} (TCP_ULP)"
            : null;

    /// <summary>Whether an image may ask for this option: one of those above, at its size.</summary>
    public static bool IsKnown(SocketOptionImage option, int family, int type) =>
        (option is { Level: SOL_SOCKET, Option: SO_SNDBUF or SO_RCVBUF or SO_BUF_LOCK } && option.Value.Length == 4)
        || Table(family, type).Any(known => (known.Level, known.Option) == (option.Level, option.Option) && option.Value.Length <= known.Size && (known.Size == 16 || option.Value.Length > 0));

    private static IEnumerable<(int Level, int Option, int Size, string Name)> Table(int family, int type) =>
    [
        .. Common,
        // Those about multicast are of datagrams; in an accepted connection they hold what its first packet had.
        .. (family is AF_INET or AF_INET6 ? Internet : []).Where(option => type != SOCK_STREAM || option.Option is not (33 or 34)),
        .. (family == AF_INET6 ? Version6 : []).Where(option => type != SOCK_STREAM || option.Option is not (18 or 19)),
        .. family is AF_INET or AF_INET6 ? type == SOCK_STREAM ? Tcp : Udp : [],
        .. family == AF_NETLINK ? Netlink : [],
    ];

    private static string NameOf(SocketOptionImage option) =>
        Common.Concat(Internet).Concat(Version6).Concat(Tcp).Concat(Udp).Concat(Netlink).FirstOrDefault(known => (known.Level, known.Option) == (option.Level, option.Option)).Name
        ?? (option.Option switch { SO_SNDBUF => "SO_SNDBUF", SO_RCVBUF => "SO_RCVBUF", _ => "SO_BUF_LOCK" });

    /// <summary>SO_GET_FILTER counts instructions; for an eBPF filter it is denied.</summary>
    private static unsafe bool HasFilter(SocketCopy socket)
    {
        uint length = 0;
        return getsockopt(socket.Fd, SOL_SOCKET, SO_GET_FILTER, null, &length) < 0 ? Libc.LastError == Errno.EACCES : length > 0;
    }
}

/// <summary>An option of a socket.</summary>
/// <param name="Level">As in setsockopt(2).</param>
/// <param name="Option">Its number.</param>
/// <param name="Value">Its value, as getsockopt(2) gave it.</param>
internal sealed record SocketOptionImage(int Level, int Option, byte[] Value);
