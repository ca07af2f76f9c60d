using Akka.Actor;
using Akka.Dispatch;

namespace Akka.Event;

/// <summary>The queue of a logger.</summary>
public interface ILoggerMessageQueueSemantics : ISemantics
{
}

/// <summary>The first message to a logger; it answers with <see cref="LoggerInitialized"/>.</summary>
public class InitializeLogger : INoSerializationVerificationNeeded
{
    /// <summary>Creates one.</summary>
    public InitializeLogger(LoggingBus loggingBus) => LoggingBus = loggingBus;

    /// <summary>The bus it is for.</summary>
    public LoggingBus LoggingBus { get; }
}

/// <summary>A logger's answer to <see cref="InitializeLogger"/>.</summary>
public class LoggerInitialized : INoSerializationVerificationNeeded, IDeadLetterSuppression
{
}

/// <summary>Writes events to the standard output.</summary>
public class DefaultLogger : ActorBase, IRequiresMessageQueue<ILoggerMessageQueueSemantics>
{
    /// <inheritdoc/>
#nullable disable annotations
    protected override bool Receive(object message)
#nullable restore annotations
    {
        switch (message)
        {
            case InitializeLogger:
                Sender.Tell(new LoggerInitialized());
                return true;
            case LogEvent @event:
                Print(@event);
                return true;
            default:
                return false;
        }
    }

    /// <summary>Writes an event.</summary>
    protected virtual void Print(LogEvent logEvent) => StandardOut.Print(logEvent);
}

/// <summary>Writes events before the loggers are there and after they are gone.</summary>
internal static class StandardOut
{
    public static void Print(LogEvent logEvent) => Console.Out.WriteLine(logEvent.ToString());
}

/// <summary>A subscriber that writes to the standard output at once.</summary>
internal sealed class StandardOutRef : MinimalActorRef
{
    public override ActorPath Path { get; } = new RootActorPath(new Address("akka", "all-systems")) / "StandardOutLogger";

    protected override void TellInternal(object message, IActorRef? sender)
    {
        if (message is LogEvent @event)
        {
            StandardOut.Print(@event);
        }
    }
}
