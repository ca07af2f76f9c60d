using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Loading;
using Microsoft.Win32.SafeHandles;
using static Holdfast.KernelBridge.Spaces.SpaceNative;

namespace Holdfast.KernelBridge.Spaces;

/// <summary>Feeding memory to an application that was restored lazily: loading.h.</summary>
internal sealed partial class InitClient
{
    /// <summary>How long an init may take to answer.</summary>
    public static TimeSpan AnswerLimit => timeout;

    /// <summary>Makes this connection the feeder's. Afterwards only <see cref="SendFeed"/> and <see cref="TryReceiveFeed"/> are for it.</summary>
    /// <param name="memory">Memory that is shared with the init.</param>
    /// <param name="size">Its size, bytes.</param>
    public void Feed(SafeFileHandle memory, ulong size) => Call(Operation.Feed, size, Descriptors.Number(memory));

    /// <summary>Gives the init a process that lacks pages.</summary>
    /// <param name="userFault">Its userfaultfd; the init keeps a copy.</param>
    /// <param name="stream">Number of the process in the image.</param>
    /// <param name="ranges">How many pairs of addresses stand at the beginning of the feeder's memory.</param>
    public void Load(SafeFileHandle userFault, int stream, int ranges) =>
        Call(Operation.Load, (uint)stream | (ulong)ranges << 32, Descriptors.Number(userFault));

    /// <summary>Sends a message to the init; waits while it has no room.</summary>
    /// <exception cref="BridgeException">The init is gone (<c>init.gone</c>), or does not read (<c>init.timeout</c>).</exception>
    public void SendFeed(FeedMessage message)
    {
        if (PacketSocket.Send(socket, MemoryMarshal.AsBytes(new ReadOnlySpan<FeedMessage>(in message))) is var error and not 0)
        {
            throw Failed(error);
        }
    }

    /// <summary>The init's next message.</summary>
    /// <param name="wait">How long to wait for one.</param>
    /// <param name="message">The message.</param>
    /// <returns>False when none came.</returns>
    /// <exception cref="BridgeException">The init is gone (<c>init.gone</c>).</exception>
    public bool TryReceiveFeed(TimeSpan wait, out FeedMessage message)
    {
        message = default;
        if (Descriptors.Wait(Descriptors.Number(socket), -1, POLLIN, wait) == 0)
        {
            return false;
        }

        Span<byte> into = MemoryMarshal.AsBytes(new Span<FeedMessage>(ref message));
        (int length, _, _) = PacketSocket.Receive(socket, into, out int error);
        return error != 0 ? throw Failed(error) : length == into.Length ? true : throw Unexpected(length, "message");
    }
}
