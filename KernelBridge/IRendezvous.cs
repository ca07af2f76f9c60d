namespace Holdfast.KernelBridge;

/// <summary>
/// The barrier at which the processes of an intercepted application come together before they are frozen: each runs its hooks, is in no critical section, and has
/// written what it had buffered. From <see cref="Gather"/> on they hold still in this sense, until <see cref="Release"/>, or until their time is over.
/// </summary>
/// <remarks>
/// Members may be called from any thread, one at a time. Whatever happens to this process, the application goes on: a process that hears nothing lets go by itself.
/// Disposing it does what <see cref="Release"/> does, unless that was done or is not due.
/// </remarks>
public interface IRendezvous : IDisposable
{
    /// <summary>Calls all processes together, and waits for them.</summary>
    /// <param name="order">Until when, and what if not.</param>
    /// <param name="cancellation">The checkpoint is called off.</param>
    /// <exception cref="BridgeException">A process refuses (<c>intercept.busy</c>), or did not come in time (<c>intercept.late</c>); all are let go with <see cref="Release"/>.</exception>
    /// <exception cref="OperationCanceledException">It was called off.</exception>
    RendezvousReport Gather(RendezvousOrder order, CancellationToken cancellation);

    /// <summary>The application runs again, or was not frozen: hooks that follow are run, critical sections may begin.</summary>
    /// <exception cref="BridgeException">It could not be told; its processes let go when their time is over.</exception>
    void Release();

    /// <summary>The application ends where it stands: nobody is to be told.</summary>
    void Abandon();
}

/// <summary>How processes are called together.</summary>
/// <param name="Deadline">Until when all have to be there.</param>
/// <param name="Hold">How long they hold still at most, should nobody come back to them.</param>
/// <param name="WithoutTheLate">True: who is not there in time is captured as it is. False: the checkpoint is refused.</param>
public sealed record RendezvousOrder(TimeSpan Deadline, TimeSpan Hold, bool WithoutTheLate);

/// <summary>Who came.</summary>
/// <param name="Ready">How many processes hold still.</param>
/// <param name="Without">The programs of processes that are not intercepted.</param>
/// <param name="Late">Who was not in time; empty unless <see cref="RendezvousOrder.WithoutTheLate"/>.</param>
/// <param name="Unflushed">How many of those that came have kept buffered output in memory, where it is captured.</param>
/// <param name="Time">How long it took.</param>
public sealed record RendezvousReport(int Ready, IReadOnlyList<string> Without, IReadOnlyList<string> Late, int Unflushed, TimeSpan Time);
