using Akka.Actor;
using Akka.Event;
using Holdfast.Actors.Checkpoint;
using Holdfast.KernelBridge;
using Holdfast.Snapshots;

namespace Holdfast.Actors.Supervision;

/// <content>
/// Rounds before a checkpoint with which the application ends. They are snapshots as others are, which go when the last one is there: should the supervisor die in
/// between, they stay, and are good.
/// </content>
public sealed partial class ApplicationSupervisor
{
    /// <summary>The tag of a round's snapshot.</summary>
    public const string PreCopyTag = "pre-copy";

    private bool MayPreCopy(TakeCheckpoint message) =>
        message is { EndAfterwards: true, Full: false } && _services.Checkpoints is { PreCopyRounds: > 0, TrackWrites: not WriteTracking.Off };

    /// <summary>Asks how much memory there is; little is stored at once.</summary>
    private void ConsiderPreCopy()
    {
        (IKernelBridge bridge, ApplicationTarget target) = (_services.Bridge, _application!.Target);
        Attempt(() => new MemoryMeasured(bridge.PrivateMemory(target)), _ => new MemoryMeasured(0));
    }

    private void BeginPreCopy(MemoryMeasured measured)
    {
        if (_checkpoint is not { Coordinator: null } checkpoint)
        {
            return;
        }

        if (checkpoint.CalledOff)
        {
            Conclude(new CheckpointFailed(new OperationFailure("Prepare", OperationFailure.CancelledCode, "the checkpoint was called off")));
            CheckpointIsOver();
            return;
        }

        if (measured.Bytes >= _services.Checkpoints.PreCopyFrom)
        {
            checkpoint.PreCopy = new PreCopy(_services.Checkpoints.PreCopyRounds, _services.Time);
        }

        checkpoint.Coordinator = StartCoordinator(NextOf(checkpoint));
    }

    /// <summary>The next round, or the checkpoint itself.</summary>
    private TakeCheckpoint NextOf(CheckpointUnderWay checkpoint)
    {
        if (checkpoint.PreCopy is not { } rounds || checkpoint.RoundsAreOver)
        {
            return checkpoint.Message;
        }

        rounds.Begin();
        return new TakeCheckpoint(Timeout: checkpoint.Message.Timeout)
        {
            Compression = checkpoint.Message.Compression, IsRound = true, Tags = new Dictionary<string, string> { [PreCopyTag] = $"{rounds.Snapshots.Count + 1}" },
        };
    }

    /// <summary>Takes note of how a round came out. One that failed is the last: the checkpoint itself says why, if it fails as well.</summary>
    /// <returns>False when it was none.</returns>
    private bool ConcludeRound(CheckpointUnderWay checkpoint, object outcome)
    {
        if (checkpoint.PreCopy is not { } rounds || checkpoint.RoundsAreOver)
        {
            return false;
        }

        bool another = outcome is CheckpointTaken taken && rounds.Continues(taken);
        if (rounds.Report is { } report)
        {
            Context.GetLogger().Info(
                "pre-copy round {0} stored {1} bytes of memory; predicted for the end: {2}", report.Rounds, report.Bytes, report.PredictedBytes?.ToString(System.Globalization.CultureInfo.InvariantCulture) ?? "unknown");
        }

        checkpoint.RoundsAreOver = !another || checkpoint.CalledOff || _killing;
        checkpoint.RoundIsOver = true;
        return true;
    }

    /// <summary>Every thread of a round is gone: the next may begin.</summary>
    private void GoOnFrom(CheckpointUnderWay checkpoint)
    {
        checkpoint.RoundIsOver = false;
        if (checkpoint.CalledOff || _killing || _status is not null)
        {
            Conclude(new CheckpointFailed(
                _status is null ? new OperationFailure("Prepare", OperationFailure.CancelledCode, "the checkpoint was called off") : new OperationFailure("Prepare", "application.ended", "the application has ended")));
            CheckpointIsOver();
            return;
        }

        checkpoint.Began = _services.Time.GetTimestamp();
        checkpoint.Coordinator = StartCoordinator(NextOf(checkpoint));
    }

    /// <summary>Removes the snapshots of the rounds.</summary>
    private static void RemoveRounds(ISnapshotStore store, IReadOnlyList<string> snapshots)
    {
        foreach (string snapshot in snapshots)
        {
            try
            {
                store.Forget(snapshot);
            }
            catch (SnapshotStoreException)
            {
                // Somebody needs it, or has removed it: it is a snapshot as others are.
            }
        }
    }

    private Func<object> RemoveRoundsNow()
    {
        Action? remove = _beforeKill;
        _beforeKill = null;
        return () =>
        {
            remove?.Invoke();
            return new RoundsRemoved();
        };
    }

    private sealed record MemoryMeasured(long Bytes);

    private sealed record RoundsRemoved;
}
