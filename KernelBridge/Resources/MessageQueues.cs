using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Resources;

/// <summary>System V message queues with their messages in order; see msgget(2), msgop(2). Who waits in one makes that call again after a restore.</summary>
internal static unsafe class MessageQueues
{
    /// <summary>Most bytes of messages in one queue that an image holds; by default the kernel allows 16384.</summary>
    private const long MostBytes = 1L << 24;

    /// <summary>What cannot be captured, in the namespace in which the thread is.</summary>
    public static IEnumerable<Refusal> Refusals() => IpcNamespace.List("msg").Where(line => line[3] > MostBytes).Select(line => new Refusal(
        "ipc.msg", 0, null, $"System V message queue {line[1]}", $"it holds {line[3]} bytes, more than {MostBytes}", "receive some of its messages first"));

    /// <summary>Captures the queues of the namespace in which the thread is; the messages stay in them.</summary>
    /// <param name="inner">The application's number of a process by the host's.</param>
    /// <exception cref="BridgeException"><c>ipc.unreadable</c>.</exception>
    public static IReadOnlyList<MessageQueueImage> Capture(Func<int, int> inner)
    {
        List<MessageQueueImage> queues = [];
        foreach (long[] line in IpcNamespace.List("msg"))
        {
            IpcPermissions permissions = IpcPermissions.Of(line, 7);
            byte[] status = new byte[IpcCalls.QueueStatusSize];
            fixed (byte* p = status)
            {
                if (IpcCalls.msgctl(permissions.Id, IpcCalls.MSG_STAT_ANY, p) < 0)
                {
                    throw Unreadable(permissions.Id);
                }
            }

            queues.Add(new MessageQueueImage(
                permissions, BinaryPrimitives.ReadInt64LittleEndian(status.AsSpan(IpcCalls.QueueCapacityOffset)), inner((int)line[5]), inner((int)line[6]), Messages(permissions.Id, (int)line[4])));
        }

        return queues;
    }

    private static List<MessageImage> Messages(int id, int count)
    {
        List<MessageImage> messages = [];
        byte[] buffer = new byte[8 + 8192];
        while (messages.Count < count)
        {
            nint length;
            fixed (byte* p = buffer)
            {
                length = IpcCalls.msgrcv(id, p, (nuint)buffer.Length - 8, messages.Count, IpcCalls.MSG_COPY | IpcCalls.IPC_NOWAIT);
            }

            if (length >= 0)
            {
                messages.Add(new MessageImage(MemoryMarshal.Read<long>(buffer), buffer[8..(8 + (int)length)]));
            }
            else if (Libc.LastError == IpcCalls.E2BIG && buffer.Length < MostBytes)
            {
                buffer = new byte[buffer.Length * 4];
            }
            else
            {
                throw Unreadable(id);
            }
        }

        return messages;
    }

    private static BridgeException Unreadable(int id) => new(
        "ipc.unreadable", $"reading System V message queue {id}", Errno.Text(Libc.LastError), "run as root or with CAP_IPC_OWNER; the kernel needs CONFIG_CHECKPOINT_RESTORE");

    /// <summary>Whether a queue may hold so much.</summary>
    public static bool IsValid(MessageQueueImage queue) =>
        queue is { Permissions.IsValid: true, Capacity: >= 0 and < 1L << 40, Messages: not null } && queue.Messages.All(message => message is { Type: > 0, Bytes: not null })
        && queue.Messages.Sum(message => (long)message.Bytes.Length) <= MostBytes;
}

/// <summary>A message queue.</summary>
/// <param name="Permissions">Identifier, key, owners.</param>
/// <param name="Capacity">Most bytes in it: msg_qbytes.</param>
/// <param name="LastSender">The process that sent last; 0 when it is gone.</param>
/// <param name="LastReceiver">The process that received last; 0 when it is gone.</param>
/// <param name="Messages">First in, first out.</param>
internal sealed record MessageQueueImage(IpcPermissions Permissions, long Capacity, int LastSender, int LastReceiver, IReadOnlyList<MessageImage> Messages)
{
    [System.Text.Json.Serialization.JsonIgnore]
    public bool IsValid => MessageQueues.IsValid(this);
}

/// <summary>A message.</summary>
/// <param name="Type">Above 0.</param>
/// <param name="Bytes">What it says.</param>
internal sealed record MessageImage(long Type, byte[] Bytes);
