using Akka.Actor;

namespace Akka.Dispatch.SysMsg;

/// <summary>Messages by which cells steer each other. They overtake user messages; <see cref="Next"/> links them in a mailbox's stack.</summary>
internal abstract class SystemMessage : INoSerializationVerificationNeeded
{
    internal SystemMessage? Next;
}

internal sealed class Create : SystemMessage
{
    public Create(ActorInitializationException? failure) => Failure = failure;

    public ActorInitializationException? Failure { get; }
}

internal sealed class Recreate(Exception cause) : SystemMessage
{
    public Exception Cause { get; } = cause;
}

internal sealed class Suspend : SystemMessage
{
}

internal sealed class Resume(Exception? causedByFailure) : SystemMessage
{
    public Exception? CausedByFailure { get; } = causedByFailure;
}

internal sealed class Terminate : SystemMessage, IPossiblyHarmful, Event.IDeadLetterSuppression
{
}

internal sealed class Watch(IInternalActorRef watchee, IInternalActorRef watcher) : SystemMessage
{
    public IInternalActorRef Watchee { get; } = watchee;

    public IInternalActorRef Watcher { get; } = watcher;
}

internal sealed class Unwatch(IInternalActorRef watchee, IInternalActorRef watcher) : SystemMessage
{
    public IInternalActorRef Watchee { get; } = watchee;

    public IInternalActorRef Watcher { get; } = watcher;
}

internal sealed class DeathWatchNotification(IActorRef actor, bool existenceConfirmed, bool addressTerminated) : SystemMessage, Event.IDeadLetterSuppression
{
    public IActorRef Actor { get; } = actor;

    public bool ExistenceConfirmed { get; } = existenceConfirmed;

    public bool AddressTerminated { get; } = addressTerminated;
}

internal sealed class Failed(IActorRef child, Exception cause, long uid) : SystemMessage
{
    public IActorRef Child { get; } = child;

    public Exception Cause { get; } = cause;

    public long Uid { get; } = uid;
}

/// <summary>A piece of an asynchronous handler that is to run as this actor.</summary>
internal sealed class ActorTask(Task task, Actor.AsyncInvocation invocation) : SystemMessage
{
    public Task Task { get; } = task;

    public Actor.AsyncInvocation Invocation { get; } = invocation;
}

/// <summary>An asynchronous handler is through.</summary>
internal sealed class ActorTaskDone(Actor.AsyncInvocation invocation, Exception? failure) : SystemMessage
{
    public Actor.AsyncInvocation Invocation { get; } = invocation;

    public Exception? Failure { get; } = failure;
}
