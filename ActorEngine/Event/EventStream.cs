using Akka.Actor;
using Akka.Util;

namespace Akka.Event;

/// <summary>Passes events to who has subscribed to their kind.</summary>
/// <typeparam name="TEvent">The events.</typeparam>
/// <typeparam name="TClassifier">What tells kinds apart.</typeparam>
/// <typeparam name="TSubscriber">The subscribers.</typeparam>
public abstract class EventBus<TEvent, TClassifier, TSubscriber>
{
    private protected EventBus()
    {
    }

    /// <summary>Subscribes to a kind; false when it already was.</summary>
    public abstract bool Subscribe(TSubscriber subscriber, TClassifier classifier);

    /// <summary>Ends all subscriptions; false when there were none.</summary>
    public abstract bool Unsubscribe(TSubscriber subscriber);

    /// <summary>Ends the subscription to a kind; false when there was none.</summary>
    public abstract bool Unsubscribe(TSubscriber subscriber, TClassifier classifier);

    /// <summary>Passes an event to who subscribed to its kind.</summary>
    public abstract void Publish(TEvent @event);
}

/// <summary>Passes events to actors.</summary>
/// <typeparam name="TEvent">The events.</typeparam>
/// <typeparam name="TClassifier">What tells kinds apart.</typeparam>
public abstract class ActorEventBus<TEvent, TClassifier> : EventBus<TEvent, TClassifier, IActorRef>
{
    private protected ActorEventBus()
    {
    }
}

/// <summary>Passes objects to actors by type, and log events among them by level.</summary>
public class LoggingBus : ActorEventBus<object, Type>
{
    private static readonly LogLevel[] Levels = [LogLevel.DebugLevel, LogLevel.InfoLevel, LogLevel.WarningLevel, LogLevel.ErrorLevel];

    // No Lock: a start would wait for its static parts.
    private readonly object _gate = new();
    private volatile Dictionary<Type, IActorRef[]> _byChannel = new(TypeComparer.Instance);
    private volatile Dictionary<Type, IActorRef[]> _cache = new(TypeComparer.Instance);
    private volatile LogLevel _logLevel = LogLevel.ErrorLevel;
    private IActorRef[] _loggers = [];

    internal LoggingBus()
    {
    }

    /// <summary>The lowest level that is published.</summary>
    public LogLevel LogLevel => _logLevel;

    /// <summary>Sets the lowest level that is published, for the loggers that the system started.</summary>
    public void SetLogLevel(LogLevel logLevel)
    {
        _logLevel = logLevel;
        foreach (var logger in _loggers)
        {
            SubscribeLogger(logger, logLevel);
        }
    }

    /// <inheritdoc/>
    public override bool Subscribe(IActorRef subscriber, Type classifier)
    {
        ArgumentNullException.ThrowIfNull(subscriber);
        lock (_gate)
        {
            var former = _byChannel.GetValueOrDefault(classifier, []);
            if (IndexOf(former, subscriber) >= 0)
            {
                return false;
            }

            _byChannel = new Dictionary<Type, IActorRef[]>(_byChannel, TypeComparer.Instance) { [classifier] = [.. former, subscriber] };
            _cache = new(TypeComparer.Instance);
        }

        if (subscriber is LocalActorRef local)
        {
            local.Cell.MarkSubscribed();
            if (local.IsTerminated)
            {
                Unsubscribe(subscriber);
            }
        }

        return true;
    }

    /// <inheritdoc/>
    public override bool Unsubscribe(IActorRef subscriber) => Remove(subscriber, null);

    /// <inheritdoc/>
    public override bool Unsubscribe(IActorRef subscriber, Type classifier) => Remove(subscriber, classifier);

    // By hand, here and below: these run while a system starts, where a query costs more than all the rest.
    private static int IndexOf(IActorRef[] subscribers, IActorRef subscriber)
    {
        for (var i = 0; i < subscribers.Length; i++)
        {
            if (subscribers[i].Equals(subscriber))
            {
                return i;
            }
        }

        return -1;
    }

