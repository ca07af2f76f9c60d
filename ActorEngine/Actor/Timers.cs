using Akka.Event;

namespace Akka.Actor;

/// <summary>An actor with timers, which the engine sets before the first message.</summary>
public interface IWithTimers
{
    /// <summary>The timers.</summary>
    ITimerScheduler Timers { get; set; }
}

/// <summary>
/// Messages that an actor sends itself later, by key. A timer that is started again or cancelled never delivers its former message, not even one that
/// waits in the mailbox; all end with the instance of the actor.
/// </summary>
public interface ITimerScheduler
{
    /// <summary>The keys of the timers that run.</summary>
    IReadOnlyCollection<object> ActiveTimers { get; }

    /// <summary>Starts a timer that sends at a fixed rate, first after one interval.</summary>
    void StartPeriodicTimer(object key, object msg, TimeSpan interval);

    /// <summary>Starts a timer that sends at a fixed rate, with a sender.</summary>
    void StartPeriodicTimer(object key, object msg, TimeSpan interval, IActorRef sender);

    /// <summary>Starts a timer that sends at a fixed rate after a first delay.</summary>
    void StartPeriodicTimer(object key, object msg, TimeSpan initialDelay, TimeSpan interval);

    /// <summary>Starts a timer that sends at a fixed rate after a first delay, with a sender.</summary>
    void StartPeriodicTimer(object key, object msg, TimeSpan initialDelay, TimeSpan interval, IActorRef sender);

    /// <summary>Starts a timer that sends once.</summary>
    void StartSingleTimer(object key, object msg, TimeSpan timeout);

    /// <summary>Starts a timer that sends once, with a sender.</summary>
    void StartSingleTimer(object key, object msg, TimeSpan timeout, IActorRef sender);

    /// <summary>Whether a timer runs.</summary>
    bool IsTimerActive(object key);

    /// <summary>Cancels a timer.</summary>
    void Cancel(object key);

    /// <summary>Cancels all timers.</summary>
    void CancelAll();
}

internal sealed class TimerScheduler(ActorCell cell) : ITimerScheduler
{
    private readonly Dictionary<object, (long Generation, bool Repeats, ICancelable Task)> _timers = [];
    private long _generation;

    public IReadOnlyCollection<object> ActiveTimers => _timers.Keys;

    public void StartPeriodicTimer(object key, object msg, TimeSpan interval) => Start(key, msg, interval, interval, cell.Self);

    public void StartPeriodicTimer(object key, object msg, TimeSpan interval, IActorRef sender) => Start(key, msg, interval, interval, sender);

    public void StartPeriodicTimer(object key, object msg, TimeSpan initialDelay, TimeSpan interval) => Start(key, msg, initialDelay, interval, cell.Self);

    public void StartPeriodicTimer(object key, object msg, TimeSpan initialDelay, TimeSpan interval, IActorRef sender) => Start(key, msg, initialDelay, interval, sender);

    public void StartSingleTimer(object key, object msg, TimeSpan timeout) => Start(key, msg, timeout, null, cell.Self);

    public void StartSingleTimer(object key, object msg, TimeSpan timeout, IActorRef sender) => Start(key, msg, timeout, null, sender);

    public bool IsTimerActive(object key) => _timers.ContainsKey(key);

    public void Cancel(object key)
    {
        if (_timers.Remove(key, out var timer))
        {
            timer.Task.Cancel();
        }
    }

    public void CancelAll()
    {
        foreach (var timer in _timers.Values)
        {
            timer.Task.Cancel();
        }

        _timers.Clear();
    }

    /// <summary>The message of a timer, or null when it is stale.</summary>
    public object? Intercept(TimerMessage message)
    {
        if (!ReferenceEquals(message.Owner, this) || !_timers.TryGetValue(message.Key, out var timer) || timer.Generation != message.Generation)
        {
            return null;
        }

        if (!timer.Repeats)
        {
            _timers.Remove(message.Key);
        }

        return message.Message;
    }

    private void Start(object key, object msg, TimeSpan delay, TimeSpan? interval, IActorRef sender)
    {
        Cancel(key);
        var generation = ++_generation;
        var message = new TimerMessage(this, key, generation, msg);
        var scheduler = cell.System.Scheduler;
        var task = interval is { } period
            ? scheduler.ScheduleTellRepeatedlyCancelable(delay, period, cell.Self, message, sender)
            : scheduler.ScheduleTellOnceCancelable(delay, cell.Self, message, sender);
        _timers[key] = (generation, interval is not null, task);
    }
}

/// <summary>A timer's message on its way.</summary>
internal sealed class TimerMessage(TimerScheduler owner, object key, long generation, object message) : INoSerializationVerificationNeeded, IDeadLetterSuppression, IWrappedMessage
{
    public TimerScheduler Owner { get; } = owner;

    public object Key { get; } = key;

    public long Generation { get; } = generation;

    public object Message { get; } = message;
}
