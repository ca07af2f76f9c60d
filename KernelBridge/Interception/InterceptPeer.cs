using System.Text;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Spaces;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.KernelBridge.Interception;

/// <summary>What came of a look at a connection.</summary>
internal enum PeerState
{
    /// <summary>Connected; said nothing yet.</summary>
    Silent,

    /// <summary>Was asked, and is preparing.</summary>
    Preparing,

    /// <summary>Holds still until it is told otherwise.</summary>
    Ready,

    /// <summary>Must not be captured now.</summary>
    Refused,

    /// <summary>Closed, or said what nobody says.</summary>
    Gone,
}

/// <summary>The connection of one process. What it says is the application's: it is bounded, and only ever shown.</summary>
internal sealed unsafe class InterceptPeer(int descriptor, int pid) : IDisposable
{
    private const int ShutWrite = 1;

    /// <summary>For poll(2).</summary>
    public int Descriptor { get; } = descriptor;

    /// <summary>Host pid.</summary>
    public int Pid { get; } = pid;

    public PeerState State { get; private set; }

    /// <summary>What it waits for, or why it refuses; empty when it did not say.</summary>
    public string Text { get; private set; } = "";

    /// <summary>Whether its buffered output was left where it is.</summary>
    public bool Unflushed { get; private set; }

    /// <summary>Takes all that it has said.</summary>
    /// <param name="time">What it gets when it says hello.</param>
    public void Receive(TimeSpan time)
    {
        // Who refuses has nothing more to say, and hangs up.
        while (State is not (PeerState.Gone or PeerState.Refused))
        {
            InterceptMessage message;
            nint length = SocketCalls.recv(Descriptor, &message, (nuint)sizeof(InterceptMessage), SocketCalls.MSG_DONTWAIT | SocketCalls.MSG_TRUNC);
            const int EINTR = 4, EAGAIN = 11;
            if (length < 0 && Libc.LastError is EINTR or EAGAIN)
            {
                return;
            }

            State = length == sizeof(InterceptMessage) ? Next(message, time) : PeerState.Gone;
        }
    }

    /// <summary>All are ready: it ends its conversation, and waits for the board for that long at most.</summary>
    /// <param name="time">How long.</param>
    /// <param name="barrier">A descriptor of the barrier to which it comes first; -1 for none.</param>
    public void Hold(TimeSpan time, int barrier = -1) => Send(InterceptMessageKind.Hold, 0, (uint)Math.Min(time.TotalMilliseconds, 3_600_000), barrier);

    /// <summary>Nothing more comes from here.</summary>
    public void HangUp() => SocketCalls.shutdown(Descriptor, ShutWrite);

    /// <summary>Whether its end is closed, too: nothing of the conversation is left in the process.</summary>
    public bool HasHungUp()
    {
        byte rest;
        nint length;
        while ((length = SocketCalls.recv(Descriptor, &rest, 1, SocketCalls.MSG_DONTWAIT)) > 0)
        {
        }

        const int EINTR = 4, EAGAIN = 11;
        return length == 0 || Libc.LastError is not (EINTR or EAGAIN);
    }

    public void Dispose() => _ = Libc.close(Descriptor);

    private PeerState Next(in InterceptMessage message, TimeSpan time)
    {
        switch (State, message.Kind)
        {
            case (PeerState.Silent, InterceptMessageKind.Hello):
                Send(InterceptMessageKind.Prepare, (uint)Math.Clamp(time.TotalMilliseconds, 1, 3_600_000), 0);
                return PeerState.Preparing;

            case (PeerState.Preparing, InterceptMessageKind.Stage):
                Text = Shown(message);
                return PeerState.Preparing;

            case (PeerState.Preparing, InterceptMessageKind.Ready):
                Unflushed = message.Value != 0;
                return PeerState.Ready;

            case (PeerState.Preparing, InterceptMessageKind.Refused):
                Text = Shown(message);
                return PeerState.Refused;

            default:
                return PeerState.Gone;
        }
    }

    private void Send(InterceptMessageKind kind, uint value, uint second, int descriptor = -1)
    {
        InterceptMessage message = new() { Kind = kind, Value = value, Second = second };
        using SafeFileHandle socket = new(Descriptor, ownsHandle: false);
        if (PacketSocket.Send(socket, new ReadOnlySpan<byte>(&message, sizeof(InterceptMessage)), descriptor) != 0)
        {
            State = PeerState.Gone;
        }
    }

    private static string Shown(in InterceptMessage message)
    {
        fixed (byte* text = message.Text)
        {
            ReadOnlySpan<byte> bytes = new(text, InterceptAbi.TextLength);
            int end = bytes.IndexOf((byte)0);
            string said = Encoding.ASCII.GetString(end < 0 ? bytes : bytes[..end]);
            return new string([.. said.Select(letter => letter is >= ' ' and <= '~' ? letter : '?')]);
        }
    }
}
