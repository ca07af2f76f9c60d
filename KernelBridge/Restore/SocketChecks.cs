using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;
using static Holdfast.KernelBridge.Linux.SocketCalls;

namespace Holdfast.KernelBridge.Restore;

/// <summary>Whether names and ports of an image's sockets are free here, before anything is built.</summary>
internal static class SocketChecks
{
    private const int EADDRINUSE = 98, EADDRNOTAVAIL = 99;

    /// <summary>Why a socket cannot be made here; empty when nothing stands in the way.</summary>
    public static IEnumerable<Refusal> Refusals(SocketImage socket, ApplicationImage image)
    {
        // A process that was ended a moment ago keeps its ports until it is gone.
        long deadline = Environment.TickCount64 + 2000;
        Refusal? refusal = Look(socket, image);
        while (refusal is not null && refusal.Code is "port.taken" or "socket.path" && Environment.TickCount64 < deadline)
        {
            Thread.Sleep(20);
            if (socket.Type == SOCK_STREAM && socket.Family != AF_UNIX)
            {
                SocketDiagnosis.Forget(Environment.ProcessId, old => old.Local.Port == SocketName.Port(socket.Local));
            }

            refusal = Look(socket, image);
        }

        return refusal is null ? [] : [refusal];
    }

    private static Refusal? Look(SocketImage socket, ApplicationImage image)
    {
        bool own = image.Isolated?.Contains("net") == true;
        bool accepted = socket.State is SocketState.Connected or SocketState.Ended && socket.Type != SOCK_DGRAM;
        if (socket.Family == AF_UNIX)
        {
            bool listener = accepted && image.OpenFiles.OfType<SocketImage>().Any(other => other.State == SocketState.Listening && other.Local.AsSpan().SequenceEqual(socket.Local));
            return listener || !SocketName.IsNamed(socket.Local) ? null
                : socket.File is { } file ? Path(socket, file)
                : own || SocketName.Path(socket.Local) is not null ? null
                : Probe(socket);
        }

        return own || socket.State is not (SocketState.Idle or SocketState.Listening) || !SocketName.IsNamed(socket.Local) ? null : Probe(socket);
    }

    private static Refusal? Path(SocketImage socket, SocketFileImage file)
    {
        Refusal Refuse(string why, string remedy) => new("socket.path", 0, null, file.Path, why, remedy);
        if (FileIdentity.TryOf(System.IO.Path.GetDirectoryName(file.Path) ?? "/") is not { Type: FileIdentity.DirectoryType })
        {
            return new Refusal("file.missing", 0, null, file.Path, "the directory in which it is to be bound is not there", "put it back");
        }

        if (FileIdentity.TryOfLink(file.Path) is not { } there)
        {
            return null;
        }

        if (there.Type != FileIdentity.Socket)
        {
            return Refuse($"another file is where {socket.Description} is to be bound", "move it away");
        }

        uint device = (uint)(there.Device >> 32) << 20 | ((uint)there.Device & 0xfffff);
        using SocketDiagnosis? diagnosis = SocketDiagnosis.TryOpen(Environment.ProcessId);
        return diagnosis?.UnixSockets()?.Any(state => state.File == (device, (uint)there.Inode)) == true
            ? Refuse("another process uses the socket at this path", "end that process")
            : null;
    }

    /// <summary>Binds, and listens, for a moment.</summary>
    private static unsafe Refusal? Probe(SocketImage socket)
    {
        int fd = SocketCalls.socket(socket.Family, socket.Type | Libc.O_CLOEXEC, socket.Protocol);
        if (fd < 0)
        {
            return new Refusal("socket.family", 0, null, socket.Description, Errno.Text(Libc.LastError), "restore on a host that has it");
        }

        foreach (SocketOptionImage option in socket.Options.Where(option =>
            option is { Level: SOL_SOCKET, Option: SO_REUSEADDR or SO_REUSEPORT } or { Level: IPPROTO_IP, Option: 15 or 19 } or { Level: IPPROTO_IPV6, Option: 26 or 75 or 78 }))
        {
            fixed (byte* p = option.Value)
            {
                _ = setsockopt(fd, option.Level, option.Option, p, (uint)option.Value.Length);
            }
        }

        if (socket.Type == SOCK_STREAM)
        {
            int on = 1;
            _ = setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, 4);
        }

        int error;
        fixed (byte* p = socket.Local)
        {
            error = bind(fd, p, (uint)socket.Local.Length) < 0 || (socket.State == SocketState.Listening && socket.Family != AF_UNIX && listen(fd, 1) < 0) ? Libc.LastError : 0;
        }

        _ = Libc.close(fd);
        return error switch
        {
            0 => null,
            EADDRINUSE => new Refusal(
                "port.taken", 0, null, socket.Description,
                socket.Family switch { AF_UNIX => "another socket has this name", AF_NETLINK => "another socket has this port", _ => $"port {SocketName.Port(socket.Local)} is in use" },
                "end the process that uses it, or run the application with a network namespace of its own (--isolate net)"),
            EADDRNOTAVAIL => new Refusal("socket.address", 0, null, socket.Description, $"this host does not have the address {SocketName.Internet(socket.Local)}", "give it that address, or restore on the host that has it"),
            _ => new Refusal("socket.address", 0, null, socket.Description, Errno.Text(error), "restore on a host where it can be bound"),
        };
    }
}
