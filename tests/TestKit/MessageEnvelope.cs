using System.Diagnostics;
using Akka.Actor;

namespace Akka.TestKit;

/// <summary>A message that a test actor got.</summary>
public abstract class MessageEnvelope
{
    public abstract object Message { get; }

    public abstract IActorRef Sender { get; }
}

public class RealMessageEnvelope : MessageEnvelope
{
    public RealMessageEnvelope(object message, IActorRef sender)
    {
        Message = message;
        Sender = sender;
    }

    public override object Message { get; }

    public override IActorRef Sender { get; }

    public override string ToString() => "<" + Message + "> from " + (Sender ?? (object)"NoSender");
}

/// <summary>No message.</summary>
public sealed class NullMessageEnvelope : MessageEnvelope
{
    public static NullMessageEnvelope Instance = new();

    private NullMessageEnvelope()
    {
    }

    public override object Message => throw new IllegalActorStateException("last receive did not dequeue a message");

    public override IActorRef Sender => throw new IllegalActorStateException("last receive did not dequeue a message");

    public override string ToString() => "<null>";
}

/// <summary>What a test actor got and the test has not looked at.</summary>
internal sealed class EnvelopeQueue
{
    private readonly LinkedList<MessageEnvelope> _messages = [];
    private readonly SemaphoreSlim _available = new(0);

    public int Count
    {
        get
        {
            lock (_messages)
            {
                return _messages.Count;
            }
        }
    }

    public void Add(MessageEnvelope envelope)
    {
        lock (_messages)
        {
            _messages.AddLast(envelope);
        }

        _available.Release();
    }

    public async ValueTask<MessageEnvelope?> TakeAsync(TimeSpan timeout, bool remove, CancellationToken cancellationToken)
    {
        var wait = timeout < TimeSpan.Zero ? Timeout.InfiniteTimeSpan : timeout;
        if (!await _available.WaitAsync(wait, cancellationToken).ConfigureAwait(false))
        {
            return null;
        }

        return First(remove);
    }

    public MessageEnvelope? Take(TimeSpan timeout, bool remove, CancellationToken cancellationToken)
    {
        var wait = timeout < TimeSpan.Zero ? Timeout.InfiniteTimeSpan : timeout;
        return _available.Wait(wait, cancellationToken) ? First(remove) : null;
    }

    private MessageEnvelope First(bool remove)
    {
        lock (_messages)
        {
            var first = _messages.First!.Value;
            if (remove)
            {
                _messages.RemoveFirst();
            }
            else
            {
                _available.Release();
            }

            return first;
        }
    }
}
