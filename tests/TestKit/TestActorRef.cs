using Akka.Actor;
using Akka.Dispatch.SysMsg;
using Akka.Util;

namespace Akka.TestKit;

/// <summary>Base of <see cref="TestActorRef{TActor}"/>.</summary>
public abstract class TestActorRefBase<TActor> : ICanTell, IEquatable<IActorRef>, IInternalActorRef
    where TActor : ActorBase
{
    private readonly LocalActorRef _inner;

    protected TestActorRefBase(ActorSystem system, Props actorProps, IActorRef? supervisor = null, string? name = null)
    {
        var props = actorProps.Deploy.Dispatcher == Deploy.NoDispatcherGiven ? actorProps.WithDispatcher(CallingThreadDispatcher.Id) : actorProps;
        var parent = supervisor switch
        {
            null => ((ActorSystemImpl)system).Provider.Guardian,
            LocalActorRef local => local,
            TestProbe probe => (LocalActorRef)probe.Ref,
            TestActorRefBase<TActor> other => other._inner,
            _ => throw new ArgumentException("the supervisor must be an actor of this process", nameof(supervisor)),
        };
        _inner = parent.Cell.CreateChild(props, name, systemService: false);
    }

    public IActorRef Ref => _inner;

    public TActor UnderlyingActor =>
        (TActor?)_inner.Cell.Actor ?? throw new IllegalActorStateException($"Actor {_inner.Path} is stopped or was not created");

    public ActorPath Path => _inner.Path;

    IInternalActorRef? IInternalActorRef.Parent => _inner.Parent;

    bool IActorRefScope.IsLocal => true;

    bool IInternalActorRef.IsTerminated => _inner.IsTerminated;

    internal LocalActorRef Inner => _inner;

    /// <summary>Runs the handler on this thread; what it throws comes through.</summary>
    public void Receive(object message, IActorRef? sender = null)
    {
        var cell = _inner.Cell;
        var outer = ActorCell.Current;
        ActorCell.Current = cell;
        try
        {
            cell.InvokeForTest(message, sender);
        }
        finally
        {
            ActorCell.Current = outer;
        }
    }

    public Task ReceiveAsync(object message, IActorRef? sender = null)
    {
        Receive(message, sender);
        return Task.CompletedTask;
    }

    public void Watch(IActorRef subject) => Run(cell => cell.Watch(subject));

    public void Unwatch(IActorRef subject) => Run(cell => cell.Unwatch(subject));

    public void Tell(object message) => ActorRefImplicitSenderExtensions.Tell(_inner, message);

    public void Tell(object message, IActorRef sender) => _inner.Tell(message, sender);

    public void Forward(object message) => ActorRefImplicitSenderExtensions.Forward(_inner, message);

    public static IActorRef ToActorRef(TestActorRefBase<TActor> actorRef) => actorRef._inner;

    public static bool operator ==(TestActorRefBase<TActor>? testActorRef, IActorRef? actorRef) => testActorRef is null ? actorRef is null : testActorRef.Equals(actorRef);

    public static bool operator !=(TestActorRefBase<TActor>? testActorRef, IActorRef? actorRef) => !(testActorRef == actorRef);

    public static bool operator ==(IActorRef? actorRef, TestActorRefBase<TActor>? testActorRef) => testActorRef == actorRef;

    public static bool operator !=(IActorRef? actorRef, TestActorRefBase<TActor>? testActorRef) => !(testActorRef == actorRef);

    private void Run(Action<ActorCell> action)
    {
        var outer = ActorCell.Current;
        ActorCell.Current = _inner.Cell;
        try
        {
            action(_inner.Cell);
        }
        finally
        {
            ActorCell.Current = outer;
        }
    }

    void IInternalActorRef.Start() => _inner.Start();

    void IInternalActorRef.Resume(Exception? causedByFailure) => _inner.Resume(causedByFailure);

    void IInternalActorRef.Suspend() => _inner.Suspend();

    void IInternalActorRef.Restart(Exception cause) => _inner.Restart(cause);

    void IInternalActorRef.Stop() => _inner.Stop();

    void IInternalActorRef.SendSystemMessage(SystemMessage message) => _inner.SendSystemMessage(message switch
    {
        Watch watch when ReferenceEquals(watch.Watchee, this) => new Watch(_inner, watch.Watcher),
        Unwatch unwatch when ReferenceEquals(unwatch.Watchee, this) => new Unwatch(_inner, unwatch.Watcher),
        _ => message,
    });

    IInternalActorRef? IInternalActorRef.GetChild(string name) => _inner.GetChild(name);

    public bool Equals(IActorRef? other) => _inner.Equals(other is TestActorRefBase<TActor> wrapped ? wrapped._inner : other);

    public override bool Equals(object? obj) => obj is IActorRef other && Equals(other);

    public override int GetHashCode() => _inner.GetHashCode();

    public int CompareTo(object? obj) => _inner.CompareTo(obj);

    int IComparable<IActorRef>.CompareTo(IActorRef? other) => _inner.CompareTo(other);

    ISurrogate ISurrogated.ToSurrogate(ActorSystem system) => _inner.ToSurrogate(system);

    public override string ToString() => _inner.ToString();
}

/// <summary>An actor that runs on the thread of who sends to it, and whose instance the test can look at.</summary>
public class TestActorRef<TActor> : TestActorRefBase<TActor>
    where TActor : ActorBase
{
    public TestActorRef(ActorSystem system, Props actorProps, IActorRef? supervisor = null, string? name = null)
        : base(system, actorProps, supervisor, name)
    {
    }

    public static bool operator ==(TestActorRef<TActor>? testActorRef, IActorRef? actorRef) => testActorRef is null ? actorRef is null : testActorRef.Equals(actorRef);

    public static bool operator !=(TestActorRef<TActor>? testActorRef, IActorRef? actorRef) => !(testActorRef == actorRef);

    public static bool operator ==(IActorRef? actorRef, TestActorRef<TActor>? testActorRef) => testActorRef == actorRef;

    public static bool operator !=(IActorRef? actorRef, TestActorRef<TActor>? testActorRef) => !(testActorRef == actorRef);

    public override bool Equals(object? obj) => base.Equals(obj);

    public override int GetHashCode() => base.GetHashCode();
}
