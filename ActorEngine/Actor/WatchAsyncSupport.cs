using Akka.Dispatch.SysMsg;

namespace Akka.Actor;

/// <summary>Waiting for the end of an actor, from anywhere.</summary>
public static class WatchAsyncSupport
{
    /// <summary>Watches an actor: true when it has ended. The watch itself ends with the token, and the task is cancelled then.</summary>
    public static async Task<bool> WatchAsync(this IActorRef target, CancellationToken token = default)
    {
        var subject = (IInternalActorRef)target;
        var waiter = new TerminationWaiter(target);
        subject.SendSystemMessage(new Watch(subject, waiter));
        try
        {
            await waiter.Task.WaitAsync(token).ConfigureAwait(false);
            return true;
        }
        catch (OperationCanceledException)
        {
            subject.SendSystemMessage(new Unwatch(subject, waiter));
            throw;
        }
    }
}

/// <summary>A reference that watches one actor.</summary>
internal sealed class TerminationWaiter(IActorRef target) : MinimalActorRef
{
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public Task Task => _ended.Task;

    public override ActorPath Path { get; } = new RootActorPath(target.Path.Address) / "temp" / ("watch-" + ActorCell.NewUid().ToString(global::System.Globalization.CultureInfo.InvariantCulture));

    public override void SendSystemMessage(SystemMessage message)
    {
        if (message is DeathWatchNotification notification && notification.Actor.Equals(target))
        {
            _ended.TrySetResult();
        }
    }
}
