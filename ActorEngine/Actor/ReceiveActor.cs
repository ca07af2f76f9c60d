using Akka.Dispatch;

namespace Akka.Actor;

/// <summary>An actor with a handler per type of message, set up in its constructor or in <c>Become</c>. The first that fits handles.</summary>
public abstract class ReceiveActor : UntypedActor
{
    private readonly Stack<HandlerList> _configuring = new();
    private HandlerList? _initial;

    /// <summary>Handlers may be added from here on.</summary>
    protected ReceiveActor() => _configuring.Push(new HandlerList());

    internal override void OnConstructed() => _initial ??= _configuring.Pop();

#nullable disable annotations
    /// <inheritdoc/>
    protected sealed override void OnReceive(object message) => Run(_initial!, message);
#nullable restore annotations

    private void Run(HandlerList handlers, object message)
    {
        if (!handlers.Handle(message))
        {
            Unhandled(message);
        }
    }

    /// <summary>Puts the handlers that <paramref name="configure"/> adds in place of the current ones.</summary>
    protected void Become(Action configure)
    {
        var handlers = Configure(configure);
        base.Become((UntypedReceive)(message => Run(handlers, message)));
    }

    /// <summary>Puts the handlers that <paramref name="configure"/> adds on top of the current ones.</summary>
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

    private HandlerList Handlers => _configuring.Count > 0
        ? _configuring.Peek()
        : throw new InvalidOperationException("You may only call Receive-methods when constructing the actor and inside Become().");

    /// <summary>Handles messages of a type, where <paramref name="shouldHandle"/> holds.</summary>
    protected void Receive<T>(Action<T> handler, Predicate<T>? shouldHandle = null) => Handlers.Add(handler, shouldHandle);

    /// <summary>Handles messages of a type, where <paramref name="shouldHandle"/> holds.</summary>
    protected void Receive<T>(Predicate<T> shouldHandle, Action<T> handler) => Handlers.Add(handler, shouldHandle);

    /// <summary>Handles messages of a type; false passes the message on to the next handler.</summary>
    protected void Receive<T>(Func<T, bool> handler) => Handlers.AddFunction(handler);

    /// <summary>Handles messages of a type, where <paramref name="shouldHandle"/> holds.</summary>
    protected void Receive(Type messageType, Action<object> handler, Predicate<object>? shouldHandle = null) => Handlers.Add(messageType, handler, shouldHandle);

    /// <summary>Handles messages of a type, where <paramref name="shouldHandle"/> holds.</summary>
    protected void Receive(Type messageType, Predicate<object> shouldHandle, Action<object> handler) => Handlers.Add(messageType, handler, shouldHandle);

    /// <summary>Handles messages of a type; false passes the message on to the next handler.</summary>
    protected void Receive(Type messageType, Func<object, bool> handler) => Handlers.AddFunction(messageType, handler);

    /// <summary>Handles messages of a type asynchronously; the actor handles no other message until the task is through.</summary>
    protected void ReceiveAsync<T>(Func<T, Task> handler, Predicate<T>? shouldHandle = null) =>
        Handlers.Add<T>(message => ActorTaskScheduler.RunTask(() => handler(message)), shouldHandle);

    /// <summary>Handles messages of a type asynchronously; the actor handles no other message until the task is through.</summary>
    protected void ReceiveAsync<T>(Predicate<T> shouldHandle, Func<T, Task> handler) => ReceiveAsync(handler, shouldHandle);

    /// <summary>Handles messages of a type asynchronously; the actor handles no other message until the task is through.</summary>
    protected void ReceiveAsync(Type messageType, Func<object, Task> handler, Predicate<object>? shouldHandle = null) =>
        Handlers.Add(messageType, message => ActorTaskScheduler.RunTask(() => handler(message)), shouldHandle);

    /// <summary>Handles messages of a type asynchronously; the actor handles no other message until the task is through.</summary>
    protected void ReceiveAsync(Type messageType, Predicate<object> shouldHandle, Func<object, Task> handler) => ReceiveAsync(messageType, handler, shouldHandle);

    /// <summary>Handles every message that no earlier handler took. Nothing can be added after it.</summary>
    protected void ReceiveAny(Action<object> handler) => Handlers.Add(handler, null);

    /// <summary>Handles every message that no earlier handler took, asynchronously. Nothing can be added after it.</summary>
    protected void ReceiveAnyAsync(Func<object, Task> handler) =>
        Handlers.Add<object>(message => ActorTaskScheduler.RunTask(() => handler(message)), null);
}

/// <summary>Handlers in the order in which they are asked.</summary>
internal sealed class HandlerList
{
    private Handler[] _handlers = [];
    private bool _takesAll;

    public bool Handle(object message)
    {
        foreach (var handler in _handlers)
        {
            if (handler.TryHandle(message))
            {
                return true;
            }
        }

        return false;
    }

    public void Add<T>(Action<T> handler, Predicate<T>? shouldHandle)
    {
        ArgumentNullException.ThrowIfNull(handler);
        Append(shouldHandle is null ? new ActionHandler<T>(handler) : new PredicateHandler<T>(handler, shouldHandle), typeof(T) == typeof(object) && shouldHandle is null);
    }

    public void AddFunction<T>(Func<T, bool> handler)
    {
        ArgumentNullException.ThrowIfNull(handler);
        Append(new FunctionHandler<T>(handler), false);
    }

    public void Add(Type type, Action<object> handler, Predicate<object>? shouldHandle)
    {
        ArgumentNullException.ThrowIfNull(handler);
        AppendTyped(type, message =>
        {
            if (shouldHandle is not null && !shouldHandle(message))
            {
                return false;
            }

            handler(message);
            return true;
        }, type == typeof(object) && shouldHandle is null);
    }

    public void AddFunction(Type type, Func<object, bool> handler)
    {
        ArgumentNullException.ThrowIfNull(handler);
        AppendTyped(type, handler, false);
    }

    private void AppendTyped(Type type, Func<object, bool> handler, bool takesAll)
    {
        ArgumentNullException.ThrowIfNull(type);
        Append(new TypeHandler(type, handler), takesAll);
    }

    private void Append(Handler handler, bool takesAll)
    {
        if (_takesAll)
        {
            throw new InvalidOperationException("A handler that catches all messages has been added. No handler can be added after that.");
        }

        _takesAll = takesAll;
        Array.Resize(ref _handlers, _handlers.Length + 1);
        _handlers[^1] = handler;
    }

    private abstract class Handler
    {
        public abstract bool TryHandle(object message);
    }

    private sealed class ActionHandler<T>(Action<T> handler) : Handler
    {
        public override bool TryHandle(object message)
        {
            if (message is not T typed)
            {
                return false;
            }

            handler(typed);
            return true;
        }
    }

    private sealed class PredicateHandler<T>(Action<T> handler, Predicate<T> shouldHandle) : Handler
    {
        public override bool TryHandle(object message)
        {
            if (message is not T typed || !shouldHandle(typed))
            {
                return false;
            }

            handler(typed);
            return true;
        }
    }

    private sealed class FunctionHandler<T>(Func<T, bool> handler) : Handler
    {
        public override bool TryHandle(object message) => message is T typed && handler(typed);
    }

    private sealed class TypeHandler(Type type, Func<object, bool> handler) : Handler
    {
        public override bool TryHandle(object message) => type.IsInstanceOfType(message) && handler(message);
    }
}
