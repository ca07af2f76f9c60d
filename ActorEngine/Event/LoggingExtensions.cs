namespace Akka.Event;

/// <summary>Short forms on <see cref="ILoggingAdapter"/>. The arguments become text only if the event is logged.</summary>
public static class LoggingExtensions
{
    /// <summary>Logs at <see cref="LogLevel.DebugLevel"/>.</summary>
    public static void Debug(this ILoggingAdapter log, string format) =>
        log.Log(LogLevel.DebugLevel, null, format);

    /// <summary>Logs at <see cref="LogLevel.DebugLevel"/> with a cause.</summary>
    public static void Debug(this ILoggingAdapter log, Exception? cause, string format) =>
        log.Log(LogLevel.DebugLevel, cause, format);

    /// <summary>Logs at <see cref="LogLevel.DebugLevel"/> with arguments.</summary>
    public static void Debug(this ILoggingAdapter log, string format, object[] args) =>
        Write(log, LogLevel.DebugLevel, null, format, args);

    /// <summary>Logs at <see cref="LogLevel.DebugLevel"/> with a cause and arguments.</summary>
    public static void Debug(this ILoggingAdapter log, Exception? cause, string format, object[] args) =>
        Write(log, LogLevel.DebugLevel, cause, format, args);

    /// <summary>Logs at <see cref="LogLevel.DebugLevel"/> with arguments.</summary>
    public static void Debug<T1>(this ILoggingAdapter log, string format, T1 arg1)
    {
        if (log.IsEnabled(LogLevel.DebugLevel))
        {
            Write(log, LogLevel.DebugLevel, null, format, arg1);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.DebugLevel"/> with a cause and arguments.</summary>
    public static void Debug<T1>(this ILoggingAdapter log, Exception? cause, string format, T1 arg1)
    {
        if (log.IsEnabled(LogLevel.DebugLevel))
        {
            Write(log, LogLevel.DebugLevel, cause, format, arg1);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.DebugLevel"/> with arguments.</summary>
    public static void Debug<T1, T2>(this ILoggingAdapter log, string format, T1 arg1, T2 arg2)
    {
        if (log.IsEnabled(LogLevel.DebugLevel))
        {
            Write(log, LogLevel.DebugLevel, null, format, arg1, arg2);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.DebugLevel"/> with a cause and arguments.</summary>
    public static void Debug<T1, T2>(this ILoggingAdapter log, Exception? cause, string format, T1 arg1, T2 arg2)
    {
        if (log.IsEnabled(LogLevel.DebugLevel))
        {
            Write(log, LogLevel.DebugLevel, cause, format, arg1, arg2);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.DebugLevel"/> with arguments.</summary>
    public static void Debug<T1, T2, T3>(this ILoggingAdapter log, string format, T1 arg1, T2 arg2, T3 arg3)
    {
        if (log.IsEnabled(LogLevel.DebugLevel))
        {
            Write(log, LogLevel.DebugLevel, null, format, arg1, arg2, arg3);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.DebugLevel"/> with a cause and arguments.</summary>
    public static void Debug<T1, T2, T3>(this ILoggingAdapter log, Exception? cause, string format, T1 arg1, T2 arg2, T3 arg3)
    {
        if (log.IsEnabled(LogLevel.DebugLevel))
        {
            Write(log, LogLevel.DebugLevel, cause, format, arg1, arg2, arg3);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.DebugLevel"/> with arguments.</summary>
    public static void Debug<T1, T2, T3, T4>(this ILoggingAdapter log, string format, T1 arg1, T2 arg2, T3 arg3, T4 arg4)
    {
        if (log.IsEnabled(LogLevel.DebugLevel))
        {
            Write(log, LogLevel.DebugLevel, null, format, arg1, arg2, arg3, arg4);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.DebugLevel"/> with a cause and arguments.</summary>
    public static void Debug<T1, T2, T3, T4>(this ILoggingAdapter log, Exception? cause, string format, T1 arg1, T2 arg2, T3 arg3, T4 arg4)
    {
        if (log.IsEnabled(LogLevel.DebugLevel))
        {
            Write(log, LogLevel.DebugLevel, cause, format, arg1, arg2, arg3, arg4);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.DebugLevel"/> with arguments.</summary>
    public static void Debug<T1, T2, T3, T4, T5>(this ILoggingAdapter log, string format, T1 arg1, T2 arg2, T3 arg3, T4 arg4, T5 arg5)
    {
        if (log.IsEnabled(LogLevel.DebugLevel))
        {
            Write(log, LogLevel.DebugLevel, null, format, arg1, arg2, arg3, arg4, arg5);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.DebugLevel"/> with a cause and arguments.</summary>
    public static void Debug<T1, T2, T3, T4, T5>(this ILoggingAdapter log, Exception? cause, string format, T1 arg1, T2 arg2, T3 arg3, T4 arg4, T5 arg5)
    {
        if (log.IsEnabled(LogLevel.DebugLevel))
        {
            Write(log, LogLevel.DebugLevel, cause, format, arg1, arg2, arg3, arg4, arg5);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.DebugLevel"/> with arguments.</summary>
    public static void Debug<T1, T2, T3, T4, T5, T6>(this ILoggingAdapter log, string format, T1 arg1, T2 arg2, T3 arg3, T4 arg4, T5 arg5, T6 arg6)
    {
        if (log.IsEnabled(LogLevel.DebugLevel))
        {
            Write(log, LogLevel.DebugLevel, null, format, arg1, arg2, arg3, arg4, arg5, arg6);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.DebugLevel"/> with a cause and arguments.</summary>
    public static void Debug<T1, T2, T3, T4, T5, T6>(this ILoggingAdapter log, Exception? cause, string format, T1 arg1, T2 arg2, T3 arg3, T4 arg4, T5 arg5, T6 arg6)
    {
        if (log.IsEnabled(LogLevel.DebugLevel))
        {
            Write(log, LogLevel.DebugLevel, cause, format, arg1, arg2, arg3, arg4, arg5, arg6);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.InfoLevel"/>.</summary>
    public static void Info(this ILoggingAdapter log, string format) =>
        log.Log(LogLevel.InfoLevel, null, format);

    /// <summary>Logs at <see cref="LogLevel.InfoLevel"/> with a cause.</summary>
    public static void Info(this ILoggingAdapter log, Exception? cause, string format) =>
        log.Log(LogLevel.InfoLevel, cause, format);

    /// <summary>Logs at <see cref="LogLevel.InfoLevel"/> with arguments.</summary>
    public static void Info(this ILoggingAdapter log, string format, object[] args) =>
        Write(log, LogLevel.InfoLevel, null, format, args);

    /// <summary>Logs at <see cref="LogLevel.InfoLevel"/> with a cause and arguments.</summary>
    public static void Info(this ILoggingAdapter log, Exception? cause, string format, object[] args) =>
        Write(log, LogLevel.InfoLevel, cause, format, args);

    /// <summary>Logs at <see cref="LogLevel.InfoLevel"/> with arguments.</summary>
    public static void Info<T1>(this ILoggingAdapter log, string format, T1 arg1)
    {
        if (log.IsEnabled(LogLevel.InfoLevel))
        {
            Write(log, LogLevel.InfoLevel, null, format, arg1);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.InfoLevel"/> with a cause and arguments.</summary>
    public static void Info<T1>(this ILoggingAdapter log, Exception? cause, string format, T1 arg1)
    {
        if (log.IsEnabled(LogLevel.InfoLevel))
        {
            Write(log, LogLevel.InfoLevel, cause, format, arg1);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.InfoLevel"/> with arguments.</summary>
    public static void Info<T1, T2>(this ILoggingAdapter log, string format, T1 arg1, T2 arg2)
    {
        if (log.IsEnabled(LogLevel.InfoLevel))
        {
            Write(log, LogLevel.InfoLevel, null, format, arg1, arg2);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.InfoLevel"/> with a cause and arguments.</summary>
    public static void Info<T1, T2>(this ILoggingAdapter log, Exception? cause, string format, T1 arg1, T2 arg2)
    {
        if (log.IsEnabled(LogLevel.InfoLevel))
        {
            Write(log, LogLevel.InfoLevel, cause, format, arg1, arg2);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.InfoLevel"/> with arguments.</summary>
    public static void Info<T1, T2, T3>(this ILoggingAdapter log, string format, T1 arg1, T2 arg2, T3 arg3)
    {
        if (log.IsEnabled(LogLevel.InfoLevel))
        {
            Write(log, LogLevel.InfoLevel, null, format, arg1, arg2, arg3);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.InfoLevel"/> with a cause and arguments.</summary>
    public static void Info<T1, T2, T3>(this ILoggingAdapter log, Exception? cause, string format, T1 arg1, T2 arg2, T3 arg3)
    {
        if (log.IsEnabled(LogLevel.InfoLevel))
        {
            Write(log, LogLevel.InfoLevel, cause, format, arg1, arg2, arg3);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.InfoLevel"/> with arguments.</summary>
    public static void Info<T1, T2, T3, T4>(this ILoggingAdapter log, string format, T1 arg1, T2 arg2, T3 arg3, T4 arg4)
    {
        if (log.IsEnabled(LogLevel.InfoLevel))
        {
            Write(log, LogLevel.InfoLevel, null, format, arg1, arg2, arg3, arg4);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.InfoLevel"/> with a cause and arguments.</summary>
    public static void Info<T1, T2, T3, T4>(this ILoggingAdapter log, Exception? cause, string format, T1 arg1, T2 arg2, T3 arg3, T4 arg4)
    {
        if (log.IsEnabled(LogLevel.InfoLevel))
        {
            Write(log, LogLevel.InfoLevel, cause, format, arg1, arg2, arg3, arg4);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.InfoLevel"/> with arguments.</summary>
    public static void Info<T1, T2, T3, T4, T5>(this ILoggingAdapter log, string format, T1 arg1, T2 arg2, T3 arg3, T4 arg4, T5 arg5)
    {
        if (log.IsEnabled(LogLevel.InfoLevel))
        {
            Write(log, LogLevel.InfoLevel, null, format, arg1, arg2, arg3, arg4, arg5);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.InfoLevel"/> with a cause and arguments.</summary>
    public static void Info<T1, T2, T3, T4, T5>(this ILoggingAdapter log, Exception? cause, string format, T1 arg1, T2 arg2, T3 arg3, T4 arg4, T5 arg5)
    {
        if (log.IsEnabled(LogLevel.InfoLevel))
        {
            Write(log, LogLevel.InfoLevel, cause, format, arg1, arg2, arg3, arg4, arg5);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.InfoLevel"/> with arguments.</summary>
    public static void Info<T1, T2, T3, T4, T5, T6>(this ILoggingAdapter log, string format, T1 arg1, T2 arg2, T3 arg3, T4 arg4, T5 arg5, T6 arg6)
    {
        if (log.IsEnabled(LogLevel.InfoLevel))
        {
            Write(log, LogLevel.InfoLevel, null, format, arg1, arg2, arg3, arg4, arg5, arg6);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.InfoLevel"/> with a cause and arguments.</summary>
    public static void Info<T1, T2, T3, T4, T5, T6>(this ILoggingAdapter log, Exception? cause, string format, T1 arg1, T2 arg2, T3 arg3, T4 arg4, T5 arg5, T6 arg6)
    {
        if (log.IsEnabled(LogLevel.InfoLevel))
        {
            Write(log, LogLevel.InfoLevel, cause, format, arg1, arg2, arg3, arg4, arg5, arg6);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.WarningLevel"/>.</summary>
    public static void Warning(this ILoggingAdapter log, string format) =>
        log.Log(LogLevel.WarningLevel, null, format);

    /// <summary>Logs at <see cref="LogLevel.WarningLevel"/> with a cause.</summary>
    public static void Warning(this ILoggingAdapter log, Exception? cause, string format) =>
        log.Log(LogLevel.WarningLevel, cause, format);

    /// <summary>Logs at <see cref="LogLevel.WarningLevel"/> with arguments.</summary>
    public static void Warning(this ILoggingAdapter log, string format, object[] args) =>
        Write(log, LogLevel.WarningLevel, null, format, args);

    /// <summary>Logs at <see cref="LogLevel.WarningLevel"/> with a cause and arguments.</summary>
    public static void Warning(this ILoggingAdapter log, Exception? cause, string format, object[] args) =>
        Write(log, LogLevel.WarningLevel, cause, format, args);

    /// <summary>Logs at <see cref="LogLevel.WarningLevel"/> with arguments.</summary>
    public static void Warning<T1>(this ILoggingAdapter log, string format, T1 arg1)
    {
        if (log.IsEnabled(LogLevel.WarningLevel))
        {
            Write(log, LogLevel.WarningLevel, null, format, arg1);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.WarningLevel"/> with a cause and arguments.</summary>
    public static void Warning<T1>(this ILoggingAdapter log, Exception? cause, string format, T1 arg1)
    {
        if (log.IsEnabled(LogLevel.WarningLevel))
        {
            Write(log, LogLevel.WarningLevel, cause, format, arg1);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.WarningLevel"/> with arguments.</summary>
    public static void Warning<T1, T2>(this ILoggingAdapter log, string format, T1 arg1, T2 arg2)
    {
        if (log.IsEnabled(LogLevel.WarningLevel))
        {
            Write(log, LogLevel.WarningLevel, null, format, arg1, arg2);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.WarningLevel"/> with a cause and arguments.</summary>
    public static void Warning<T1, T2>(this ILoggingAdapter log, Exception? cause, string format, T1 arg1, T2 arg2)
    {
        if (log.IsEnabled(LogLevel.WarningLevel))
        {
            Write(log, LogLevel.WarningLevel, cause, format, arg1, arg2);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.WarningLevel"/> with arguments.</summary>
    public static void Warning<T1, T2, T3>(this ILoggingAdapter log, string format, T1 arg1, T2 arg2, T3 arg3)
    {
        if (log.IsEnabled(LogLevel.WarningLevel))
        {
            Write(log, LogLevel.WarningLevel, null, format, arg1, arg2, arg3);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.WarningLevel"/> with a cause and arguments.</summary>
    public static void Warning<T1, T2, T3>(this ILoggingAdapter log, Exception? cause, string format, T1 arg1, T2 arg2, T3 arg3)
    {
        if (log.IsEnabled(LogLevel.WarningLevel))
        {
            Write(log, LogLevel.WarningLevel, cause, format, arg1, arg2, arg3);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.WarningLevel"/> with arguments.</summary>
    public static void Warning<T1, T2, T3, T4>(this ILoggingAdapter log, string format, T1 arg1, T2 arg2, T3 arg3, T4 arg4)
    {
        if (log.IsEnabled(LogLevel.WarningLevel))
        {
            Write(log, LogLevel.WarningLevel, null, format, arg1, arg2, arg3, arg4);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.WarningLevel"/> with a cause and arguments.</summary>
    public static void Warning<T1, T2, T3, T4>(this ILoggingAdapter log, Exception? cause, string format, T1 arg1, T2 arg2, T3 arg3, T4 arg4)
    {
        if (log.IsEnabled(LogLevel.WarningLevel))
        {
            Write(log, LogLevel.WarningLevel, cause, format, arg1, arg2, arg3, arg4);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.WarningLevel"/> with arguments.</summary>
    public static void Warning<T1, T2, T3, T4, T5>(this ILoggingAdapter log, string format, T1 arg1, T2 arg2, T3 arg3, T4 arg4, T5 arg5)
    {
        if (log.IsEnabled(LogLevel.WarningLevel))
        {
            Write(log, LogLevel.WarningLevel, null, format, arg1, arg2, arg3, arg4, arg5);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.WarningLevel"/> with a cause and arguments.</summary>
    public static void Warning<T1, T2, T3, T4, T5>(this ILoggingAdapter log, Exception? cause, string format, T1 arg1, T2 arg2, T3 arg3, T4 arg4, T5 arg5)
    {
        if (log.IsEnabled(LogLevel.WarningLevel))
        {
            Write(log, LogLevel.WarningLevel, cause, format, arg1, arg2, arg3, arg4, arg5);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.WarningLevel"/> with arguments.</summary>
    public static void Warning<T1, T2, T3, T4, T5, T6>(this ILoggingAdapter log, string format, T1 arg1, T2 arg2, T3 arg3, T4 arg4, T5 arg5, T6 arg6)
    {
        if (log.IsEnabled(LogLevel.WarningLevel))
        {
            Write(log, LogLevel.WarningLevel, null, format, arg1, arg2, arg3, arg4, arg5, arg6);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.WarningLevel"/> with a cause and arguments.</summary>
    public static void Warning<T1, T2, T3, T4, T5, T6>(this ILoggingAdapter log, Exception? cause, string format, T1 arg1, T2 arg2, T3 arg3, T4 arg4, T5 arg5, T6 arg6)
    {
        if (log.IsEnabled(LogLevel.WarningLevel))
        {
            Write(log, LogLevel.WarningLevel, cause, format, arg1, arg2, arg3, arg4, arg5, arg6);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.ErrorLevel"/>.</summary>
    public static void Error(this ILoggingAdapter log, string format) =>
        log.Log(LogLevel.ErrorLevel, null, format);

    /// <summary>Logs at <see cref="LogLevel.ErrorLevel"/> with a cause.</summary>
    public static void Error(this ILoggingAdapter log, Exception? cause, string format) =>
        log.Log(LogLevel.ErrorLevel, cause, format);

    /// <summary>Logs at <see cref="LogLevel.ErrorLevel"/> with arguments.</summary>
    public static void Error(this ILoggingAdapter log, string format, object[] args) =>
        Write(log, LogLevel.ErrorLevel, null, format, args);

    /// <summary>Logs at <see cref="LogLevel.ErrorLevel"/> with a cause and arguments.</summary>
    public static void Error(this ILoggingAdapter log, Exception? cause, string format, object[] args) =>
        Write(log, LogLevel.ErrorLevel, cause, format, args);

    /// <summary>Logs at <see cref="LogLevel.ErrorLevel"/> with arguments.</summary>
    public static void Error<T1>(this ILoggingAdapter log, string format, T1 arg1)
    {
        if (log.IsEnabled(LogLevel.ErrorLevel))
        {
            Write(log, LogLevel.ErrorLevel, null, format, arg1);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.ErrorLevel"/> with a cause and arguments.</summary>
    public static void Error<T1>(this ILoggingAdapter log, Exception? cause, string format, T1 arg1)
    {
        if (log.IsEnabled(LogLevel.ErrorLevel))
        {
            Write(log, LogLevel.ErrorLevel, cause, format, arg1);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.ErrorLevel"/> with arguments.</summary>
    public static void Error<T1, T2>(this ILoggingAdapter log, string format, T1 arg1, T2 arg2)
    {
        if (log.IsEnabled(LogLevel.ErrorLevel))
        {
            Write(log, LogLevel.ErrorLevel, null, format, arg1, arg2);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.ErrorLevel"/> with a cause and arguments.</summary>
    public static void Error<T1, T2>(this ILoggingAdapter log, Exception? cause, string format, T1 arg1, T2 arg2)
    {
        if (log.IsEnabled(LogLevel.ErrorLevel))
        {
            Write(log, LogLevel.ErrorLevel, cause, format, arg1, arg2);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.ErrorLevel"/> with arguments.</summary>
    public static void Error<T1, T2, T3>(this ILoggingAdapter log, string format, T1 arg1, T2 arg2, T3 arg3)
    {
        if (log.IsEnabled(LogLevel.ErrorLevel))
        {
            Write(log, LogLevel.ErrorLevel, null, format, arg1, arg2, arg3);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.ErrorLevel"/> with a cause and arguments.</summary>
    public static void Error<T1, T2, T3>(this ILoggingAdapter log, Exception? cause, string format, T1 arg1, T2 arg2, T3 arg3)
    {
        if (log.IsEnabled(LogLevel.ErrorLevel))
        {
            Write(log, LogLevel.ErrorLevel, cause, format, arg1, arg2, arg3);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.ErrorLevel"/> with arguments.</summary>
    public static void Error<T1, T2, T3, T4>(this ILoggingAdapter log, string format, T1 arg1, T2 arg2, T3 arg3, T4 arg4)
    {
        if (log.IsEnabled(LogLevel.ErrorLevel))
        {
            Write(log, LogLevel.ErrorLevel, null, format, arg1, arg2, arg3, arg4);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.ErrorLevel"/> with a cause and arguments.</summary>
    public static void Error<T1, T2, T3, T4>(this ILoggingAdapter log, Exception? cause, string format, T1 arg1, T2 arg2, T3 arg3, T4 arg4)
    {
        if (log.IsEnabled(LogLevel.ErrorLevel))
        {
            Write(log, LogLevel.ErrorLevel, cause, format, arg1, arg2, arg3, arg4);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.ErrorLevel"/> with arguments.</summary>
    public static void Error<T1, T2, T3, T4, T5>(this ILoggingAdapter log, string format, T1 arg1, T2 arg2, T3 arg3, T4 arg4, T5 arg5)
    {
        if (log.IsEnabled(LogLevel.ErrorLevel))
        {
            Write(log, LogLevel.ErrorLevel, null, format, arg1, arg2, arg3, arg4, arg5);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.ErrorLevel"/> with a cause and arguments.</summary>
    public static void Error<T1, T2, T3, T4, T5>(this ILoggingAdapter log, Exception? cause, string format, T1 arg1, T2 arg2, T3 arg3, T4 arg4, T5 arg5)
    {
        if (log.IsEnabled(LogLevel.ErrorLevel))
        {
            Write(log, LogLevel.ErrorLevel, cause, format, arg1, arg2, arg3, arg4, arg5);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.ErrorLevel"/> with arguments.</summary>
    public static void Error<T1, T2, T3, T4, T5, T6>(this ILoggingAdapter log, string format, T1 arg1, T2 arg2, T3 arg3, T4 arg4, T5 arg5, T6 arg6)
    {
        if (log.IsEnabled(LogLevel.ErrorLevel))
        {
            Write(log, LogLevel.ErrorLevel, null, format, arg1, arg2, arg3, arg4, arg5, arg6);
        }
    }

    /// <summary>Logs at <see cref="LogLevel.ErrorLevel"/> with a cause and arguments.</summary>
    public static void Error<T1, T2, T3, T4, T5, T6>(this ILoggingAdapter log, Exception? cause, string format, T1 arg1, T2 arg2, T3 arg3, T4 arg4, T5 arg5, T6 arg6)
    {
        if (log.IsEnabled(LogLevel.ErrorLevel))
        {
            Write(log, LogLevel.ErrorLevel, cause, format, arg1, arg2, arg3, arg4, arg5, arg6);
        }
    }

    /// <summary>Logs at a level.</summary>
    public static void Log(this ILoggingAdapter log, LogLevel level, string format) => log.Log(level, null, format);

    /// <summary>Logs at a level with arguments.</summary>
    public static void Log(this ILoggingAdapter log, LogLevel level, string format, object[] args) => Write(log, level, null, format, args);

    /// <summary>Logs at a level with a cause and arguments.</summary>
    public static void Log(this ILoggingAdapter log, LogLevel level, Exception? cause, string format, object[] args) => Write(log, level, cause, format, args);

    private static void Write(ILoggingAdapter log, LogLevel level, Exception? cause, string format, params object?[] args)
    {
        if (log.IsEnabled(level))
        {
            log.Log(level, cause, new FormattedLogMessage(log.Formatter, format, args));
        }
    }
}
