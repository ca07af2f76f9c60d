using Akka.Actor;
using Akka.Event;

namespace Akka.Dispatch;

/// <summary>Runs actors: decides on which thread, and for how many messages at a time.</summary>
public abstract class MessageDispatcher
{
    /// <summary>The default number of messages per turn.</summary>
    public const int DefaultThroughput = 100;

    private readonly EventStream _eventStream;

    internal MessageDispatcher(string id, int throughput, long? throughputDeadlineTime, EventStream eventStream)
    {
        Id = id;
        Throughput = throughput;
        ThroughputDeadlineTime = throughputDeadlineTime;
        _eventStream = eventStream;
    }

    /// <summary>The path of the dispatcher's section in the configuration.</summary>
    public string Id { get; protected set; }

    /// <summary>How many messages an actor handles before another gets its turn; at least 1.</summary>
    public int Throughput { get; set; }

    /// <summary>How long a turn may last, in ticks of 100 ns; null for no limit.</summary>
    public long? ThroughputDeadlineTime { get; protected set; }

    /// <summary>Where failures are published.</summary>
    public EventStream EventStream => _eventStream;

    /// <summary>Runs a delegate on the dispatcher.</summary>
    public void Schedule(Action run) => ExecuteTask(new ActionRunnable(run));

    /// <summary>Runs work on the dispatcher.</summary>
    public void Schedule(IRunnable run) => ExecuteTask(run);

    /// <summary>Hands work to a thread.</summary>
    protected abstract void ExecuteTask(IRunnable run);

    /// <summary>Publishes a failure that belongs to no actor.</summary>
    protected void ReportFailure(Exception ex) => _eventStream.Publish(new Error(ex, GetType().FullName!, GetType(), ex.Message));

    /// <summary>Has a mailbox run.</summary>
    /// <param name="mailbox">It is marked as scheduled.</param>
    /// <param name="afterBriefTurn">See <see cref="Mailbox.RegisterForExecution"/>.</param>
    internal virtual void ExecuteMailbox(Mailbox mailbox, bool afterBriefTurn) => ExecuteTask(mailbox);

    internal virtual void RunMailbox(Mailbox mailbox) => mailbox.Run();

    internal virtual void Attach(ActorCell cell)
    {
    }

    internal virtual void Detach(ActorCell cell)
    {
    }

    internal virtual void ShutdownThreads()
    {
    }
}
