using Akka.Actor;
using Akka.Event;

namespace Akka.Dispatch;

/// <summary>Gives each actor one operating system thread of its own, on which all of it runs: constructor, hooks, messages, and what follows an await.</summary>
/// <remarks>There is one of these per actor. The thread starts with the actor and ends when the actor is gone.</remarks>
internal sealed class PinnedThreadDispatcher : MessageDispatcher
{
    private readonly WorkQueue _work = new();
    private Thread? _thread;

    public PinnedThreadDispatcher(string id, int throughput, long? throughputDeadlineTime, EventStream eventStream)
        : base(id, throughput, throughputDeadlineTime, eventStream)
    {
    }

    internal override void Attach(ActorCell cell)
    {
        _thread = new Thread(Loop) { IsBackground = true, Name = cell.Self.Path.ToStringWithoutAddress() };
        _thread.Start();
    }

    internal override void Detach(ActorCell cell) => _work.Complete();

    internal override void ShutdownThreads() => _work.Complete();

    // What still comes for the thread of an actor that is gone has nobody to run for.
    protected override void ExecuteTask(IRunnable run) => _work.Add(run);

    private void Loop()
    {
        while (_work.Take() is { } run)
        {
            try
            {
                run.Run();
            }
            catch (Exception e)
            {
                ReportFailure(e);
            }
        }
    }
}

/// <summary>Runs actors on a fixed number of threads of its own.</summary>
internal sealed class DedicatedThreadsDispatcher : MessageDispatcher
{
    private readonly WorkQueue _work = new();

    public DedicatedThreadsDispatcher(string id, int throughput, long? throughputDeadlineTime, EventStream eventStream, int threads)
        : base(id, throughput, throughputDeadlineTime, eventStream)
    {
        for (var i = 0; i < threads; i++)
        {
            new Thread(Loop) { IsBackground = true, Name = $"{id}-{i}" }.Start();
        }
    }

    internal override void ShutdownThreads() => _work.Complete();

    protected override void ExecuteTask(IRunnable run) => _work.Add(run);

    private void Loop()
    {
        while (_work.Take() is { } run)
        {
            try
            {
                run.Run();
            }
            catch (Exception e)
            {
                ReportFailure(e);
            }
        }
    }
}
