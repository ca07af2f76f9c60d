namespace Akka.Dispatch;

/// <summary>
/// What threads of their own take work from. Who finds none sleeps at once: a thread for each of a hundred actors that first looked again a few times, as
/// BlockingCollection does, would keep the processors from those that have work.
/// </summary>
internal sealed class WorkQueue
{
    private readonly Queue<IRunnable> _work = new();
    private bool _complete;

    /// <summary>Adds work, unless the queue is complete.</summary>
    internal void Add(IRunnable run)
    {
        lock (_work)
        {
            if (!_complete)
            {
                _work.Enqueue(run);
                Monitor.Pulse(_work);
            }
        }
    }

    /// <summary>Nothing is added from here on; what was is still taken.</summary>
    internal void Complete()
    {
        lock (_work)
        {
            _complete = true;
            Monitor.PulseAll(_work);
        }
    }

    /// <summary>Waits for work.</summary>
    /// <returns>Null when there is none left, and the queue is complete.</returns>
    internal IRunnable? Take()
    {
        lock (_work)
        {
            IRunnable? run;
            while (!_work.TryDequeue(out run) && !_complete)
            {
                Monitor.Wait(_work);
            }

            return run;
        }
    }
}
