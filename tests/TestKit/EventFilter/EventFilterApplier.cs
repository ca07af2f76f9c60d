using System.Text.RegularExpressions;
using Akka.Actor;
using Akka.Event;

namespace Akka.TestKit;

/// <summary>Expects or mutes events.</summary>
public interface IEventFilterApplier
{
    EventFilterFactory And { get; }

    void ExpectOne(Action action, CancellationToken cancellationToken = default);

    void ExpectOne(TimeSpan timeout, Action action, CancellationToken cancellationToken = default);

    void Expect(int expectedCount, Action action, CancellationToken cancellationToken = default);

    void Expect(int expectedCount, TimeSpan timeout, Action action, CancellationToken cancellationToken = default);

    T ExpectOne<T>(Func<T> func, CancellationToken cancellationToken = default);

    T ExpectOne<T>(TimeSpan timeout, Func<T> func, CancellationToken cancellationToken = default);

    T Expect<T>(int expectedCount, Func<T> func, CancellationToken cancellationToken = default);

    T Expect<T>(int expectedCount, TimeSpan timeout, Func<T> func, CancellationToken cancellationToken = default);

    Task ExpectOneAsync(Func<Task> actionAsync, CancellationToken cancellationToken = default);

    Task ExpectOneAsync(TimeSpan timeout, Func<Task> actionAsync, CancellationToken cancellationToken = default);

    Task ExpectAsync(int expectedCount, Func<Task> actionAsync, CancellationToken cancellationToken = default);

    Task ExpectAsync(int expectedCount, Func<Task> actionAsync, TimeSpan? timeout, CancellationToken cancellationToken = default);

    T Mute<T>(Func<T> func, CancellationToken cancellationToken = default);

    void Mute(Action action, CancellationToken cancellationToken = default);

    IUnmutableFilter Mute();
}

internal sealed class LogFilter(Func<LogEvent, bool> fits) : IEventFilter
{
    private int _count;

    public int Count => Volatile.Read(ref _count);

    public int Expected { get; set; } = int.MaxValue;

    public bool Apply(ActorSystem system, LogEvent logEvent) => fits(logEvent);

    public void EventMatched(LogEvent logEvent) => Interlocked.Increment(ref _count);

    public bool AwaitDone(TimeSpan timeout)
    {
        if (Expected == int.MaxValue)
        {
            return true;
        }

        SpinWait.SpinUntil(() => Count >= Expected, timeout);
        return Count == Expected;
    }
}

internal sealed class EventFilterApplier(TestKitBase testKit, IReadOnlyList<Func<LogEvent, bool>> filters, ActorSystem? system) : IEventFilterApplier
{
    private readonly ActorSystem _system = system ?? testKit.Sys;

    public EventFilterFactory And => new(testKit, system, filters);

    public void ExpectOne(Action action, CancellationToken cancellationToken = default) => Expect(1, action, cancellationToken);

    public void ExpectOne(TimeSpan timeout, Action action, CancellationToken cancellationToken = default) => Expect(1, timeout, action, cancellationToken);

    public void Expect(int expectedCount, Action action, CancellationToken cancellationToken = default) =>
        Expect(expectedCount, testKit.TestKitSettings.TestEventFilterLeeway, action, cancellationToken);

    public void Expect(int expectedCount, TimeSpan timeout, Action action, CancellationToken cancellationToken = default) => Expect<object>(expectedCount, timeout, () =>
    {
        action();
        return null!;
    }, cancellationToken);

    public T ExpectOne<T>(Func<T> func, CancellationToken cancellationToken = default) => Expect(1, func, cancellationToken);

    public T ExpectOne<T>(TimeSpan timeout, Func<T> func, CancellationToken cancellationToken = default) => Expect(1, timeout, func, cancellationToken);

    public T Expect<T>(int expectedCount, Func<T> func, CancellationToken cancellationToken = default) =>
        Expect(expectedCount, testKit.TestKitSettings.TestEventFilterLeeway, func, cancellationToken);

