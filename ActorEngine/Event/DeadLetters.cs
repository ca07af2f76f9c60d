using Akka.Actor;

namespace Akka.Event;

/// <summary>A message that is not worth a line in the log when nobody gets it.</summary>
public interface IDeadLetterSuppression
{
}

/// <summary>A message that did not reach anybody.</summary>
public abstract class AllDeadLetters : IWrappedMessage
{
    private protected AllDeadLetters(object message, IActorRef sender, IActorRef recipient)
    {
        Message = message;
        Sender = sender;
        Recipient = recipient;
    }

    /// <summary>The message.</summary>
    public object Message { get; }

    /// <summary>Who sent it.</summary>
    public IActorRef Sender { get; }

    /// <summary>Who should have got it.</summary>
    public IActorRef Recipient { get; }

    /// <inheritdoc/>
    public override string ToString() => $"{GetType().Name} from {Sender} to {Recipient}: <{Message}>";
}

/// <summary>A message to an actor that is gone.</summary>
public sealed class DeadLetter : AllDeadLetters
{
    /// <summary>Creates one.</summary>
    /// <exception cref="ArgumentNullException">The sender or the recipient is null.</exception>
    public DeadLetter(object message, IActorRef sender, IActorRef recipient)
        : base(message, sender, recipient)
    {
        ArgumentNullException.ThrowIfNull(sender);
        ArgumentNullException.ThrowIfNull(recipient);
    }
}

/// <summary>A message to an actor that is gone, and that is marked by <see cref="IDeadLetterSuppression"/>.</summary>
public sealed class SuppressedDeadLetter : AllDeadLetters
{
    /// <summary>Creates one.</summary>
    /// <exception cref="ArgumentNullException">The sender or the recipient is null.</exception>
    public SuppressedDeadLetter(IDeadLetterSuppression message, IActorRef sender, IActorRef recipient)
        : base(message, sender, recipient)
    {
        ArgumentNullException.ThrowIfNull(sender);
        ArgumentNullException.ThrowIfNull(recipient);
    }
}

/// <summary>A message that was thrown away, for a reason.</summary>
public sealed class Dropped : AllDeadLetters
{
    /// <summary>Creates one.</summary>
    public Dropped(object message, string reason, IActorRef sender, IActorRef recipient)
        : base(message, sender, recipient) => Reason = reason;

    /// <summary>Creates one without a sender.</summary>
    public Dropped(object message, string reason, IActorRef recipient)
        : this(message, reason, ActorRefs.NoSender!, recipient)
    {
    }

    /// <summary>The reason.</summary>
    public string Reason { get; }
}

/// <summary>A message that its actor does not handle.</summary>
public sealed class UnhandledMessage : AllDeadLetters, IWrappedMessage
{
    /// <summary>Creates one.</summary>
    public UnhandledMessage(object message, IActorRef sender, IActorRef recipient)
        : base(message, sender, recipient)
    {
    }
}

/// <summary>Logs dead letters, up to the limits that are set.</summary>
internal sealed class DeadLetterListener : ActorBase
{
    private readonly EventStream _eventStream = Context.System.EventStream;
    private readonly int _maximum = Context.System.Settings.LogDeadLetters;
    private readonly TimeSpan _suspension = Context.System.Settings.LogDeadLettersSuspendDuration;
    private readonly bool _debugUnhandled = Context.System.Settings.DebugUnhandledMessage;
    private int _count;
    private TimeSpan _resumeAt;
    private bool _suspended;

    protected override void PreStart()
    {
        _eventStream.Subscribe(Self, typeof(DeadLetter));
        _eventStream.Subscribe(Self, typeof(Dropped));
        if (_debugUnhandled)
        {
            _eventStream.Subscribe(Self, typeof(UnhandledMessage));
        }
    }

    protected override void PostStop() => _eventStream.Unsubscribe(Self);

    protected override bool Receive(object message)
    {
        if (message is UnhandledMessage unhandled)
        {
            _eventStream.Publish(new Debug(unhandled.Recipient.Path.ToString(), unhandled.Recipient.GetType(), $"Unhandled message from {unhandled.Sender} : {unhandled.Message}"));
            return true;
        }

        if (message is not AllDeadLetters letter || _maximum == 0)
        {
            return message is AllDeadLetters;
        }

        var now = Context.System.Scheduler.MonotonicClock;
        if (_suspended)
        {
            if (now < _resumeAt)
            {
                _count++;
                return true;
            }

            Log(letter, ++_count, $", of which {_count - _maximum - 1} were not logged. The counter will be reset now");
            _suspended = false;
            _count = 0;
            return true;
        }

        _count++;
        if (_maximum == int.MaxValue || _count < _maximum)
        {
            Log(letter, _count, "");
        }
        else if (_suspension == Timeout.InfiniteTimeSpan)
        {
            Log(letter, _count, ", no more dead letters will be logged");
            Context.Stop(Self);
        }
        else
        {
            Log(letter, _count, $", no more dead letters will be logged in next [{_suspension}]");
            _suspended = true;
            _resumeAt = now + _suspension;
        }

        return true;
    }

    private void Log(AllDeadLetters letter, int count, string end)
    {
        var kind = letter is Dropped dropped ? $"was dropped. {dropped.Reason}." : "was not delivered.";
        _eventStream.Publish(new Info(
            letter.Recipient.Path.ToString(),
            letter.Recipient.GetType(),
            $"Message [{letter.Message.GetType().Name}] from {letter.Sender} to {letter.Recipient} {kind} [{count}] dead letters encountered{end}. " +
            "This logging can be turned off or adjusted with configuration settings 'akka.log-dead-letters' and 'akka.log-dead-letters-during-shutdown'. " +
            $"Message content: {letter.Message}"));
    }
}
