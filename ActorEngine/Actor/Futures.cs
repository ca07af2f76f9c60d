using Akka.Dispatch.SysMsg;

namespace Akka.Actor;

/// <summary>Asking: sending a message and getting the first reply as a task.</summary>
public static class Futures
{
    /// <summary>Asks with a time-out; null for the default of <c>akka.actor.ask-timeout</c>.</summary>
    public static Task<object> Ask(this ICanTell self, object message, TimeSpan? timeout = null) => Ask<object>(self, _ => message, timeout, CancellationToken.None);

    /// <summary>Asks until cancelled or timed out.</summary>
    public static Task<object> Ask(this ICanTell self, object message, CancellationToken cancellationToken) => Ask<object>(self, _ => message, null, cancellationToken);

    /// <summary>Asks until cancelled or timed out.</summary>
    public static Task<object> Ask(this ICanTell self, object message, TimeSpan? timeout, CancellationToken cancellationToken) =>
        Ask<object>(self, _ => message, timeout, cancellationToken);

    /// <summary>Asks for a reply of a type with a time-out; null for the default.</summary>
    public static Task<T> Ask<T>(this ICanTell self, object message, TimeSpan? timeout = null) => Send<T>(self, message, null, timeout, CancellationToken.None);

    /// <summary>Asks for a reply of a type until cancelled or timed out.</summary>
    public static Task<T> Ask<T>(this ICanTell self, object message, CancellationToken cancellationToken) => Send<T>(self, message, null, null, cancellationToken);

    /// <summary>Asks for a reply of a type until cancelled or timed out.</summary>
    public static Task<T> Ask<T>(this ICanTell self, object message, TimeSpan? timeout, CancellationToken cancellationToken) =>
        Send<T>(self, message, null, timeout, cancellationToken);

    /// <summary>Asks with a message that names the temporary reference that the reply goes to.</summary>
    /// <remarks>
    /// The task fails with <see cref="AskTimeoutException"/> in case of a time-out, with the cause of a <see cref="Status.Failure"/>,
    /// with <see cref="ArgumentException"/> when the reply is of another type, and is cancelled with the token.
    /// </remarks>
    public static Task<T> Ask<T>(this ICanTell self, Func<IActorRef, object> messageFactory, TimeSpan? timeout, CancellationToken cancellationToken) =>
        Send<T>(self, null, messageFactory, timeout, cancellationToken);

    private static Task<T> Send<T>(ICanTell self, object? message, Func<IActorRef, object>? factory, TimeSpan? timeout, CancellationToken cancellationToken)
    {
        var system = SystemOf(self) ?? throw new ArgumentException("Unable to resolve the target Provider", nameof(self));
        var future = new FutureActorRef<T>(system);
        message = factory is null ? message : factory(future);
        var limit = timeout ?? system.Settings.AskTimeout;
        future.Arm(limit, cancellationToken, self);
        self.Tell(message!, future);
        return future.Task;
    }

    private static ActorSystemImpl? SystemOf(ICanTell target) => target switch
    {
        LocalActorRef local => local.Cell.SystemImpl,
        ISystemBound bound => bound.System,
        ActorSelection selection => SystemOf(selection.Anchor),
        _ => ActorCell.Current?.SystemImpl,
    };
}

/// <summary>A reference that knows its system.</summary>
internal interface ISystemBound
{
    ActorSystemImpl System { get; }
}

/// <summary>The temporary reference of one ask. It lies in the tree below /temp only once somebody looks at its path.</summary>
internal sealed class FutureActorRef<T>(ActorSystemImpl system) : MinimalActorRef, ISystemBound
{
    private readonly TaskCompletionSource<T> _result = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly ActorSystemImpl _system = system;
    private ActorPath? _path;
    private Timer? _timer;
    private CancellationTokenRegistration _registration;
    private HashSet<IActorRef>? _watchedBy;
    private bool _done;

    public Task<T> Task => _result.Task;

    public ActorSystemImpl System => _system;

    public override IInternalActorRef Parent => _system.Provider.TempContainer;

    public override bool IsTerminated => _result.Task.IsCompleted;

    public override ActorPath Path
    {
        get
        {
            if (_path is null)
            {
                var path = _system.Provider.TempPath();
                if (Interlocked.CompareExchange(ref _path, path, null) is null)
                {
                    _system.Provider.TempContainer.Add(path.Name, this);
                    if (IsTerminated)
                    {
                        _system.Provider.TempContainer.Remove(path.Name);
                    }
                }
            }

            return _path;
        }
    }

