using Akka.Actor;
using Akka.Persistence;

namespace Holdfast.ActorEngine.Tests.Persistence;

/// <summary>Stores what it is told and tells a probe all that happens to it.</summary>
internal sealed class Account : ReceivePersistentActor
{
    private readonly IActorRef _probe;
    private readonly List<string> _state = [];

    public Account(string id, IActorRef probe, Recovery? recovery = null, bool failsOnBadEvent = false)
    {
        PersistenceId = id;
        _probe = probe;
        WantedRecovery = recovery ?? Recovery.Default;
        Recover<SnapshotOffer>(offer =>
        {
            _state.AddRange(((string)offer.Snapshot).Split(',', StringSplitOptions.RemoveEmptyEntries));
            probe.Tell("offer " + offer.Metadata.SequenceNr);
        });
        Recover<string>(text =>
        {
            if (failsOnBadEvent && text == "bad")
            {
                throw new InvalidOperationException("cannot replay");
            }

            _state.Add(text);
        });
        Recover<RecoveryCompleted>(_ => probe.Tell("recovered " + string.Join(",", _state)));
        Command<string>(text => text == "get", _ => Sender.Tell(string.Join(",", _state)));
        Command<string>(text => text == "nr", _ => Sender.Tell(LastSequenceNr));
        Command<string>(text => text == "snapshot", _ => SaveSnapshot(string.Join(",", _state)));
        Command<string>(text => text == "fail", _ => throw new InvalidOperationException("as asked"));
        Command<string>(text => text == "reject", _ =>
        {
            Persist(new Unserializable(), _ => probe.Tell("never"));
            Persist("after reject", Apply);
        });
        Command<string>(text => text.StartsWith("all ", StringComparison.Ordinal), text => PersistAll(text[4..].Split(' '), Apply));
        Command<string>(text => text.StartsWith("async ", StringComparison.Ordinal), text =>
        {
            PersistAsync(text[6..] + "-1", Apply);
            PersistAsync(text[6..] + "-2", Apply);
            DeferAsync(text[6..], each => probe.Tell("deferred " + each));
            probe.Tell("command " + text[6..]);
        });
        Command<string>(text => text.StartsWith("nested ", StringComparison.Ordinal), text => Persist(text[7..], first =>
        {
            Apply(first);
            Persist(first + "+", Apply);
        }));
        Command<string>(text => text.StartsWith("task ", StringComparison.Ordinal), text => Persist(text[5..], async each =>
        {
            await Task.Yield();
            Apply(each);
            Persist(each + " after", Apply);
        }));
        Command<DeleteMessagesTo>(delete => DeleteMessages(delete.Number));
        Command<DropSnapshots>(drop => DeleteSnapshots(new SnapshotSelectionCriteria(drop.Number)));
        Command<SaveSnapshotSuccess>(saved => probe.Tell("saved " + saved.Metadata.SequenceNr));
        Command<DeleteMessagesSuccess>(deleted => probe.Tell("deleted " + deleted.ToSequenceNr));
        Command<DeleteSnapshotsSuccess>(_ => probe.Tell("snapshots deleted"));
        Command<string>(text => Persist(text, Apply));
    }

    public override string PersistenceId { get; }

    public override Recovery Recovery => WantedRecovery;

    private Recovery WantedRecovery { get; }

    private void Apply(string text)
    {
        _state.Add(text);
        _probe.Tell("stored " + text);
    }

    protected override void OnPersistFailure(Exception cause, object @event, long sequenceNr) => _probe.Tell($"failure {@event} {sequenceNr}");

    protected override void OnPersistRejected(Exception cause, object @event, long sequenceNr) => _probe.Tell($"rejected {@event.GetType().Name} {sequenceNr}");

    protected override void OnRecoveryFailure(Exception reason, object message) => _probe.Tell($"recovery failure {reason.Message} {message}");

    protected override void PostStop() => _probe.Tell("stopped");

    internal sealed record DeleteMessagesTo(long Number);

    internal sealed record DropSnapshots(long Number);

    private sealed class Unserializable
    {
        /// <summary>Not even a serializer that goes by properties gets past this.</summary>
        public string Text => throw new NotSupportedException();
    }
}
