using System.Buffers.Binary;
using System.Net.Sockets;
using Holdfast.Runtime.Native;

namespace Holdfast.Runtime.Supervision;

/// <summary>The Unix socket of a supervisor: where it is, and who may be at the other end.</summary>
internal static class SupervisorSocket
{
    private const int SOL_SOCKET = 1;
    private const int SO_PEERCRED = 17;

    /// <summary>Runs an action with an end point for a path of any length: sun_path holds 108 bytes (unix(7)), a store may lie deeper.</summary>
    public static T At<T>(string path, Func<UnixDomainSocketEndPoint, T> action)
    {
        int directory = Libc.open(Path.GetDirectoryName(path)!, Libc.O_PATH | Libc.O_DIRECTORY | Libc.O_CLOEXEC, 0);
        if (directory < 0)
        {
            throw new SocketException((int)SocketError.AddressNotAvailable);
        }

        try
        {
            return action(new UnixDomainSocketEndPoint($"/proc/self/fd/{directory}/{Path.GetFileName(path)}"));
        }
        finally
        {
            _ = Libc.close(directory);
        }
    }

    public static Socket New() => new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);

    /// <summary>Whether the other end belongs to this user or to root.</summary>
    public static bool PeerIsTrusted(Socket socket)
    {
        // struct ucred { pid_t pid; uid_t uid; gid_t gid; }
        Span<byte> credentials = stackalloc byte[12];
        int length = socket.GetRawSocketOption(SOL_SOCKET, SO_PEERCRED, credentials);
        uint uid = BinaryPrimitives.ReadUInt32LittleEndian(credentials[4..]);
        return length == credentials.Length && (uid == Libc.geteuid() || uid == 0);
    }
}
