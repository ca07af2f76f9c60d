using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Resources;
using Holdfast.KernelBridge.Tape;
using static Holdfast.KernelBridge.Linux.SocketCalls;

namespace Holdfast.KernelBridge.Restore;

/// <summary>A socket in the process that is being built, and our own descriptor for it.</summary>
/// <param name="Image">What it is to become; for a helper, what it stands for.</param>
/// <param name="Number">Its descriptor there.</param>
/// <param name="Copy">Ours.</param>
internal sealed record BuiltSocket(SocketImage Image, int Number, SocketCopy Copy);

/// <summary>
/// Makes all sockets of an image. They are made, named and connected inside the first process, in its namespaces; options and queues are given to them
/// through descriptors of ours. Helpers stand in for ends that are gone. What is half built dies with the process.
/// </summary>
internal sealed partial class SocketBuilder : IDisposable
{
    private readonly ApplicationImage image;
    private readonly Func<int> spare;
    private readonly bool isLate;
    private readonly Dictionary<long, int> numbers = [];
    private readonly Dictionary<long, BuiltSocket> built = [];
    private readonly List<BuiltSocket> helpers = [];
    private readonly List<string> madeFiles;
    private readonly int firstOpen;
    private Stub root;
    private readonly IReadOnlyDictionary<long, SocketCopy> kept;

    /// <param name="root">The first process.</param>
    /// <param name="image">The image.</param>
    /// <param name="firstOpen">The descriptor at which the first of <see cref="ApplicationImage.OpenFiles"/> belongs.</param>
    /// <param name="madeFiles">Takes the paths of socket files that were not there before.</param>
    /// <param name="spare">Gives numbers that nothing else uses while the application is built.</param>
    /// <param name="kept">Sockets that are still there, by their number in the image; null for none.</param>
    public SocketBuilder(Stub root, ApplicationImage image, int firstOpen, List<string> madeFiles, Func<int> spare, IReadOnlyDictionary<long, SocketCopy>? kept = null)
    {
        this.kept = kept ?? new Dictionary<long, SocketCopy>();
        this.madeFiles = madeFiles;
        this.spare = spare;
        this.root = root;
        this.image = image;
        this.firstOpen = firstOpen;
        for (int i = 0; i < image.OpenFiles.Count; i++)
        {
            if (image.OpenFiles[i] is SocketImage socket)
            {
                numbers[socket.Id] = firstOpen + i;
                isLate |= socket.FilledLate;
            }
        }
    }

    private IEnumerable<SocketImage> All => image.OpenFiles.OfType<SocketImage>();

    /// <summary>Whether descriptors are on their way in sockets: then <see cref="Finish"/> is called when all open files are there, else at once.</summary>
    public bool IsLate => isLate;

    public void Build()
    {
        if (numbers.Count == 0)
        {
            return;
        }

        PlaceKept();
        BuildUnix();
        BuildTcp();
        BuildUdp();
        foreach (SocketImage netlink in All.Where(socket => socket.Family == AF_NETLINK))
        {
            NetlinkSockets.Restore(Create(netlink).Copy, netlink);
        }

        if (!isLate)
        {
            Finish(root);
        }
    }

    /// <summary>Fills what was left, and gives all sockets their settings.</summary>
    /// <param name="holder">A process that has all open files of the image at their numbers.</param>
    public void Finish(Stub holder)
    {
        root = holder;
        FinishUnix();
        foreach (BuiltSocket socket in built.Values)
        {
            SocketOptions.Write(socket.Copy, socket.Image);
            _ = Libc.fcntl(socket.Copy.Fd, Pipes.F_SETFL, socket.Image.Flags & Libc.O_NONBLOCK);
        }
    }

    public void Dispose()
    {
        foreach (BuiltSocket socket in built.Values.Concat(helpers))
        {
            socket.Copy.Dispose();
        }
    }

    /// <summary>One call in the process.</summary>
    private long Call(string purpose, int number, params ReadOnlySpan<ulong> arguments)
    {
        SyscallTape tape = root.NewTape();
        tape.Add(purpose, number, arguments);
        return root.Run(tape)[0];
    }

