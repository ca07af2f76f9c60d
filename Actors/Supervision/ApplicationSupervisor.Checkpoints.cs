using Akka.Actor;
using Akka.Event;
using Holdfast.Actors.Checkpoint;
using Holdfast.Actors.Restore;
using Holdfast.KernelBridge;

namespace Holdfast.Actors.Supervision;

/// <content>Checkpoints: one at a time, tried again where a moment stood in the way.</content>
public sealed partial class ApplicationSupervisor
{
    private void BeginCheckpoint(TakeCheckpoint message, IActorRef asker, bool periodic)
    {
        _checkpoint = new CheckpointUnderWay(message, asker, periodic) { Began = _services.Time.GetTimestamp() };
        if (MayPreCopy(message))
        {
            ConsiderPreCopy();
            return;
        }

        _checkpoint.Coordinator = StartCoordinator(message);
    }

    private IActorRef StartCoordinator(TakeCheckpoint message)
    {
        CheckpointRequest request = new(
            _services.Bridge, _application!.Target, _services.Store, _services.Host, _services.Checkpoints, _services.Time, message);
        _crash = null;
        return Context.Watch(Context.ActorOf(ActorProps.Of(() => new CheckpointCoordinator(request)), $"checkpoint-{++_coordinatorNumber}"));
    }

    private void CallOff()
    {
        if (_checkpoint is not null)
        {
            _checkpoint.CalledOff = true;
            _checkpoint.Coordinator?.Tell(new CancelCheckpoint());
        }
    }

    private bool MayTryAgain(CheckpointUnderWay checkpoint) =>
        !checkpoint.CalledOff && !_killing && _status is null && _services.Time.GetElapsedTime(checkpoint.Began) < _services.Checkpoints.RetryFor;

    /// <summary>What was refused because of a moment is asked for again in another one.</summary>
    private void TryAgain()
    {
        if (_checkpoint is not { Refused: { } refused } checkpoint)
        {
            return;
        }

        checkpoint.Refused = null;
        if (MayTryAgain(checkpoint))
        {
            checkpoint.Coordinator = StartCoordinator(checkpoint.Message);
            return;
        }

        Conclude(refused);
        CheckpointIsOver();
    }

    /// <summary>Tells the outcome as soon as it is known: a thread that hangs in the kernel must not keep the asker waiting.</summary>
    private void Conclude(object outcome)
    {
        if (_checkpoint is not { Concluded: false } checkpoint || ConcludeRound(checkpoint, outcome))
        {
            return;
        }

        if (outcome is CheckpointFailed { Failure.IsOfAMoment: true } refused && MayTryAgain(checkpoint))
        {
            checkpoint.Refused = refused;
            return;
        }

        checkpoint.Concluded = true;
        if (checkpoint.PreCopy is { Snapshots: { Count: > 0 } rounds } preCopy)
        {
            ISnapshotStore store = _services.Store;
            outcome = outcome is CheckpointTaken taken ? taken with { PreCopy = preCopy.Report } : outcome;
            _beforeKill = () => RemoveRounds(store, rounds);
            if (outcome is not CheckpointTaken)
            {
                Attempt(RemoveRoundsNow(), _ => new RoundsRemoved());
            }
        }

        if (checkpoint.Message.EndAfterwards && outcome is CheckpointTaken)
        {
            // Its processes are dead already; what is left of its space goes now, and only then is the asker told.
            _answersOfEnd.Add((checkpoint.Asker, outcome));
            BeginKill();
            return;
        }

        if (checkpoint.Periodic)
        {
            Context.System.EventStream.Publish(new PeriodicCheckpointDone(outcome));
        }

        checkpoint.Asker.Tell(outcome);
    }

    private void EndCheckpoint()
    {
        if (_checkpoint is { Refused: not null } refused)
        {
            Timers.StartSingleTimer("again", new TryCheckpointAgain(), TimeSpan.FromMilliseconds(Math.Min(500, 20 << Math.Min(10, refused.Attempts++))));
            return;
        }

        if (_checkpoint is { RoundIsOver: false })
        {
            Conclude(new CheckpointFailed(
                _crash ?? new OperationFailure("Checkpoint", OperationFailure.InternalCode, "the coordinator stopped without an outcome")));
        }

        if (_checkpoint is { RoundIsOver: true } round)
        {
            GoOnFrom(round);
            return;
        }

        CheckpointIsOver();
    }

    private void CheckpointIsOver()
    {
        _checkpoint = null;
        EndIfAllIsOver();
        Stash.UnstashAll();
    }

    private sealed record TryCheckpointAgain;

    private sealed record CheckpointUnderWay(TakeCheckpoint Message, IActorRef Asker, bool Periodic)
    {
        /// <summary>Since when it is tried.</summary>
        public required long Began { get; set; }

        /// <summary>The present one; each attempt has its own. Null before the first.</summary>
        public IActorRef? Coordinator { get; set; }

        /// <summary>Rounds before it; null for none.</summary>
        public PreCopy? PreCopy { get; set; }

        /// <summary>No round is under way or to come.</summary>
        public bool RoundsAreOver { get; set; }

        /// <summary>The outcome of the present round is known, and its threads are to end.</summary>
        public bool RoundIsOver { get; set; }

        public bool Concluded { get; set; }

        public bool CalledOff { get; set; }

        /// <summary>How often it was tried again.</summary>
        public int Attempts { get; set; }

        /// <summary>Why it was refused, while it is to be tried again.</summary>
        public CheckpointFailed? Refused { get; set; }
    }
}
