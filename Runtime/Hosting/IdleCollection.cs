namespace Holdfast.Runtime.Hosting;

/// <summary>
/// Collects the garbage of a checkpoint or a restore when it is over and somebody has his answer, so that the next one does not begin with it: a collection takes as
/// long as a small process stands. Made by who has this process to himself; the garbage of somebody else's is his.
/// </summary>
internal sealed class IdleCollection : IDisposable
{
    /// <summary>Bytes. Less is left to the next time: about two small checkpoints, and half of what a young generation may hold here.</summary>
    private const long WorthWhile = 2 << 20;

    /// <summary>For the answer to go out, and for who asks for one checkpoint after the other.</summary>
    private static readonly TimeSpan afterwards = TimeSpan.FromMilliseconds(50);

    private readonly ITimer _timer;
    private long _collectedAt;

    /// <summary>Makes one; nothing is collected before <see cref="Over"/>.</summary>
    public IdleCollection(TimeProvider time)
    {
        _timer = time.CreateTimer(_ => Collect(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Something is being done: it is not the time.</summary>
    public void Busy() => _timer.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);

    /// <summary>It is done.</summary>
    public void Over() => _timer.Change(afterwards, Timeout.InfiniteTimeSpan);

    public void Dispose() => _timer.Dispose();

    private void Collect()
    {
        if (GC.GetTotalAllocatedBytes() - _collectedAt < WorthWhile)
        {
            return;
        }

        GC.Collect(1, GCCollectionMode.Forced, blocking: true);
        _collectedAt = GC.GetTotalAllocatedBytes();
    }
}
