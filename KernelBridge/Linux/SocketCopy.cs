using System.Buffers.Binary;
using System.Runtime.InteropServices;
using static Holdfast.KernelBridge.Linux.SocketCalls;

namespace Holdfast.KernelBridge.Linux;

/// <summary>
/// A descriptor of ours for a socket of another process (pidfd_getfd(2)): it is the same socket, so that questions to it, and changes, are those of that process.
/// </summary>
internal sealed unsafe class SocketCopy : IDisposable
{
    private SocketCopy(int fd)
    {
        Fd = fd;
    }

    public int Fd { get; }

    /// <summary>Takes over a socket of this process's own.</summary>
    public static SocketCopy Own(int fd) => new(fd);

    /// <summary>Takes a copy; null when the process or its descriptor is gone, or may not be looked at.</summary>
    public static SocketCopy? TryTake(int pid, int number) => TryTake(pid, number, out _);

    /// <summary>The same, and why not: the error of pidfd_open(2) or pidfd_getfd(2), or 0.</summary>
    public static SocketCopy? TryTake(int pid, int number, out int error)
    {
        (int fd, error) = Libc.CopyDescriptor(pid, number);
        return fd < 0 ? null : new SocketCopy(fd);
    }

    /// <summary>The value of an option as the kernel gives it; null where this kind of socket has none.</summary>
    public byte[]? Get(int level, int option, int size)
    {
        byte[] value = new byte[size];
        uint length = (uint)size;
        fixed (byte* p = value)
        {
            return getsockopt(Fd, level, option, p, &length) < 0 ? null : value[..(int)Math.Min(length, (uint)size)];
        }
    }

    /// <summary>A number of four bytes; 0 where there is none.</summary>
    public int Number(int level, int option) => Get(level, option, 4) is { Length: >= 4 } bytes ? BinaryPrimitives.ReadInt32LittleEndian(bytes) : 0;

    /// <returns>0, or the error.</returns>
    public int Set(int level, int option, ReadOnlySpan<byte> value)
    {
        fixed (byte* p = value)
        {
            return setsockopt(Fd, level, option, p, (uint)value.Length) < 0 ? Libc.LastError : 0;
        }
    }

    /// <returns>0, or the error.</returns>
    public int Set(int level, int option, int value) => Set(level, option, MemoryMarshal.AsBytes(new ReadOnlySpan<int>(in value)));

    /// <summary>
    /// Gives a buffer its size whatever the system's limit is, which takes CAP_NET_ADMIN over the network namespace; else as far as the limit lets it. A program that set
    /// a size itself was under the same limit.
    /// </summary>
    /// <param name="option">SO_SNDBUF or SO_RCVBUF.</param>
    /// <param name="size">Bytes; the kernel doubles them.</param>
    /// <returns>0, or the error.</returns>
    public int SetBuffer(int option, int size) =>
        Set(SOL_SOCKET, option == SO_SNDBUF ? SO_SNDBUFFORCE : SO_RCVBUFFORCE, size) is var error && error == Errno.EPERM ? Set(SOL_SOCKET, option, size) : error;

    /// <summary>getsockname(2); empty when that fails.</summary>
    public byte[] Name() => NameOf(peer: false);

    /// <summary>getpeername(2); empty when it is not connected.</summary>
    public byte[] PeerName() => NameOf(peer: true);

    /// <summary>An <c>ioctl</c> that gives a number.</summary>
    public int Ask(ulong request)
    {
        int value = 0;
        return Libc.ioctl(Fd, request, &value) < 0 ? 0 : value;
    }

    /// <summary>What poll(2) says at once, of <paramref name="wanted"/>, POLLERR and POLLHUP.</summary>
    public short Poll(short wanted, int timeout = 0)
    {
        PollEntry entry = new() { Fd = Fd, Events = wanted };
        return poll(&entry, 1, timeout) > 0 ? entry.Found : (short)0;
    }

    /// <summary>The bytes that a stream socket has received and nobody has read; they stay there.</summary>
    public byte[] PeekStream()
    {
        byte[] bytes = new byte[65536];
        while (true)
        {
            nint count;
            fixed (byte* p = bytes)
            {
                count = recv(Fd, p, (nuint)bytes.Length, MSG_PEEK | MSG_DONTWAIT);
            }

            if (count < bytes.Length)
            {
                return count <= 0 ? [] : bytes[..(int)count];
            }

            // There may be more than the buffer holds.
            bytes = new byte[bytes.Length * 4L];
        }
    }

    /// <summary>Looks at the first byte of a stream; it stays there.</summary>
    public void PeekByte()
    {
        byte one;
        _ = recv(Fd, &one, 1, MSG_PEEK | MSG_DONTWAIT);
    }

    public void Dispose() => _ = Libc.close(Fd);

    private byte[] NameOf(bool peer)
    {
        byte[] address = new byte[128];
        uint length = 128;
        fixed (byte* p = address)
        {
            int result = peer ? getpeername(Fd, p, &length) : getsockname(Fd, p, &length);
            return result < 0 ? [] : address[..(int)Math.Min(length, 128)];
        }
    }
}
