using System.Diagnostics;
using Akka.Configuration;
using Akka.Dispatch;
using Akka.Event;

namespace Akka.Actor;

/// <summary>The system's scheduler: a heap of due times and one thread, which starts with the first entry. Resolution about a millisecond.</summary>
internal sealed class ThreadScheduler : SchedulerBase, IDisposable
{
    private readonly PriorityQueue<Entry, Entry> _queue = new(EarlierFirst.Instance);
    private readonly string _name;
    private Thread? _thread;
    private long _order;
    private int _canceled;
    private bool _closed;

    public ThreadScheduler(Config scheduler, ILoggingAdapter log, string name)
        : base(scheduler, log) => _name = name;

    public override TimeSpan MonotonicClock => TimeSpan.FromTicks(NowTicks);

    public override TimeSpan HighResMonotonicClock => MonotonicClock;

    protected override DateTimeOffset TimeNow => DateTimeOffset.UtcNow;

    private static long NowTicks => Stopwatch.GetElapsedTime(0).Ticks;

    protected override void InternalScheduleTellOnce(TimeSpan delay, ICanTell receiver, object message, IActorRef sender, ICancelable? cancelable) =>
        Add(delay, TimeSpan.Zero, new Entry(() => receiver.Tell(message, sender)), cancelable);

    protected override void InternalScheduleTellRepeatedly(
        TimeSpan initialDelay, TimeSpan interval, ICanTell receiver, object message, IActorRef sender, ICancelable? cancelable) =>
        Add(initialDelay, interval, new Entry(() => receiver.Tell(message, sender)), cancelable);

    protected override void InternalScheduleOnce(TimeSpan delay, Action action, ICancelable? cancelable) =>
        Add(delay, TimeSpan.Zero, new Entry(action), cancelable);

    protected override void InternalScheduleOnce(TimeSpan delay, IRunnable action, ICancelable? cancelable) =>
        Add(delay, TimeSpan.Zero, new Entry(action.Run), cancelable);

    protected override void InternalScheduleRepeatedly(TimeSpan initialDelay, TimeSpan interval, Action action, ICancelable? cancelable) =>
        Add(initialDelay, interval, new Entry(action), cancelable);

    protected override void InternalScheduleRepeatedly(TimeSpan initialDelay, TimeSpan interval, IRunnable action, ICancelable? cancelable) =>
        Add(initialDelay, interval, new Entry(action.Run), cancelable);

    public void Dispose()
    {
        lock (_queue)
        {
            _closed = true;
            _queue.Clear();
            Monitor.PulseAll(_queue);
        }

        if (_thread is not null && !ReferenceEquals(Thread.CurrentThread, _thread))
        {
            _thread.Join();
        }
    }

    private void Add(TimeSpan delay, TimeSpan interval, Entry entry, ICancelable? cancelable)
    {
        if (cancelable is { IsCancellationRequested: true })
        {
            return;
        }

        entry.Cancelable = cancelable;
        entry.Interval = interval.Ticks;
        entry.Due = NowTicks + delay.Ticks;
        lock (_queue)
        {
            if (_closed)
            {
                throw new SchedulerException("cannot enqueue after timer shutdown");
            }

            var first = _queue.Count == 0 || !_queue.TryPeek(out _, out var head) || entry.Due < head!.Due;
            entry.Order = _order++;
            _queue.Enqueue(entry, entry);
            if (_thread is null)
            {
                _thread = new Thread(Loop) { IsBackground = true, Name = _name };
                _thread.Start();
            }
            else if (first)
            {
                Monitor.Pulse(_queue);
            }
        }

        if (cancelable is Cancelable own)
        {
            own.OnCanceled += () => NoteCanceled(entry);
            if (own.IsCancellationRequested)
            {
                entry.What = null;
            }
        }
    }

    // Cancelled entries stay until they are due, unless they are most of the heap; what they would have told, and whom, does not: that may be large, and due hours later.
    private void NoteCanceled(Entry entry)
    {
        entry.What = null;
        if (Interlocked.Increment(ref _canceled) < 1024)
        {
            return;
        }

        lock (_queue)
        {
            if (_canceled > _queue.Count / 2 && _canceled >= 1024)
            {
                var kept = _queue.UnorderedItems.Where(item => item.Element.Cancelable is not { IsCancellationRequested: true }).ToArray();
                _queue.Clear();
                _queue.EnqueueRange(kept);
                Interlocked.Exchange(ref _canceled, 0);
            }
        }
    }

    private void Loop()
    {
        while (true)
        {
            Entry entry;
            lock (_queue)
            {
                while (true)
                {
                    if (_closed)
                    {
                        return;
                    }

                    if (_queue.Count == 0)
                    {
                        Monitor.Wait(_queue);
                        continue;
                    }

                    _queue.TryPeek(out _, out var head);
                    var wait = head!.Due - NowTicks;
                    if (wait <= 0)
                    {
                        break;
                    }

                    Monitor.Wait(_queue, (int)Math.Min(int.MaxValue, (wait / TimeSpan.TicksPerMillisecond) + 1));
                }

                entry = _queue.Dequeue();
            }

            Fire(entry);
        }
    }

    private void Fire(Entry entry)
    {
        if (entry.Cancelable is { IsCancellationRequested: true })
        {
            if (Volatile.Read(ref _canceled) > 0)
            {
                Interlocked.Decrement(ref _canceled);
            }

            return;
        }

        try
        {
            entry.What?.Invoke();
        }
        catch (Exception e)
        {
            Log.Error(e, "exception while executing timer task");

            // As in the original, a repeated task that fails is not repeated.
            return;
        }

        if (entry.Interval > 0 && entry.Cancelable is not { IsCancellationRequested: true })
        {
            lock (_queue)
            {
                if (!_closed)
                {
                    entry.Due = Math.Max(entry.Due + entry.Interval, NowTicks);
                    entry.Order = _order++;
                    _queue.Enqueue(entry, entry);
                }
            }
        }
        else
        {
            // Whoever keeps the cancelable keeps the entry.
            entry.What = null;
        }
    }

    private sealed class EarlierFirst : IComparer<Entry>
    {
        public static readonly EarlierFirst Instance = new();

        public int Compare(Entry? x, Entry? y)
        {
            var byTime = x!.Due.CompareTo(y!.Due);
            return byTime != 0 ? byTime : x.Order.CompareTo(y.Order);
        }
    }

    private sealed class Entry(Action what)
    {
        public volatile Action? What = what;
        public ICancelable? Cancelable;
        public long Interval;
        public long Due;
        public long Order;
    }
}
