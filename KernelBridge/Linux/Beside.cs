namespace Holdfast.KernelBridge.Linux;

/// <summary>
/// Work that a second processor may take over meanwhile. Whoever needs it does it himself where no thread of the pool had time: nobody waits for a pool that is busy while an
/// application stands.
/// </summary>
internal sealed class Beside
{
    /// <summary>Fewer files of /proc are read in no more time than a second processor takes to begin.</summary>
    private const int Many = 24;

    private readonly Lazy<bool> work;

    // Where several can do parts of it at the same time: what is left is done by who waits.
    private readonly Action? share;

    /// <summary>Offers it to the pool.</summary>
    /// <param name="work">Must not need the thread that it was offered by.</param>
    /// <param name="offer">False: it is done by <see cref="Finish"/>.</param>
    public Beside(Action work, bool offer = true)
    {
        this.work = new Lazy<bool>(() =>
        {
            work();
            return true;
        });
        if (offer)
        {
            _ = Task.Run(() => this.work.Value);
        }
    }

    private Beside(bool offer, Action share)
        : this(share, offer) => this.share = share;

    /// <summary>Begins to look at something in /proc for each of several; where they are many, two processors do.</summary>
    /// <param name="count">How many.</param>
    /// <param name="look">Looks at one, counted.</param>
    public static Beside Each(int count, Action<int> look)
    {
        int next = -1;
        return new Beside(count >= Many && ProcSnapshot.Current is null, LookAtThem);

        void LookAtThem()
        {
            for (int i = Interlocked.Increment(ref next); i < count; i = Interlocked.Increment(ref next))
            {
                look(i);
            }
        }
    }

    /// <summary>Returns when it is done; throws what it threw.</summary>
    public void Finish()
    {
        share?.Invoke();
        _ = work.Value;
    }
}
