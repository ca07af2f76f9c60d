using Akka.Event;

namespace Akka.Actor;

/// <summary>Access to an actor's context from outside its class.</summary>
public interface IInternalActor
{
    /// <summary>The context of the actor that runs on this thread.</summary>
    IActorContext ActorContext { get; }
}

/// <summary>Has every message that the actor gets logged, when <c>akka.actor.debug.receive</c> is on.</summary>
public interface ILogReceive
{
}

/// <summary>Base of all actors. An instance is only made by the engine and only touched by it, one message at a time.</summary>
public abstract class ActorBase : IInternalActor
{
    private IActorRef? _clearedSelf;
    private SupervisorStrategy? _supervisorStrategy;

    /// <summary>Created by the engine only.</summary>
    /// <exception cref="ActorInitializationException">Created by <c>new</c> outside of the engine.</exception>
    protected ActorBase()
    {
        var cell = ActorCell.Current ??
            throw new ActorInitializationException("Do not create actors using 'new', always create them using an ActorContext/System");
        cell.Become(Receive);
    }

    /// <summary>A handler that handles nothing.</summary>
    protected static Receive EmptyReceive { get; } = static _ => false;

    /// <summary>The context of the actor that runs on this thread.</summary>
    /// <exception cref="NotSupportedException">No actor runs on this thread.</exception>
    protected static IActorContext Context => CurrentCell;

    private static ActorCell CurrentCell => ActorCell.Current ??
        throw new NotSupportedException("There is no active ActorContext, this is most likely due to use of async operations from within this actor.");

    IActorContext IInternalActor.ActorContext => CurrentCell;

    /// <summary>The actor's own reference.</summary>
    protected IActorRef Self => _clearedSelf ?? CurrentCell.Self;

    /// <summary>Who sent the message at hand; the dead letters when nobody did.</summary>
    protected IActorRef Sender => CurrentCell.Sender;

    internal bool HasBeenCleared => _clearedSelf is not null;

    internal Receive InitialReceive => Receive;

    internal SupervisorStrategy SupervisorStrategyInternal => _supervisorStrategy ??= CurrentCell.Props.SupervisorStrategy ?? SupervisorStrategy();

    internal bool RunReceive(Receive receive, object message) => AroundReceive(receive, message);

    internal virtual void OnConstructed()
    {
    }

    internal void Clear(IActorRef self) => _clearedSelf = self;

#nullable disable annotations
    /// <summary>Handles a message; false when it is not one of the actor's.</summary>
    protected abstract bool Receive(object message);

    /// <summary>Around every message; calls <see cref="Unhandled"/> for what <paramref name="receive"/> does not handle.</summary>
    protected virtual bool AroundReceive(Receive receive, object message)
    {
        var handled = receive(message);
        if (!handled)
        {
            Unhandled(message);
        }

        return handled;
    }

    /// <summary>Called for a message that nobody handles: publishes it as <see cref="UnhandledMessage"/>; a <see cref="Terminated"/> makes the actor fail.</summary>
    /// <exception cref="DeathPactException">The message is a <see cref="Terminated"/>.</exception>
    protected virtual void Unhandled(object message)
    {
        if (message is Terminated terminated)
        {
            throw new DeathPactException(terminated.ActorRef);
        }

        Context.System.EventStream.Publish(new UnhandledMessage(message, Sender, Self));
    }

    /// <summary>Runs before the first message.</summary>
    protected virtual void PreStart()
    {
    }

    /// <summary>Runs after the last message; children are gone by then.</summary>
    protected virtual void PostStop()
    {
    }

    /// <summary>Runs on the failed instance before it is replaced. The base stops the children and calls <see cref="PostStop"/>.</summary>
    /// <param name="reason">Why it failed.</param>
    /// <param name="message">What it was handling; null when nothing.</param>
    protected virtual void PreRestart(Exception reason, object message)
    {
        foreach (var child in Context.GetChildren())
        {
            Context.Unwatch(child);
            Context.Stop(child);
        }

        PostStop();
    }

    /// <summary>Runs on the new instance after a restart. The base calls <see cref="PreStart"/>.</summary>
    protected virtual void PostRestart(Exception reason) => PreStart();

    /// <summary>How the actor treats failures of its children. Asked once.</summary>
    protected virtual SupervisorStrategy SupervisorStrategy() => Akka.Actor.SupervisorStrategy.DefaultStrategy;

    /// <summary>Around <see cref="PreStart"/>.</summary>
    public virtual void AroundPreStart() => PreStart();

    /// <summary>Around <see cref="PostStop"/>.</summary>
    public virtual void AroundPostStop() => PostStop();

    /// <summary>Around <see cref="PreRestart"/>.</summary>
    public virtual void AroundPreRestart(Exception cause, object message) => PreRestart(cause, message);

    /// <summary>Around <see cref="PostRestart"/>.</summary>
    public virtual void AroundPostRestart(Exception cause, object message) => PostRestart(cause);
#nullable restore annotations

    /// <summary>Puts a handler in place of the current one.</summary>
    protected void Become(Receive receive) => Context.Become(receive);

    /// <summary>Puts a handler on top of the current one.</summary>
    protected void BecomeStacked(Receive receive) => Context.BecomeStacked(receive);

    /// <summary>Goes back to the handler below.</summary>
    protected void UnbecomeStacked() => Context.UnbecomeStacked();

    /// <summary>Has a <see cref="ReceiveTimeout"/> sent when no message comes for so long; null switches it off.</summary>
    protected void SetReceiveTimeout(TimeSpan? timeout) => Context.SetReceiveTimeout(timeout);
}
