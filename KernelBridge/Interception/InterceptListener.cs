using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Interception;

/// <summary>
/// Where the checkpoint threads of one checkpoint call: an abstract socket (unix(7)) in the application's network namespace, so that they reach it whatever
/// their user, root directory and mounts are, with a name that nobody knows before it is bound.
/// </summary>
internal sealed unsafe class InterceptListener : IDisposable
{
    private const int CLONE_NEWNET = 0x40000000, SO_PEERCRED = 17, Accept4 = 288, Listen = 1024;

    private readonly int fd;

    private InterceptListener(int fd, ulong nonce)
    {
        this.fd = fd;
        Nonce = nonce;
    }

    /// <summary>What its name is made of.</summary>
    public ulong Nonce { get; }

    /// <summary>For poll(2).</summary>
    public int Descriptor => fd;

    /// <summary>Listens in the network namespace of a process.</summary>
    /// <exception cref="BridgeException"><c>intercept.socket</c>.</exception>
    public static InterceptListener In(int pid)
    {
        ulong nonce = BitConverter.ToUInt64(RandomNumberGenerator.GetBytes(8));
        int made = -1;
        int error = 0;
        void Make()
        {
            made = SocketCalls.socket(SocketCalls.AF_UNIX, SocketCalls.SOCK_SEQPACKET | SocketCalls.SOCK_NONBLOCK | Libc.O_CLOEXEC, 0);
            byte[] address = [SocketCalls.AF_UNIX, 0, 0, .. Encoding.ASCII.GetBytes(string.Create(CultureInfo.InvariantCulture, $"holdfast-ckpt-{nonce:x16}"))];
            fixed (byte* name = address)
            {
                error = made >= 0 && SocketCalls.bind(made, name, (uint)address.Length) == 0 && SocketCalls.listen(made, Listen) == 0 ? 0 : Libc.LastError;
            }
        }

        if (ProcFs.TryLink($"/proc/{pid}/ns/net") == ProcFs.TryLink("/proc/self/ns/net"))
        {
            Make();
        }
        else
        {
            // A socket stays in the namespace in which it was made; the thread that goes there ends.
            Thread visitor = new(() =>
            {
                int space = Libc.open($"/proc/{pid}/ns/net", Libc.O_RDONLY | Libc.O_CLOEXEC, 0);
                if (space >= 0 && Libc.setns(space, CLONE_NEWNET) == 0)
                {
                    Make();
                }
                else
                {
                    error = Libc.LastError;
                }

                _ = space >= 0 ? Libc.close(space) : 0;
            });
            visitor.Start();
            visitor.Join();
        }

        if (error == 0)
        {
            return new InterceptListener(made, nonce);
        }

        _ = made >= 0 ? Libc.close(made) : 0;
        throw Spaces.Descriptors.Failure("intercept.socket", "listening for the processes of the application", error);
    }

    /// <summary>Takes one that calls.</summary>
    /// <returns>Its descriptor, to be closed by the caller, and the host pid that it connected with (0: of nobody here); null when nobody calls.</returns>
    public (int Descriptor, int Pid)? TryAccept()
    {
        int peer = (int)Libc.Call(Accept4, fd, 0, 0, SocketCalls.SOCK_NONBLOCK | Libc.O_CLOEXEC);
        if (peer < 0)
        {
            return null;
        }

        // struct ucred { pid_t pid; uid_t uid; gid_t gid; }
        int* credentials = stackalloc int[3];
        uint length = 12;
        return (peer, SocketCalls.getsockopt(peer, SocketCalls.SOL_SOCKET, SO_PEERCRED, credentials, &length) == 0 ? credentials[0] : 0);
    }

    public void Dispose() => _ = Libc.close(fd);
}