    public T Expect<T>(int expectedCount, TimeSpan timeout, Func<T> func, CancellationToken cancellationToken = default)
    {
        var filter = Install();
        try
        {
            var result = func();
            AwaitCount(filter, expectedCount, timeout).GetAwaiter().GetResult();
            return result;
        }
        finally
        {
            Remove(filter);
        }
    }

    public Task ExpectOneAsync(Func<Task> actionAsync, CancellationToken cancellationToken = default) => ExpectAsync(1, actionAsync, cancellationToken);

    public Task ExpectOneAsync(TimeSpan timeout, Func<Task> actionAsync, CancellationToken cancellationToken = default) => ExpectAsync(1, actionAsync, timeout, cancellationToken);

    public Task ExpectAsync(int expectedCount, Func<Task> actionAsync, CancellationToken cancellationToken = default) => ExpectAsync(expectedCount, actionAsync, null, cancellationToken);

    public async Task ExpectAsync(int expectedCount, Func<Task> actionAsync, TimeSpan? timeout, CancellationToken cancellationToken = default)
    {
        var filter = Install();
        try
        {
            await actionAsync();
            await AwaitCount(filter, expectedCount, timeout ?? testKit.TestKitSettings.TestEventFilterLeeway).ConfigureAwait(false);
        }
        finally
        {
            Remove(filter);
        }
    }

    public T Mute<T>(Func<T> func, CancellationToken cancellationToken = default)
    {
        var filter = Install();
        try
        {
            return func();
        }
        finally
        {
            Remove(filter);
        }
    }

    public void Mute(Action action, CancellationToken cancellationToken = default) => Mute<object>(() =>
    {
        action();
        return null!;
    }, cancellationToken);

    public IUnmutableFilter Mute() => new Unmutable(this, Install());

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

