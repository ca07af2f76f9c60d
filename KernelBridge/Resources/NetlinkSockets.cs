using Holdfast.KernelBridge.Linux;
using static Holdfast.KernelBridge.Linux.SocketCalls;

namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// What a socket of netlink(7) has beside its options: its port, which others, the kernel too, send to, and the multicast groups that it listens to. Of protocols of which
/// the kernel keeps nothing else for a port; of others, such as generic netlink, a socket is captured as long as it has sent nothing and has no port.
/// </summary>
internal static class NetlinkSockets
{
    public const int SOL_NETLINK = 270;

    private const int NETLINK_ROUTE = 0, NETLINK_USERSOCK = 2, NETLINK_SOCK_DIAG = 4, NETLINK_KOBJECT_UEVENT = 15, NETLINK_ADD_MEMBERSHIP = 1, NETLINK_LIST_MEMBERSHIPS = 9;

    // Groups of any protocol that is captured, as bits; the kernel has at most 60 of one.
    private const int MostGroupBytes = 128;

    /// <summary>What of one cannot be captured.</summary>
    /// <param name="socket">The socket.</param>
    /// <param name="protocol">Its protocol.</param>
    /// <param name="refuse">Makes the refusal of a code, a reason and a remedy.</param>
    public static Refusal? Check(SocketCopy socket, int protocol, Func<string, string, string, Refusal> refuse) =>
        (socket.Poll(POLLIN) & (POLLIN | POLLERR)) != 0 ? refuse("socket.unread", "messages wait in it, or the news that some were lost", "let them be read, and try again")
        : (SocketName.IsNamed(socket.Name()) || Groups(socket).Count > 0) && !IsPlain(protocol)
            ? refuse("fd.socket", $"it is bound, and what the kernel keeps for one of protocol {protocol} shows to nobody", "close it before the checkpoint")
        : null;

    /// <summary>The groups that a socket listens to, ascending.</summary>
    public static IReadOnlyList<int> Groups(SocketCopy socket)
    {
        byte[] bits = socket.Get(SOL_NETLINK, NETLINK_LIST_MEMBERSHIPS, MostGroupBytes) ?? [];
        return [.. Enumerable.Range(0, bits.Length * 8).Where(bit => (bits[bit / 8] >> (bit % 8) & 1) != 0).Select(bit => bit + 1)];
    }

    /// <summary>Whether what an image says of one can be made.</summary>
    public static bool IsPossible(SocketImage socket) =>
        socket is { State: SocketState.Idle, Queue.Count: 0, Groups: null or { Count: <= MostGroupBytes * 8 } } && socket.Groups?.Any(group => group is < 1 or > MostGroupBytes * 8) != true
        && ((!SocketName.IsNamed(socket.Local) && socket.Groups is null or { Count: 0 }) || IsPlain(socket.Protocol));

    /// <summary>Gives a socket that was made its port, its groups and whom it sends to.</summary>
    /// <exception cref="BridgeException"><c>restore.socket</c>.</exception>
    public static unsafe void Restore(SocketCopy socket, SocketImage image)
    {
        void Require(int error, string doing)
        {
            if (error != 0)
            {
                throw new BridgeException("restore.socket", $"{doing} of {image.Description}", Errno.Text(error));
            }
        }

        if (SocketName.IsNamed(image.Local))
        {
            // Groups come one by one.
            byte[] name = [.. image.Local.AsSpan(0, 8), 0, 0, 0, 0];
            fixed (byte* p = name)
            {
                Require(bind(socket.Fd, p, (uint)name.Length) < 0 ? Libc.LastError : 0, "the port");
            }
        }

        foreach (int group in image.Groups ?? [])
        {
            Require(socket.Set(SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group), $"group {group}");
        }

        if (image.Remote.Length == 12 && image.Remote.AsSpan(4).ContainsAnyExcept((byte)0))
        {
            fixed (byte* p = image.Remote)
            {
                Require(connect(socket.Fd, p, (uint)image.Remote.Length) < 0 ? Libc.LastError : 0, "the other end");
            }
        }
    }

    private static bool IsPlain(int protocol) => protocol is NETLINK_ROUTE or NETLINK_USERSOCK or NETLINK_SOCK_DIAG or NETLINK_KOBJECT_UEVENT;
}
