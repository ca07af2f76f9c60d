using Akka.Actor;
using Akka.Dispatch;

namespace Akka.Persistence;

/// <summary>An <see cref="Eventsourced"/> with handlers that return whether they handled.</summary>
public abstract class PersistentActor : Eventsourced
{
#nullable disable annotations
    /// <inheritdoc/>
    protected override bool Receive(object message) => ReceiveCommand(message);
#nullable restore annotations
}

/// <summary>An <see cref="Eventsourced"/> with one handler for all commands and one for all that is recovered.</summary>
public abstract class UntypedPersistentActor : Eventsourced
{
    /// <summary>The context of the actor that runs on this thread.</summary>
    protected static new IUntypedActorContext Context => (IUntypedActorContext)ActorBase.Context;

#nullable disable annotations
    /// <inheritdoc/>
    protected override bool Receive(object message) => ReceiveCommand(message);

    /// <inheritdoc/>
    protected sealed override bool ReceiveCommand(object message)
    {
        OnCommand(message);
        return true;
    }

    /// <inheritdoc/>
    protected sealed override bool ReceiveRecover(object message)
    {
        OnRecover(message);
        return true;
    }

    /// <summary>Handles a command.</summary>
    protected abstract void OnCommand(object message);

    /// <summary>Handles a snapshot, an event or <see cref="RecoveryCompleted"/>.</summary>
    protected abstract void OnRecover(object message);
#nullable restore annotations

    /// <summary>Puts a handler of commands in place of the current one.</summary>
    protected void Become(UntypedReceive receive) => Context.Become(receive);

    /// <summary>Puts a handler of commands on top of the current one.</summary>
    protected void BecomeStacked(UntypedReceive receive) => Context.BecomeStacked(receive);
}

/// <summary>An <see cref="Eventsourced"/> with handlers per type, set up in its constructor or in <c>Become</c>.</summary>
public abstract class ReceivePersistentActor : UntypedPersistentActor
{
    private readonly Stack<HandlerList> _configuring = new();
    private readonly HandlerList _recovery = new();
    private HandlerList? _initial;
    private bool _constructed;

    /// <summary>Handlers may be added from here on.</summary>
    protected ReceivePersistentActor() => _configuring.Push(new HandlerList());

    internal override void OnConstructed()
    {
        _constructed = true;
        _initial ??= _configuring.Pop();
    }

#nullable disable annotations
    /// <inheritdoc/>
    protected sealed override void OnCommand(object message) => Run(_initial!, message);

    /// <inheritdoc/>
    protected sealed override void OnRecover(object message) => Run(_recovery, message);
#nullable restore annotations

    private void Run(HandlerList handlers, object message)
    {
        if (!handlers.Handle(message))
        {
            Unhandled(message);
        }
    }

    /// <summary>Puts the handlers of commands that <paramref name="configure"/> adds in place of the current ones.</summary>
    protected void Become(Action configure)
    {
        var handlers = Configure(configure);
        base.Become((UntypedReceive)(message => Run(handlers, message)));
    }

    /// <summary>Puts the handlers of commands that <paramref name="configure"/> adds on top of the current ones.</summary>
    protected void BecomeStacked(Action configure)
    {
        var handlers = Configure(configure);
        base.BecomeStacked((UntypedReceive)(message => Run(handlers, message)));
    }

    private HandlerList Configure(Action configure)
    {
        _configuring.Push(new HandlerList());
        try
        {
            configure();
            return _configuring.Peek();
        }
        finally
        {
            _configuring.Pop();
        }
    }

    private HandlerList Commands => _configuring.Count > 0
        ? _configuring.Peek()
        : throw new InvalidOperationException("You may only call Command-methods when constructing the actor and inside Become().");

    private HandlerList Recovered => !_constructed
        ? _recovery
        : throw new InvalidOperationException("You may only call Recover-methods when constructing the actor and inside Become().");

    /// <summary>Handles commands of a type, where <paramref name="shouldHandle"/> holds.</summary>
    protected void Command<T>(Action<T> handler, Predicate<T>? shouldHandle = null) => Commands.Add(handler, shouldHandle);