    private async Task AwaitCount(LogFilter filter, int expected, TimeSpan timeout)
    {
        var stop = System.Diagnostics.Stopwatch.GetTimestamp() + (long)(testKit.Dilated(timeout).TotalSeconds * System.Diagnostics.Stopwatch.Frequency);
        while (filter.Count < expected && System.Diagnostics.Stopwatch.GetTimestamp() < stop)
        {
            await Task.Delay(5).ConfigureAwait(false);
        }

        testKit.Asserts.AssertTrue(filter.Count >= expected, "Timeout ({0}) while waiting for messages. Only received {1}/{2} messages that matched filter", timeout, filter.Count, expected);
        if (expected == 0)
        {
            // Nothing to wait for: whatever was logged before passes the logger before this does.
            Remove(filter);
        }

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

/// <summary>Makes filters for log events.</summary>
public class EventFilterFactory
{
    private readonly TestKitBase _testKit;
    private readonly ActorSystem? _system;
    private readonly IReadOnlyList<Func<LogEvent, bool>> _filters;

    public EventFilterFactory(TestKitBase testkit)
        : this(testkit, null, [])
    {
    }

    public EventFilterFactory(TestKitBase testkit, ActorSystem system)
        : this(testkit, system, [])
    {
    }

    internal EventFilterFactory(TestKitBase testkit, ActorSystem? system, IReadOnlyList<Func<LogEvent, bool>> filters)
    {
        _testKit = testkit;
        _system = system;
        _filters = filters;
    }

    public IEventFilterApplier Exception<TException>(string? message = null, string? start = null, string? contains = null, string? source = null, bool checkInnerExceptions = false)
        where TException : Exception => Exception(typeof(TException), message, start, contains, source, checkInnerExceptions);

    public IEventFilterApplier Exception<TException>(Regex pattern, string? source = null, bool checkInnerExceptions = false)
        where TException : Exception => Exception(typeof(TException), pattern, source, checkInnerExceptions);

    public IEventFilterApplier Exception(Type exceptionType, Regex pattern, string? source = null, bool checkInnerExceptions = false) =>
        Apply(e => e is Error error && HasCause(error.Cause, exceptionType, checkInnerExceptions) && FromSource(e, source) && (pattern.IsMatch(Text(e)) || AnyMessage(error.Cause, checkInnerExceptions, pattern.IsMatch)));

    public IEventFilterApplier Exception(Type exceptionType, string? message = null, string? start = null, string? contains = null, string? source = null, bool checkInnerExceptions = false) =>
        Apply(e => e is Error error && HasCause(error.Cause, exceptionType, checkInnerExceptions) && FromSource(e, source) &&
            (Fits(Text(e), message, start, contains) || AnyMessage(error.Cause, checkInnerExceptions, text => Fits(text, message, start, contains))));

    public IEventFilterApplier Error(string? message = null, string? start = null, string? contains = null, string? source = null) => Level<Error>(message, start, contains, source);

    public IEventFilterApplier Error(Regex pattern, string? source = null) => Level<Error>(pattern, source);

    public IEventFilterApplier Warning(string? message = null, string? start = null, string? contains = null, string? source = null) => Level<Warning>(message, start, contains, source);

    public IEventFilterApplier Warning(Regex pattern, string? source = null) => Level<Warning>(pattern, source);

    public IEventFilterApplier Info(string? message = null, string? start = null, string? contains = null, string? source = null) => Level<Info>(message, start, contains, source);

    public IEventFilterApplier Info(Regex pattern, string? source = null) => Level<Info>(pattern, source);

    public IEventFilterApplier Debug(string? message = null, string? start = null, string? contains = null, string? source = null) => Level<Debug>(message, start, contains, source);

    public IEventFilterApplier Debug(Regex pattern, string? source = null) => Level<Debug>(pattern, source);

    public IEventFilterApplier DeadLetter() => Apply(e => e is TestEventListener.DeadLetterEvent);

    public IEventFilterApplier DeadLetter<TMessage>(string? source = null) => DeadLetter<TMessage>(static _ => true, source);

    public IEventFilterApplier DeadLetter<TMessage>(Func<TMessage, bool> isMatch, string? source = null) =>
        Apply(e => e is TestEventListener.DeadLetterEvent letter && letter.Letter.Message is TMessage message && isMatch(message) && (source is null || letter.Letter.Sender.Path.ToString() == source));

    public IEventFilterApplier DeadLetter(Type type, string? source = null) =>
        Apply(e => e is TestEventListener.DeadLetterEvent letter && type.IsInstanceOfType(letter.Letter.Message) && (source is null || letter.Letter.Sender.Path.ToString() == source));

    public IEventFilterApplier Custom(Predicate<LogEvent> predicate) => Apply(e => predicate(e));

    public IEventFilterApplier Custom<TLogEvent>(Predicate<TLogEvent> predicate)
        where TLogEvent : LogEvent => Apply(e => e is TLogEvent typed && predicate(typed));

    private EventFilterApplier Level<T>(string? message, string? start, string? contains, string? source)
        where T : LogEvent => Apply(e => e is T and not TestEventListener.DeadLetterEvent && FromSource(e, source) && Fits(Text(e), message, start, contains));

    private EventFilterApplier Level<T>(Regex pattern, string? source)
        where T : LogEvent => Apply(e => e is T and not TestEventListener.DeadLetterEvent && FromSource(e, source) && pattern.IsMatch(Text(e)));

    private EventFilterApplier Apply(Func<LogEvent, bool> filter) => new(_testKit, [.. _filters, filter], _system);

    private static string Text(LogEvent e) => e.Message?.ToString() ?? "";

    private static bool FromSource(LogEvent e, string? source) => source is null || e.LogSource == source || e.LogSource.EndsWith(source, StringComparison.Ordinal);

    private static bool Fits(string text, string? message, string? start, string? contains) =>
        (message is null || text == message) && (start is null || text.StartsWith(start, StringComparison.Ordinal)) && (contains is null || text.Contains(contains, StringComparison.Ordinal));

    private static bool HasCause(Exception? cause, Type type, bool inner)
    {
        for (; cause is not null; cause = inner ? cause.InnerException : null)
        {
            if (type.IsInstanceOfType(cause))
            {
                return true;
            }
        }

        return false;
    }

    private static bool AnyMessage(Exception? cause, bool inner, Func<string, bool> fits)
    {
        for (; cause is not null; cause = inner ? cause.InnerException : null)
        {
            if (fits(cause.Message))
            {
                return true;
            }
        }

        return false;
    }
}
