using System.Diagnostics;
using Akka.Event;
using Akka.Util;

namespace Akka.Actor;

/// <summary>How a supervisor treats failures of its children.</summary>
public abstract class SupervisorStrategy : ISurrogated
{
    /// <summary>Stops what could not be created or was killed, restarts for everything else.</summary>
    public static IDecider DefaultDecider = Akka.Actor.Decider.From(static cause =>
        cause is ActorInitializationException or ActorKilledException or DeathPactException ? Directive.Stop : Directive.Restart);

    /// <summary>One for one, by <see cref="DefaultDecider"/>, without limit.</summary>
    public static readonly SupervisorStrategy DefaultStrategy = new OneForOneStrategy(DefaultDecider);

    /// <summary>One for one, stops whatever fails.</summary>
    public static readonly OneForOneStrategy StoppingStrategy = new(static _ => Directive.Stop);

    private protected SupervisorStrategy()
    {
    }

    /// <summary>Who decides.</summary>
    public abstract IDecider Decider { get; }

    /// <summary>Whether failures are logged.</summary>
    protected bool LoggingEnabled { get; set; } = true;

    /// <summary>Decides about a failure.</summary>
    protected abstract Directive Handle(IActorRef child, Exception exception);

    /// <inheritdoc/>
    public ISurrogate ToSurrogate(ActorSystem system) => throw new NotSupportedException("strategies are not sent between systems");

    /// <summary>Logs a failure and what is done about it.</summary>
    protected virtual void LogFailure(IActorContext context, IActorRef child, Exception cause, Directive directive)
    {
        if (!LoggingEnabled)
        {
            return;
        }

        var message = cause is ActorInitializationException { InnerException: { } inner } ? inner.Message : cause.Message;
        switch (directive)
        {
            case Directive.Resume:
                Publish(context, new Warning(child.Path.ToString(), GetType(), message));
                break;
            case Directive.Escalate:
                break;
            default:
                Publish(context, new Error(cause, child.Path.ToString(), GetType(), message));
                break;
        }
    }

    /// <summary>Suspends first when the child does not stand already, then has it restart.</summary>
    protected void RestartChild(IActorRef child, Exception cause, bool suspendFirst)
    {
        var internalChild = (IInternalActorRef)child;
        if (suspendFirst)
        {
            internalChild.Suspend();
        }

        internalChild.Restart(cause);
    }

    /// <summary>Lets a child go on.</summary>
    protected void ResumeChild(IActorRef child, Exception exception) => ((IInternalActorRef)child).Resume(exception);

    internal Directive Decide(IActorRef child, Exception exception) => Handle(child, exception);

    internal bool HandleFailure(ActorCell cell, IActorRef child, Exception cause, ChildRestartStats stats, ChildrenContainer children)
    {
        var directive = Handle(child, cause);
        LogFailure(cell, child, cause, directive);
        switch (directive)
        {
            case Directive.Resume:
                ResumeChild(child, cause);
                return true;
            case Directive.Restart:
                ProcessFailureInternal(cell, true, child, cause, stats, children);
                return true;
            case Directive.Stop:
                ProcessFailureInternal(cell, false, child, cause, stats, children);
                return true;
            default:
                return false;
        }
    }

    internal abstract void ProcessFailureInternal(ActorCell cell, bool restart, IActorRef child, Exception cause, ChildRestartStats stats, ChildrenContainer children);

    private protected static long Now => Stopwatch.GetTimestamp() / (Stopwatch.Frequency / 1000) + 1;

    private static void Publish(IActorContext context, LogEvent @event) => ((ActorCell)context).Publish(@event);
}

/// <summary>Makes the strategy of the user guardian; named by <c>akka.actor.guardian-supervisor-strategy</c>.</summary>
public abstract class SupervisorStrategyConfigurator
{
    /// <summary>Makes it.</summary>
    public abstract SupervisorStrategy Create();
}

/// <summary>Makes <see cref="SupervisorStrategy.DefaultStrategy"/>.</summary>
public class DefaultSupervisorStrategy : SupervisorStrategyConfigurator
{
    /// <inheritdoc/>
    public override SupervisorStrategy Create() => SupervisorStrategy.DefaultStrategy;
}

/// <summary>Makes <see cref="SupervisorStrategy.StoppingStrategy"/>.</summary>
public class StoppingSupervisorStrategy : SupervisorStrategyConfigurator
{
    /// <inheritdoc/>
    public override SupervisorStrategy Create() => SupervisorStrategy.StoppingStrategy;
}
