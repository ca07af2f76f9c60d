using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using static Holdfast.KernelBridge.Spaces.SpaceNative;

namespace Holdfast.KernelBridge.Spaces;

/// <summary>
/// A connection to a space's init: commands of 16 bytes, replies of 32, one after the other. Safe for use by several threads.
/// A watchdog belongs to its connection: when that closes, because it is disposed or this process dies, the application is thawed.
/// </summary>
internal sealed partial class InitClient : IDisposable
{
    /// <summary>Code of errors that say: the lease ran out, and the application stays frozen.</summary>
    public const string LeaseExpired = "lease.expired";

    private const int CommandSize = 16, ReplySize = 32;
    private static readonly TimeSpan timeout = TimeSpan.FromSeconds(10);

    private readonly Lock oneAtATime = new();
    private readonly SafeFileHandle socket;
    private readonly string path;

    private enum Operation : uint
    {
        Status = 1,
        Arm = 2,
        Disarm = 3,
        Lease = 4,
        Release = 5,
        Hold = 6,
        Take = 7,
        Drop = 8,
        Thaw = 9,
        Kill = 10,
        Feed = 11,
        Load = 12,
    }

    [Flags]
    private enum Flags : ulong
    {
        Alive = 1,
        Armed = 2,
        Leased = 4,
        Expired = 8,
        Cgroup = 16,
        PidAttached = 32,
        Loading = 64,
    }

    private InitClient(SafeFileHandle socket, string path)
    {
        this.socket = socket;
        this.path = path;
    }

    /// <summary>Connects.</summary>
    /// <exception cref="BridgeException">The init is gone (<c>init.gone</c>).</exception>
    public static InitClient Connect(string path) => new(InitSocket.Connect(path, timeout), path);

    /// <summary>Asks how it is.</summary>
    public InitStatus Status()
    {
        Reply reply = Call(Operation.Status, 0);
        return new InitStatus(
            (int)reply.Value, reply.Flags.HasFlag(Flags.PidAttached) ? reply.AttachedPid : 0, reply.Flags.HasFlag(Flags.Armed),
            reply.Flags.HasFlag(Flags.Leased), reply.Flags.HasFlag(Flags.Expired), reply.Flags.HasFlag(Flags.Cgroup),
            TimeSpan.FromTicks((long)(reply.Remaining / 100)), reply.Flags.HasFlag(Flags.Loading));
    }

    /// <summary>Before a freeze: thaw the application when this connection closes, or after this time (above zero).</summary>
    /// <exception cref="BridgeException">The application has no cgroup (<c>init.no-cgroup</c>), or its lease ran out (<see cref="LeaseExpired"/>).</exception>
    public void Arm(TimeSpan duration) => Call(Operation.Arm, Nanoseconds(duration));

    /// <summary>Ends the watch.</summary>
    /// <param name="thaw">Whether to thaw the application too, unless its lease ran out.</param>
    public void Disarm(bool thaw) => Call(Operation.Disarm, thaw ? 1UL : 0);

    /// <summary>Thaws the application, unless its lease ran out.</summary>
    /// <exception cref="BridgeException">Its lease ran out (<see cref="LeaseExpired"/>).</exception>
    public void Thaw() => Call(Operation.Thaw, 0);

    /// <summary>
    /// The application may run for this time (above zero) from now on, suspended time included; after it the init freezes it and lets nobody's
    /// watchdog thaw it. Replaces an earlier lease, and ends the freeze of one that ran out.
    /// </summary>
    public void Lease(TimeSpan duration) => Call(Operation.Lease, Nanoseconds(duration));

    /// <summary>The application may run without a lease.</summary>
    public void Release() => Call(Operation.Release, 0);

    /// <summary>Gives the init a copy of a descriptor to keep.</summary>
    /// <param name="key">What it is asked for by.</param>
    /// <param name="descriptor">The descriptor.</param>
    /// <exception cref="BridgeException">There is one under that key already, or no room.</exception>
    public void Hold(ulong key, int descriptor) => Call(Operation.Hold, key, descriptor);

