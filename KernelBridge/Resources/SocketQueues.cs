using System.Buffers.Binary;
using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using static Holdfast.KernelBridge.Linux.SocketCalls;

namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// Copies what sockets have received and nobody has read. MSG_PEEK shows the first message only, unless SO_PEEK_OFF moves on, which is a setting of the
/// socket itself. So before it is changed, a thread of the application is given the call that puts it back: it makes it in any case, at the end of the
/// copying or when this process dies before that.
/// </summary>
/// <remarks>A socket that several processes hold is looked at once: an empty datagram behind others is shown to the first look only.</remarks>
internal sealed class SocketQueues
{
    /// <summary>Longer than any datagram that a socket takes at its largest buffer by default.</summary>
    private const int MaximumMessage = 4 << 20;

    private readonly Lock gate = new();
    private readonly Dictionary<ulong, List<SocketMessageImage>> queues = [];
    private readonly Lazy<byte[]> buffer = new(() => GC.AllocateUninitializedArray<byte>(MaximumMessage));

    /// <summary>Copies the queues of a process's sockets.</summary>
    /// <param name="descriptors">Its descriptors.</param>
    /// <param name="calls">A way to make calls in it.</param>
    public void Copy(IEnumerable<DescriptorFacts> descriptors, InjectedCalls calls)
    {
        using Lock.Scope scope = gate.EnterScope();
        foreach (DescriptorFacts facts in descriptors.Where(facts => Sockets.IsSocket(facts) && !queues.ContainsKey(facts.Identity.Inode)).DistinctBy(facts => facts.Identity.Inode))
        {
            using SocketCopy? socket = SocketCopy.TryTake(facts.Pid, facts.Number);
            if (socket is not null && socket.Number(SOL_SOCKET, 30) == 0)
            {
                int family = socket.Number(SOL_SOCKET, SO_DOMAIN);
                int type = socket.Number(SOL_SOCKET, SO_TYPE);

                // A look into an empty queue would take away an error that waits to be told.
                bool error = (socket.Poll(0) & POLLERR) != 0;
                bool stream = type == SOCK_STREAM && (family != AF_UNIX || error || socket.Number(SOL_SOCKET, SO_PASSCRED) == 0);
                queues[facts.Identity.Inode] = family is not (AF_UNIX or AF_INET or AF_INET6) ? []
                    : !stream ? error ? [] : Messages(socket, facts, calls, buffer.Value)
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

    private static List<SocketMessageImage> Messages(SocketCopy socket, DescriptorFacts facts, InjectedCalls calls, byte[] buffer)
    {
        if (Peek(socket, buffer, facts) is null)
        {
            return [];
        }

        int before = socket.Get(SOL_SOCKET, SO_PEEK_OFF, 4) is { } value ? BinaryPrimitives.ReadInt32LittleEndian(value) : -1;
        List<SocketMessageImage> messages = [];
        calls.Prepare(before, X64.Setsockopt, (ulong)facts.Number, SOL_SOCKET, SO_PEEK_OFF, calls.Scratch, 4);
        try
        {
            if (socket.Set(SOL_SOCKET, SO_PEEK_OFF, 0) is not 0 and var error)
            {
                throw new BridgeException("socket.unreadable", $"reading the queue of {facts.Link} of process {facts.InnerPid}", Errno.Text(error));
            }

            bool ends = (socket.Poll(POLLRDHUP) & (POLLRDHUP | POLLHUP)) != 0;
            while (Peek(socket, buffer, facts) is { } message && !(ends && message.Bytes.Length == 0))
            {
                messages.Add(message);
            }
        }
        finally
        {
            calls.MakePrepared();
        }

        return messages;
    }

    /// <summary>The next message; null when there is none.</summary>
    private static unsafe SocketMessageImage? Peek(SocketCopy socket, byte[] buffer, DescriptorFacts facts)
    {
        byte* name = stackalloc byte[128];
        byte* control = stackalloc byte[256];
        fixed (byte* p = buffer)
        {
            Libc.Iovec part = new() { Base = (ulong)p, Length = (ulong)buffer.Length };
            MessageHeader header = new() { Name = name, NameLength = 128, Parts = &part, PartCount = 1, Control = control, ControlLength = 256 };
            nint length = recvmsg(socket.Fd, &header, MSG_PEEK | MSG_TRUNC | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
            if (length < 0)
            {
                return Libc.LastError is Errno.EAGAIN or Errno.EINVAL or ENOTCONN
                    ? null
                    : throw new BridgeException("socket.unreadable", $"reading the queue of {facts.Link} of process {facts.InnerPid}", Errno.Text(Libc.LastError));
            }

            if (length > buffer.Length)
            {
                throw new BridgeException("socket.unreadable", $"reading the queue of {facts.Link} of process {facts.InnerPid}", $"a message of {length} bytes is longer than {buffer.Length}");
            }

            return new SocketMessageImage(buffer[..(int)length], new ReadOnlySpan<byte>(name, (int)header.NameLength).ToArray(), Sender(new ReadOnlySpan<byte>(control, (int)header.ControlLength)));
        }
    }

    private const int ENOTCONN = 107;

    /// <summary>Credentials among the control messages (cmsg(3)); descriptors were refused before, and any that came all the same is closed.</summary>
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
                sender = new SenderImage(
                    pid > 0 ? ProcessStatus.TryRead(pid)?.Innermost("NSpid") ?? 0 : 0, BinaryPrimitives.ReadUInt32LittleEndian(data[4..]), BinaryPrimitives.ReadUInt32LittleEndian(data[8..]));
            }
            else if (level == SOL_SOCKET && type is SCM_RIGHTS or 4)
            {
                for (int i = 0; i + 4 <= data.Length; i += 4)
                {
                    _ = Libc.close(BinaryPrimitives.ReadInt32LittleEndian(data[i..]));
                }
            }

            control = control[Math.Min(control.Length, (length + 7) & ~7)..];
        }

        return sender;
    }
}