    private static IActorRef[] Without(IActorRef[] subscribers, IActorRef subscriber)
    {
        var at = IndexOf(subscribers, subscriber);
        if (at < 0)
        {
            return subscribers;
        }

        var kept = new IActorRef[subscribers.Length - 1];
        Array.Copy(subscribers, kept, at);
        Array.Copy(subscribers, at + 1, kept, at, kept.Length - at);
        return kept;
    }

    private bool Remove(IActorRef subscriber, Type? classifier)
    {
        ArgumentNullException.ThrowIfNull(subscriber);
        lock (_gate)
        {
            var next = new Dictionary<Type, IActorRef[]>(TypeComparer.Instance);
            var found = false;
            foreach (var (channel, subscribers) in _byChannel)
            {
                var kept = classifier is null || channel == classifier ? Without(subscribers, subscriber) : subscribers;
                found |= kept.Length != subscribers.Length;
                if (kept.Length > 0)
                {
                    next[channel] = kept;
                }
            }

            _byChannel = next;
            _cache = new(TypeComparer.Instance);
            return found;
        }
    }

    /// <inheritdoc/>
    public override void Publish(object @event)
    {
        ArgumentNullException.ThrowIfNull(@event);
        var subscribers = SubscribersOf(@event.GetType());
        foreach (var subscriber in subscribers)
        {
            subscriber.Tell(@event, ActorRefs.NoSender!);
        }
    }

    private IActorRef[] SubscribersOf(Type type)
    {
        var cache = _cache;
        if (cache.TryGetValue(type, out var subscribers))
        {
            return subscribers;
        }

        lock (_gate)
        {
            subscribers = [.. (from channel in _byChannel where channel.Key.IsAssignableFrom(type) from subscriber in channel.Value select subscriber).Distinct()];
            _cache = new Dictionary<Type, IActorRef[]>(_cache, TypeComparer.Instance) { [type] = subscribers };
            return subscribers;
        }
    }

    internal void SetLoggers(IActorRef[] loggers, LogLevel level)
    {
        _loggers = loggers;
        SetLogLevel(level);
    }

    internal void SubscribeLogger(IActorRef logger, LogLevel level)
    {
        foreach (var each in Levels)
        {
            if (each >= level)
            {
                Subscribe(logger, each.ClassFor());
            }
            else
            {
                Unsubscribe(logger, each.ClassFor());
            }
        }
    }
}

/// <summary>The system's bus: any object, by its type and all that it is assignable to.</summary>
public class EventStream : LoggingBus
{
    private readonly bool _debug;

    /// <summary>Creates one.</summary>
    /// <param name="debug">Whether subscriptions are logged.</param>
    public EventStream(bool debug) => _debug = debug;

    /// <inheritdoc/>
    public override bool Subscribe(IActorRef subscriber, Type channel)
    {
        if (_debug)
        {
            Publish(new Debug(nameof(EventStream), GetType(), $"subscribing {subscriber} to channel {channel}"));
        }

        return base.Subscribe(subscriber, channel);
    }

    /// <inheritdoc/>
    public override bool Unsubscribe(IActorRef subscriber, Type channel)
    {
        var found = base.Unsubscribe(subscriber, channel);
        if (_debug)
        {
            Publish(new Debug(nameof(EventStream), GetType(), $"unsubscribing {subscriber} from channel {channel}"));
        }

        return found;
    }

    /// <inheritdoc/>
    public override bool Unsubscribe(IActorRef subscriber)
    {
        var found = base.Unsubscribe(subscriber);
        if (_debug)
        {
            Publish(new Debug(nameof(EventStream), GetType(), $"unsubscribing {subscriber} from all channels"));
        }

        return found;
    }
}

/// <summary>Short forms on <see cref="EventStream"/>.</summary>
public static class EventStreamExtensions
{
    /// <summary>Subscribes to a type.</summary>
    public static bool Subscribe<TChannel>(this EventStream eventStream, IActorRef subscriber) => eventStream.Subscribe(subscriber, typeof(TChannel));

    /// <summary>Ends the subscription to a type.</summary>
    public static bool Unsubscribe<TChannel>(this EventStream eventStream, IActorRef subscriber) => eventStream.Unsubscribe(subscriber, typeof(TChannel));
}
