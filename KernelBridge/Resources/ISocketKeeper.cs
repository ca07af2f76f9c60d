using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// Sees to it that a setting of a live socket, which has to be changed for a look into it, is put back: when what is returned is disposed, and when this process dies
/// before that.
/// </summary>
internal interface ISocketKeeper
{
    /// <summary>From here on SO_PEEK_OFF may be changed.</summary>
    /// <param name="socket">Our copy of the socket.</param>
    /// <param name="number">Its descriptor in the process that is captured.</param>
    /// <param name="before">What it is.</param>
    IDisposable KeepPeekOffset(SocketCopy socket, int number, int before);

    /// <summary>From here on SO_RCVBUF may be changed.</summary>
    /// <param name="socket">Our copy of the socket.</param>
    /// <param name="number">Its descriptor in the process that is captured.</param>
    /// <param name="size">What it is, bytes as getsockopt(2) tells them.</param>
    /// <param name="locks">SO_BUF_LOCK.</param>
    IDisposable KeepReceiveBuffer(SocketCopy socket, int number, int size, int locks);
}
