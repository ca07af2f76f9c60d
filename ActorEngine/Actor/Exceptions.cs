namespace Akka.Actor;

/// <summary>Base of the engine's exceptions.</summary>
public abstract class AkkaException : Exception
{
    /// <summary>Creates one without a message.</summary>
    protected AkkaException()
    {
    }

    /// <summary>Creates one with a message and a cause.</summary>
    protected AkkaException(string? message, Exception? cause = null)
        : base(message, cause)
    {
    }

    /// <summary>What caused it, or null.</summary>
    protected Exception? Cause => InnerException;
}

/// <summary>A message is null or cannot be sent.</summary>
public class InvalidMessageException : AkkaException
{
    /// <summary>Creates one.</summary>
    public InvalidMessageException()
        : this("Message is null")
    {
    }

    /// <summary>Creates one with a message.</summary>
    public InvalidMessageException(string message)
        : base(message)
    {
    }
}

/// <summary>An actor could not be created or started.</summary>
public class ActorInitializationException : AkkaException
{
    /// <summary>Creates one.</summary>
    public ActorInitializationException()
    {
    }

    /// <summary>Creates one with a message.</summary>
    public ActorInitializationException(string message)
        : base(message)
    {
    }

    /// <summary>Creates one with a message and a cause.</summary>
    public ActorInitializationException(string message, Exception cause)
        : base(message, cause)
    {
    }

    /// <summary>Creates one for an actor.</summary>
    public ActorInitializationException(IActorRef? actor, string message, Exception? cause = null)
        : base(message, cause) => Actor = actor!;

    /// <summary>The actor that failed.</summary>
    public IActorRef Actor { get; set; } = null!;

    /// <inheritdoc/>
    public override string ToString() => Actor is null ? base.ToString() : Actor + ": " + base.ToString();
}

/// <summary>An actor received <see cref="Kill"/>.</summary>
public class ActorKilledException : AkkaException
{
    /// <summary>Creates one.</summary>
    public ActorKilledException()
    {
    }

    /// <summary>Creates one with a message.</summary>
    public ActorKilledException(string message)
        : base(message)
    {
    }
}

/// <summary>No actor answered to a selection.</summary>
public class ActorNotFoundException : AkkaException
{
    /// <summary>Creates one.</summary>
    public ActorNotFoundException()
    {
    }

    /// <summary>Creates one with a message.</summary>
    public ActorNotFoundException(string message, Exception? innerException = null)
        : base(message, innerException)
    {
    }
}

/// <summary>No reply came in time.</summary>
public class AskTimeoutException : AkkaException
{
    /// <summary>Creates one with a message.</summary>
    public AskTimeoutException(string message)
        : base(message)
    {
    }
}

/// <summary>An actor watched another and did not handle its <see cref="Terminated"/>.</summary>
public class DeathPactException : AkkaException
{
    /// <summary>Creates one for the dead actor.</summary>
    public DeathPactException(IActorRef deadActor)
        : base("Monitored actor [" + deadActor + "] terminated") => DeadActor = deadActor;

    /// <summary>The actor that died.</summary>
    public IActorRef DeadActor { get; }
}

/// <summary>A name is not unique among its siblings.</summary>
public class InvalidActorNameException : AkkaException
{
    /// <summary>Creates one with a message.</summary>
    public InvalidActorNameException(string message)
        : base(message)
    {
    }

    /// <summary>Creates one with a message and a cause.</summary>
    public InvalidActorNameException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}

/// <summary>A name holds characters that names may not hold.</summary>
public class IllegalActorNameException : AkkaException
{
    /// <summary>Creates one with a message.</summary>
    public IllegalActorNameException(string message)
        : base(message)
    {
    }
}

/// <summary>An operation does not fit the state the actor is in.</summary>
public class IllegalActorStateException : AkkaException
{
    /// <summary>Creates one with a message.</summary>
    public IllegalActorStateException(string message)
        : base(message)
    {
    }
}

/// <summary><see cref="ActorBase.PostRestart"/> or the constructor of a restarted actor threw.</summary>
public class PostRestartException : ActorInitializationException
{
    /// <summary>Creates one.</summary>
    public PostRestartException(IActorRef actor, Exception cause, Exception originalCause)
        : base(actor, $"Exception post restart ({(originalCause is null ? "null" : originalCause.GetType().ToString())})", cause) =>
        OriginalCause = originalCause!;

    /// <summary>What led to the restart.</summary>
    public Exception OriginalCause { get; }
}

/// <summary><see cref="ActorBase.PreRestart"/> threw.</summary>
public class PreRestartException : ActorInitializationException
{
    /// <summary>Creates one.</summary>
    public PreRestartException(IActorRef actor, Exception restartException, Exception cause, object? optionalMessage)
        : base(actor, $"Exception in PreRestart(exception = {cause?.GetType().ToString() ?? "null"}, message = {optionalMessage?.ToString() ?? "null"})", restartException)
    {
        RestartException = restartException;
        OptionalMessage = optionalMessage!;
    }

    /// <summary>What the hook threw.</summary>
    public Exception RestartException { get; }

    /// <summary>The message that the actor failed on, or null.</summary>
    public object OptionalMessage { get; }
}

/// <summary>A logger did not start in time.</summary>
public class LoggerInitializationException : AkkaException
{
    /// <summary>Creates one.</summary>
    public LoggerInitializationException()
    {
    }

    /// <summary>Creates one with a message.</summary>
    public LoggerInitializationException(string message)
        : base(message)
    {
    }

    /// <summary>Creates one with a message and a cause.</summary>
    public LoggerInitializationException(string message, Exception? cause = null)
        : base(message, cause)
    {
    }
}

/// <summary>The scheduler cannot take a task.</summary>
public sealed class SchedulerException : AkkaException
{
    /// <summary>Creates one with a message.</summary>
    public SchedulerException(string message)
        : base(message)
    {
    }
}

/// <summary>A stash is full.</summary>
public class StashOverflowException : AkkaException
{
    /// <summary>Creates one with a message.</summary>
    public StashOverflowException(string message, Exception? cause = null)
        : base(message, cause)
    {
    }
}
