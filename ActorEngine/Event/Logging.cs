using Akka.Actor;

namespace Akka.Event;

/// <summary>Logs for one source.</summary>
public interface ILoggingAdapter
{
    /// <summary>Who makes text of formats.</summary>
    ILogMessageFormatter Formatter { get; }

    /// <summary>Whether <see cref="LogLevel.DebugLevel"/> is logged.</summary>
    bool IsDebugEnabled { get; }

    /// <summary>Whether <see cref="LogLevel.InfoLevel"/> is logged.</summary>
    bool IsInfoEnabled { get; }

    /// <summary>Whether <see cref="LogLevel.WarningLevel"/> is logged.</summary>
    bool IsWarningEnabled { get; }

    /// <summary>Whether <see cref="LogLevel.ErrorLevel"/> is logged.</summary>
    bool IsErrorEnabled { get; }

    /// <summary>Whether a level is logged.</summary>
    bool IsEnabled(LogLevel logLevel);

    /// <summary>Logs a message.</summary>
    void Log(LogLevel logLevel, Exception? cause, LogMessage message);

    /// <summary>Logs a text.</summary>
    void Log(LogLevel logLevel, Exception? cause, string format);
}

/// <summary>Base of adapters.</summary>
public abstract class LoggingAdapterBase : ILoggingAdapter
{
    /// <summary>Creates one.</summary>
    protected LoggingAdapterBase(ILogMessageFormatter logMessageFormatter) =>
        Formatter = logMessageFormatter ?? throw new ArgumentNullException(nameof(logMessageFormatter));

    /// <inheritdoc/>
    public ILogMessageFormatter Formatter { get; }

    /// <inheritdoc/>
    public abstract bool IsDebugEnabled { get; }

    /// <inheritdoc/>
    public abstract bool IsInfoEnabled { get; }

    /// <inheritdoc/>
    public abstract bool IsWarningEnabled { get; }

    /// <inheritdoc/>
    public abstract bool IsErrorEnabled { get; }

    /// <inheritdoc/>
    public bool IsEnabled(LogLevel logLevel) => logLevel switch
    {
        LogLevel.DebugLevel => IsDebugEnabled,
        LogLevel.InfoLevel => IsInfoEnabled,
        LogLevel.WarningLevel => IsWarningEnabled,
        LogLevel.ErrorLevel => IsErrorEnabled,
        _ => throw new NotSupportedException($"Unknown LogLevel {logLevel}"),
    };

    /// <inheritdoc/>
    public void Log(LogLevel logLevel, Exception? cause, LogMessage message)
    {
        if (IsEnabled(logLevel))
        {
            NotifyLog(logLevel, message, cause);
        }
    }

    /// <inheritdoc/>
    public void Log(LogLevel logLevel, Exception? cause, string format)
    {
        if (IsEnabled(logLevel))
        {
            NotifyLog(logLevel, format, cause);
        }
    }

    /// <summary>Passes an event on.</summary>
    protected abstract void NotifyLog(LogLevel logLevel, object message, Exception? cause = null);
}

/// <summary>Logs to a bus.</summary>
public sealed class BusLogging : LoggingAdapterBase
{
    /// <summary>Creates one.</summary>
    public BusLogging(LoggingBus bus, string logSource, Type logClass, ILogMessageFormatter logMessageFormatter)
        : base(logMessageFormatter)
    {
        Bus = bus;
        LogSource = logSource;
        LogClass = logClass;
    }

    /// <summary>The bus.</summary>
    public LoggingBus Bus { get; }

    /// <summary>Who logs.</summary>
    public string LogSource { get; }

    /// <summary>The type of who logs.</summary>
    public Type LogClass { get; }

    /// <inheritdoc/>
    public override bool IsDebugEnabled => Bus.LogLevel <= LogLevel.DebugLevel;

    /// <inheritdoc/>
    public override bool IsInfoEnabled => Bus.LogLevel <= LogLevel.InfoLevel;

    /// <inheritdoc/>
    public override bool IsWarningEnabled => Bus.LogLevel <= LogLevel.WarningLevel;

    /// <inheritdoc/>
    public override bool IsErrorEnabled => Bus.LogLevel <= LogLevel.ErrorLevel;

    /// <inheritdoc/>
    protected override void NotifyLog(LogLevel logLevel, object message, Exception? cause = null) => Bus.Publish(logLevel switch
    {
        LogLevel.DebugLevel => new Debug(cause, LogSource, LogClass, message),
        LogLevel.InfoLevel => new Info(cause, LogSource, LogClass, message),
        LogLevel.WarningLevel => new Warning(cause, LogSource, LogClass, message),
        _ => new Error(cause, LogSource, LogClass, message),
    });
}

/// <summary>Logs nothing.</summary>
public sealed class NoLogger : ILoggingAdapter
{
    /// <summary>The only instance.</summary>
    public static readonly ILoggingAdapter Instance = new NoLogger();

    private NoLogger()
    {
    }

    /// <inheritdoc/>
    public ILogMessageFormatter Formatter => DefaultLogMessageFormatter.Instance;

