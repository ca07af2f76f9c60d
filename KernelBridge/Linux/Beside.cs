namespace Holdfast.KernelBridge.Linux;

/// <summary>
/// Work that a second processor may take over meanwhile. Whoever needs it does it himself where no thread of the pool had time: nobody waits for a pool that is busy while an
/// application stands.
/// </summary>
internal sealed class Beside
{
    /// <summary>Fewer files of /proc are read in no more time than a second processor takes to begin.</summary>
    public const int Many = 24;

    private readonly Lazy<bool> work;

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
            _ = Task.Run(Finish);
        }
    }

    /// <summary>Reads something in /proc for each of many, by two processors.</summary>
    public static void ForEach(int count, Action<int> read)
    {
        int next = -1;
        Beside other = new(ReadThem, count >= Many && ProcSnapshot.Current is null);
        ReadThem();
        other.Finish();

        void ReadThem()
        {
            for (int i = Interlocked.Increment(ref next); i < count; i = Interlocked.Increment(ref next))
            {
                read(i);
            }
        }
    }

    /// <summary>Returns when it is done; throws what it threw.</summary>
    public void Finish() => _ = work.Value;
}
