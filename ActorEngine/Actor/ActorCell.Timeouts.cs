using Akka.Dispatch;
using Akka.Dispatch.SysMsg;

namespace Akka.Actor;

internal sealed partial class ActorCell
{
    private TimeSpan? _receiveTimeout;
    private ICancelable? _receiveTimeoutTask;
    private ActorTaskScheduler? _taskScheduler;
    private AsyncInvocation? _invocation;

    public TimeSpan? ReceiveTimeout => _receiveTimeout;

    public void SetReceiveTimeout(TimeSpan? timeout)
    {
        _receiveTimeout = timeout is { } span && span > TimeSpan.Zero ? span : null;
        CancelReceiveTimeout();
    }

    // The message that the engine itself sends must not start the next period before it was handled.
    private static bool InfluencesTimeout(object message) =>
        message is not INotInfluenceReceiveTimeout && (message is not TimerMessage timer || timer.Message is not INotInfluenceReceiveTimeout);

    private void CheckReceiveTimeout()
    {
        CancelReceiveTimeout();
        if (_receiveTimeout is { } timeout && !IsTerminated)
        {
            _receiveTimeoutTask = _system.Scheduler.ScheduleTellOnceCancelable(timeout, _self, Akka.Actor.ReceiveTimeout.Instance, _self);
        }
    }

    private void CancelReceiveTimeout()
    {
        _receiveTimeoutTask?.Cancel();
        _receiveTimeoutTask = null;
    }

    internal ActorTaskScheduler TaskScheduler => _taskScheduler ??= new ActorTaskScheduler(this);

    internal AsyncInvocation? Invocation => _invocation;

    /// <summary>Starts an asynchronous handler; until it is through, the actor handles no further message.</summary>
    internal void RunTask(Func<Task> handler)
    {
        var invocation = new AsyncInvocation(CurrentEnvelope);
        _invocation = invocation;
        var outer = new Task<Task>(handler);
        outer.RunSynchronously(TaskScheduler);
        var task = outer.IsCompletedSuccessfully ? outer.Result ?? Task.CompletedTask : outer;
        if (task.IsCompleted)
        {
            _invocation = null;
            task.GetAwaiter().GetResult();
            return;
        }

        _mailbox.SuspendForTask();
        task.ContinueWith(
            static (done, state) =>
            {
                var (cell, invocation) = ((ActorCell, AsyncInvocation))state!;
                var failure = done.IsFaulted ? done.Exception!.InnerException ?? done.Exception : done.IsCanceled ? new TaskCanceledException(done) : null;
                cell.SendSystemMessage(new ActorTaskDone(invocation, failure));
            },
            (this, invocation),
            CancellationToken.None,
            TaskContinuationOptions.ExecuteSynchronously,
            global::System.Threading.Tasks.TaskScheduler.Default);
    }

    private void RunTaskPart(ActorTask part)
    {
        var message = _message;
        var sender = _sender;
        _message = part.Invocation.Envelope.Message;
        _sender = part.Invocation.Envelope.Sender;
        try
        {
            TaskScheduler.Run(part.Task);
        }
        finally
        {
            if (!ReferenceEquals(part.Invocation, _invocation))
            {
                _message = message;
                _sender = sender;
            }
        }
    }

    private void FinishTask(ActorTaskDone done)
    {
        if (!ReferenceEquals(done.Invocation, _invocation))
        {
            return;
        }

        _invocation = null;
        _mailbox.ResumeAfterTask();
        _message = done.Invocation.Envelope.Message;
        _sender = done.Invocation.Envelope.Sender;
        if (done.Failure is not null)
        {
            HandleInvokeFailure(done.Failure);
        }
        else
        {
            _message = null;
            _sender = null;
        }

        CheckReceiveTimeout();
    }
}

/// <summary>One run of an asynchronous handler: the message it belongs to.</summary>
internal sealed class AsyncInvocation(Envelope envelope)
{
    public Envelope Envelope { get; } = envelope;
}
