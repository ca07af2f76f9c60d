using System.Diagnostics.CodeAnalysis;

namespace Akka.Actor;

/// <summary>Something that creates actors under it.</summary>
public interface IActorRefFactory
{
    /// <summary>Creates an actor.</summary>
    /// <param name="props">How to create it.</param>
    /// <param name="name">Unique among its siblings; null for a generated one.</param>
    /// <exception cref="InvalidActorNameException">The name is taken or not allowed.</exception>
    IActorRef ActorOf(Props props, string? name = null);

    /// <summary>Selects the actors at a path.</summary>
    ActorSelection ActorSelection(ActorPath actorPath);

    /// <summary>Selects the actors at a path, which may be relative and hold the wildcards * and ?.</summary>
    ActorSelection ActorSelection(string actorPath);
}

/// <summary>Short forms on <see cref="IActorRefFactory"/>.</summary>
public static class ActorRefFactoryExtensions
{
    /// <summary>Creates an actor by its constructor without parameters.</summary>
    public static IActorRef ActorOf<[DynamicallyAccessedMembers(Props.Constructors)] TActor>(this IActorRefFactory factory, string? name = null)
        where TActor : ActorBase, new() =>
        factory.ActorOf(Props.Create<TActor>(), name);

    /// <summary>Selects relative to an actor.</summary>
    public static ActorSelection ActorSelection(this IActorRefFactory factory, IActorRef anchorRef, string actorPath) => new(anchorRef, actorPath);
}

/// <summary>Something that watches the end of actors.</summary>
public interface ICanWatch
{
    /// <summary>Starts to watch; a <see cref="Terminated"/> comes once, also when the actor is already gone.</summary>
    IActorRef Watch(IActorRef subject);

    /// <summary>Starts to watch with a message of one's own in place of <see cref="Terminated"/>.</summary>
    /// <exception cref="InvalidOperationException">The actor is already watched with another message.</exception>
    IActorRef WatchWith(IActorRef subject, object message);

    /// <summary>Stops to watch; a <see cref="Terminated"/> that waits in the mailbox is dropped too.</summary>
    IActorRef Unwatch(IActorRef subject);
}

/// <summary>A handler of any message; false when it did not handle it.</summary>
public delegate bool Receive(object message);

/// <summary>A handler of any message.</summary>
public delegate void UntypedReceive(object message);

/// <summary>What an actor sees of the engine while it handles a message. Not to be used from other threads.</summary>
public interface IActorContext : IActorRefFactory, ICanWatch
{
    /// <summary>The actor itself.</summary>
    IActorRef Self { get; }

    /// <summary>Who sent the message at hand; the dead letters when nobody did.</summary>
    IActorRef Sender { get; }

    /// <summary>How the actor was created.</summary>
    Props Props { get; }

    /// <summary>The system the actor lives in.</summary>
    ActorSystem System { get; }

    /// <summary>The supervisor.</summary>
    IActorRef Parent { get; }

    /// <summary>Who runs the actor.</summary>
    Dispatch.MessageDispatcher Dispatcher { get; }

    /// <summary>The receive time-out, or null.</summary>
    TimeSpan? ReceiveTimeout { get; }

    /// <summary>Puts a handler in place of the current one.</summary>
    void Become(Receive receive);

    /// <summary>Puts a handler on top of the current one.</summary>
    void BecomeStacked(Receive receive);

    /// <summary>Goes back to the handler below.</summary>
    void UnbecomeStacked();

    /// <summary>The child of this name, or <see cref="Nobody"/>.</summary>
    IActorRef Child(string name);

    /// <summary>All children.</summary>
    IEnumerable<IActorRef> GetChildren();

    /// <summary>Has a <see cref="Actor.ReceiveTimeout"/> sent when no message comes for so long; null switches it off.</summary>
    void SetReceiveTimeout(TimeSpan? timeout);

    /// <summary>Stops an actor after the message it is handling.</summary>
    void Stop(IActorRef child);
}

/// <summary>The context of an <see cref="UntypedActor"/>.</summary>
public interface IUntypedActorContext : IActorContext
{
    /// <summary>Puts a handler in place of the current one.</summary>
    void Become(UntypedReceive receive);

    /// <summary>Puts a handler on top of the current one.</summary>
    void BecomeStacked(UntypedReceive receive);
}
