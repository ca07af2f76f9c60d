namespace Holdfast.Snapshots;

/// <summary>Keeps several senders together below a number of bytes per second.</summary>
internal sealed class RateLimit(long? bytesPerSecond, TimeProvider? time = null)
{
    private readonly Lock _lock = new();
    private readonly TimeProvider _time = time ?? TimeProvider.System;
    private readonly long _start = (time ?? TimeProvider.System).GetTimestamp();
    private double _due;

    internal async ValueTask TakeAsync(long bytes, CancellationToken cancel)
    {
        if (bytesPerSecond is not { } rate)
        {
            return;
        }

        double wait;
        lock (_lock)
        {
            double now = _time.GetElapsedTime(_start).TotalSeconds;
            _due = Math.Max(_due, now) + ((double)bytes / rate);
            wait = _due - now;
        }

        if (wait > 0)
        {
            await Task.Delay(TimeSpan.FromSeconds(wait), _time, cancel).ConfigureAwait(false);
        }
    }
}
