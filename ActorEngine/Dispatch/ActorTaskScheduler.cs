using Akka.Actor;
using Akka.Dispatch.SysMsg;

namespace Akka.Dispatch;

/// <summary>Runs what follows an await in a handler as the actor: never beside another of its handlers, with its context, on its dispatcher.</summary>
public class ActorTaskScheduler : TaskScheduler
{
    private readonly ActorCell _cell;

    internal ActorTaskScheduler(ActorCell cell) => _cell = cell;

    /// <summary>The message whose handler is under way; null when none is.</summary>
    public object CurrentMessage => _cell.Invocation?.Envelope.Message!;

    /// <inheritdoc/>
    public override int MaximumConcurrencyLevel => 1;

    /// <summary>Runs an asynchronous operation as the actor at hand, which handles no further message until it is through.</summary>
    /// <exception cref="InvalidOperationException">Not called from an actor.</exception>
    public static void RunTask(Func<Task> asyncAction)
    {
        var cell = ActorCell.Current ?? throw new InvalidOperationException("RunTask must be called from an actor context.");
        cell.RunTask(asyncAction);
    }

    /// <summary>Runs a delegate, which may be an async void one, as the actor at hand.</summary>
    /// <exception cref="InvalidOperationException">Not called from an actor.</exception>
    public static void RunTask(Action action) => RunTask(() =>
    {
        action();
        return Task.CompletedTask;
    });

    internal void Run(Task task) => TryExecuteTask(task);

    /// <inheritdoc/>
    protected override IEnumerable<Task> GetScheduledTasks() => [];

    /// <inheritdoc/>
    protected override void QueueTask(Task task) =>
        _cell.SendSystemMessage(new ActorTask(task, _cell.Invocation ?? new AsyncInvocation(_cell.CurrentEnvelope)));

    /// <inheritdoc/>
    protected override bool TryExecuteTaskInline(Task task, bool taskWasPreviouslyQueued) =>
        !taskWasPreviouslyQueued && ReferenceEquals(ActorCell.Current, _cell) && TryExecuteTask(task);
}
