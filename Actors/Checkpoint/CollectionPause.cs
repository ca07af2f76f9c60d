namespace Holdfast.Actors.Checkpoint;

/// <summary>
/// No garbage is collected while many processes stand: every thread of this process would wait for it, and the application with them. What they are looked at with is collected when they run
/// again. Only as much memory is set aside for it as <see cref="Most"/>: beyond that garbage is collected all the same.
/// </summary>
internal sealed class CollectionPause : IDisposable
{
    /// <summary>Fewer are looked at in less time than setting memory aside takes.</summary>
    private const int Many = 16;

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
    /// <returns>Null where it is not worth while, or another checkpoint has one.</returns>
    public static CollectionPause? Begin(int processes)
    {
        if (processes < Many || Interlocked.Exchange(ref _paused, 1) != 0)
        {
            return null;
        }

        try
        {
            _ = GC.TryStartNoGCRegion(Math.Min(processes * ForProcess, Most));
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
