using System.Buffers.Binary;
using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using static Holdfast.KernelBridge.Linux.SocketCalls;

namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// Copies what sockets have received and nobody has read. MSG_PEEK shows the first message only, unless SO_PEEK_OFF moves on, which is a setting of the
/// socket itself. So before it is changed, somebody else is given the task of putting it back (<see cref="ISocketKeeper"/>).
/// </summary>
/// <remarks>A socket that several processes hold is looked at once: an empty datagram behind others is shown to the first look only.</remarks>
internal sealed class SocketQueues : IDisposable
{
    /// <summary>Longer than any datagram that a socket takes at its largest buffer by default.</summary>
    private const int MaximumMessage = 4 << 20;

    private readonly Lock gate = new();
    private readonly Dictionary<ulong, List<SocketMessageImage>> queues = [];
    private readonly Dictionary<ulong, DescriptorFacts> carriers = [];
    private readonly List<int> caught = [];
    private readonly Lazy<byte[]> buffer = new(() => GC.AllocateUninitializedArray<byte>(MaximumMessage));

    /// <summary>Copies the queues of a process's sockets.</summary>
    /// <param name="descriptors">Its descriptors.</param>
    /// <param name="census">What is known of the application's sockets.</param>
    /// <param name="keeper">Puts back what is changed for it.</param>
    public void Copy(IEnumerable<DescriptorFacts> descriptors, SocketCensus? census, ISocketKeeper keeper)
    {
        using Lock.Scope scope = gate.EnterScope();
        foreach (DescriptorFacts facts in descriptors.Where(facts => Sockets.IsSocket(facts) && !queues.ContainsKey(facts.Identity.Inode)).DistinctBy(facts => facts.Identity.Inode))
        {
            using SocketCopy? socket = SocketCopy.TryTake(facts.Pid, facts.Number);
            if (socket is not null && socket.Number(SOL_SOCKET, SO_ACCEPTCONN) == 0)
            {
                int family = socket.Number(SOL_SOCKET, SO_DOMAIN);
                int type = socket.Number(SOL_SOCKET, SO_TYPE);

                if (census?.Known.GetValueOrDefault(facts.Identity.Inode) is { Sender: not null } receiver)
                {
                    TcpSockets.ReceiveAll(socket, receiver, facts.Number, keeper);
                }

                // A look into an empty queue would take away an error that waits to be told.
                bool error = (socket.Poll(0) & POLLERR) != 0;
                bool stream = type == SOCK_STREAM && (family != AF_UNIX || error || (socket.Number(SOL_SOCKET, SO_PASSCRED) == 0 && DescriptorsInFlight.Count(facts) == 0));
                carriers[facts.Identity.Inode] = facts;
                queues[facts.Identity.Inode] = family is not (AF_UNIX or AF_INET or AF_INET6) ? []
                    : !stream ? error ? [] : Messages(socket, facts, keeper, buffer.Value)
                    : socket.Ask(SIOCINQ) > 0 && socket.PeekStream() is { Length: > 0 } bytes ? [new SocketMessageImage(bytes, [], null)]
                    : [];
            }
        }
    }

    /// <summary>A socket with its queue; anything else as it is.</summary>
    public OpenFileImage With(DescriptorFacts facts, OpenFileImage file)
    {
        using Lock.Scope scope = gate.EnterScope();
        return file is SocketImage socket && queues.TryGetValue(facts.Identity.Inode, out List<SocketMessageImage>? queue) ? socket with { Queue = queue } : file;
    }

    /// <summary>The queue of a socket that no process holds: a stream, or one that holds nothing (<see cref="DescriptorsInFlight.Check"/>).</summary>
    /// <param name="facts">Our own descriptor of it.</param>
    /// <param name="image">The socket.</param>
    public static SocketImage OfOrphan(DescriptorFacts facts, SocketImage image)
    {
        using SocketCopy? socket = image is { Type: SOCK_STREAM, State: not (SocketState.Listening or SocketState.Reset) } ? SocketCopy.TryTake(facts.Pid, facts.Number) : null;
        return socket is not null && socket.Ask(SIOCINQ) > 0 && socket.PeekStream() is { Length: > 0 } bytes ? image with { Queue = [new SocketMessageImage(bytes, [], null)] } : image;
    }

