using Akka.Actor;
using Holdfast.Actors.Checkpoint;
using Holdfast.Actors.Restore;
using Holdfast.KernelBridge;

namespace Holdfast.Actors.Supervision;

/// <summary>Memory that is loaded while the application runs already. A checkpoint waits for the end of that.</summary>
public sealed partial class ApplicationSupervisor
{
    private readonly List<(TakeCheckpoint Message, IActorRef Asker)> _awaitingMemory = [];
    private IMemoryLoading? _loading;
    private IActorRef _loader = ActorRefs.Nobody;

    // Why what is missing cannot be loaded by this supervisor.
    private OperationFailure? _held;

    private void BeginLoading(IMemoryLoading loading)
    {
        _loading = loading;
        TimeProvider time = _services.Time;
        _loader = Context.ActorOf(ActorProps.Of(() => new LoadingThread(loading, time)).WithDispatcher(ActorProps.PinnedDispatcher), $"loading-{++_coordinatorNumber}");
    }

    private void LoadingIsDone()
    {
        _loading = null;
        if (_application is not null)
        {
            _services.Host.MemoryLoaded();
        }

        foreach ((TakeCheckpoint message, IActorRef asker) in _awaitingMemory)
        {
            Self.Tell(message, asker);
        }

        _awaitingMemory.Clear();
        Timers.Cancel("memory");
    }

    /// <summary>An application that cannot have its memory must not run on: it would wait for ever, or be wrong.</summary>
    private void LoseMemory(Exception cause)
    {
        _loading = null;
        OperationFailure failure = OperationFailure.From("Loading", cause);
        if (failure.Code == "init.gone")
        {
            // It has ended; Exited says how.
            return;
        }

        _services.Host.MemoryLost(failure);
        RefuseWaiting(failure);
        _held = failure;
        BeginKill();
    }

    /// <summary>Puts a checkpoint off until everything is in place.</summary>
    /// <returns>False when nothing is missing.</returns>
    private bool AwaitMemory(TakeCheckpoint message)
    {
        if (_held is { } held)
        {
            Sender.Tell(new CheckpointFailed(held));
            return true;
        }

        if (_loading is not { } loading)
        {
            return false;
        }

        loading.Hurry();
        if (_awaitingMemory.Count == 0)
        {
            Timers.StartSingleTimer("memory", new MemoryTookTooLong(), message.Timeout ?? _services.Checkpoints.Timeout);
        }

        _awaitingMemory.Add((message, Sender));
        return true;
    }

    private void MemoryTakesTooLong() => RefuseWaiting(new OperationFailure(
        "Loading", OperationFailure.TimeoutCode, $"the memory of the application is still being loaded ({_loading?.Progress.Percent} %); try again, or give it more time"));

    private void RefuseWaiting(OperationFailure failure)
    {
        foreach ((_, IActorRef asker) in _awaitingMemory)
        {
            asker.Tell(new CheckpointFailed(failure));
        }

        _awaitingMemory.Clear();
        Timers.Cancel("memory");
    }

    private void StopLoading()
    {
        _loading = null;
        if (!_loader.IsNobody())
        {
            Context.Stop(_loader);
        }
    }

    private sealed record MemoryTookTooLong;
}
