using System.Text;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Resources;
using Holdfast.KernelBridge.Tape;
using static Holdfast.KernelBridge.Linux.SocketCalls;

namespace Holdfast.KernelBridge.Restore;

/// <summary>Unix sockets: names and listeners first, then connections, what is in them, and last those that nobody has accepted.</summary>
internal sealed partial class SocketBuilder
{
    private readonly Dictionary<string, BuiltSocket> listeners = [];
    private readonly List<string> unlinked = [];
    private readonly List<Action> fillings = [];

    private void BuildUnix()
    {
        List<SocketImage> all = [.. All.Where(socket => socket.Family == AF_UNIX)];
        foreach (SocketImage socket in all.Where(socket => socket.Type == SOCK_DGRAM && socket.State == SocketState.Connected && !built.ContainsKey(socket.Id)).ToList())
        {
            SocketImage peer = all.First(other => other.Id == socket.Peer);
            if (peer.Peer == socket.Id && peer != socket && (!SocketName.IsNamed(socket.Local) || !SocketName.IsNamed(peer.Local)))
            {
                Pair(socket, peer);
            }
        }

        List<SocketImage> alone = [.. all.Where(socket => socket.Type == SOCK_DGRAM || socket.State is SocketState.Idle or SocketState.Listening or SocketState.Pending)];
        foreach (SocketImage socket in alone.OrderBy(socket => socket.File?.Exists ?? false))
        {
            BuiltSocket made = built.GetValueOrDefault(socket.Id) ?? Create(socket);
            Bind(made);
            if (socket.State == SocketState.Listening)
            {
                Call($"listening at {socket.Description}", X64.Listen, (ulong)made.Number, (ulong)socket.Backlog);
                listeners[Key(socket, socket.Local)] = made;
            }
        }

        foreach (SocketImage socket in all.Where(socket => socket.Type != SOCK_DGRAM && socket.State is SocketState.Connected or SocketState.Ended))
        {
            if (!built.ContainsKey(socket.Id))
            {
                ConnectStream(socket, all.Find(other => other.Id == socket.Peer));
            }
        }

    }

    /// <summary>What is in the queues, then what forbids to fill them.</summary>
    private void FinishUnix()
    {
        fillings.ForEach(fill => fill());
        List<SocketImage> all = [.. All.Where(socket => socket.Family == AF_UNIX)];
        foreach (SocketImage socket in all.Where(socket => socket.Type == SOCK_DGRAM))
        {
            FillDatagrams(built[socket.Id]);
        }

        foreach (SocketImage socket in all.Where(socket => socket.Type == SOCK_DGRAM && socket.State is SocketState.Connected or SocketState.Ended))
        {
            ConnectDatagrams(built[socket.Id]);
        }

        foreach (SocketImage socket in all.Where(socket => socket.State == SocketState.Pending))
        {
            Connect(built[socket.Id], built[socket.Peer]);
        }

        foreach (SocketImage socket in all.Where(socket => socket.State != SocketState.Ended || socket.Type == SOCK_DGRAM))
        {
            ShutDown(built[socket.Id], socket.Shutdown);
        }

        foreach (BuiltSocket helper in helpers.ToList())
        {
            Close(helper);
        }

        foreach (string path in unlinked)
        {
            File.Delete(path);
        }
    }

    private static string Key(SocketImage socket, byte[] name) => $"{socket.Type} {Convert.ToHexString(name)}";

