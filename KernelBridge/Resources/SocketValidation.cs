using Holdfast.KernelBridge.Linux;
using static Holdfast.KernelBridge.Linux.SocketCalls;

namespace Holdfast.KernelBridge.Resources;

/// <summary>Checks the sockets of an image: that each is of a kind that can be made, and that peers are there and agree.</summary>
internal static class SocketValidation
{
    /// <summary>The first thing that is wrong, or null.</summary>
    public static string? Problem(ApplicationImage image)
    {
        Dictionary<long, SocketImage> known = [];
        foreach (SocketImage socket in image.OpenFiles.OfType<SocketImage>())
        {
            if (!known.TryAdd(socket.Id, socket))
            {
                return $"socket {socket.Id} is there twice";
            }
        }

        HashSet<int> held = [.. image.Processes.SelectMany(process => process.Descriptors).Select(descriptor => descriptor.File)];
        for (int i = 0; i < image.OpenFiles.Count; i++)
        {
            if (image.OpenFiles[i] is SocketImage carrier && ProblemInFlight(image, carrier, held.Contains(i), held) is { } wrong)
            {
                return $"socket {carrier.Id}: {wrong}";
            }
        }

        return known.Values.Select(socket => Problem(socket, known) is { } problem ? $"socket {socket.Id}: {problem}" : null).FirstOrDefault(problem => problem is not null);
    }

    private static string? Problem(SocketImage socket, Dictionary<long, SocketImage> known)
    {
        if (socket.Options is null || socket.Queue is null || socket.Local is null || socket.Remote is null || socket.Options.Contains(null!) || socket.Queue.Contains(null!))
        {
            return "a part is missing";
        }

        if (socket.Id <= 0 || !Enum.IsDefined(socket.State) || !Sockets.IsKnown(socket.Family, socket.Type, socket.Protocol) || socket.Shutdown is < 0 or > 3 || socket.Backlog < 0)
        {
            return "it is of an unknown kind or state";
        }

        if (!IsAddress(socket.Local, socket.Family) || (socket.Remote.Length > 0 && !IsAddress(socket.Remote, socket.Family)))
        {
            return "an impossible address";
        }

        if (socket.Options.Any(option => option.Value is null || !SocketOptions.IsKnown(option, socket.Family, socket.Type)))
        {
            return "an unknown option";
        }

        if (socket.Queue.Any(message => message.Bytes is null || message.From is null || message.From.Length > 128 || (message.From.Length > 0 && SocketName.FamilyOf(message.From) != socket.Family)))
        {
            return "an impossible message";
        }

        if (socket.File is { } file && !(file.Path.StartsWith('/') && !file.Path.Contains('\0', StringComparison.Ordinal) && file.Path.Length < 4096 && (file.Mode & ~0xfffu) == 0))
        {
            return "an impossible path";
        }

        if (socket.Family == AF_NETLINK ? !NetlinkSockets.IsPossible(socket) : socket.Groups is not null)
        {
            return "a port or groups that cannot be";
        }

        SocketImage? peer = socket.Peer == 0 ? null : known.GetValueOrDefault(socket.Peer);
        bool fits = socket.State switch
        {
            SocketState.Idle => socket.Peer == 0,
            SocketState.Listening => socket.Peer == 0 && socket.Type is SOCK_STREAM or SOCK_SEQPACKET,
            SocketState.Connected when socket.Type == SOCK_DGRAM => socket.Family == AF_UNIX && peer is { Family: AF_UNIX, Type: SOCK_DGRAM }
                && (peer.Peer == socket.Id || SocketName.IsNamed(peer.Local)),
            SocketState.Connected => peer is { State: SocketState.Connected } && peer.Id != socket.Id && peer.Peer == socket.Id && peer.Type == socket.Type
                && (peer.Family == AF_UNIX) == (socket.Family == AF_UNIX),
            SocketState.Pending => peer is { State: SocketState.Listening } && peer.Type == socket.Type && (peer.Family == AF_UNIX) == (socket.Family == AF_UNIX),
            SocketState.Ended => socket.Peer == 0 && (socket.Family == AF_UNIX || socket.Type == SOCK_STREAM),
            _ => socket.Peer == 0 && socket.Type == SOCK_STREAM && socket.Family != AF_UNIX,
        };
        return !fits ? "its peer is not there, or does not fit"
            : socket.State is SocketState.Connected or SocketState.Pending && socket.Family != AF_UNIX && !(SocketName.IsNamed(socket.Local) && SocketName.IsNamed(socket.Remote)) ? "a connection without addresses"
            : null;
    }

    /// <summary>Descriptors on their way: of Unix sockets that a process holds; to files that a process holds, or that nobody needs to hold, so that none is in itself.</summary>
    private static string? ProblemInFlight(ApplicationImage image, SocketImage carrier, bool isHeld, HashSet<int> held)
    {
        List<SocketMessageImage> messages = [.. (carrier.Queue ?? []).Where(message => message?.Descriptors is not null)];
        return messages.Count == 0 ? null
            : carrier.Family != AF_UNIX || !isHeld ? "descriptors are on their way in a socket that cannot have some"
            : messages.Exists(message => message.Descriptors!.Count > DescriptorsInFlight.MostOfMessage) ? "too many descriptors are on their way in one message"
            : messages.SelectMany(message => message.Descriptors!).Any(file => file < 0 || file >= image.OpenFiles.Count || !(held.Contains(file) || DescriptorsInFlight.IsKept(image.OpenFiles[file])))
                ? "a descriptor on its way is of an impossible file"
            : null;
    }

    private static bool IsAddress(byte[] address, int family) => family switch
    {
        AF_UNIX => address.Length is >= 2 and <= 110 && SocketName.FamilyOf(address) == AF_UNIX,
        AF_INET or AF_INET6 => SocketName.IsInternet(address) && SocketName.FamilyOf(address) == family,
        _ => address.Length == 12,
    };
}
