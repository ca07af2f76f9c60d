using System.Buffers.Binary;
using System.Globalization;
using Holdfast.KernelBridge.Linux;
using static Holdfast.KernelBridge.Linux.SocketCalls;

namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// Descriptors on their way in queues of Unix sockets (SCM_RIGHTS of unix(7)). A look at a message (MSG_PEEK) gives the one who looks descriptors of his own for the same
/// open files, and leaves the message as it was: so they are looked at like descriptors of any other process, and closed. Of a queue only the first message that has some
/// shows without a change of the socket; <see cref="SocketQueues"/> sees them all, when the application stands.
/// </summary>
internal sealed class DescriptorsInFlight : IDisposable
{
    /// <summary>Code of refusals.</summary>
    public const string Code = "socket.rights";

    /// <summary>Most descriptors of one message: SCM_MAX_FD of include/net/scm.h.</summary>
    public const int MostOfMessage = 253;

    private const string Remedy = "let them be received, and try again";

    private readonly List<int> open = [];

    private DescriptorsInFlight()
    {
    }

    /// <summary>Open files that are on their way and that no process of the application holds, as far as they show. They are ours until this is disposed.</summary>
    public List<DescriptorFacts> Orphans { get; } = [];

    public List<Refusal> Refusals { get; } = [];

    /// <summary>How many wait in a socket: scm_fds of proc(5) fdinfo.</summary>
    public static int Count(DescriptorFacts socket) => int.TryParse(socket.Field("scm_fds"), CultureInfo.InvariantCulture, out int count) ? count : 0;

    /// <summary>Looks at what shows while nothing is changed.</summary>
    /// <param name="descriptors">Every descriptor of the application.</param>
    public static DescriptorsInFlight Look(IReadOnlyList<DescriptorFacts> descriptors)
    {
        DescriptorsInFlight flight = new();
        foreach (DescriptorFacts carrier in descriptors.Where(facts => Sockets.IsSocket(facts) && Count(facts) > 0).DistinctBy(facts => facts.Identity.Inode))
        {
            foreach (int number in First(carrier))
            {
                flight.open.Add(number);
                if (DescriptorFacts.OfOurs(number, carrier) is { } facts && !descriptors.Any(other => other.IsSameFile(facts)))
                {
                    flight.Orphans.Add(facts);
                    flight.Refusals.AddRange(Check(facts) is { } refusal ? [refusal] : []);
                }
            }
        }

        return flight;
    }

    /// <summary>Why an open file that is held by nobody and on its way cannot be captured, or null.</summary>
    public static Refusal? Check(DescriptorFacts facts)
    {
        IDescriptorKind? kind = DescriptorKinds.Of(facts);
        string? why = !(kind is Sockets or not null && IsKept(kind)) ? "is of a kind that is captured only while a process holds it"
            : facts.Signals is not null ? "sends signals (F_SETOWN), which is captured only while a process holds it"
            : kind is Sockets && Count(facts) > 0 ? "holds descriptors on their way itself"
            : kind is Sockets && HoldsPackets(facts) ? "is a socket that holds packets, which are captured only while a process holds it"
            : DescriptorKinds.Check(facts)?.Why is { } reason ? $"cannot be captured: {reason}"
            : null;
        return why is null ? null : new Refusal(Code, facts.InnerPid, facts.ReportedNumber, facts.Carrier!.Link, $"{facts.Link}, which is on its way in its queue (SCM_RIGHTS), {why}", Remedy);
    }

    /// <summary>What a check cannot say of a socket's queue yet, or null.</summary>
    public static string? Caveat(DescriptorFacts socket)
    {
        int count = Count(socket);
        if (count == 0)
        {
            return null;
        }

        List<int> first = First(socket);
        first.ForEach(number => _ = Libc.close(number));
        return first.Count < count ? $"{count} descriptors are on their way in its queue (SCM_RIGHTS); those behind the first message are looked at when it stands" : null;
    }

    /// <summary>Kinds of which an open file can be captured and made again although no process holds it.</summary>
    public static bool IsKept(OpenFileImage file) =>
        file is RegularFileImage or DirectoryImage or PathDescriptorImage or PipeEndImage or DeviceImage or EventFdImage or TimerFdImage or SignalFdImage or SocketImage;

    private static bool IsKept(IDescriptorKind kind) =>
        kind is RegularFiles or Directories or PathDescriptors or Pipes or Devices or EventFds or TimerFds or SignalFds or Memfds or Sockets;

    public void Dispose()
    {
        open.ForEach(number => _ = Libc.close(number));
        open.Clear();
    }

    /// <summary>The descriptors among control messages (cmsg(3)); they are the caller's.</summary>
    public static List<int> Received(ReadOnlySpan<byte> control)
    {
        List<int> numbers = [];
        while (control.Length >= 16 && BinaryPrimitives.ReadUInt64LittleEndian(control) is var length && length >= 16 && length <= (ulong)control.Length)
        {
            // SCM_PIDFD brings a descriptor too; who asks for it (SO_PASSPIDFD) gets a new one at every look.
            int type = BinaryPrimitives.ReadInt32LittleEndian(control[12..]);
            if (BinaryPrimitives.ReadInt32LittleEndian(control[8..]) == SOL_SOCKET && type is SCM_RIGHTS or SCM_PIDFD)
            {
                for (int at = 16; at + 4 <= (int)length; at += 4)
                {
                    int number = BinaryPrimitives.ReadInt32LittleEndian(control[at..]);
                    if (type == SCM_RIGHTS)
                    {
                        numbers.Add(number);
                    }
                    else if (number >= 0)
                    {
                        _ = Libc.close(number);
                    }
                }
            }

            control = control[Math.Min(control.Length, ((int)length + 7) & ~7)..];
        }

        return numbers;
    }

    /// <summary>Those of the first message that has some, as descriptors of ours.</summary>
    private static unsafe List<int> First(DescriptorFacts carrier)
    {
        using SocketCopy? socket = SocketCopy.TryTake(carrier.Pid, carrier.Number);
        if (socket is null || socket.Number(SOL_SOCKET, SO_DOMAIN) != AF_UNIX || socket.Number(SOL_SOCKET, SO_ACCEPTCONN) != 0)
        {
            return [];
        }

        byte[] bytes = new byte[Math.Max(1, socket.Ask(SIOCINQ))];
        byte* control = stackalloc byte[ControlSize];
        fixed (byte* p = bytes)
        {
            Libc.Iovec part = new() { Base = (ulong)p, Length = (ulong)bytes.Length };
            MessageHeader header = new() { Parts = &part, PartCount = 1, Control = control, ControlLength = ControlSize };
            return recvmsg(socket.Fd, &header, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC) < 0 ? [] : Received(new ReadOnlySpan<byte>(control, (int)header.ControlLength));
        }
    }

    /// <summary>Room for all control messages that a Unix socket can have at once.</summary>
    public const int ControlSize = 2048;

    private static bool HoldsPackets(DescriptorFacts facts)
    {
        using SocketCopy? socket = SocketCopy.TryTake(facts.Pid, facts.Number);
        return socket is not null && socket.Number(SOL_SOCKET, SO_TYPE) != SOCK_STREAM && (socket.Poll(POLLIN | POLLRDHUP) & (POLLIN | POLLRDHUP | POLLHUP)) == POLLIN;
    }
}
