using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Restore;
using Holdfast.KernelBridge.Tape;
using static Holdfast.KernelBridge.Linux.SocketCalls;

namespace Holdfast.KernelBridge.Resources;

/// <summary>What a socket is doing.</summary>
internal enum SocketState
{
    /// <summary>Neither connected nor listening; it may have a name, and a datagram socket may have a peer by its address.</summary>
    Idle,

    /// <summary>It listens.</summary>
    Listening,

    /// <summary>Connected with <see cref="SocketImage.Peer"/>.</summary>
    Connected,

    /// <summary>It has connected to the listening socket <see cref="SocketImage.Peer"/>, which has not yet accepted it.</summary>
    Pending,

    /// <summary>The other end is gone; what it had sent can be read, then the end of the stream.</summary>
    Ended,

    /// <summary>It was connected with someone outside, and is to be found reset.</summary>
    Reset,
}

/// <summary>Bytes that a socket has received and nobody has read: a message, or all of a stream.</summary>
/// <param name="Bytes">The bytes.</param>
/// <param name="From">Address of the sender; empty where there is none.</param>
/// <param name="Sender">Pid, user and group that come along with it (SO_PASSCRED), or null. The pid is that inside the application, 0 when it is of no process there.</param>
internal sealed record SocketMessageImage(byte[] Bytes, byte[] From, SenderImage? Sender)
{
    /// <summary>Descriptors that come with it (SCM_RIGHTS): numbers in <see cref="ApplicationImage.OpenFiles"/>; null for none.</summary>
    public IReadOnlyList<int>? Descriptors { get; init; }

    /// <summary>While it is captured, our own descriptors for them; not part of the image.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public IReadOnlyList<int> Caught { get; init; } = [];
}

/// <summary>Credentials of a sender; see unix(7).</summary>
internal sealed record SenderImage(int Pid, uint User, uint Group);

/// <summary>The file to which a Unix socket is bound.</summary>
/// <param name="Path">Its absolute path.</param>
/// <param name="Exists">Whether that path still leads to this socket.</param>
/// <param name="Mode">Its permissions.</param>
/// <param name="Owner">Its user.</param>
/// <param name="Group">Its group.</param>
internal sealed record SocketFileImage(string Path, bool Exists, uint Mode, uint Owner, uint Group);

/// <summary>A socket. All sockets of an image are made together, before other open files: see <see cref="SocketBuilder"/>.</summary>
internal sealed record SocketImage : OpenFileImage
{
    /// <summary>Its number in the image: the inode that it had.</summary>
    public required long Id { get; init; }

    public required int Family { get; init; }

    public required int Type { get; init; }

    public required int Protocol { get; init; }

    /// <summary><c>struct sockaddr</c> of its own name; without one, shorter or zero.</summary>
    public required byte[] Local { get; init; }

    /// <summary><c>struct sockaddr</c> of the other end's name; empty when it has none.</summary>
    public required byte[] Remote { get; init; }

    public required SocketState State { get; init; }

    /// <summary>For a listening socket, as given to listen(2).</summary>
    public int Backlog { get; init; }

    /// <summary><see cref="Id"/> of another socket of the image, or 0.</summary>
    public long Peer { get; init; }

    /// <summary>1: no more reading, 2: no more writing.</summary>
    public int Shutdown { get; init; }

    /// <summary>The next call gets ECONNRESET.</summary>
    public bool Error { get; init; }

    public SocketFileImage? File { get; init; }

    /// <summary>Of a netlink socket: the multicast groups that it listens to; null for none.</summary>
    public IReadOnlyList<int>? Groups { get; init; }

    public required IReadOnlyList<SocketOptionImage> Options { get; init; }

    public required IReadOnlyList<SocketMessageImage> Queue { get; init; }

    /// <summary>Descriptors are on their way in its queue, which is filled when all open files are there.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public bool FilledLate => Queue.Any(message => message.Descriptors?.Count > 0);

    /// <summary>A TCP socket.</summary>
    [System.Text.Json.Serialization.JsonIgnore]
    public bool IsTcp => Type == SOCK_STREAM && Family is AF_INET or AF_INET6;

    public override string Description => Describe(Family, Type, Protocol, Local, Remote) + (State is SocketState.Idle or SocketState.Connected ? string.Empty : $" ({State.ToString().ToLowerInvariant()})");

    public static string Describe(int family, int type, int protocol, ReadOnlySpan<byte> local, ReadOnlySpan<byte> remote)
    {
        string kind = (family, type) switch
        {
            (AF_UNIX, SOCK_STREAM) => "Unix stream socket",
            (AF_UNIX, SOCK_DGRAM) => "Unix datagram socket",
            (AF_UNIX, SOCK_SEQPACKET) => "Unix packet socket",
            (AF_INET or AF_INET6, SOCK_STREAM) when protocol == IPPROTO_TCP => "TCP socket",
            (AF_INET or AF_INET6, SOCK_DGRAM) when protocol == IPPROTO_UDP => "UDP socket",
            (AF_NETLINK, _) => "netlink socket",
            (17, _) => "packet socket",
            (40, _) => "vsock socket",
            _ => $"socket of family {family}, type {type}, protocol {protocol}",
        };
        return kind + (SocketName.IsNamed(local) ? " " + SocketName.Text(local) : string.Empty) + (SocketName.IsNamed(remote) ? " to " + SocketName.Text(remote) : string.Empty);
    }

    public override IEnumerable<Refusal> CheckRestore(RestoreChecks checks) =>
        checks.KeptSockets.Contains(Id) ? []
        : File is { } file ? checks.IsLeftOut(file.Path) ? [] : SocketChecks.Refusals(this, checks.Image)
        : checks.VolumesAreBack ? []
        : SocketChecks.Refusals(this, checks.Image);

    /// <summary>Nothing: it has been made already.</summary>
    public override void Restore(SyscallTape tape, int number, RestoreContext context)
    {
    }
}
