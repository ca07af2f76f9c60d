using Akka.Actor;
using Akka.Configuration;
using Akka.Dispatch;
using Akka.Event;

namespace Akka.TestKit;

/// <summary>A scheduler whose time only moves when the test says so. Set <c>akka.scheduler.implementation</c> to its name.</summary>
public class TestScheduler : IScheduler, IAdvancedScheduler
{
    private readonly PriorityQueue<Item, (long Due, long Order)> _items = new();
    private DateTimeOffset _now = DateTimeOffset.UtcNow;
    private readonly DateTimeOffset _start;
    private long _order;

    public TestScheduler(Config schedulerConfig, ILoggingAdapter log) => _start = _now;

    public IAdvancedScheduler Advanced => this;

    public TimeSpan MonotonicClock
    {
        get
        {
            lock (_items)
            {
                return _now - _start;
            }
        }
    }

    public TimeSpan HighResMonotonicClock => MonotonicClock;

    public DateTimeOffset Now
    {
        get
        {
            lock (_items)
            {
                return _now;
            }
        }
    }

    protected DateTimeOffset TimeNow => Now;

    /// <summary>Moves the time on and does what falls due, in its order, at its time.</summary>
    public void Advance(TimeSpan offset) => AdvanceTo(Now + offset);

    public void AdvanceTo(DateTimeOffset when)
    {
        if (when < Now)
        {
            throw new InvalidOperationException("You can't reverse time...");
        }

        while (true)
        {
            Item item;
            lock (_items)
            {
                if (!_items.TryPeek(out _, out var priority) || priority.Due > when.UtcTicks)
                {
                    _now = when;
                    return;
                }

                item = _items.Dequeue();
                if (priority.Due > _now.UtcTicks)
                {
                    _now = new DateTimeOffset(priority.Due, TimeSpan.Zero);
                }
            }

            if (item.Cancelable is { IsCancellationRequested: true })
            {
                continue;
            }

            item.Run();
            if (item.Interval > TimeSpan.Zero && item.Cancelable is not { IsCancellationRequested: true })
            {
                lock (_items)
                {
                    _items.Enqueue(item, ((_now + item.Interval).UtcTicks, _order++));
                }
            }
        }
    }

    private void Add(TimeSpan delay, TimeSpan interval, Action run, ICancelable? cancelable)
    {
        if (delay < TimeSpan.Zero)
        {
            throw new ArgumentOutOfRangeException(nameof(delay), $"Delay must be >=0. It was {delay}");
        }

        if (cancelable is { IsCancellationRequested: true })
        {
            return;
        }

        lock (_items)
        {
            _items.Enqueue(new Item(run, interval, cancelable), ((_now + delay).UtcTicks, _order++));
        }
    }

    private static TimeSpan Checked(TimeSpan interval) => interval > TimeSpan.Zero ? interval : throw new ArgumentOutOfRangeException(nameof(interval), $"Interval must be >0. It was {interval}");

    public void ScheduleTellOnce(TimeSpan delay, ICanTell receiver, object message, IActorRef sender) => ScheduleTellOnce(delay, receiver, message, sender, null);

    public void ScheduleTellOnce(TimeSpan delay, ICanTell receiver, object message, IActorRef sender, ICancelable? cancelable) =>
        Add(delay, TimeSpan.Zero, () => receiver.Tell(message, sender), cancelable);

    public void ScheduleTellRepeatedly(TimeSpan initialDelay, TimeSpan interval, ICanTell receiver, object message, IActorRef sender) =>
        ScheduleTellRepeatedly(initialDelay, interval, receiver, message, sender, null);

    public void ScheduleTellRepeatedly(TimeSpan initialDelay, TimeSpan interval, ICanTell receiver, object message, IActorRef sender, ICancelable? cancelable) =>
        Add(initialDelay, Checked(interval), () => receiver.Tell(message, sender), cancelable);

    public void ScheduleOnce(TimeSpan delay, Action action) => Add(delay, TimeSpan.Zero, action, null);

    public void ScheduleOnce(TimeSpan delay, Action action, ICancelable? cancelable) => Add(delay, TimeSpan.Zero, action, cancelable);

    public void ScheduleRepeatedly(TimeSpan initialDelay, TimeSpan interval, Action action) => Add(initialDelay, Checked(interval), action, null);

    public void ScheduleRepeatedly(TimeSpan initialDelay, TimeSpan interval, Action action, ICancelable? cancelable) => Add(initialDelay, Checked(interval), action, cancelable);

    public void ScheduleOnce(TimeSpan delay, IRunnable action) => Add(delay, TimeSpan.Zero, action.Run, null);

    public void ScheduleOnce(TimeSpan delay, IRunnable action, ICancelable? cancelable) => Add(delay, TimeSpan.Zero, action.Run, cancelable);

    public void ScheduleRepeatedly(TimeSpan initialDelay, TimeSpan interval, IRunnable action) => Add(initialDelay, Checked(interval), action.Run, null);

    public void ScheduleRepeatedly(TimeSpan initialDelay, TimeSpan interval, IRunnable action, ICancelable? cancelable) => Add(initialDelay, Checked(interval), action.Run, cancelable);

    private sealed record Item(Action Run, TimeSpan Interval, ICancelable? Cancelable);
}