    /// <summary>Gives a socket its name. A socket file that nobody uses any more is replaced: the checks have looked at it.</summary>
    private void Bind(BuiltSocket socket)
    {
        if (!SocketName.IsNamed(socket.Image.Local))
        {
            return;
        }

        if (socket.Image.File is not { } file)
        {
            Require(socket.Image, "binding it", CallWith("binding a socket", X64.Bind, socket.Number, socket.Image.Local));
            return;
        }

        bool isThere = FileIdentity.TryOfLink(file.Path) is { Type: FileIdentity.Socket };
        if (isThere)
        {
            File.Delete(file.Path);
        }

        // A relative name stays one: it is bound from the directory from which it leads to the file.
        string name = SocketName.Path(socket.Image.Local)!;
        string? directory = name.StartsWith('/') || !file.Path.EndsWith(name, StringComparison.Ordinal) ? null : file.Path[..^name.Length];
        MoveTo(directory);
        int error = CallWith("binding a socket", X64.Bind, socket.Number, socket.Image.Local);
        MoveTo(directory is null ? null : "/");
        Require(socket.Image, "binding it", error);
        if (!isThere)
        {
            madeFiles.Add(file.Path);
        }

        if (!file.Exists)
        {
            unlinked.Add(file.Path);
            return;
        }

        // An older socket had this path before and lost it to this one.
        unlinked.Remove(file.Path);
        File.SetUnixFileMode(file.Path, (UnixFileMode)file.Mode);
        SyscallTape tape = root.NewTape();
        tape.AddWith($"owner of {file.Path}", X64.Chown, TapeFlags.MayFail, tape.Place(file.Path), file.Owner, file.Group);
        root.Run(tape);
    }

    private void MoveTo(string? directory)
    {
        if (directory is not null)
        {
            SyscallTape tape = root.NewTape();
            tape.Add($"going to {directory}", X64.Chdir, tape.Place(directory));
            root.Run(tape);
        }
    }

    /// <summary>A connected stream or packet socket with its other end, or with a helper in its place.</summary>
    private void ConnectStream(SocketImage socket, SocketImage? peer)
    {
        BuiltSocket one;
        BuiltSocket other;
        bool named = SocketName.IsNamed(socket.Local);
        if (!named && (peer is null || !SocketName.IsNamed(socket.Remote)))
        {
            (one, other) = Pair(socket, peer);
        }
        else
        {
            // The end with a name was accepted by a listener of that name; if both have one, that whose listener is there.
            bool accepted = named && (peer is null || !SocketName.IsNamed(socket.Remote) || listeners.ContainsKey(Key(socket, socket.Local)) || !listeners.ContainsKey(Key(socket, socket.Remote)));
            byte[] name = accepted ? socket.Local : socket.Remote;
            if (!listeners.TryGetValue(Key(socket, name), out BuiltSocket? listener))
            {
                listener = Helper(socket with { Local = name, File = accepted ? socket.File : peer?.File });
                Bind(listener);
                Call("listening for a connection", X64.Listen, (ulong)listener.Number, 16);
                listeners[Key(socket, name)] = listener;
            }

            SocketImage? connecting = accepted ? peer : socket;
            SocketImage? accepting = accepted ? socket : peer;
            BuiltSocket client = connecting is null ? Helper(socket) : Create(connecting);
            if (connecting is not null)
            {
                Bind(client);
            }

            Connect(client, listener);
            int number = (int)Call($"accepting {socket.Description}", X64.Accept4, (ulong)listener.Number, 0, 0, SOCK_NONBLOCK);
            BuiltSocket server = Take(accepting ?? socket, number, accepting is null ? null : numbers[accepting.Id]);
            (one, other) = accepted ? (server, client) : (client, server);
        }

        if (isLate)
        {
            fillings.Add(() => FillConnection(one, other, peer is not null));
        }
        else
        {
            FillConnection(one, other, peer is not null);
        }
    }

    private void FillConnection(BuiltSocket one, BuiltSocket other, bool both)
    {
        FillStream(one, other);
        if (both)
        {
            FillStream(other, one);
            return;
        }

        if (one.Image.Error)
        {
            // Who closes with bytes unread leaves ECONNRESET behind.
            Send(one, new SocketMessageImage([0], [], null), null, one.Image);
        }

        Close(other);
    }

    private void FillStream(BuiltSocket to, BuiltSocket from)
    {
        if (to.Image.Queue.Count > 0)
        {
            MakeRoom(from, to);
        }

        foreach (SocketMessageImage message in to.Image.Queue)
        {
            Send(from, message, null, to.Image);
        }
    }

