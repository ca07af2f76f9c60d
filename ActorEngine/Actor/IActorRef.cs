using Akka.Dispatch.SysMsg;
using Akka.Util;

namespace Akka.Actor;

/// <summary>Something that messages can be sent to.</summary>
public interface ICanTell
{
    /// <summary>Sends a message without waiting.</summary>
    /// <param name="message">Not null.</param>
    /// <param name="sender">Who gets replies; null for nobody.</param>
#nullable disable annotations
    void Tell(object message, IActorRef sender);
#nullable restore annotations
}

/// <summary>The handle of an actor: all that others hold of it. Equality is of path and incarnation.</summary>
public interface IActorRef : ICanTell, IEquatable<IActorRef>, IComparable<IActorRef>, ISurrogated, IComparable
{
    /// <summary>The actor's path.</summary>
    ActorPath Path { get; }
}

/// <summary>Whether a reference points into this process.</summary>
internal interface IActorRefScope
{
    bool IsLocal { get; }
}

/// <summary>What the engine does with a reference beyond sending to it.</summary>
internal interface IInternalActorRef : IActorRef, IActorRefScope
{
    IInternalActorRef? Parent { get; }

    bool IsTerminated { get; }

    void Start();

    void Resume(Exception? causedByFailure);

    void Suspend();

    void Restart(Exception cause);

    void Stop();

    void SendSystemMessage(SystemMessage message);

    IInternalActorRef? GetChild(string name);
}

/// <summary>Base of all references.</summary>
public abstract class ActorRefBase : IActorRef
{
    /// <inheritdoc/>
    public abstract ActorPath Path { get; }

    /// <inheritdoc/>
    /// <exception cref="InvalidMessageException">The message is null.</exception>
#nullable disable annotations
    public void Tell(object message, IActorRef sender)
    {
        if (message is null)
        {
            throw new InvalidMessageException("Message is null.");
        }

        TellInternal(message, sender);
    }

    /// <summary>Delivers a message that is not null.</summary>
    protected abstract void TellInternal(object message, IActorRef sender);
#nullable restore annotations

    /// <inheritdoc/>
    public override string ToString() => Path.Uid == 0 ? $"[{Path}]" : $"[{Path}#{Path.Uid}]";

    /// <inheritdoc/>
    public bool Equals(IActorRef? other) =>
        ReferenceEquals(this, other) || (other is not null && Path.Uid == other.Path.Uid && Path.Equals(other.Path));

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is IActorRef other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => unchecked((Path.GetHashCode() * 397) ^ (int)Path.Uid);

    /// <inheritdoc/>
    public int CompareTo(object? obj) => obj is null or IActorRef ? CompareTo((IActorRef?)obj) : throw new ArgumentException("not an actor reference", nameof(obj));

    /// <inheritdoc/>
    public int CompareTo(IActorRef? other)
    {
        if (other is null)
        {
            return 1;
        }

        var byPath = Path.CompareTo(other.Path);
        return byPath != 0 ? byPath : Path.Uid.CompareTo(other.Path.Uid);
    }

    /// <inheritdoc/>
    public virtual ISurrogate ToSurrogate(ActorSystem system) => new Surrogate(Serialization.Serialization.SerializedActorPath(this));

    /// <summary>The serialised form of a reference.</summary>
    public class Surrogate : ISurrogate
    {
        /// <summary>Holds the text of a path.</summary>
        public Surrogate(string path) => Path = path;

        /// <summary>The path as text.</summary>
        public string Path { get; }

        /// <inheritdoc/>
        public ISurrogated FromSurrogate(ActorSystem system) => ((ExtendedActorSystem)system).Provider.ResolveActorRef(Path);
    }
}

/// <summary>A reference without an actor behind it.</summary>
internal abstract class MinimalActorRef : ActorRefBase, IInternalActorRef
{
    public virtual IInternalActorRef? Parent => null;

    public bool IsLocal => true;

    public virtual bool IsTerminated => false;

    public virtual void Start()
    {
    }

    public virtual void Resume(Exception? causedByFailure)
    {
    }

    public virtual void Suspend()
    {
    }

    public virtual void Restart(Exception cause)
    {
    }

    public virtual void Stop()
    {
    }

    public virtual void SendSystemMessage(SystemMessage message)
    {
    }

    public virtual IInternalActorRef? GetChild(string name) => null;

    protected override void TellInternal(object message, IActorRef? sender)
    {
    }
}

/// <summary>The reference that is nobody's.</summary>
public sealed class Nobody : ActorRefBase, IInternalActorRef
{
    /// <summary>The only instance.</summary>
    public static Nobody Instance = new();

    private Nobody()
    {
    }

    /// <inheritdoc/>
    public override ActorPath Path { get; } = new RootActorPath(Address.AllSystems) / "nobody";

    IInternalActorRef? IInternalActorRef.Parent => this;

    bool IActorRefScope.IsLocal => true;

    bool IInternalActorRef.IsTerminated => false;

    /// <inheritdoc/>
    public override ISurrogate ToSurrogate(ActorSystem system) => new NobodySurrogate();

    /// <inheritdoc/>
#nullable disable annotations
    protected override void TellInternal(object message, IActorRef sender)
#nullable restore annotations
    {
    }

    void IInternalActorRef.Start()
    {
    }

    void IInternalActorRef.Resume(Exception? causedByFailure)
    {
    }

    void IInternalActorRef.Suspend()
    {
    }

    void IInternalActorRef.Restart(Exception cause)
    {
    }

    void IInternalActorRef.Stop()
    {
    }

    void IInternalActorRef.SendSystemMessage(SystemMessage message)
    {
    }

    IInternalActorRef? IInternalActorRef.GetChild(string name) => null;

    /// <summary>The serialised form of nobody.</summary>
    public class NobodySurrogate : ISurrogate
    {
        /// <inheritdoc/>
        public ISurrogated FromSurrogate(ActorSystem system) => Instance;
    }
}

/// <summary>References that always exist.</summary>
public static class ActorRefs
{
    /// <summary>The reference that drops everything.</summary>
    public static readonly Nobody Nobody = Nobody.Instance;

    /// <summary>No sender: null.</summary>
    public static readonly IActorRef? NoSender;
}

/// <summary>Tests on references.</summary>
public static class ActorRefExtensions
{
    /// <summary>Whether a reference is null or <see cref="Nobody"/>.</summary>
    public static bool IsNobody(this IActorRef? actorRef) => actorRef is null or Nobody;

    /// <summary>The reference, or what <paramref name="elseValue"/> yields when it is nobody.</summary>
    public static IActorRef GetOrElse(this IActorRef? actorRef, Func<IActorRef> elseValue) => actorRef.IsNobody() ? elseValue() : actorRef!;
}

/// <summary>Sending with the current actor as sender.</summary>
public static class ActorRefImplicitSenderExtensions
{
    /// <summary>Sends with the actor that runs on this thread as sender; outside actors with none.</summary>
    public static void Tell(this IActorRef receiver, object message) => receiver.Tell(message, ActorCell.Current?.Self!);

    /// <summary>Sends on with the sender of the message being handled.</summary>
    public static void Forward(this IActorRef receiver, object message) => receiver.Tell(message, ActorCell.Current?.CurrentSenderOrNull!);
}
