using Akka.Actor;
using Akka.Dispatch;
using Akka.Event;

namespace Akka.Persistence;

/// <summary>Something with an identity in the journal.</summary>
public interface IPersistentIdentity
{
    /// <summary>The identity: unique among all actors that ever stored anything.</summary>
    string PersistenceId { get; }

    /// <summary>The section of the journal; empty for the default.</summary>
    string JournalPluginId { get; }

    /// <summary>The section of the snapshot store; empty for the default.</summary>
    string SnapshotPluginId { get; }
}

/// <summary>Something that recovers.</summary>
public interface IPersistenceRecovery
{
    /// <summary>What a recovery reads.</summary>
    Recovery Recovery { get; }
}

/// <summary>Something that puts commands aside while it stores events.</summary>
public interface IPersistenceStash : IWithUnboundedStash
{
    /// <summary>What happens to a command for which there is no room.</summary>
    IStashOverflowStrategy InternalStashOverflowStrategy { get; }
}

/// <summary>
/// An actor whose state comes from stored events. It begins with a recovery: the latest snapshot, then the events after it, then
/// <see cref="RecoveryCompleted"/>; commands wait until then. A handler given to <c>Persist</c> runs when its event is durable, and no other command before it.
/// </summary>
public abstract partial class Eventsourced : ActorBase, IPersistentIdentity, IPersistenceStash, IPersistenceRecovery
{
    private static int _instances;

    private readonly int _instance = Interlocked.Increment(ref _instances);
    private readonly string _writer = Guid.NewGuid().ToString("N");
    private readonly IStash _internalStash;
    private readonly LinkedList<Invocation> _invocations = [];
    private readonly Receive _recover;
    private List<BatchItem> _batch = [];
    private int _batchedEvents;
    private int _stashingInvocations;
    private bool _writing;
    private bool _asyncRunning;
    private long _sequenceNr;
    private Phase _phase = Phase.AwaitingPermit;
    private ICancelable? _recoveryTimer;
    private bool _recoveryProgress;
    private JournalPlugin? _journal;
    private SnapshotPlugin? _snapshots;

    /// <summary>Created by the engine only.</summary>
    protected Eventsourced()
    {
        Extension = Persistence.Instance.Apply(Context.System);
        _internalStash = StashFactory.CreateInternal((ActorCell)Context);
        _recover = RecoverMessage;
        Log = Context.GetLogger();
    }

    private enum Phase
    {
        AwaitingPermit,
        LoadingSnapshot,
        Replaying,
        Processing,
        Persisting,
    }

    /// <summary>The system's persistence.</summary>
    protected PersistenceExtension Extension { get; }

    /// <summary>The actor's log.</summary>
    protected virtual ILoggingAdapter Log { get; }

    /// <inheritdoc/>
    public abstract string PersistenceId { get; }

    /// <inheritdoc/>
    public string JournalPluginId { get; protected set; } = "";

    /// <inheritdoc/>
    public string SnapshotPluginId { get; protected set; } = "";

    /// <inheritdoc/>
    public virtual Recovery Recovery => Recovery.Default;

    /// <inheritdoc/>
    public virtual IStashOverflowStrategy InternalStashOverflowStrategy => Extension.DefaultInternalStashOverflowStrategy;

    /// <summary>The stash for the actor's own use.</summary>
    public IStash Stash { get; set; } = null!;

    /// <summary>Whether the actor still recovers.</summary>
    public bool IsRecovering => _phase < Phase.Processing;

    /// <summary>Whether the recovery is through.</summary>
    public bool IsRecoveryFinished => !IsRecovering;

    /// <summary>The number of the last event that was replayed or whose storage was confirmed.</summary>
    public long LastSequenceNr { get; private set; }

    /// <summary>The number that a snapshot taken now belongs to.</summary>
    public long SnapshotSequenceNr => LastSequenceNr;

    /// <summary>The identity of the snapshots.</summary>
    public string SnapshotterId => PersistenceId;

    private JournalPlugin Journal => _journal ??= Extension.JournalOf(JournalPluginId);

    private SnapshotPlugin Snapshots => _snapshots ??= Extension.SnapshotsOf(SnapshotPluginId);

#nullable disable annotations
    /// <summary>Handles a command; false when it is not one of the actor's.</summary>
    protected abstract bool ReceiveCommand(object message);