    private void Connect(BuiltSocket client, BuiltSocket listener) =>
        Require(client.Image, $"connecting with {SocketName.Text(listener.Image.Local)}", CallWith("connecting a socket", X64.Connect, client.Number, Reachable(listener.Image)));

    /// <summary>An address under which a socket is reached from anywhere: that of its file, for one that is bound by a relative name.</summary>
    private static byte[] Reachable(SocketImage socket)
    {
        if (socket.File is null || SocketName.Path(socket.Local) is not { } name || name.StartsWith('/'))
        {
            return socket.Local;
        }

        byte[] path = Encoding.UTF8.GetBytes(socket.File.Path);
        byte[] address = new byte[2 + path.Length + 1];
        address[0] = AF_UNIX;
        path.CopyTo(address, 2);
        return path.Length <= 107 ? address : throw Failed(socket, "reaching it by its absolute path", 36);
    }

    /// <summary>Datagrams come from the socket that had sent them, or from a helper of its name.</summary>
    private void FillDatagrams(BuiltSocket to)
    {
        BuiltSocket? pair = built.Values.FirstOrDefault(other => other.Image.Peer == to.Image.Id && to.Image.Peer == other.Image.Id && other != to && other.Image.Family == AF_UNIX);
        bool isPair = pair is not null && (!SocketName.IsNamed(pair.Image.Local) || !SocketName.IsNamed(to.Image.Local));
        Dictionary<string, BuiltSocket> senders = [];
        foreach (SocketMessageImage message in to.Image.Queue)
        {
            string name = Convert.ToHexString(message.From);
            if (!senders.TryGetValue(name, out BuiltSocket? from))
            {
                from = isPair ? pair!
                    : !SocketName.IsNamed(message.From) ? Helper(to.Image)
                    : built.Values.FirstOrDefault(other => other.Image is { Family: AF_UNIX, Type: SOCK_DGRAM } && other.Image.Local.AsSpan().SequenceEqual(message.From))
                    ?? Named(to.Image, message.From);
                senders[name] = from;
                MakeRoom(from, to);
            }

            Send(from, message, isPair ? null : Reachable(to.Image), to.Image);
        }
    }

    /// <summary>A helper of a name. What is at its path meanwhile steps aside.</summary>
    private BuiltSocket Named(SocketImage like, byte[] name)
    {
        BuiltSocket helper = Helper(like);
        string? path = SocketName.Path(name);
        string aside = path + ".holdfast-aside";
        bool moves = path is not null && FileIdentity.TryOfLink(path) is not null;
        if (moves)
        {
            File.Move(path!, aside, overwrite: false);
        }

        int error = CallWith("binding a helping socket", X64.Bind, helper.Number, name);
        if (path is not null && error == 0)
        {
            File.Delete(path);
        }

        if (moves)
        {
            File.Move(aside, path!, overwrite: false);
        }

        Require(like, $"standing in for {SocketName.Text(name)}", error);
        return helper;
    }

    private void ConnectDatagrams(BuiltSocket socket)
    {
        if (socket.Image.State == SocketState.Connected)
        {
            BuiltSocket peer = built[socket.Image.Peer];
            bool isPair = peer.Image.Peer == socket.Image.Id && peer != socket && (!SocketName.IsNamed(socket.Image.Local) || !SocketName.IsNamed(peer.Image.Local));
            if (!isPair)
            {
                Connect(socket, peer);
            }

            return;
        }

        // Its peer is gone: it sends to nobody.
        BuiltSocket gone = Helper(socket.Image);
        byte[] name = [AF_UNIX, 0, 0, .. Guid.NewGuid().ToByteArray()];
        Require(socket.Image, "standing in for its peer", CallWith("binding a helping socket", X64.Bind, gone.Number, name));
        Require(socket.Image, "connecting it", CallWith("connecting a socket", X64.Connect, socket.Number, name));
        Close(gone);
    }

    private static void ShutDown(BuiltSocket socket, int mask)
    {
        if (mask != 0 && shutdown(socket.Copy.Fd, mask - 1) < 0)
        {
            throw Failed(socket.Image, "shutting it down", Libc.LastError);
        }
    }
}
