using System.Diagnostics;
using Akka.Actor;
using Akka.Event;

namespace Akka.TestKit;

internal sealed class LogFilter(Func<LogEvent, bool> fits) : IEventFilter
{
    private int _count;

    public int Count => Volatile.Read(ref _count);

    public bool Apply(LogEvent logEvent)
    {
        if (!fits(logEvent))
        {
            return false;
        }

        Interlocked.Increment(ref _count);
        return true;
    }
}

internal sealed class EventFilterApplier(TestKitBase testKit, IReadOnlyList<Func<LogEvent, bool>> filters, ActorSystem? system) : IEventFilterApplier
{
    private readonly ActorSystem _system = system ?? testKit.Sys;

    public EventFilterFactory And => new(testKit, system, filters);

    private TimeSpan Leeway => testKit.TestKitSettings.TestEventFilterLeeway;

    public void ExpectOne(Action action, CancellationToken cancellationToken = default) => Expect(1, Leeway, action, cancellationToken);

    public void ExpectOne(TimeSpan timeout, Action action, CancellationToken cancellationToken = default) => Expect(1, timeout, action, cancellationToken);

    public void Expect(int expectedCount, Action action, CancellationToken cancellationToken = default) => Expect(expectedCount, Leeway, action, cancellationToken);

    public void Expect(int expectedCount, TimeSpan timeout, Action action, CancellationToken cancellationToken = default) => Expect<object>(expectedCount, timeout, () =>
    {
        action();
        return null!;
    }, cancellationToken);

    public T ExpectOne<T>(Func<T> func, CancellationToken cancellationToken = default) => Expect(1, Leeway, func, cancellationToken);

    public T ExpectOne<T>(TimeSpan timeout, Func<T> func, CancellationToken cancellationToken = default) => Expect(1, timeout, func, cancellationToken);

    public T Expect<T>(int expectedCount, Func<T> func, CancellationToken cancellationToken = default) => Expect(expectedCount, Leeway, func, cancellationToken);

    public T Expect<T>(int expectedCount, TimeSpan timeout, Func<T> func, CancellationToken cancellationToken = default)
    {
        var filter = Install();
        try
        {
            var result = func();
            Task.Run(() => AwaitCount(filter, expectedCount, timeout, cancellationToken), CancellationToken.None).GetAwaiter().GetResult();
            return result;
        }
        finally
        {
            Remove(filter);
        }
    }

    public Task ExpectOneAsync(Func<Task> actionAsync, CancellationToken cancellationToken = default) => ExpectAsync(1, Leeway, actionAsync, cancellationToken);

    public Task ExpectOneAsync(TimeSpan timeout, Func<Task> action, CancellationToken cancellationToken = default) => ExpectAsync(1, timeout, action, cancellationToken);

    public Task ExpectOneAsync(Action action, CancellationToken cancellationToken = default) => ExpectAsync(1, Leeway, Asynchronous(action), cancellationToken);

    public Task<T> ExpectOneAsync<T>(Func<Task<T>> func, CancellationToken cancellationToken = default) => ExpectAsync(1, Leeway, func, cancellationToken);

    public Task<T> ExpectOneAsync<T>(TimeSpan timeout, Func<Task<T>> func, CancellationToken cancellationToken = default) => ExpectAsync(1, timeout, func, cancellationToken);

    public Task ExpectAsync(int expectedCount, Func<Task> actionAsync, CancellationToken cancellationToken = default) => ExpectAsync(expectedCount, Leeway, actionAsync, cancellationToken);

    public Task ExpectAsync(int expectedCount, Func<Task> actionAsync, TimeSpan? timeout, CancellationToken cancellationToken = default) =>
        ExpectAsync(expectedCount, timeout ?? Leeway, actionAsync, cancellationToken);

    public Task ExpectAsync(int expectedCount, TimeSpan timeout, Func<Task> action, CancellationToken cancellationToken = default) => ExpectAsync<object>(expectedCount, timeout, async () =>
    {
        await action();
        return null!;
    }, cancellationToken);

    public Task ExpectAsync(int expectedCount, TimeSpan timeout, Action action, CancellationToken cancellationToken = default) =>
        ExpectAsync(expectedCount, timeout, Asynchronous(action), cancellationToken);

    public Task<T> ExpectAsync<T>(int expectedCount, Func<Task<T>> func, CancellationToken cancellationToken = default) => ExpectAsync(expectedCount, Leeway, func, cancellationToken);

    public async Task<T> ExpectAsync<T>(int expectedCount, TimeSpan timeout, Func<Task<T>> func, CancellationToken cancellationToken = default)
    {
        var filter = Install();
        try
        {
            var result = await func();
            await AwaitCount(filter, expectedCount, timeout, cancellationToken).ConfigureAwait(false);
            return result;
        }
        finally
        {
            Remove(filter);
        }
    }

    public T Mute<T>(Func<T> func, CancellationToken cancellationToken = default)
    {
        using var mute = Mute();
        return func();
    }

    public void Mute(Action action, CancellationToken cancellationToken = default)
    {
        using var mute = Mute();
        action();
    }

    public IUnmutableFilter Mute() => new Unmutable(this, Install());

    public async Task<T> MuteAsync<T>(Func<Task<T>> func, CancellationToken cancellationToken = default)
    {
        using var mute = Mute();
        return await func();
    }

    public async Task MuteAsync(Func<Task> action, CancellationToken cancellationToken = default)
    {
        using var mute = Mute();
        await action();
    }

    public Task MuteAsync(Action action, CancellationToken cancellationToken = default) => MuteAsync(Asynchronous(action), cancellationToken);

    private static Func<Task> Asynchronous(Action action) => () =>
    {
        action();
        return Task.CompletedTask;
    };

    private LogFilter Install()
    {
        var filter = new LogFilter(@event => filters.Any(fits => fits(@event)));
        var mute = new TestEvent.Mute(filter);
        _system.EventStream.Publish(mute);
        mute.Done.Task.Wait(testKit.Dilated(TimeSpan.FromSeconds(10)));
        return filter;
    }

    private void Remove(LogFilter filter)
    {
        var unmute = new TestEvent.Unmute(filter);
        _system.EventStream.Publish(unmute);
        unmute.Done.Task.Wait(testKit.Dilated(TimeSpan.FromSeconds(10)));
    }

    // None expected: it must stay so for all of the time.
    private async Task AwaitCount(LogFilter filter, int expected, TimeSpan timeout, CancellationToken cancellationToken)
    {
        var start = Stopwatch.GetTimestamp();
        var limit = testKit.Dilated(timeout);
        while ((expected == 0 ? filter.Count == 0 : filter.Count < expected) && Stopwatch.GetElapsedTime(start) < limit)
        {
            await Task.Delay(5, cancellationToken).ConfigureAwait(false);
        }

        testKit.Asserts.AssertTrue(filter.Count >= expected, "Timeout ({0}) while waiting for messages. Only received {1}/{2} messages that matched filter", timeout, filter.Count, expected);
        testKit.Asserts.AssertTrue(filter.Count == expected, "Received {0} messages too many. Expected {1} message(s) but got {2}.", filter.Count - expected, expected, filter.Count);
    }

    private sealed class Unmutable(EventFilterApplier applier, LogFilter filter) : IUnmutableFilter
    {
        private bool _unmuted;

        public void Unmute()
        {
            if (!_unmuted)
            {
                _unmuted = true;
                applier.Remove(filter);
            }
        }

        public void Dispose() => Unmute();
    }
}
