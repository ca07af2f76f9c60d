using System.Globalization;
using Akka.Actor;

namespace Akka.Event;

/// <summary>How much a log event matters.</summary>
public enum LogLevel
{
    /// <summary>For who looks for a defect.</summary>
    DebugLevel,

    /// <summary>What happens as it should.</summary>
    InfoLevel,

    /// <summary>What should be looked at.</summary>
    WarningLevel,

    /// <summary>What went wrong.</summary>
    ErrorLevel,
}

/// <summary>Something to be logged.</summary>
public abstract class LogEvent : INoSerializationVerificationNeeded
{
    private protected LogEvent(Exception? cause, string logSource, Type logClass, object message)
    {
        Cause = cause!;
        LogSource = logSource;
        LogClass = logClass;
        Message = message;
        Timestamp = DateTime.UtcNow;
        Thread = Thread.CurrentThread;
    }

    /// <summary>The exception that led to it; null when there is none.</summary>
    public Exception Cause { get; protected set; }

    /// <summary>When, in UTC.</summary>
    public DateTime Timestamp { get; }

    /// <summary>On which thread.</summary>
    public Thread Thread { get; }

    /// <summary>Who logs, such as an actor's path.</summary>
    public string LogSource { get; protected set; }

    /// <summary>The type of who logs.</summary>
    public Type LogClass { get; protected set; }

    /// <summary>What; a <see cref="LogMessage"/> when it was logged with arguments.</summary>
    public object Message { get; protected set; }

    /// <summary>The level.</summary>
    public abstract LogLevel LogLevel();

    /// <inheritdoc/>
    public override string ToString() =>
        string.Create(CultureInfo.InvariantCulture, $"[{LogLevel().StringFor()}][{Timestamp:yyyy-MM-dd HH:mm:ss.fff}Z][Thread {Thread.ManagedThreadId:0000}][{LogSource}] {Message}") +
        (Cause is null ? "" : $"{Environment.NewLine}Cause: {Cause}");
}

/// <summary>An event of <see cref="LogLevel.DebugLevel"/>.</summary>
public class Debug : LogEvent
{
    /// <summary>Creates one.</summary>
    public Debug(string logSource, Type logClass, object message)
        : base(null, logSource, logClass, message)
    {
    }

    /// <summary>Creates one with a cause.</summary>
    public Debug(Exception? cause, string logSource, Type logClass, object message)
        : base(cause, logSource, logClass, message)
    {
    }

    /// <inheritdoc/>
    public override LogLevel LogLevel() => Event.LogLevel.DebugLevel;
}

/// <summary>An event of <see cref="LogLevel.InfoLevel"/>.</summary>
public class Info : LogEvent
{
    /// <summary>Creates one.</summary>
    public Info(string logSource, Type logClass, object message)
        : base(null, logSource, logClass, message)
    {
    }

    /// <summary>Creates one with a cause.</summary>
    public Info(Exception? cause, string logSource, Type logClass, object message)
        : base(cause, logSource, logClass, message)
    {
    }

    /// <inheritdoc/>
    public override LogLevel LogLevel() => Event.LogLevel.InfoLevel;
}

/// <summary>An event of <see cref="LogLevel.WarningLevel"/>.</summary>
public class Warning : LogEvent
{
    /// <summary>Creates one.</summary>
    public Warning(string logSource, Type logClass, object message)
        : base(null, logSource, logClass, message)
    {
    }

    /// <summary>Creates one with a cause.</summary>
    public Warning(Exception? cause, string logSource, Type logClass, object message)
        : base(cause, logSource, logClass, message)
    {
    }

    /// <inheritdoc/>
    public override LogLevel LogLevel() => Event.LogLevel.WarningLevel;
}

/// <summary>An event of <see cref="LogLevel.ErrorLevel"/>.</summary>
public class Error : LogEvent
{
    /// <summary>Creates one.</summary>
    public Error(Exception? cause, string logSource, Type logClass, object message)
        : base(cause, logSource, logClass, message)
    {
    }

    /// <inheritdoc/>
    public override LogLevel LogLevel() => Event.LogLevel.ErrorLevel;
}

/// <summary>Makes text from a format and arguments.</summary>
public interface ILogMessageFormatter
{
    /// <summary>Makes the text.</summary>
    string Format(string format, params object[] args);

    /// <summary>Makes the text.</summary>
    string Format(string format, IEnumerable<object> args);
}

/// <summary>As <see cref="string.Format(string, object[])"/>.</summary>
public class DefaultLogMessageFormatter : ILogMessageFormatter
{
    /// <summary>The only instance.</summary>
    public static readonly DefaultLogMessageFormatter Instance = new();

    private DefaultLogMessageFormatter()
    {
    }

    /// <inheritdoc/>
    public string Format(string format, params object[] args) => string.Format(CultureInfo.InvariantCulture, format, args);

    /// <inheritdoc/>
    public string Format(string format, IEnumerable<object> args) => Format(format, args.ToArray());
}

/// <summary>A format with arguments, which becomes text only when somebody wants it.</summary>
public abstract class LogMessage
{
    /// <summary>Who makes the text.</summary>
    protected readonly ILogMessageFormatter Formatter;

    /// <summary>Creates one.</summary>
    public LogMessage(ILogMessageFormatter formatter, string format)
    {
        Formatter = formatter;
        Format = format;
    }

    /// <summary>The format.</summary>
    public string Format { get; }

    /// <summary>The format and its arguments, not put together.</summary>
    public abstract string Unformatted();

    /// <summary>The arguments.</summary>
    public abstract IEnumerable<object> Parameters();
}

internal sealed class FormattedLogMessage(ILogMessageFormatter formatter, string format, object?[] arguments) : LogMessage(formatter, format)
{
    public override string Unformatted() => $"Format={Format}, Parameters={string.Join(",", arguments)}";

    public override IEnumerable<object> Parameters() => arguments!;

    public override string ToString()
    {
        try
        {
            return Formatter.Format(Format, arguments!);
        }
        catch (FormatException e)
        {
            return $"{Unformatted()} (cannot be formatted: {e.Message})";
        }
    }
}