    /// <summary>One call on an address; gives 0 or the error.</summary>
    private int CallWith(string purpose, int call, int number, byte[] address)
    {
        SyscallTape tape = root.NewTape();
        tape.AddWith(purpose, call, TapeFlags.MayFail, (ulong)number, tape.Place(address), (ulong)address.Length);
        return (int)-Math.Min(0, root.Run(tape)[0]);
    }

    private BuiltSocket Create(SocketImage socket) => Take(
        socket, (int)Call($"making {socket.Description}", X64.Socket, (ulong)socket.Family, (ulong)(socket.Type | SOCK_NONBLOCK), (ulong)socket.Protocol), numbers[socket.Id]);

    /// <summary>A socket that is gone when the others stand.</summary>
    private BuiltSocket Helper(SocketImage like)
    {
        int number = (int)Call("making a helping socket", X64.Socket, (ulong)like.Family, (ulong)(like.Type | SOCK_NONBLOCK), (ulong)like.Protocol);
        return Take(like, number, null);
    }

    /// <summary>Puts a new descriptor where it belongs.</summary>
    private BuiltSocket Take(SocketImage socket, int number, int? place)
    {
        // Processes that are made before a helper is closed inherit it: its number is one that they close at their end.
        if ((place ?? (isLate ? spare() : null)) is { } wanted)
        {
            SyscallTape tape = root.NewTape();
            tape.Add("placing a socket", X64.Dup2, (ulong)number, (ulong)wanted);
            tape.Add("placing a socket", X64.Close, (ulong)number);
            root.Run(tape);
            number = wanted;
        }

        BuiltSocket made = new(socket, number, SocketCopy.TryTake(root.HostPid, number) ?? throw Failed(socket, "looking at it", Errno.EBADF));
        if (place is null)
        {
            helpers.Add(made);
        }
        else
        {
            built[socket.Id] = made;
        }

        return made;
    }

    /// <summary>Both ends of a socketpair(2); each is placed, or helps.</summary>
    private (BuiltSocket A, BuiltSocket B) Pair(SocketImage a, SocketImage? b)
    {
        SyscallTape tape = root.NewTape();
        ulong place = tape.Reserve(8);
        tape.Add($"making {a.Description}", X64.Socketpair, AF_UNIX, (ulong)(a.Type | SOCK_NONBLOCK), (ulong)a.Protocol, place);
        root.Run(tape);
        (int first, int second) = root.Memory.Read<(int, int)>(place);
        return (Take(a, first, numbers[a.Id]), Take(b ?? a, second, b is null ? null : numbers[b.Id]));
    }

    private void Close(BuiltSocket helper)
    {
        Call("closing a helping socket", X64.Close, (ulong)helper.Number);
        helper.Copy.Dispose();
        helpers.Remove(helper);
    }

    private static BridgeException Failed(SocketImage socket, string what, int error) =>
        new("restore.socket", $"{socket.Description}: {what}", Errno.Text(error));

    private static void Require(SocketImage socket, string what, int error)
    {
        if (error != 0)
        {
            throw Failed(socket, what, error);
        }
    }

    /// <summary>Sends, from one of our descriptors, what belongs into the queue of another socket.</summary>
    private unsafe void Send(BuiltSocket from, SocketMessageImage message, byte[]? to, SocketImage receiver)
    {
        byte* control = stackalloc byte[32];
        fixed (byte* bytes = message.Bytes, name = to)
        {
            int done = 0;
            long deadline = Environment.TickCount64 + 5000;
            do
            {
                Libc.Iovec part = new() { Base = (ulong)(bytes + done), Length = (ulong)(message.Bytes.Length - done) };
                MessageHeader header = new() { Name = name, NameLength = (uint)(to?.Length ?? 0), Parts = &part, PartCount = 1 };
                if (message.Sender is { } sender)
                {
                    // The processes of the image are not there yet: the first one stands for all.
                    Credentials(new Span<byte>(control, 32), root.HostPid, sender);
                    header.Control = control;
                    header.ControlLength = 32;
                }

                bool inside = done == 0 && message.Descriptors?.Count > 0;
                nint count = inside ? SendInside(from, message.Bytes, to, message.Sender, message.Descriptors!) : sendmsg(from.Copy.Fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL);
                if (count < 0 && Libc.LastError == Errno.EPERM && message.Sender is { } named && !inside)
                {
                    count = SendInside(from, message.Bytes.AsSpan(done), to, named, []);
                }

                if (count < 0 && (Libc.LastError != Errno.EAGAIN || receiver.Type != SOCK_STREAM || Environment.TickCount64 > deadline))
                {
                    throw Failed(receiver, "filling its queue", Libc.LastError);
                }

                if (count < 0)
                {
                    from.Copy.Poll(POLLOUT, 50);
                }

                done += (int)Math.Max(0, count);
            }
            while (done < message.Bytes.Length);
        }
    }