    /// <summary>Gives the descriptors on their way in a socket's queue, which are ours until now, their places in the image.</summary>
    /// <param name="socket">The socket with its queue.</param>
    /// <param name="place">The number of an open file of the image.</param>
    public SocketImage WithDescriptors(SocketImage socket, Func<DescriptorFacts, int> place)
    {
        if (!socket.Queue.Any(message => message.Caught.Count > 0))
        {
            return socket;
        }

        DescriptorFacts carrier = carriers[(ulong)socket.Id];
        return socket with
        {
            Queue = [.. socket.Queue.Select(message => message.Caught.Count == 0 ? message : message with
            {
                Caught = [],
                Descriptors = [.. message.Caught.Select(number => place(DescriptorFacts.OfOurs(number, carrier)
                    ?? throw new BridgeException("socket.unreadable", $"looking at what is in the queue of {carrier.Link} of process {carrier.InnerPid}", "a descriptor is gone")))],
            })],
        };
    }

    /// <summary>Closes what came out of queues.</summary>
    public void Dispose()
    {
        using Lock.Scope scope = gate.EnterScope();
        caught.ForEach(number => _ = Libc.close(number));
        caught.Clear();
    }

    private List<SocketMessageImage> Messages(SocketCopy socket, DescriptorFacts facts, ISocketKeeper keeper, byte[] buffer)
    {
        if (Peek(socket, buffer, facts, keep: false) is null)
        {
            return [];
        }

        int before = socket.Get(SOL_SOCKET, SO_PEEK_OFF, 4) is { } value ? BinaryPrimitives.ReadInt32LittleEndian(value) : -1;
        List<SocketMessageImage> messages = [];
        using (keeper.KeepPeekOffset(socket, facts.Number, before))
        {
            if (socket.Set(SOL_SOCKET, SO_PEEK_OFF, 0) is not 0 and var error)
            {
                throw new BridgeException("socket.unreadable", $"reading the queue of {facts.Link} of process {facts.InnerPid}", Errno.Text(error));
            }

            bool ends = (socket.Poll(POLLRDHUP) & (POLLRDHUP | POLLHUP)) != 0;
            bool stream = socket.Number(SOL_SOCKET, SO_TYPE) == SOCK_STREAM;
            int at = 0;
            while (Peek(socket, buffer, facts, keep: true) is { } message && !(ends && message.Bytes.Length == 0))
            {
                int plain = stream && message.Caught.Count > 0 ? BytesBefore(socket, at, message.Bytes.Length, buffer) : 0;
                if (plain > 0)
                {
                    messages.Add(message with { Bytes = message.Bytes[..plain], Caught = [] });
                    message = message with { Bytes = message.Bytes[plain..] };
                }

                messages.Add(message);
                at += plain + message.Bytes.Length;
            }
        }

        return messages;
    }

    /// <summary>
    /// A look into a stream shows bytes before those that bring descriptors together with them, but a reader of fewer bytes gets no descriptors yet. How many are before?
    /// The kernel copies piece by piece, each whole or not at all: where the last byte has no room, it stops in front of the piece with the descriptors.
    /// </summary>
    /// <param name="socket">The socket; its SO_PEEK_OFF ends where it is now.</param>
    /// <param name="at">Where what was shown begins in the queue.</param>
    /// <param name="length">Its bytes, of which the last came with descriptors.</param>
    /// <param name="buffer">For bytes that nobody looks at.</param>
    private static unsafe int BytesBefore(SocketCopy socket, int at, int length, byte[] buffer)
    {
        // Nothing is ever mapped at the first addresses (vm.mmap_min_addr).
        Libc.Iovec* parts = stackalloc Libc.Iovec[2];
        parts[1] = new() { Base = 8, Length = 1 };
        nint before;
        _ = socket.Set(SOL_SOCKET, SO_PEEK_OFF, at);
        fixed (byte* p = buffer)
        {
            parts[0] = new() { Base = (ulong)p, Length = (ulong)length - 1 };
            MessageHeader header = new() { Parts = parts, PartCount = 2 };
            before = recvmsg(socket.Fd, &header, MSG_PEEK | MSG_DONTWAIT);
        }

        _ = socket.Set(SOL_SOCKET, SO_PEEK_OFF, at + length);
        return (int)Math.Max(0, before);
    }

