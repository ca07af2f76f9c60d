using Akka.Dispatch;

namespace Akka.Actor;

/// <summary>An actor with one handler for all messages.</summary>
public abstract class UntypedActor : ActorBase
{
    /// <summary>The context of the actor that runs on this thread.</summary>
    protected static new IUntypedActorContext Context => (IUntypedActorContext)ActorBase.Context;

    /// <inheritdoc/>
#nullable disable annotations
    protected sealed override bool Receive(object message)
    {
        OnReceive(message);
        return true;
    }

    /// <summary>Handles a message; calls <see cref="ActorBase.Unhandled"/> itself for what it does not know.</summary>
    protected abstract void OnReceive(object message);
#nullable restore annotations

    /// <summary>Puts a handler in place of the current one.</summary>
    protected void Become(UntypedReceive receive) => Context.Become(receive);

    /// <summary>Puts a handler on top of the current one.</summary>
    protected void BecomeStacked(UntypedReceive receive) => Context.BecomeStacked(receive);

    /// <summary>Runs an asynchronous operation as this actor, which handles no further message until it is through.</summary>
    protected void RunTask(Func<Task> action) => ActorTaskScheduler.RunTask(action);

    /// <summary>Runs a delegate, which may be an async void one, as this actor.</summary>
    protected void RunTask(Action action) => ActorTaskScheduler.RunTask(action);
}