    /// <summary>Handles commands of a type, where <paramref name="shouldHandle"/> holds.</summary>
    protected void Command<T>(Predicate<T> shouldHandle, Action<T> handler) => Commands.Add(handler, shouldHandle);

    /// <summary>Handles commands of a type; false passes the command on to the next handler.</summary>
    protected void Command<T>(Func<T, bool> handler) => Commands.AddFunction(handler);

    /// <summary>Handles commands of a type, where <paramref name="shouldHandle"/> holds.</summary>
    protected void Command(Type messageType, Action<object> handler, Predicate<object>? shouldHandle = null) => Commands.Add(messageType, handler, shouldHandle);

    /// <summary>Handles commands of a type, where <paramref name="shouldHandle"/> holds.</summary>
    protected void Command(Type messageType, Predicate<object> shouldHandle, Action<object> handler) => Commands.Add(messageType, handler, shouldHandle);

    /// <summary>Handles every command that no earlier handler took.</summary>
    protected void Command(Action<object> handler) => Commands.Add(handler, null);

    /// <summary>Handles every command that no earlier handler took.</summary>
    protected void CommandAny(Action<object> handler) => Commands.Add(handler, null);

    /// <summary>Handles commands of a type asynchronously.</summary>
    protected void CommandAsync<T>(Func<T, Task> handler, Predicate<T>? shouldHandle = null) => Commands.Add(message => RunTask(() => handler(message)), shouldHandle);

    /// <summary>Handles commands of a type asynchronously.</summary>
    protected void CommandAsync<T>(Predicate<T> shouldHandle, Func<T, Task> handler) => CommandAsync(handler, shouldHandle);

    /// <summary>Handles commands of a type asynchronously.</summary>
    protected void CommandAsync(Type messageType, Func<object, Task> handler, Predicate<object>? shouldHandle = null) =>
        Commands.Add(messageType, message => RunTask(() => handler(message)), shouldHandle);

    /// <summary>Handles commands of a type asynchronously.</summary>
    protected void CommandAsync(Type messageType, Predicate<object> shouldHandle, Func<object, Task> handler) => CommandAsync(messageType, handler, shouldHandle);

    /// <summary>Handles every command that no earlier handler took, asynchronously.</summary>
    protected void CommandAnyAsync(Func<object, Task> handler) => Commands.Add<object>(message => RunTask(() => handler(message)), null);

    /// <summary>Handles what is recovered of a type, where <paramref name="shouldHandle"/> holds.</summary>
    protected void Recover<T>(Action<T> handler, Predicate<T>? shouldHandle = null) => Recovered.Add(handler, shouldHandle);

    /// <summary>Handles what is recovered of a type, where <paramref name="shouldHandle"/> holds.</summary>
    protected void Recover<T>(Predicate<T> shouldHandle, Action<T> handler) => Recovered.Add(handler, shouldHandle);

    /// <summary>Handles what is recovered of a type; false passes it on to the next handler.</summary>
    protected void Recover<T>(Func<T, bool> handler) => Recovered.AddFunction(handler);

    /// <summary>Handles what is recovered of a type, where <paramref name="shouldHandle"/> holds.</summary>
    protected void Recover(Type messageType, Action<object> handler, Predicate<object>? shouldHandle = null) => Recovered.Add(messageType, handler, shouldHandle);

    /// <summary>Handles what is recovered of a type, where <paramref name="shouldHandle"/> holds.</summary>
    protected void Recover(Type messageType, Predicate<object> shouldHandle, Action<object> handler) => Recovered.Add(messageType, handler, shouldHandle);

    /// <summary>Handles what is recovered of a type; false passes it on to the next handler.</summary>
    protected void Recover(Type messageType, Func<object, bool> handler) => Recovered.AddFunction(messageType, handler);

    /// <summary>Handles all that is recovered and that no earlier handler took.</summary>
    protected void RecoverAny(Action<object> handler) => Recovered.Add(handler, null);
}