    /// <summary>Handles a snapshot, an event or <see cref="RecoveryCompleted"/>; false when it is not one of the actor's. Must not have effects beyond the state.</summary>
    protected abstract bool ReceiveRecover(object message);

    /// <summary>Called when the recovery is through, before <see cref="RecoveryCompleted"/>.</summary>
    protected virtual void OnReplaySuccess()
    {
    }

    /// <summary>Called when the recovery failed; the actor is stopped afterwards. The base logs it.</summary>
    /// <param name="reason">Why.</param>
    /// <param name="message">The event at hand; null when it is not about one.</param>
    protected virtual void OnRecoveryFailure(Exception reason, object message = null)
    {
        if (message is null)
        {
            Log.Error(reason, "Persistence failure when replaying events for persistenceId [{0}]. Last known sequence number [{1}]", PersistenceId, LastSequenceNr);
        }
        else
        {
            Log.Error(reason, "Exception in ReceiveRecover when replaying event type [{0}] with sequence number [{1}] for persistenceId [{2}]", message.GetType(), LastSequenceNr, PersistenceId);
        }
    }

    /// <summary>Called when an event could not be stored, or when that is not known; the actor is stopped afterwards. The base logs it.</summary>
    protected virtual void OnPersistFailure(Exception cause, object @event, long sequenceNr) =>
        Log.Error(cause, "Failed to persist event type [{0}] with sequence number [{1}] for persistenceId [{2}].", @event.GetType(), sequenceNr, PersistenceId);

    /// <summary>Called when an event cannot be stored at all, such as one without a serializer; its handler is not called and the actor goes on. The base logs it.</summary>
    protected virtual void OnPersistRejected(Exception cause, object @event, long sequenceNr) =>
        Log.Error(cause, "Rejected to persist event type [{0}] with sequence number [{1}] for persistenceId [{2}] due to [{3}].", @event.GetType(), sequenceNr, PersistenceId, cause.Message);

    /// <inheritdoc/>
    protected override void Unhandled(object message)
    {
        switch (message)
        {
            case RecoveryCompleted:
                break;
            case SaveSnapshotFailure failure:
                Log.Warning("Failed to SaveSnapshot given metadata [{0}] due to: [{1}]", failure.Metadata, failure.Cause);
                break;
            case DeleteSnapshotFailure failure:
                Log.Warning("Failed to DeleteSnapshot given metadata [{0}] due to: [{1}]", failure.Metadata, failure.Cause);
                break;
            case DeleteSnapshotsFailure failure:
                Log.Warning("Failed to DeleteSnapshots given criteria [{0}] due to: [{1}]", failure.Criteria, failure.Cause);
                break;
            case DeleteMessagesFailure failure:
                Log.Warning("Failed to DeleteMessages ToSequenceNr [{0}] for PersistenceId [{1}] due to: [{2}]", failure.ToSequenceNr, PersistenceId, failure.Cause);
                break;
            default:
                base.Unhandled(message);
                break;
        }
    }

    /// <inheritdoc/>
    public override void AroundPreStart()
    {
        if (string.IsNullOrEmpty(PersistenceId))
        {
            throw new ArgumentException($"PersistenceId is [{PersistenceId ?? "null"}] for PersistentActor [{Self}]");
        }

        // A plug-in that is not configured is to be known now, not at the first event.
        _ = Journal;
        _ = Snapshots;
        Extension.Permits.Request(Self, _instance);
        base.AroundPreStart();
    }

    /// <inheritdoc/>
    public override void AroundPostRestart(Exception reason, object message)
    {
        Extension.Permits.Request(Self, _instance);
        base.AroundPostRestart(reason, message);
    }

    /// <inheritdoc/>
    public override void AroundPreRestart(Exception cause, object message)
    {
        try
        {
            End();
        }
        finally
        {
            base.AroundPreRestart(cause, message is EventOutcome outcome ? outcome.Payload : message is EventsReplayed ? null : message);
        }
    }

    /// <inheritdoc/>
    public override void AroundPostStop()
    {
        try
        {
            End();
        }
        finally
        {
            base.AroundPostStop();
        }
    }

