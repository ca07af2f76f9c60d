using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Resources;
using static Holdfast.KernelBridge.Linux.SocketCalls;

namespace Holdfast.KernelBridge.Capture;

/// <summary>A thread of the application stands before the calls that put the setting back: it makes them in any case.</summary>
/// <param name="calls">Calls in it.</param>
internal sealed class InjectedSockets(InjectedCalls calls) : ISocketKeeper
{
    public IDisposable KeepPeekOffset(SocketCopy socket, int number, int before)
    {
        calls.Prepare(before, X64.Setsockopt, (ulong)number, SOL_SOCKET, SO_PEEK_OFF, calls.Scratch, 4);
        return new Ending(() => _ = calls.MakePrepared());
    }

    public IDisposable KeepReceiveBuffer(SocketCopy socket, int number, int size, int locks)
    {
        ulong half = calls.Reserve(4);
        ulong before = calls.Reserve(4);
        calls.Write(half, BitConverter.GetBytes(size / 2));
        calls.Write(before, BitConverter.GetBytes(locks));
        calls.Begin(
            new InjectedCall(X64.Getpid), new InjectedCall(X64.Setsockopt, (ulong)number, SOL_SOCKET, SO_RCVBUF, half, 4), new InjectedCall(X64.Setsockopt, (ulong)number, SOL_SOCKET, SO_BUF_LOCK, before, 4));
        return new Ending(calls.FinishRow);
    }

    private sealed class Ending(Action end) : IDisposable
    {
        public void Dispose() => end();
    }
}