    public void Arm(TimeSpan limit, CancellationToken cancellationToken, ICanTell target)
    {
        if (cancellationToken.CanBeCanceled)
        {
            _registration = cancellationToken.UnsafeRegister(
                static (state, token) => ((FutureActorRef<T>)state!).Cancel(token), this);
        }

        if (limit != Timeout.InfiniteTimeSpan && limit >= TimeSpan.Zero)
        {
            _timer = new Timer(
                static state =>
                {
                    var (future, target, limit) = ((FutureActorRef<T>, ICanTell, TimeSpan))state!;
                    if (future._result.TrySetException(new AskTimeoutException($"Timeout after {limit} seconds while waiting for a reply from {target}")))
                    {
                        future.End();
                    }
                },
                (this, target, limit),
                limit,
                Timeout.InfiniteTimeSpan);
            if (IsTerminated)
            {
                _timer.Dispose();
            }
        }
    }

    public override void SendSystemMessage(SystemMessage message)
    {
        switch (message)
        {
            case Watch watch when watch.Watchee.Equals(this):
                bool gone;
                lock (_result)
                {
                    gone = _done;
                    if (!gone)
                    {
                        (_watchedBy ??= []).Add(watch.Watcher);
                    }
                }

                if (gone)
                {
                    watch.Watcher.SendSystemMessage(new DeathWatchNotification(this, existenceConfirmed: true, addressTerminated: false));
                }

                break;
            case Unwatch unwatch:
                lock (_result)
                {
                    _watchedBy?.Remove(unwatch.Watcher);
                }

                break;
            default:
                break;
        }
    }

    protected override void TellInternal(object message, IActorRef? sender)
    {
        bool first;
        switch (message)
        {
            case T typed:
                // Who asks for any object gets a failure as a message, too.
                first = _result.TrySetResult(typed);
                break;
            case Status.Failure failure:
                first = _result.TrySetException(failure.Cause ?? new TaskCanceledException("Task cancelled by actor via Failure message."));
                break;
            default:
                if (_result.TrySetException(new ArgumentException($"Received message of type [{message.GetType()}] - Ask expected message of type [{typeof(T)}]")))
                {
                    End();
                }

                // Nobody sees the message, whether it came first or late.
                first = false;
                break;
        }

        if (first)
        {
            End();
        }
        else if (!_result.Task.IsCanceled)
        {
            _system.DeadLetterUserMessage(message, sender, this);
        }
    }

    private void Cancel(CancellationToken token)
    {
        if (_result.TrySetCanceled(token))
        {
            End();
        }
    }

    private void End()
    {
        _timer?.Dispose();
        _registration.Unregister();
        if (_path is not null)
        {
            _system.Provider.TempContainer.Remove(_path.Name);
        }

        HashSet<IActorRef>? watchers;
        lock (_result)
        {
            _done = true;
            watchers = _watchedBy;
            _watchedBy = null;
        }

        foreach (var watcher in watchers ?? [])
        {
            ((IInternalActorRef)watcher).SendSystemMessage(new DeathWatchNotification(this, existenceConfirmed: true, addressTerminated: false));
        }
    }
}

/// <summary>Sending the outcome of a task as a message.</summary>
public static class PipeToSupport
{
    /// <summary>Sends the result, or <see cref="Status.Failure"/>, to <paramref name="recipient"/>.</summary>
    /// <param name="taskToPipe">The task.</param>
    /// <param name="recipient">Who gets it.</param>
    /// <param name="sender">The sender; null for none.</param>
    /// <param name="success">Makes the message from the result; null for the result itself.</param>
    /// <param name="failure">Makes the message from the exception; null for <see cref="Status.Failure"/>.</param>
    public static Task PipeTo<T>(this Task<T> taskToPipe, ICanTell recipient, IActorRef? sender = null, Func<T, object>? success = null, Func<Exception, object>? failure = null) =>
        PipeTo(taskToPipe, recipient, false, sender, success, failure);

