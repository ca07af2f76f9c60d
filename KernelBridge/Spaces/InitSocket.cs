using System.Runtime.InteropServices;
using System.Text;
using Microsoft.Win32.SafeHandles;
using static Holdfast.KernelBridge.Spaces.SpaceNative;

namespace Holdfast.KernelBridge.Spaces;

/// <summary>The AF_UNIX SOCK_SEQPACKET socket at which an init is commanded. See unix(7).</summary>
internal static unsafe class InitSocket
{
    /// <summary>Its name in the application's state directory.</summary>
    public const string Name = "init.sock";

    private const int Backlog = 16;

    /// <summary>Makes the listening socket; a leftover at its path is replaced. Only its owner may connect.</summary>
    public static SafeFileHandle Listen(string path)
    {
        File.Delete(path);
        SafeFileHandle socket = Make();
        try
        {
            WithAddress(path, (address, length) => Bind(Descriptors.Number(socket), (byte*)address, length), $"binding {path}");
            // Before listen: nobody can have connected with the mode that the umask gave.
            File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.UserWrite);
            if (SpaceNative.Listen(Descriptors.Number(socket), Backlog) < 0)
            {
                throw Descriptors.Failure("init.socket", $"listening at {path}", Marshal.GetLastPInvokeError());
            }

            return socket;
        }
        catch
        {
            socket.Dispose();
            File.Delete(path);
            throw;
        }
    }

    /// <summary>Connects to an init.</summary>
    /// <exception cref="BridgeException">Nobody listens there (<c>init.gone</c>).</exception>
    public static SafeFileHandle Connect(string path, TimeSpan timeout)
    {
        SafeFileHandle socket = Make();
        try
        {
            long* time = stackalloc long[2];
            time[0] = (long)timeout.TotalSeconds;
            time[1] = timeout.Microseconds + (1000L * timeout.Milliseconds);
            int on = 1;
            // Errors of these show at the first receive at the latest.
            SetSocketOption(Descriptors.Number(socket), SOL_SOCKET, SO_RCVTIMEO, time, 16);
            SetSocketOption(Descriptors.Number(socket), SOL_SOCKET, SO_SNDTIMEO, time, 16);
            SetSocketOption(Descriptors.Number(socket), SOL_SOCKET, SO_PASSCRED, &on, sizeof(int));
            WithAddress(path, (address, length) => SpaceNative.Connect(Descriptors.Number(socket), (byte*)address, length), $"the init at {path}");
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    private static SafeFileHandle Make() => Descriptors.Own(Socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0), "init.socket", "socket");

    // sun_path holds 108 bytes and paths may be longer: the directory is named by a descriptor.
    private static void WithAddress(string path, Func<nint, uint, int> call, string what)
    {
        using SafeFileHandle directory = Descriptors.Open(Path.GetDirectoryName(Path.GetFullPath(path))!, O_PATH | O_DIRECTORY);
        byte[] name = Encoding.UTF8.GetBytes($"/proc/self/fd/{Descriptors.Number(directory)}/{Path.GetFileName(path)}\0");
        byte* address = stackalloc byte[2 + name.Length];
        *(ushort*)address = AF_UNIX;
        name.CopyTo(new Span<byte>(address + 2, name.Length));
        if (call((nint)address, (uint)(2 + name.Length)) < 0)
        {
            throw Descriptors.Failure("init.gone", what, Marshal.GetLastPInvokeError());
        }
    }
}