    /// <summary>
    /// The same inside the process, which has the open files that go along. To name another process as the sender takes CAP_SYS_ADMIN over the pid namespace of who
    /// sends, which we have over the space's only.
    /// </summary>
    private nint SendInside(BuiltSocket from, ReadOnlySpan<byte> bytes, byte[]? to, SenderImage? sender, IReadOnlyList<int> files)
    {
        byte[] rights = Rights([.. files.Select(file => firstOpen + file)]);
        byte[] control = new byte[rights.Length + (sender is null ? 0 : 32)];
        rights.CopyTo(control, 0);
        if (sender is not null)
        {
            Credentials(control.AsSpan(rights.Length), ProcessStatus.Read(root.HostPid).Innermost("NSpid"), sender);
        }

        SyscallTape tape = root.NewTape();
        ulong part = tape.Place((tape.Place(bytes), (ulong)bytes.Length));
        ulong name = to is null ? 0 : tape.Place(to);
        ulong header = tape.Place((name, (ulong)(to?.Length ?? 0), part, 1ul, tape.Place(control), (ulong)control.Length, 0ul));
        tape.AddWith("filling a queue", X64.Sendmsg, TapeFlags.MayFail, (ulong)from.Number, header, MSG_DONTWAIT | MSG_NOSIGNAL);
        long count = root.Run(tape)[0];
        Marshal.SetLastPInvokeError((int)-Math.Min(0, count));
        return (nint)count;
    }

    /// <summary>A control message with descriptors (SCM_RIGHTS of unix(7)), padded; empty for none.</summary>
    private static byte[] Rights(IReadOnlyList<int> numbers)
    {
        if (numbers.Count == 0)
        {
            return [];
        }

        byte[] control = new byte[(16 + (4 * numbers.Count) + 7) & ~7];
        MemoryMarshal.Write(control, 16L + (4 * numbers.Count));
        MemoryMarshal.Write(control.AsSpan(8), SOL_SOCKET);
        MemoryMarshal.Write(control.AsSpan(12), SCM_RIGHTS);
        for (int i = 0; i < numbers.Count; i++)
        {
            MemoryMarshal.Write(control.AsSpan(16 + (4 * i)), numbers[i]);
        }

        return control;
    }

    /// <summary>A control message with <c>struct ucred</c>; see cmsg(3), unix(7).</summary>
    private static void Credentials(Span<byte> control, int pid, SenderImage sender)
    {
        control.Clear();
        MemoryMarshal.Write(control, 28UL);
        MemoryMarshal.Write(control[8..], SOL_SOCKET);
        MemoryMarshal.Write(control[12..], SCM_CREDENTIALS);
        MemoryMarshal.Write(control[16..], pid);
        MemoryMarshal.Write(control[20..], sender.User);
        MemoryMarshal.Write(control[24..], sender.Group);
    }

    /// <summary>Room for a queue on both sides, for the time of the filling; the image's own values follow.</summary>
    private static void MakeRoom(BuiltSocket from, BuiltSocket to)
    {
        long total = to.Image.Queue.Sum(message => (long)message.Bytes.Length);
        int room = (int)Math.Min(1 << 30, (1 << 20) + (total * 4) + (to.Image.Queue.Count * 1024L));
        from.Copy.SetBuffer(SO_SNDBUF, room);
        to.Copy.SetBuffer(SO_RCVBUF, room);
    }
}