    /// <summary>As the other, with a choice whether to come back to the caller's context.</summary>
    public static async Task PipeTo<T>(
        this Task<T> taskToPipe, ICanTell recipient, bool useConfigureAwait, IActorRef? sender = null, Func<T, object>? success = null, Func<Exception, object>? failure = null)
    {
        try
        {
            var result = await taskToPipe.ConfigureAwait(useConfigureAwait);
            recipient.Tell(success is null ? result! : success(result), sender!);
        }
        catch (Exception e)
        {
            recipient.Tell(failure is null ? new Status.Failure(e) : failure(e), sender!);
        }
    }

    /// <summary>Sends the result, or <see cref="Status.Failure"/>, to <paramref name="recipient"/>.</summary>
    public static Task PipeTo<T>(this ValueTask<T> taskToPipe, ICanTell recipient, IActorRef? sender = null, Func<T, object>? success = null, Func<Exception, object>? failure = null) =>
        PipeTo(taskToPipe.AsTask(), recipient, false, sender, success, failure);

    /// <summary>As the other, with a choice whether to come back to the caller's context.</summary>
    public static Task PipeTo<T>(
        this ValueTask<T> taskToPipe, ICanTell recipient, bool useConfigureAwait, IActorRef? sender = null, Func<T, object>? success = null, Func<Exception, object>? failure = null) =>
        PipeTo(taskToPipe.AsTask(), recipient, useConfigureAwait, sender, success, failure);

    /// <summary>Sends what <paramref name="success"/> makes, or nothing; in case of failure <see cref="Status.Failure"/>.</summary>
    public static Task PipeTo(this ValueTask taskToPipe, ICanTell recipient, IActorRef? sender = null, Func<object>? success = null, Func<Exception, object>? failure = null) =>
        PipeTo(taskToPipe.AsTask(), recipient, false, sender, success, failure);

    /// <summary>As the other, with a choice whether to come back to the caller's context.</summary>
    public static Task PipeTo(
        this ValueTask taskToPipe, ICanTell recipient, bool useConfigureAwait, IActorRef? sender = null, Func<object>? success = null, Func<Exception, object>? failure = null) =>
        PipeTo(taskToPipe.AsTask(), recipient, useConfigureAwait, sender, success, failure);

    /// <summary>Sends what <paramref name="success"/> makes, or nothing; in case of failure <see cref="Status.Failure"/>.</summary>
    public static Task PipeTo(this Task taskToPipe, ICanTell recipient, IActorRef? sender = null, Func<object>? success = null, Func<Exception, object>? failure = null) =>
        PipeTo(taskToPipe, recipient, false, sender, success, failure);

    /// <summary>As the other, with a choice whether to come back to the caller's context.</summary>
    public static async Task PipeTo(
        this Task taskToPipe, ICanTell recipient, bool useConfigureAwait, IActorRef? sender = null, Func<object>? success = null, Func<Exception, object>? failure = null)
    {
        try
        {
            await taskToPipe.ConfigureAwait(useConfigureAwait);
            if (success is not null)
            {
                recipient.Tell(success(), sender!);
            }
        }
        catch (Exception e)
        {
            recipient.Tell(failure is null ? new Status.Failure(e) : failure(e), sender!);
        }
    }
}

/// <summary>Stopping an actor and waiting for its end.</summary>
public static class GracefulStopSupport
{
    /// <summary>Sends a <see cref="PoisonPill"/> and waits for the end.</summary>
    /// <exception cref="TaskCanceledException">The actor did not end in time.</exception>
    public static Task<bool> GracefulStop(this IActorRef target, TimeSpan timeout) => GracefulStop(target, timeout, PoisonPill.Instance);

    /// <summary>Sends a message that makes the actor stop and waits for the end; true when it came.</summary>
    /// <exception cref="TaskCanceledException">The actor did not end in time.</exception>
    public static async Task<bool> GracefulStop(this IActorRef target, TimeSpan timeout, object stopMessage)
    {
        var subject = (IInternalActorRef)target;
        var waiter = new TerminationWaiter(target);
        subject.SendSystemMessage(new Watch(subject, waiter));
        target.Tell(stopMessage, ActorRefs.NoSender!);
        try
        {
            await waiter.Task.WaitAsync(timeout).ConfigureAwait(false);
            return true;
        }
        catch (TimeoutException)
        {
            subject.SendSystemMessage(new Unwatch(subject, waiter));
            throw new TaskCanceledException($"{target} did not stop within {timeout}");
        }
    }
}
