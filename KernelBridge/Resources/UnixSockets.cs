using Holdfast.KernelBridge.Linux;
using static Holdfast.KernelBridge.Linux.SocketCalls;

namespace Holdfast.KernelBridge.Resources;

/// <summary>Unix sockets: who is connected with whom, and who waits to be accepted; see unix(7).</summary>
internal static class UnixSockets
{
    private const int Listening = 10;

    /// <summary>Finds the state of each, or refuses it.</summary>
    public static void Look(SocketCensus census, SocketDiagnosis? diagnosis)
    {
        List<SocketFacts> own = [.. census.Known.Values.Where(socket => socket.Family == AF_UNIX)];
        if (own.Count == 0)
        {
            return;
        }

        if (diagnosis?.UnixSockets() is not { } all)
        {
            census.Refusals.Add(own[0].Refuse("socket.diag", "this kernel does not say what Unix sockets are connected with", "use a kernel with CONFIG_UNIX_DIAG"));
            return;
        }

        Dictionary<ulong, UnixSocketState> states = all.Where(state => state.Inode != 0).DistinctBy(state => state.Inode).ToDictionary(state => state.Inode);
        Dictionary<ulong, ulong> waiting = [];
        foreach (SocketFacts listener in own.Where(socket => socket.Listens && states.ContainsKey(socket.Inode)))
        {
            UnixSocketState state = states[listener.Inode];
            foreach (ulong client in state.Waiting)
            {
                waiting[client] = listener.Inode;
                if (!census.Known.ContainsKey(client))
                {
                    census.Refusals.Add(listener.Refuse(
                        client == 0 ? "socket.pending" : "socket.outside", client == 0
                            ? "a connection waits to be accepted that its maker has already closed, and what it holds cannot be seen"
                            : "a connection from outside of the application waits to be accepted", "let it be accepted, and try again"));
                }
            }
        }

        if (own.Exists(socket => socket.Type != SOCK_DGRAM))
        {
            census.Caveats.Add("what Unix sockets say of who has connected, listened or sent (SO_PEERCRED, pid in SCM_CREDENTIALS) names the application's first process, run as root");
        }

        foreach (SocketFacts socket in own)
        {
            if (!states.TryGetValue(socket.Inode, out UnixSocketState? state))
            {
                census.Refusals.Add(socket.Refuse("socket.namespace", "it belongs to another network namespace", "make it in the application's own"));
                continue;
            }

            socket.Shutdown = state.Shutdown;
            socket.Error = (socket.Events & POLLERR) != 0;
            socket.File = FileOf(socket, state);
            if (socket.Error && socket.Type != SOCK_STREAM)
            {
                census.Refusals.Add(socket.Refuse("socket.error", "an error waits in it that looking at its queue would take away", "let it be read, and try again"));
            }

            if (state.State == Listening)
            {
                socket.State = SocketState.Listening;
                socket.Backlog = (int)state.SendQueue;
            }
            else if (waiting.TryGetValue(socket.Inode, out ulong listener))
            {
                socket.State = SocketState.Pending;
                socket.Peer = listener;
                if (socket.Unsent > 0)
                {
                    census.Refusals.Add(socket.Refuse(
                        "socket.pending", "it has sent bytes, and the other end has not yet accepted the connection, so that they cannot be seen", "let it be accepted, and try again"));
                }
            }
            else if (state.Peer is null)
            {
                socket.State = SocketState.Idle;
            }
            else
            {
                Connected(census, socket, state.Peer.Value, states);
            }
        }
    }

    private static void Connected(SocketCensus census, SocketFacts socket, ulong peer, Dictionary<ulong, UnixSocketState> states)
    {
        socket.Peer = peer;
        if (peer == 0)
        {
            socket.State = SocketState.Ended;
        }
        else if (!census.Known.ContainsKey(peer))
        {
            census.Outside(socket, peer);
        }
        else if (socket.Type == SOCK_DGRAM && states.GetValueOrDefault(peer) is { } other && other.Peer != socket.Inode && !SocketName.IsNamed(census.Known[peer].Local))
        {
            census.Refusals.Add(socket.Refuse("socket.peer", "it sends to a socket without a name that has turned to another", "close it before the checkpoint"));
        }
        else
        {
            socket.State = SocketState.Connected;
        }
    }

    /// <summary>The file of a bound socket, by its absolute path; one that is bound by a relative path is looked for from where its process is.</summary>
    private static SocketFileImage? FileOf(SocketFacts socket, UnixSocketState state)
    {
        if (SocketName.Path(socket.Local) is not { } path || state.File is null)
        {
            return null;
        }

        string full = Path.Combine(ProcFs.TryLink($"/proc/{(socket.Descriptor.Carrier ?? socket.Descriptor).Pid}/cwd") ?? "/", path);
        FileIdentity? identity = FileIdentity.TryOfLink(full);

        // The kernel says the lower 32 bits of the inode, and the device as major << 20 | minor.
        bool same = identity is { Type: FileIdentity.Socket } && (uint)identity.Inode == state.File.Value.Inode
            && ((uint)(identity.Device >> 32) << 20 | ((uint)identity.Device & 0xfffff)) == state.File.Value.Device;
        (uint owner, uint group) = same ? FileIdentity.OwnerOf(full) : default;
        return new SocketFileImage(full, same, same ? identity!.Mode & 0xfff : 0, owner, group);
    }
}
