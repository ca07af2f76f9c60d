using System.Buffers.Binary;
using System.Text;
using static Holdfast.KernelBridge.Linux.SocketCalls;

namespace Holdfast.KernelBridge.Linux;

/// <summary>A socket of netlink(7), which stays in the network namespace in which it was made.</summary>
internal sealed unsafe class NetlinkSocket : IDisposable
{
    /// <summary>NLM_F_REQUEST; with NLM_F_ROOT and NLM_F_MATCH; with NLM_F_ACK; and with NLM_F_CREATE and NLM_F_EXCL.</summary>
    public const ushort Request = 1, Dump = 0x301, Acknowledged = 5, Create = 0x605;

    private readonly int fd;

    private NetlinkSocket(int fd)
    {
        this.fd = fd;
    }

    public delegate void Answered(int type, ReadOnlySpan<byte> answer);

    public delegate void Attribute(int type, ReadOnlySpan<byte> value);

    /// <summary>Makes one in the network namespace of a process; null where there is none of that protocol.</summary>
    /// <exception cref="BridgeException"><c>rights.missing</c>.</exception>
    public static NetlinkSocket? TryOpen(int pid, int protocol)
    {
        int Open() => SocketCalls.socket(AF_NETLINK, SOCK_RAW | Libc.O_CLOEXEC, protocol);
        int own = ProcFs.TryLink($"/proc/{pid}/ns/net") == ProcFs.TryLink("/proc/self/ns/net") ? Open() : NamespaceVisitor.Ask(pid, "net", Open);
        return own < 0 ? null : new NetlinkSocket(own);
    }

    public static uint U32(ReadOnlySpan<byte> bytes, int offset) => BinaryPrimitives.ReadUInt32LittleEndian(bytes[offset..]);

    /// <summary>Goes through attributes (<c>struct nlattr</c>).</summary>
    public static void Attributes(ReadOnlySpan<byte> bytes, Attribute take)
    {
        while (bytes.Length >= 4)
        {
            int length = BinaryPrimitives.ReadUInt16LittleEndian(bytes);
            if (length < 4 || length > bytes.Length)
            {
                return;
            }

            take(BinaryPrimitives.ReadUInt16LittleEndian(bytes[2..]) & 0x3fff, bytes[4..length]);
            bytes = bytes[Math.Min(bytes.Length, (length + 3) & ~3)..];
        }
    }

    /// <summary>An attribute as bytes.</summary>
    public static byte[] Attr(int type, ReadOnlySpan<byte> value)
    {
        byte[] bytes = new byte[(4 + value.Length + 3) & ~3];
        BinaryPrimitives.WriteUInt16LittleEndian(bytes, (ushort)(4 + value.Length));
        BinaryPrimitives.WriteUInt16LittleEndian(bytes.AsSpan(2), (ushort)type);
        value.CopyTo(bytes.AsSpan(4));
        return bytes;
    }

    /// <summary>One that is a number.</summary>
    public static byte[] Attr(int type, uint value) => Attr(type, BitConverter.GetBytes(value));

    /// <summary>One that is a text.</summary>
    public static byte[] Attr(int type, string value) => Attr(type, Encoding.UTF8.GetBytes(value + "\0"));

    /// <summary>Asks, and takes all answers.</summary>
    /// <param name="type">What is asked.</param>
    /// <param name="flags">Of the message.</param>
    /// <param name="question">What follows its header.</param>
    /// <param name="take">Called for each answer.</param>
    /// <returns>0, or the error (errno(3)).</returns>
    public int Ask(ushort type, ushort flags, ReadOnlySpan<byte> question, Answered? take = null)
    {
        byte[] message = new byte[16 + question.Length];
        BinaryPrimitives.WriteUInt32LittleEndian(message, (uint)message.Length);
        BinaryPrimitives.WriteUInt16LittleEndian(message.AsSpan(4), type);
        BinaryPrimitives.WriteUInt16LittleEndian(message.AsSpan(6), flags);
        question.CopyTo(message.AsSpan(16));
        fixed (byte* p = message)
        {
            return SocketCalls.send(fd, p, (nuint)message.Length, 0) == message.Length ? Receive(take) : Libc.LastError;
        }
    }

    public void Dispose() => _ = Libc.close(fd);

    private int Receive(Answered? take)
    {
        byte[] buffer = new byte[65536];
        while (true)
        {
            nint count;
            fixed (byte* p = buffer)
            {
                count = recv(fd, p, (nuint)buffer.Length, 0);
            }

            if (count <= 0)
            {
                return count == 0 ? Errno.EIO : Libc.LastError;
            }

            ReadOnlySpan<byte> rest = buffer.AsSpan(0, (int)count);
            while (rest.Length >= 16)
            {
                int length = (int)U32(rest, 0);
                int type = BinaryPrimitives.ReadUInt16LittleEndian(rest[4..]);
                if (length < 16 || length > rest.Length)
                {
                    return Errno.EIO;
                }

                if (type is 2 or 3)
                {
                    // NLMSG_ERROR, NLMSG_DONE: an error, or 0.
                    return type == 3 ? 0 : length >= 20 ? -(int)U32(rest, 16) : Errno.EIO;
                }

                take?.Invoke(type, rest[16..length]);
                rest = rest[Math.Min(rest.Length, (length + 3) & ~3)..];
            }
        }
    }
}