    /// <summary>The next message; null when there is none.</summary>
    /// <param name="socket">The socket.</param>
    /// <param name="buffer">For its bytes.</param>
    /// <param name="facts">The application's descriptor of it.</param>
    /// <param name="keep">Whether descriptors that come with it stay open until <see cref="Dispose"/>.</param>
    private unsafe SocketMessageImage? Peek(SocketCopy socket, byte[] buffer, DescriptorFacts facts, bool keep)
    {
        byte* name = stackalloc byte[128];
        byte* control = stackalloc byte[DescriptorsInFlight.ControlSize];
        fixed (byte* p = buffer)
        {
            Libc.Iovec part = new() { Base = (ulong)p, Length = (ulong)buffer.Length };
            MessageHeader header = new() { Name = name, NameLength = 128, Parts = &part, PartCount = 1, Control = control, ControlLength = DescriptorsInFlight.ControlSize };
            nint length = recvmsg(socket.Fd, &header, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
            if (length < 0)
            {
                return Libc.LastError is Errno.EAGAIN or Errno.EINVAL or ENOTCONN
                    ? null
                    : throw new BridgeException("socket.unreadable", $"reading the queue of {facts.Link} of process {facts.InnerPid}", Errno.Text(Libc.LastError));
            }

            ReadOnlySpan<byte> messages = new(control, (int)header.ControlLength);
            List<int> descriptors = DescriptorsInFlight.Received(messages);
            if (keep)
            {
                caught.AddRange(descriptors);
            }
            else
            {
                descriptors.ForEach(number => _ = Libc.close(number));
            }

            if ((header.Flags & MSG_CTRUNC) != 0)
            {
                throw new BridgeException(
                    "socket.unreadable", $"reading the queue of {facts.Link} of process {facts.InnerPid}", "not all descriptors in it could be looked at", "raise the limit of open files (ulimit -n) of Holdfast");
            }

            if (length > buffer.Length)
            {
                throw new BridgeException("socket.unreadable", $"reading the queue of {facts.Link} of process {facts.InnerPid}", $"a message of {length} bytes is longer than {buffer.Length}");
            }

            return new SocketMessageImage(buffer[..(int)length], new ReadOnlySpan<byte>(name, (int)header.NameLength).ToArray(), Sender(messages))
            {
                Caught = keep ? descriptors : [],
            };
        }
    }

    private const int ENOTCONN = 107;

    /// <summary>Credentials among the control messages (cmsg(3)), with the host's number of the process until the application's images are put together.</summary>
    private static SenderImage? Sender(ReadOnlySpan<byte> control)
    {
        SenderImage? sender = null;
        while (control.Length >= 16)
        {
            int length = (int)BinaryPrimitives.ReadUInt64LittleEndian(control);
            if (length < 16 || length > control.Length)
            {
                break;
            }

            int level = BinaryPrimitives.ReadInt32LittleEndian(control[8..]);
            int type = BinaryPrimitives.ReadInt32LittleEndian(control[12..]);
            ReadOnlySpan<byte> data = control[16..length];
            if (level == SOL_SOCKET && type == SCM_CREDENTIALS && data.Length >= 12)
            {
                int pid = BinaryPrimitives.ReadInt32LittleEndian(data);
                sender = new SenderImage(pid, BinaryPrimitives.ReadUInt32LittleEndian(data[4..]), BinaryPrimitives.ReadUInt32LittleEndian(data[8..]));
            }

            control = control[Math.Min(control.Length, (length + 7) & ~7)..];
        }

        return sender;
    }
}