    private void End()
    {
        _recoveryTimer?.Cancel();
        _internalStash.UnstashAll();
        Extension.Permits.Release(Self, _instance);

        // What was handed to Persist before a failure is stored all the same: its command was handled.
        Flush();
    }

    /// <inheritdoc/>
    protected override bool AroundReceive(Receive receive, object message)
    {
        switch (_phase)
        {
            case Phase.Processing:
                if (!HandleAnswer(message))
                {
                    HandleCommand(receive, message);
                }

                return true;
            case Phase.Persisting:
                if (!HandleAnswer(message))
                {
                    StashInternally(message);
                }

                return true;
            default:
                Recover(message);
                return true;
        }
    }
#nullable restore annotations

    private void HandleCommand(Receive receive, object message)
    {
        if (_batchedEvents > Journal.MaxMessageBatchSize * 10)
        {
            // The journal does not keep up with PersistAsync: further commands wait.
            StashInternally(message);
            return;
        }

        var failed = true;
        try
        {
            base.AroundReceive(receive, message);
            failed = false;
        }
        finally
        {
            AfterHandler(failed);
        }
    }

    private void AfterHandler(bool failed)
    {
        Flush();
        if (_asyncRunning)
        {
            return;
        }

        if (_stashingInvocations > 0)
        {
            _phase = Phase.Persisting;
            return;
        }

        _phase = Phase.Processing;
        if (failed)
        {
            _internalStash.UnstashAll();
        }
        else
        {
            _internalStash.Unstash();
        }
    }

    private bool HandleAnswer(object message)
    {
        switch (message)
        {
            case EventOutcome outcome:
                if (outcome.Instance == _instance)
                {
                    Handle(outcome);
                }

                return true;
            case WriteFinished finished:
                if (finished.Instance == _instance)
                {
                    _writing = false;
                    Flush();
                }

                return true;
            case RecoveryTick or RecoveryPermitGranted or SnapshotLoaded or ReplayFinished:
                return true;
            case EventsReplayed stale:
                stale.Handled.TrySetResult();
                return true;
            default:
                return false;
        }
    }

    private void Handle(EventOutcome outcome)
    {
        if (_invocations.First is not { } first)
        {
            return;
        }

        if (outcome.Outcome != WriteOutcome.Deferred)
        {
            LastSequenceNr = Math.Max(LastSequenceNr, outcome.SequenceNr);
        }

        var failed = true;
        try
        {
            switch (outcome.Outcome)
            {
                case WriteOutcome.Failed:
                    Remove(first);
                    try
                    {
                        OnPersistFailure(outcome.Cause!, outcome.Payload, outcome.SequenceNr);
                    }
                    finally
                    {
                        Context.Stop(Self);
                    }

                    break;
                case WriteOutcome.Rejected:
                    Remove(first);
                    OnPersistRejected(outcome.Cause!, outcome.Payload, outcome.SequenceNr);
                    break;
                default:
                    try
                    {
                        first.Value.Handler(outcome.Payload);
                    }
                    finally
                    {
                        Remove(first);
                    }

                    break;
            }

            failed = false;
        }
        finally
        {
            AfterHandler(failed);
        }
    }

    private void Remove(LinkedListNode<Invocation> invocation)
    {
        _invocations.Remove(invocation);
        if (invocation.Value.Stashing)
        {
            _stashingInvocations--;
        }
    }

    private void StashInternally(object message)
    {
        try
        {
            _internalStash.Stash();
        }
        catch (StashOverflowException e)
        {
            switch (InternalStashOverflowStrategy)
            {
                case DiscardToDeadLetterStrategy:
                    Context.System.DeadLetters.Tell(new DeadLetter(message, Sender, Self), Sender);
                    break;
                case ReplyToStrategy reply:
                    Sender.Tell(reply.Response, Self);
                    break;
                default:
                    throw new StashOverflowException($"The internal stash of {PersistenceId} is full", e);
            }
        }
    }

    private void Flush()
    {
        if (_writing || _batch.Count == 0)
        {
            return;
        }

        var batch = _batch;
        _batch = [];
        _batchedEvents = 0;
        _writing = true;
        Journal.Write(PersistenceId, _writer, Self, _instance, batch);
    }

    private sealed record Invocation(Action<object> Handler, bool Stashing);
}