    /// <inheritdoc/>
    public bool IsDebugEnabled => false;

    /// <inheritdoc/>
    public bool IsInfoEnabled => false;

    /// <inheritdoc/>
    public bool IsWarningEnabled => false;

    /// <inheritdoc/>
    public bool IsErrorEnabled => false;

    /// <inheritdoc/>
    public bool IsEnabled(LogLevel logLevel) => false;

    /// <inheritdoc/>
    public void Log(LogLevel logLevel, Exception? cause, LogMessage message)
    {
    }

    /// <inheritdoc/>
    public void Log(LogLevel logLevel, Exception? cause, string format)
    {
    }
}

/// <summary>Makes adapters and knows the levels.</summary>
public static class Logging
{
    /// <summary>The type of the events of a level.</summary>
    public static Type ClassFor(this LogLevel logLevel) => logLevel switch
    {
        LogLevel.DebugLevel => typeof(Debug),
        LogLevel.InfoLevel => typeof(Info),
        LogLevel.WarningLevel => typeof(Warning),
        LogLevel.ErrorLevel => typeof(Error),
        _ => throw new ArgumentException("Unknown LogLevel", nameof(logLevel)),
    };

    /// <summary>The name of a level.</summary>
    public static string StringFor(this LogLevel logLevel) => logLevel switch
    {
        LogLevel.DebugLevel => "DEBUG",
        LogLevel.InfoLevel => "INFO",
        LogLevel.WarningLevel => "WARNING",
        LogLevel.ErrorLevel => "ERROR",
        _ => throw new ArgumentException("Unknown LogLevel", nameof(logLevel)),
    };

    /// <summary>The level of a name: DEBUG, INFO, WARNING, ERROR or OFF.</summary>
    /// <exception cref="ArgumentException">It is none of these.</exception>
    public static LogLevel LogLevelFor(string logLevel) =>
        UpperCaseLevelFor(logLevel) ?? UpperCaseLevelFor(logLevel.ToUpperInvariant())
        ?? throw new ArgumentException($"""Unknown LogLevel: "{logLevel}". Valid values are: "Debug", "Info", "Warning", "Error" and "Off".""", nameof(logLevel));

    // The usual spelling needs no conversion, which a start would wait for.
    private static LogLevel? UpperCaseLevelFor(string logLevel) => logLevel switch
    {
        "DEBUG" => LogLevel.DebugLevel,
        "INFO" => LogLevel.InfoLevel,
        "WARNING" or "WARN" => LogLevel.WarningLevel,
        "ERROR" => LogLevel.ErrorLevel,
        "OFF" => (LogLevel)int.MaxValue,
        _ => null,
    };

    /// <summary>The level of a type of events.</summary>
    public static LogLevel LogLevelFor<T>()
        where T : LogEvent =>
        typeof(T) == typeof(Debug) ? LogLevel.DebugLevel
        : typeof(T) == typeof(Info) ? LogLevel.InfoLevel
        : typeof(T) == typeof(Warning) ? LogLevel.WarningLevel
        : typeof(T) == typeof(Error) ? LogLevel.ErrorLevel
        : throw new ArgumentException($"Unknown LogEvent type: {typeof(T).FullName}");

    /// <summary>The short name of an object's type.</summary>
    public static string SimpleName(object o) => SimpleName(o.GetType());

    /// <summary>The short name of a type.</summary>
    public static string SimpleName(Type t) => t.Name;

    /// <summary>The adapter of an actor.</summary>
    public static ILoggingAdapter GetLogger(this IActorContext context, ILogMessageFormatter? logMessageFormatter = null)
    {
        var type = (context as ActorCell)?.Actor?.GetType() ?? context.Props.Type;
        return new BusLogging(context.System.EventStream, context.Self.Path.ToString(), type, logMessageFormatter ?? DefaultLogMessageFormatter.Instance);
    }

    /// <summary>An adapter for a source: a text, a type, a reference or any object.</summary>
    public static ILoggingAdapter GetLogger(ActorSystem system, object logSourceObj, ILogMessageFormatter? logMessageFormatter = null) =>
        GetLogger(system.EventStream, SourceOf(logSourceObj) + (logSourceObj is IActorRef ? "" : $"({system})"), logSourceObj, logMessageFormatter);

    /// <summary>An adapter for a source on a bus.</summary>
    public static ILoggingAdapter GetLogger(LoggingBus loggingBus, object logSourceObj, ILogMessageFormatter? logMessageFormatter = null) =>
        GetLogger(loggingBus, SourceOf(logSourceObj), logSourceObj, logMessageFormatter);

    private static BusLogging GetLogger(LoggingBus bus, string source, object origin, ILogMessageFormatter? formatter) =>
        new(bus, source, origin as Type ?? origin.GetType(), formatter ?? DefaultLogMessageFormatter.Instance);

    private static string SourceOf(object source) => source switch
    {
        string text => text,
        IActorRef actor => actor.Path.ToString(),
        Type type => type.ToString(),
        _ => source.GetType().ToString(),
    };
}
