using Holdfast.KernelBridge.Interception;
using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.CharDevice;

/// <summary>A barrier of /dev/ckpt: they wait in the kernel, which lets all go at once when the last has come, and when this process dies. It needs a session of its own, and none of the processes in it.</summary>
internal sealed class DeviceMeetingPoint : IMeetingPoint
{
    private readonly CkptSession session;

    private DeviceMeetingPoint(CkptSession session, int descriptor)
    {
        this.session = session;
        Descriptor = descriptor;
    }

    public int Descriptor { get; }

    public int News => session.Descriptor;

    /// <summary>Makes one.</summary>
    /// <param name="pids">Who is to come.</param>
    /// <param name="timeout">How long they wait for the last.</param>
    /// <returns>Null where the module has none, or when one of them has ended meanwhile.</returns>
    public static DeviceMeetingPoint? TryMake(IReadOnlyList<int> pids, TimeSpan timeout)
    {
        if (pids.Count is 0 or > (int)CkptAbi.BarrierMax || CkptSession.TryOpen() is not { } session)
        {
            return null;
        }

        if ((session.Features & CkptAbi.FeatureBarrier) != 0 && session.TryOpenBarrier([.. pids], timeout) is { } descriptor)
        {
            return new DeviceMeetingPoint(session, descriptor);
        }

        session.Dispose();
        return null;
    }

    public IReadOnlyList<int> Arrived() => [.. session.Events(out _).Where(happened => happened.Type == CkptAbi.EventArrived).Select(happened => happened.Pid)];

    public void Open() => session.ReleaseBarrier();

    public void Dispose()
    {
        session.Dispose();
        _ = Libc.close(Descriptor);
    }
}
