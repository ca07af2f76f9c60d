using Akka.Event;

namespace Akka.Actor;

/// <summary>A message that the engine handles before the actor sees it.</summary>
public interface IAutoReceivedMessage
{
}

/// <summary>A message that may stop an actor or tamper with it; not to be taken from afar.</summary>
public interface IPossiblyHarmful
{
}

/// <summary>A message that is not serialised when messages are serialised for checking.</summary>
public interface INoSerializationVerificationNeeded
{
}

/// <summary>A message that leaves the receive time-out running.</summary>
public interface INotInfluenceReceiveTimeout
{
}

/// <summary>A message with another inside.</summary>
public interface IWrappedMessage
{
    /// <summary>The message inside.</summary>
    object Message { get; }
}

/// <summary>Access to the message inside of wrappers.</summary>
public static class WrappedMessage
{
    /// <summary>The innermost message.</summary>
    public static object Unwrap(object message)
    {
        while (message is IWrappedMessage wrapped)
        {
            message = wrapped.Message;
        }

        return message;
    }
}

/// <summary>A message with its sender.</summary>
public readonly struct Envelope
{
    /// <summary>Creates one as it stands.</summary>
    public Envelope(object message, IActorRef sender)
    {
        Message = message;
        Sender = sender;
    }

    /// <summary>Creates one in which no sender becomes the dead letters.</summary>
    public Envelope(object message, IActorRef sender, ActorSystem system)
    {
        Message = message;
        Sender = sender ?? system.DeadLetters;
    }

    /// <summary>The message.</summary>
    public object Message { get; }

    /// <summary>The sender.</summary>
    public IActorRef Sender { get; }

    /// <inheritdoc/>
    public override string ToString() => "<" + (Message ?? "null") + "> from " + (Sender is null ? "NoSender" : Sender.ToString());
}

/// <summary>Tells a watcher that an actor is gone. Comes after all user messages of that actor.</summary>
public sealed class Terminated : IAutoReceivedMessage, IPossiblyHarmful, IDeadLetterSuppression, INoSerializationVerificationNeeded, IEquatable<Terminated>
{
    /// <summary>Creates one.</summary>
    public Terminated(IActorRef actorRef, bool existenceConfirmed, bool addressTerminated)
    {
        ActorRef = actorRef;
        ExistenceConfirmed = existenceConfirmed;
        AddressTerminated = addressTerminated;
    }

    /// <summary>The actor that is gone.</summary>
    public IActorRef ActorRef { get; }

    /// <summary>Whether the node of the actor is gone as a whole.</summary>
    public bool AddressTerminated { get; }

    /// <summary>Whether the actor was seen to exist.</summary>
    public bool ExistenceConfirmed { get; }

    /// <inheritdoc/>
    public bool Equals(Terminated? other) =>
        other is not null && Equals(ActorRef, other.ActorRef) && AddressTerminated == other.AddressTerminated && ExistenceConfirmed == other.ExistenceConfirmed;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is Terminated other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(ActorRef, AddressTerminated, ExistenceConfirmed);

    /// <inheritdoc/>
    public override string ToString() => $"<Terminated>: {ActorRef} - ExistenceConfirmed={ExistenceConfirmed}";
}

/// <summary>Asks every actor that gets it to answer with an <see cref="ActorIdentity"/>.</summary>
public sealed class Identify : IAutoReceivedMessage, INotInfluenceReceiveTimeout
{
    /// <summary>Creates one.</summary>
    /// <param name="messageId">Comes back in the answer.</param>
    public Identify(object messageId) => MessageId = messageId;

    /// <summary>Comes back in the answer.</summary>
    public object MessageId { get; }

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is Identify other && Equals(MessageId, other.MessageId);

    /// <inheritdoc/>
    public override int GetHashCode() => MessageId?.GetHashCode() ?? 0;

    /// <inheritdoc/>
    public override string ToString() => $"<Identify>: {MessageId}";
}

/// <summary>The answer to <see cref="Identify"/>.</summary>
public sealed class ActorIdentity
{
    /// <summary>Creates one.</summary>
    public ActorIdentity(object messageId, IActorRef? subject)
    {
        MessageId = messageId;
        Subject = subject!;
    }

    /// <summary>What the question held.</summary>
    public object MessageId { get; }

    /// <summary>Who answered; null when nobody is there.</summary>
    public IActorRef Subject { get; }

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is ActorIdentity other && Equals(MessageId, other.MessageId) && Equals(Subject, other.Subject);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(MessageId, Subject);

    /// <inheritdoc/>
    public override string ToString() => $"<ActorIdentity>: {Subject} - MessageId={MessageId}";
}

/// <summary>Stops an actor once it has handled what came before.</summary>
public sealed class PoisonPill : IAutoReceivedMessage, IPossiblyHarmful, IDeadLetterSuppression
{
    private PoisonPill()
    {
    }

    /// <summary>The only instance.</summary>
    public static PoisonPill Instance { get; } = new();

    /// <inheritdoc/>
    public override string ToString() => "<PoisonPill>";
}

/// <summary>Makes an actor fail with <see cref="ActorKilledException"/>.</summary>
public sealed class Kill : IAutoReceivedMessage
{
    private Kill()
    {
    }

    /// <summary>The only instance.</summary>
    public static Kill Instance { get; } = new();

    /// <inheritdoc/>
    public override string ToString() => "<Kill>";
}

/// <summary>Says that an actor got no message for as long as it had set.</summary>
public class ReceiveTimeout : IPossiblyHarmful
{
    private ReceiveTimeout()
    {
    }

    /// <summary>The only instance.</summary>
    public static ReceiveTimeout Instance { get; } = new();
}

/// <summary>The outcome of an operation as a message.</summary>
public abstract class Status
{
    /// <summary>The operation succeeded.</summary>
    public sealed class Success : Status
    {
        /// <summary>A success without a result.</summary>
        public static readonly Success Instance = new(null!);

        /// <summary>The result; may be null.</summary>
        public readonly object Status;

        /// <summary>Creates one with a result.</summary>
        public Success(object status) => Status = status;

        /// <inheritdoc/>
        public override string ToString() => $"Success: {Status?.ToString() ?? "null"}";
    }

    /// <summary>The operation failed. As the answer to an Ask it makes the task fail with <see cref="Cause"/>.</summary>
    public sealed class Failure : Status
    {
        /// <summary>Why it failed.</summary>
        public readonly Exception Cause;

        /// <summary>Anything to go with it; may be null.</summary>
        public readonly object State;

        /// <summary>Creates one.</summary>
        public Failure(Exception cause)
            : this(cause, null!)
        {
        }

        /// <summary>Creates one with a state.</summary>
        public Failure(Exception cause, object state)
        {
            Cause = cause;
            State = state;
        }

        /// <inheritdoc/>
        public override string ToString() => $"Failure: {Cause}";
    }
}
