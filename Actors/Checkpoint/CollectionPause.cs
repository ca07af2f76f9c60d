namespace Holdfast.Actors.Checkpoint;

/// <summary>
/// No garbage is collected while processes stand: every thread of this process would wait for it, and the application with them. What they are looked at with is collected when they run
/// again. Only as much memory is set aside for it as <see cref="Most"/>: beyond that garbage is collected all the same. Where there is not as much to be had at once, nothing is collected to
/// get it: this may be somebody else's process, with a heap of any size.
/// </summary>
internal sealed class CollectionPause : IDisposable
{
    /// <summary>Bytes for a few: four times what one of a few areas takes.</summary>
    private const long Least = 2 << 20;

    /// <summary>Bytes for one process: what the facts about it, and its image, take.</summary>
    private const long ForProcess = 384 << 10;

    private const long Most = 48 << 20;

    private static int _paused;
    private bool _ended;

    private CollectionPause()
    {
    }

    /// <summary>Begins one.</summary>
    /// <param name="processes">How many processes are about to stand.</param>
    /// <returns>Null where there is not enough memory at hand, or another checkpoint has one.</returns>
    public static CollectionPause? Begin(int processes)
    {
        if (Interlocked.Exchange(ref _paused, 1) != 0)
        {
            return null;
        }

        try
        {
            if (!GC.TryStartNoGCRegion(Math.Clamp(processes * ForProcess, Least, Most), disallowFullBlockingGC: true))
            {
                Volatile.Write(ref _paused, 0);
                return null;
            }
        }
        catch (Exception e) when (e is InvalidOperationException or ArgumentOutOfRangeException)
        {
            // Somebody else of this process has one, or the collector was configured with less memory.
            Volatile.Write(ref _paused, 0);
            return null;
        }

        return new CollectionPause();
    }

    public void Dispose()
    {
        if (_ended)
        {
            return;
        }

        _ended = true;
        try
        {
            GC.EndNoGCRegion();
        }
        catch (InvalidOperationException)
        {
            // It has ended already: more memory was needed.
        }

        Volatile.Write(ref _paused, 0);
    }
}
