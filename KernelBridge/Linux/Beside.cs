using System.Diagnostics.CodeAnalysis;

namespace Holdfast.KernelBridge.Linux;

/// <summary>
/// Work that a second processor may take over meanwhile. Whoever wants what comes of it does it himself where no thread of the pool had time: nobody waits for a pool that
/// is busy while an application stands.
/// </summary>
internal sealed class Beside<[DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicParameterlessConstructor)] T>
{
    private readonly Lazy<T> work;

    /// <summary>Offers it to the pool.</summary>
    /// <param name="work">Must not need the thread that it was offered by.</param>
    /// <param name="offer">False: it is done when <see cref="Result"/> is asked for.</param>
    public Beside(Func<T> work, bool offer = true)
    {
        this.work = new Lazy<T>(work);
        if (offer)
        {
            _ = Task.Run(() => this.work.Value);
        }
    }

    /// <summary>What came of it, or what it threw.</summary>
    public T Result => work.Value;
}
