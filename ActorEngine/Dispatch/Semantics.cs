using Akka.Actor;
using Akka.Configuration;
using Akka.Dispatch.MessageQueues;

namespace Akka.Dispatch;

/// <summary>A property that a mailbox's queue may have.</summary>
public interface ISemantics
{
}

/// <summary>A queue without a limit.</summary>
public interface IUnboundedMessageQueueSemantics : ISemantics
{
}

/// <summary>A queue with a limit.</summary>
public interface IBoundedMessageQueueSemantics : ISemantics
{
    /// <summary>How long a sender waits for room before the message goes to the dead letters.</summary>
    TimeSpan PushTimeOut { get; }
}

/// <summary>A queue that takes messages back at its front.</summary>
public interface IDequeBasedMessageQueueSemantics : ISemantics
{
    /// <summary>Puts a message before all others.</summary>
    void EnqueueFirst(Envelope envelope);
}

/// <summary>A queue without a limit that takes messages back at its front.</summary>
public interface IUnboundedDequeBasedMessageQueueSemantics : IDequeBasedMessageQueueSemantics, IUnboundedMessageQueueSemantics
{
}

/// <summary>A queue with a limit that takes messages back at its front.</summary>
public interface IBoundedDequeBasedMessageQueueSemantics : IDequeBasedMessageQueueSemantics, IBoundedMessageQueueSemantics
{
}

/// <summary>A queue that several threads may take from.</summary>
public interface IMultipleConsumerSemantics : ISemantics
{
}

/// <summary>Says what kind of queue an actor needs.</summary>
/// <typeparam name="T">The semantics.</typeparam>
public interface IRequiresMessageQueue<T>
    where T : ISemantics
{
}

/// <summary>Says what kind of queue a mailbox has.</summary>
/// <typeparam name="TQueue">The queue.</typeparam>
public interface IProducesMessageQueue<TQueue>
    where TQueue : IMessageQueue
{
}

/// <summary>A mailbox whose senders wait for room.</summary>
public interface IProducesPushTimeoutSemanticsMailbox
{
    /// <summary>How long they wait.</summary>
    TimeSpan PushTimeout { get; }
}

/// <summary>Work for a dispatcher.</summary>
public interface IRunnable : IThreadPoolWorkItem
{
    /// <summary>Does the work.</summary>
    void Run();
}

/// <summary>A delegate as <see cref="IRunnable"/>.</summary>
public sealed class ActionRunnable : IRunnable
{
    private readonly Action _action;

    /// <summary>Wraps the delegate.</summary>
    public ActionRunnable(Action action) => _action = action;

    /// <inheritdoc/>
    public void Run() => _action();

    /// <inheritdoc/>
    public void Execute() => _action();
}

/// <summary>Creates the queue of an actor's mailbox. A subclass named in the configuration needs this constructor's parameters.</summary>
public abstract class MailboxType
{
    /// <summary>The system's settings.</summary>
    protected readonly Settings Settings;

    /// <summary>The section of the mailbox.</summary>
    protected readonly Config Config;

    /// <summary>Creates one from its section.</summary>
    protected MailboxType(Settings settings, Config config)
    {
        Settings = settings;
        Config = config;
    }

    /// <summary>Creates the queue.</summary>
    /// <param name="owner">Whose mailbox it is; null for none.</param>
    /// <param name="system">The system.</param>
#nullable disable annotations
    public abstract IMessageQueue Create(IActorRef owner, ActorSystem system);
#nullable restore annotations
}