    /// <summary>A copy of a descriptor that the init keeps; it keeps it on, so that the taker may die too.</summary>
    /// <exception cref="BridgeException">There is none under that key (<c>init.no-descriptor</c>).</exception>
    public SafeFileHandle Take(ulong key) =>
        Call(Operation.Take, key).Descriptor ?? throw new BridgeException("init.protocol", $"the init at {path}", "no descriptor came with its reply");

    /// <summary>Makes the init close what it keeps under that key.</summary>
    /// <exception cref="BridgeException">There is none under that key (<c>init.no-descriptor</c>).</exception>
    public void Drop(ulong key) => Call(Operation.Drop, key);

    /// <summary>Kills every process of the space but the init, which ends when it has recorded the main process's end.</summary>
    public void Kill() => Call(Operation.Kill, 0);

    /// <inheritdoc/>
    public void Dispose() => socket.Dispose();

    private static ulong Nanoseconds(TimeSpan duration)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(duration, TimeSpan.Zero);
        return checked((ulong)duration.Ticks * 100);
    }

    private Reply Call(Operation operation, ulong argument, int descriptor = -1)
    {
        Span<byte> command = stackalloc byte[CommandSize];
        BinaryPrimitives.WriteUInt32LittleEndian(command, (uint)operation);
        BinaryPrimitives.WriteUInt32LittleEndian(command[4..], 0);
        BinaryPrimitives.WriteUInt64LittleEndian(command[8..], argument);
        Reply reply;
        lock (oneAtATime)
        {
            Send(command, descriptor);
            reply = Receive();
        }

        if (reply.Operation != (uint)operation)
        {
            throw new BridgeException("init.protocol", $"the init at {path}", $"it answered {reply.Operation} to {operation}");
        }

        return reply.Error switch
        {
            0 => reply,
            ESTALE => throw new BridgeException(
                LeaseExpired, $"{operation} at {path}", "the application's lease ran out and it is frozen",
                "renew the lease"),
            EOPNOTSUPP => throw new BridgeException(
                "init.no-cgroup", $"{operation} at {path}", "the application has no cgroup of its own", "mount a writable cgroup-v2 hierarchy before it is launched"),
            ENOENT => throw new BridgeException("init.no-descriptor", $"{operation} at {path}", $"nothing is kept under {argument}"),
            _ => throw Descriptors.Failure("init.refused", $"{operation} at {path}", reply.Error),
        };
    }

    private void Send(ReadOnlySpan<byte> command, int descriptor)
    {
        if (PacketSocket.Send(socket, command, descriptor) is var error and not 0)
        {
            throw Descriptors.Failure("init.gone", $"the init at {path}", error);
        }
    }

    /// <summary>What a receive or a send that failed says about the init.</summary>
    private BridgeException Failed(int error) => error == EAGAIN
        ? new BridgeException("init.timeout", $"the init at {path}", $"no answer within {timeout.TotalSeconds:0} s")
        : Descriptors.Failure("init.gone", $"the init at {path}", error);

    private BridgeException Unexpected(int length, string what) => length == 0
        ? new BridgeException("init.gone", $"the init at {path}", "it closed the connection")
        : new BridgeException("init.protocol", $"the init at {path}", $"a {what} of {length} bytes");

    private Reply Receive()
    {
        Span<byte> fields = stackalloc byte[ReplySize];
        (int length, int pid, int number) = PacketSocket.Receive(socket, fields, out int error);
        if (error != 0)
        {
            throw Failed(error);
        }

        SafeFileHandle? descriptor = number < 0 ? null : new SafeFileHandle(number, ownsHandle: true);
        if (length != ReplySize)
        {
            descriptor?.Dispose();
            throw Unexpected(length, "reply");
        }

        return new Reply(
            BinaryPrimitives.ReadUInt32LittleEndian(fields), BinaryPrimitives.ReadInt32LittleEndian(fields[4..]),
            BinaryPrimitives.ReadUInt64LittleEndian(fields[8..]), (Flags)BinaryPrimitives.ReadUInt64LittleEndian(fields[16..]),
            BinaryPrimitives.ReadUInt64LittleEndian(fields[24..]), pid, descriptor);
    }

    private readonly record struct Reply(
        uint Operation, int Error, ulong Value, Flags Flags, ulong Remaining, int AttachedPid, SafeFileHandle? Descriptor);
}
