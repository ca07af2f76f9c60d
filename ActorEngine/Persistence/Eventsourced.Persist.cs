using Akka.Actor;
using Akka.Dispatch;

namespace Akka.Persistence;

public abstract partial class Eventsourced
{
    /// <summary>Stores an event and then calls the handler. No command is handled before the handler is through.</summary>
    /// <exception cref="InvalidOperationException">The actor still recovers.</exception>
    public void Persist<TEvent>(TEvent @event, Action<TEvent> handler) => Add([@event], Wrap(handler), stashing: true);

    /// <summary>Stores an event and then calls an asynchronous handler. No command is handled before it is through.</summary>
    /// <exception cref="InvalidOperationException">The actor still recovers.</exception>
    public void Persist<TEvent>(TEvent @event, Func<TEvent, Task> handler) => Add([@event], Wrap(handler), stashing: true);

    /// <summary>Stores events together or not at all, and then calls the handler for each.</summary>
    /// <exception cref="InvalidOperationException">The actor still recovers.</exception>
    public void PersistAll<TEvent>(IEnumerable<TEvent> events, Action<TEvent> handler) => Add(events, Wrap(handler), stashing: true);

    /// <summary>Stores events together or not at all, and then calls an asynchronous handler for each.</summary>
    /// <exception cref="InvalidOperationException">The actor still recovers.</exception>
    public void PersistAll<TEvent>(IEnumerable<TEvent> events, Func<TEvent, Task> handler) => Add(events, Wrap(handler), stashing: true);

    /// <summary>Stores an event and then calls the handler. Commands are handled in between.</summary>
    /// <exception cref="InvalidOperationException">The actor still recovers.</exception>
    public void PersistAsync<TEvent>(TEvent @event, Action<TEvent> handler) => Add([@event], Wrap(handler), stashing: false);

    /// <summary>Stores an event and then calls an asynchronous handler. Commands are handled in between.</summary>
    /// <exception cref="InvalidOperationException">The actor still recovers.</exception>
    public void PersistAsync<TEvent>(TEvent @event, Func<TEvent, Task> handler) => Add([@event], Wrap(handler), stashing: false);

    /// <summary>Stores events together or not at all, and then calls the handler for each. Commands are handled in between.</summary>
    /// <exception cref="InvalidOperationException">The actor still recovers.</exception>
    public void PersistAllAsync<TEvent>(IEnumerable<TEvent> events, Action<TEvent> handler) => Add(events, Wrap(handler), stashing: false);

    /// <summary>Stores events together or not at all, and then calls an asynchronous handler for each. Commands are handled in between.</summary>
    /// <exception cref="InvalidOperationException">The actor still recovers.</exception>
    public void PersistAllAsync<TEvent>(IEnumerable<TEvent> events, Func<TEvent, Task> handler) => Add(events, Wrap(handler), stashing: false);

    /// <summary>Calls the handler when all events before are stored; stores nothing. At once when nothing is under way.</summary>
    /// <exception cref="InvalidOperationException">The actor still recovers.</exception>
    public void DeferAsync<TEvent>(TEvent evt, Action<TEvent> handler)
    {
        EnsureProcessing();
        if (_invocations.Count == 0)
        {
            handler(evt);
        }
        else
        {
            Defer(evt!, Wrap(handler));
        }
    }

    /// <summary>Calls an asynchronous handler when all events before are stored; stores nothing. At once when nothing is under way.</summary>
    /// <exception cref="InvalidOperationException">The actor still recovers.</exception>
    public void DeferAsync<TEvent>(TEvent evt, Func<TEvent, Task> handler)
    {
        EnsureProcessing();
        if (_invocations.Count == 0)
        {
            RunTask(() => handler(evt));
        }
        else
        {
            Defer(evt!, Wrap(handler));
        }
    }

    /// <summary>Has the events up to a number deleted; answered with <see cref="DeleteMessagesSuccess"/> or <see cref="DeleteMessagesFailure"/>.</summary>
    public void DeleteMessages(long toSequenceNr)
    {
        if (toSequenceNr == long.MaxValue || toSequenceNr <= LastSequenceNr)
        {
            Journal.Delete(PersistenceId, Math.Min(toSequenceNr, LastSequenceNr), Self);
        }
        else
        {
            Self.Tell(new DeleteMessagesFailure(new InvalidOperationException($"toSequenceNr [{toSequenceNr}] must be less than or equal to LastSequenceNr [{LastSequenceNr}]"), toSequenceNr));
        }
    }

    /// <summary>Has the state stored; answered with <see cref="SaveSnapshotSuccess"/> or <see cref="SaveSnapshotFailure"/>. The object must not change any more.</summary>
    public void SaveSnapshot(object snapshot) => Snapshots.Save(new SnapshotMetadata(SnapshotterId, SnapshotSequenceNr, DateTime.UtcNow), snapshot, Self);

    /// <summary>Has the snapshot of a number deleted; answered with <see cref="DeleteSnapshotSuccess"/> or <see cref="DeleteSnapshotFailure"/>.</summary>
    public void DeleteSnapshot(long sequenceNr) => Snapshots.Delete(new SnapshotMetadata(SnapshotterId, sequenceNr, DateTime.MinValue), Self);

    /// <summary>Has the snapshots that fit deleted; answered with <see cref="DeleteSnapshotsSuccess"/> or <see cref="DeleteSnapshotsFailure"/>.</summary>
    public void DeleteSnapshots(SnapshotSelectionCriteria criteria) => Snapshots.Delete(SnapshotterId, criteria, Self);

    /// <summary>Runs an asynchronous operation as this actor, which handles no further message until it is through.</summary>
    /// <exception cref="NotSupportedException">Another one is under way.</exception>
    protected void RunTask(Func<Task> action)
    {
        if (_asyncRunning)
        {
            throw new NotSupportedException("RunTask calls cannot be nested");
        }

        ActorTaskScheduler.RunTask(async () =>
        {
            var task = action();
            if (task.IsCompleted)
            {
                await task;
                return;
            }

            _asyncRunning = true;
            var failed = true;
            try
            {
                await task;
                failed = false;
            }
            finally
            {
                _asyncRunning = false;
                AfterHandler(failed);
            }
        });
    }

    private Action<object> Wrap<TEvent>(Action<TEvent> handler) => payload => handler((TEvent)payload);

    private Action<object> Wrap<TEvent>(Func<TEvent, Task> handler) => payload => RunTask(() => handler((TEvent)payload));

    private void EnsureProcessing()
    {
        if (IsRecovering)
        {
            throw new InvalidOperationException("Cannot persist during replay. Events can be persisted when receiving RecoveryCompleted or later.");
        }
    }

    private void Add<TEvent>(IEnumerable<TEvent> events, Action<object> handler, bool stashing)
    {
        EnsureProcessing();
        var group = new List<(object, long)>();
        foreach (var @event in events)
        {
            ArgumentNullException.ThrowIfNull(@event, nameof(events));
            group.Add((@event, ++_sequenceNr));
            _invocations.AddLast(new Invocation(handler, stashing));
        }

        if (group.Count == 0)
        {
            return;
        }

        if (stashing)
        {
            _stashingInvocations += group.Count;
        }

        _batchedEvents += group.Count;
        _batch.Add(new BatchItem(group, Sender, Deferred: false));
    }

    private void Defer(object evt, Action<object> handler)
    {
        _invocations.AddLast(new Invocation(handler, Stashing: false));
        _batch.Add(new BatchItem([(evt, 0)], Sender, Deferred: true));
    }
}
