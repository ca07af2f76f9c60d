using System.Text.RegularExpressions;
using Akka.Actor;
using Akka.Event;

namespace Akka.TestKit;

/// <summary>Makes filters for log events. Of <c>message</c>, <c>start</c> and <c>contains</c> the first that is given counts.</summary>
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

    public IEventFilterApplier Exception<TException>(Regex pattern, string? source = null)
        where TException : Exception => Exception(typeof(TException), pattern, source);

    public IEventFilterApplier Exception(Type exceptionType, Regex pattern, string? source = null, bool checkInnerExceptions = false) =>
        ErrorLike(exceptionType, pattern.IsMatch, source, checkInnerExceptions);

    public IEventFilterApplier Exception<TException>(string? message = null, string? start = null, string? contains = null, string? source = null)
        where TException : Exception => Exception(typeof(TException), message, start, contains, source);

    public IEventFilterApplier Exception(
        Type exceptionType, string? message = null, string? start = null, string? contains = null, string? source = null, bool checkInnerExceptions = false) =>
        ErrorLike(exceptionType, Text(message, start, contains), source, checkInnerExceptions);

    public IEventFilterApplier Error(string? message = null, string? start = null, string? contains = null, string? source = null) =>
        ErrorLike(null, Text(message, start, contains), source, false);

    public IEventFilterApplier Error(Regex pattern, string? source = null) => ErrorLike(null, pattern.IsMatch, source, false);

    public IEventFilterApplier Warning(string? message = null, string? start = null, string? contains = null, string? source = null) =>
        Level<Warning>(Text(message, start, contains), source);

    public IEventFilterApplier Warning(Regex pattern, string? source = null) => Level<Warning>(pattern.IsMatch, source);

    public IEventFilterApplier Info(string? message = null, string? start = null, string? contains = null, string? source = null) =>
        Level<Info>(Text(message, start, contains), source);

    public IEventFilterApplier Info(Regex pattern, string? source = null) => Level<Info>(pattern.IsMatch, source);

    public IEventFilterApplier Debug(string? message = null, string? start = null, string? contains = null, string? source = null) =>
        Level<Debug>(Text(message, start, contains), source);

    public IEventFilterApplier Debug(Regex pattern, string? source = null) => Level<Debug>(pattern.IsMatch, source);

    public IEventFilterApplier ForLogLevel(LogLevel logLevel, string? message = null, string? start = null, string? contains = null, string? source = null) => logLevel switch
    {
        LogLevel.DebugLevel => Debug(message, start, contains, source),
        LogLevel.InfoLevel => Info(message, start, contains, source),
        LogLevel.WarningLevel => Warning(message, start, contains, source),
        LogLevel.ErrorLevel => Error(message, start, contains, source),
        _ => throw new ArgumentOutOfRangeException(nameof(logLevel)),
    };

    public IEventFilterApplier ForLogLevel(LogLevel logLevel, Regex pattern, string? source = null) => logLevel switch
    {
        LogLevel.DebugLevel => Debug(pattern, source),
        LogLevel.InfoLevel => Info(pattern, source),
        LogLevel.WarningLevel => Warning(pattern, source),
        LogLevel.ErrorLevel => Error(pattern, source),
        _ => throw new ArgumentOutOfRangeException(nameof(logLevel)),
    };

    public IEventFilterApplier DeadLetter() => Dead(static _ => true, null);

    /// <param name="source">The path of the recipient, with or without the system's address.</param>
    public IEventFilterApplier DeadLetter<TMessage>(string? source = null) => Dead(static message => message is TMessage, source);

    public IEventFilterApplier DeadLetter<TMessage>(Func<TMessage, bool> isMatch, string? source = null) => Dead(message => message is TMessage typed && isMatch(typed), source);

    public IEventFilterApplier DeadLetter(Type type, string? source = null) => Dead(type.IsInstanceOfType, source);

    public IEventFilterApplier DeadLetter(Type type, Func<object, bool> isMatch, string? source = null) => Dead(message => type.IsInstanceOfType(message) && isMatch(message), source);

    public IEventFilterApplier Custom(Predicate<LogEvent> predicate) => Apply(e => predicate(e));

    public IEventFilterApplier Custom<TLogEvent>(Predicate<TLogEvent> predicate)
        where TLogEvent : LogEvent => Apply(e => e is TLogEvent typed && predicate(typed));

    private EventFilterApplier Dead(Func<object, bool> fits, string? source) =>
        Apply(e => e is Warning { Message: DeadLetter letter } && fits(letter.Message) && FromSource(e, source));

    private EventFilterApplier Level<T>(Func<string, bool> fits, string? source)
        where T : LogEvent => Apply(e => e is T && FromSource(e, source) && fits(Text(e)));

    // An error fits by its own text or by that of its cause.
    private EventFilterApplier ErrorLike(Type? exceptionType, Func<string, bool> fits, string? source, bool checkInnerExceptions) => Apply(e =>
    {
        if (e is not Error error || !FromSource(e, source))
        {
            return false;
        }

        if (error.Cause is null)
        {
            return exceptionType is null && fits(Text(e));
        }

        for (var cause = error.Cause; cause is not null; cause = checkInnerExceptions ? cause.InnerException : null)
        {
            if ((exceptionType is null || exceptionType.IsInstanceOfType(cause)) && (fits(Text(e)) || fits(cause.Message)))
            {
                return true;
            }
        }

        return false;
    });

    private EventFilterApplier Apply(Func<LogEvent, bool> filter) => new(_testKit, [.. _filters, filter], _system);

    private static string Text(LogEvent e) => e.Message?.ToString() ?? "null";

    private static Func<string, bool> Text(string? message, string? start, string? contains) =>
        message is not null ? text => text == message
        : start is not null ? text => text.StartsWith(start, StringComparison.Ordinal)
        : contains is not null ? text => text.Contains(contains, StringComparison.Ordinal)
        : static _ => true;

    private static bool FromSource(LogEvent e, string? source) =>
        source is null || e.LogSource == source || (ActorPath.TryParse(e.LogSource, out var path) && path.ToStringWithoutAddress() == source);
}
