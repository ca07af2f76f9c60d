using Akka.Actor;

namespace Akka.Persistence;

public abstract partial class Eventsourced
{
    private long _replayFrom;

    private void Recover(object message)
    {
        switch (message)
        {
            case RecoveryPermitGranted granted when granted.Instance == _instance:
                if (_phase == Phase.AwaitingPermit)
                {
                    _phase = Phase.LoadingSnapshot;
                    StartRecoveryTimer();
                    Snapshots.Load(PersistenceId, Recovery.FromSnapshot, Recovery.ToSequenceNr, Self, _instance);
                }

                break;
            case SnapshotLoaded loaded when loaded.Instance == _instance && _phase == Phase.LoadingSnapshot:
                _recoveryProgress = true;
                if (loaded.Cause is not null)
                {
                    FailRecovery(loaded.Cause, null);
                    break;
                }

                BeginReplay(loaded.Offer);
                break;
            case EventsReplayed replayed:
                try
                {
                    if (replayed.Instance == _instance)
                    {
                        Replay(replayed);
                    }
                }
                finally
                {
                    replayed.Handled.TrySetResult();
                }

                break;
            case ReplayFinished finished when finished.Instance == _instance && _phase == Phase.Replaying:
                if (finished.Cause is not null)
                {
                    FailRecovery(finished.Cause, null);
                }
                else
                {
                    CompleteRecovery(finished.HighestSequenceNr);
                }

                break;
            case RecoveryTick tick:
                if (tick.Instance == _instance && !_recoveryProgress)
                {
                    FailRecovery(new RecoveryTimedOutException($"Recovery timed out, didn't get event within {Journal.RecoveryEventTimeout}, highest sequence number seen {LastSequenceNr}"), null);
                }

                _recoveryProgress = false;
                break;
            case EventOutcome or WriteFinished or RecoveryPermitGranted or SnapshotLoaded or ReplayFinished:
                // Of a former instance.
                break;
            default:
                StashInternally(message);
                break;
        }
    }

    private void StartRecoveryTimer()
    {
        var timeout = Journal.RecoveryEventTimeout;
        _recoveryProgress = false;
        _recoveryTimer = Context.System.Scheduler.ScheduleTellRepeatedlyCancelable(timeout, timeout, Self, new RecoveryTick(_instance), ActorRefs.NoSender!);
    }

    private void BeginReplay(SnapshotOffer? offer)
    {
        _phase = Phase.Replaying;
        if (offer is not null)
        {
            LastSequenceNr = offer.Metadata.SequenceNr;
            _sequenceNr = LastSequenceNr;
            try
            {
                base.AroundReceive(_recover, offer);
            }
            catch (Exception e)
            {
                FailRecovery(e, offer);
                return;
            }
        }

        _replayFrom = LastSequenceNr + 1;
        Journal.Replay(PersistenceId, _replayFrom, Recovery.ToSequenceNr, Recovery.ReplayMax, Self, _instance);
    }

    private void Replay(EventsReplayed replayed)
    {
        _recoveryProgress = true;
        foreach (var (number, payload) in replayed.Events)
        {
            try
            {
                LastSequenceNr = number;
                base.AroundReceive(_recover, payload);
            }
            catch (Exception e)
            {
                FailRecovery(e, payload);
                return;
            }
        }
    }

    private void CompleteRecovery(long highestSequenceNr)
    {
        _recoveryTimer?.Cancel();
        OnReplaySuccess();
        var highest = Math.Max(highestSequenceNr, LastSequenceNr);
        _sequenceNr = highest;
        LastSequenceNr = highest;
        _phase = Phase.Processing;
        Extension.Permits.Release(Self, _instance);
        try
        {
            base.AroundReceive(_recover, RecoveryCompleted.Instance);
        }
        finally
        {
            Flush();
            if (!_asyncRunning)
            {
                if (_stashingInvocations > 0)
                {
                    _phase = Phase.Persisting;
                }
                else
                {
                    _internalStash.UnstashAll();
                }
            }
        }
    }

    private void FailRecovery(Exception cause, object? message)
    {
        _recoveryTimer?.Cancel();
        _phase = Phase.AwaitingPermit;
        Extension.Permits.Release(Self, _instance);
        try
        {
            OnRecoveryFailure(cause, message!);
        }
        finally
        {
            Context.Stop(Self);
        }
    }

    private bool RecoverMessage(object message) => ReceiveRecover(message);
}
