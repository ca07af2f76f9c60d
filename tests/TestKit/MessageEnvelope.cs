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
    public static readonly NullMessageEnvelope Instance = new();

    private NullMessageEnvelope()
    {
    }

    public override object Message => throw new IllegalActorStateException("last receive did not dequeue a message");

    public override IActorRef Sender => throw new IllegalActorStateException("last receive did not dequeue a message");
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

/// <summary>The actor behind <see cref="TestKitBase.TestActor"/>.</summary>
internal sealed class InternalTestActor(EnvelopeQueue queue) : ActorBase
{
    private Func<object, bool>? _ignore;
    private AutoPilot? _autoPilot;
    private DelegatingStrategy? _supervisor;

    protected override SupervisorStrategy SupervisorStrategy() => _supervisor ??= new DelegatingStrategy();

    protected override bool Receive(object message)
    {
        switch (message)
        {
            case SetIgnore set:
                _ignore = set.Ignore;
                return true;
            case WatchCommand watch:
                Context.Watch(watch.Actor);
                return true;
            case UnwatchCommand unwatch:
                Context.Unwatch(unwatch.Actor);
                return true;
            case SetAutoPilot set:
                _autoPilot = set.Pilot;
                return true;
            case SpawnCommand spawn:
                Sender.Tell(Context.ActorOf(spawn.Strategy is null ? spawn.Props : spawn.Props, spawn.Name));
                return true;
            default:
                break;
        }

        if (_autoPilot is not null && _autoPilot is not NoAutoPilot)
        {
            var next = _autoPilot.Run(Sender, message);
            if (next is not KeepRunning)
            {
                _autoPilot = next;
            }
        }

        if (_ignore?.Invoke(message) != true)
        {
            queue.Add(new RealMessageEnvelope(message, Sender.Equals(Context.System.DeadLetters) ? Sender : Sender));
        }

        return true;
    }

    private sealed class DelegatingStrategy : OneForOneStrategy
    {
    }

    internal sealed record SetIgnore(Func<object, bool>? Ignore);

    internal sealed record WatchCommand(IActorRef Actor);

    internal sealed record UnwatchCommand(IActorRef Actor);

    internal sealed record SetAutoPilot(AutoPilot Pilot);

    internal sealed record SpawnCommand(Props Props, string? Name, SupervisorStrategy? Strategy);
}

/// <summary>Answers in the test actor's name.</summary>
public abstract class AutoPilot
{
    public static readonly KeepRunning KeepRunning = KeepRunning.Instance;

    public static readonly NoAutoPilot NoAutoPilot = NoAutoPilot.Instance;

    /// <summary>Sees a message and says who sees the next.</summary>
    public abstract AutoPilot Run(IActorRef sender, object message);
}

public sealed class NoAutoPilot : AutoPilot
{
    public static NoAutoPilot Instance { get; } = new();

    private NoAutoPilot()
    {
    }

    public override AutoPilot Run(IActorRef sender, object message) => this;
}

public sealed class KeepRunning : AutoPilot
{
    public static KeepRunning Instance { get; } = new();

    private KeepRunning()
    {
    }

    public override AutoPilot Run(IActorRef sender, object message) => throw new InvalidOperationException("must not be called");
}

public delegate AutoPilot AutoPilotDelegate(IActorRef sender, object message);

public sealed class DelegateAutoPilot : AutoPilot
{
    private readonly AutoPilotDelegate _autoPilotDelegate;

    public DelegateAutoPilot(AutoPilotDelegate autoPilotDelegate) => _autoPilotDelegate = autoPilotDelegate;

    public override AutoPilot Run(IActorRef sender, object message) => _autoPilotDelegate(sender, message);
}
