using System.Globalization;
using System.Net;
using System.Net.Sockets;
using Holdfast.KernelBridge.Linux;
using static Holdfast.KernelBridge.Linux.SocketCalls;

namespace Holdfast.KernelBridge.Resources;

/// <summary>Sockets, as far as each can be looked at alone. What connects them is in <see cref="SocketCensus"/>.</summary>
internal sealed class Sockets : IDescriptorKind
{
    private const int MCAST_MSFILTER = 48;

    public static bool IsSocket(DescriptorFacts facts) => facts.Identity.Type == FileIdentity.Socket && (facts.Flags & Libc.O_PATH) == 0;

    public bool Recognise(DescriptorFacts facts) => IsSocket(facts);

    public Refusal? Check(DescriptorFacts facts)
    {
        using SocketCopy? socket = SocketCopy.TryTake(facts.Pid, facts.Number, out int error);
        if (socket is null)
        {
            return facts.Refuse("fd.socket", $"the socket cannot be looked at (pidfd_getfd: {Errno.Text(error)})", "run as root, on Linux 5.6 or later");
        }

        int family = socket.Number(SOL_SOCKET, SO_DOMAIN);
        int type = socket.Number(SOL_SOCKET, SO_TYPE);
        int protocol = socket.Number(SOL_SOCKET, SO_PROTOCOL);
        string what = SocketImage.Describe(family, type, protocol, socket.Name(), socket.PeerName());
        Refusal Refuse(string code, string why, string remedy) => new(code, facts.InnerPid, facts.ReportedNumber, what, why, remedy);
        if (!IsKnown(family, type, protocol))
        {
            return Refuse("fd.socket", "sockets of this kind cannot be captured", "close it before the checkpoint");
        }

        if (SocketOptions.Unknown(socket, type, protocol) is { } unknown)
        {
            return Refuse("socket.filter", $"it has {unknown}", "take it off before the checkpoint");
        }

        if (family == AF_NETLINK)
        {
            return NetlinkSockets.Check(socket, protocol, Refuse);
        }

        if ((socket.Poll(POLLPRI) & POLLPRI) != 0)
        {
            return Refuse("socket.urgent", "urgent data (MSG_OOB) wait in it", "let it be read, and try again");
        }

        return type == SOCK_DGRAM && family != AF_UNIX && MemberOf(socket, facts.Pid) is { } multicast
            ? Refuse("socket.multicast", $"it is a member of multicast group {multicast}", "leave the group before the checkpoint")
            : null;
    }

    public string? Caveat(DescriptorFacts facts) => DescriptorsInFlight.Caveat(facts);

    public OpenFileImage Capture(DescriptorFacts facts)
    {
        using SocketCopy socket = SocketCopy.TryTake(facts.Pid, facts.Number)
            ?? throw new BridgeException("fd.socket", $"looking at {facts.Link} of process {facts.InnerPid}", "it is gone");
        int family = socket.Number(SOL_SOCKET, SO_DOMAIN);
        int type = socket.Number(SOL_SOCKET, SO_TYPE);
        return new SocketImage
        {
            Id = (long)facts.Identity.Inode, Flags = facts.Flags, Family = family, Type = type, Protocol = socket.Number(SOL_SOCKET, SO_PROTOCOL), Local = socket.Name(),
            Remote = socket.PeerName(), State = SocketState.Idle, Options = SocketOptions.Read(socket, family, type), Queue = [],
            Groups = family == AF_NETLINK ? NetlinkSockets.Groups(socket) : null,
        };
    }

    /// <summary>Which sockets can be made again.</summary>
    public static bool IsKnown(int family, int type, int protocol) => (family, type) switch
    {
        (AF_UNIX, SOCK_STREAM or SOCK_DGRAM or SOCK_SEQPACKET) => true,
        (AF_INET or AF_INET6, SOCK_STREAM) => protocol == IPPROTO_TCP,
        (AF_INET or AF_INET6, SOCK_DGRAM) => protocol == IPPROTO_UDP,
        (AF_NETLINK, SOCK_RAW or SOCK_DGRAM) => true,
        _ => false,
    };

    /// <summary>
    /// A multicast group of which the socket is a member, or null. No interface lists a socket's groups; but of each group that anybody on the host has joined,
    /// the socket can be asked for its source filter, which only a member has.
    /// </summary>
    private static string? MemberOf(SocketCopy socket, int pid)
    {
        foreach ((int device, IPAddress group) in Groups(pid))
        {
            // struct group_filter: interface, address, mode, number of sources.
            byte[] question = new byte[144];
            BitConverter.TryWriteBytes(question, device);
            bool four = group.AddressFamily == AddressFamily.InterNetwork;
            SocketName.Of(four ? AF_INET : AF_INET6, group, 0).CopyTo(question, 8);
            if (Ask(socket, four ? IPPROTO_IP : IPPROTO_IPV6, question))
            {
                return group.ToString();
            }
        }

        return null;
    }

    private static unsafe bool Ask(SocketCopy socket, int level, byte[] question)
    {
        uint length = (uint)question.Length;
        fixed (byte* p = question)
        {
            return getsockopt(socket.Fd, level, MCAST_MSFILTER, p, &length) == 0;
        }
    }

    /// <summary>All groups that are joined on any device, of /proc/PID/net/igmp and igmp6.</summary>
    private static IEnumerable<(int Device, IPAddress Group)> Groups(int pid)
    {
        int device = 0;
        foreach (string line in (ProcFs.TryText($"/proc/{pid}/net/igmp") ?? string.Empty).Split('\n').Skip(1))
        {
            string[] words = line.Split((char[])[' ', '\t'], StringSplitOptions.RemoveEmptyEntries);
            if (line.StartsWith('\t') && words.Length > 0 && uint.TryParse(words[0], NumberStyles.HexNumber, CultureInfo.InvariantCulture, out uint group))
            {
                yield return (device, new IPAddress(BitConverter.GetBytes(group)));
            }
            else if (words.Length > 0 && int.TryParse(words[0], CultureInfo.InvariantCulture, out int number))
            {
                device = number;
            }
        }

        foreach (string line in (ProcFs.TryText($"/proc/{pid}/net/igmp6") ?? string.Empty).Split('\n'))
        {
            string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            if (words.Length > 2 && words[2].Length == 32 && int.TryParse(words[0], CultureInfo.InvariantCulture, out int number))
            {
                yield return (number, new IPAddress(Convert.FromHexString(words[2])));
            }
        }
    }
}
