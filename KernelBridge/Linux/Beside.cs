namespace Holdfast.KernelBridge.Linux;

/// <summary>
/// Work that a second processor may take over meanwhile. Whoever needs it does it himself where no thread of the pool had time: nobody waits for a pool that is busy while an
/// application stands.
/// </summary>
internal sealed class Beside
{
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

    /// <summary>Returns when it is done; throws what it threw.</summary>
    public void Finish() => _ = work.Value;
}
