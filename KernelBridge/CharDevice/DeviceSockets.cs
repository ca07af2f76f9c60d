using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.CharDevice;

/// <summary>The session puts settings of sockets back, at its end at the latest.</summary>
/// <param name="session">The session.</param>
internal sealed class DeviceSockets(CkptSession session) : ISocketKeeper
{
    public IDisposable KeepPeekOffset(SocketCopy socket, int number, int before) => Keep(socket);

    public IDisposable KeepReceiveBuffer(SocketCopy socket, int number, int size, int locks) => Keep(socket);

    private Kept Keep(SocketCopy socket)
    {
        session.Keep(socket.Fd);
        return new Kept(session, socket.Fd);
    }

    private sealed class Kept(CkptSession session, int socket) : IDisposable
    {
        public void Dispose() => session.PutBack(socket);
    }
}
