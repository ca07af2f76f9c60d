using System.Threading.Channels;
using Akka.Actor;
using Akka.Configuration;
using Akka.Pattern;

namespace Akka.Persistence;

/// <summary>The snapshot store of one configuration section. Operations run one after the other, in the order in which they came.</summary>
internal sealed class SnapshotPlugin
{
    private readonly Channel<Func<Task>> _work = Channel.CreateUnbounded<Func<Task>>(new UnboundedChannelOptions { SingleReader = true });
    private readonly ExtendedActorSystem _system;
    private readonly ISnapshotStorage? _store;
    private readonly CircuitBreaker _breaker;
    private readonly Task _loop;
    private bool _initialized;

    public SnapshotPlugin(ExtendedActorSystem system, ISnapshotStorage? store, Config config)
    {
        _system = system;
        _store = store;
        _breaker = CircuitBreaker.Create(
            system.Scheduler,
            config.GetInt("circuit-breaker.max-failures", 5),
            config.GetTimeSpan("circuit-breaker.call-timeout", TimeSpan.FromSeconds(20)),
            config.GetTimeSpan("circuit-breaker.reset-timeout", TimeSpan.FromSeconds(60)));
        _loop = Task.Run(RunAsync);
    }

    public void Load(string persistenceId, SnapshotSelectionCriteria criteria, long toSequenceNr, IActorRef actor, int instance)
    {
        if (_store is null || criteria.Equals(SnapshotSelectionCriteria.None))
        {
            actor.Tell(new SnapshotLoaded(instance, null, null), ActorRefs.NoSender!);
            return;
        }

        Enqueue(
            async store =>
            {
                var row = await store.LoadAsync(persistenceId, criteria, toSequenceNr).ConfigureAwait(false);
                var offer = row is { } found
                    ? new SnapshotOffer(
                        new SnapshotMetadata(persistenceId, found.SequenceNr, found.Timestamp),
                        found.Kept ?? _system.Serialization.Deserialize(found.Payload, found.SerializerId, found.Manifest))
                    : null;
                actor.Tell(new SnapshotLoaded(instance, offer, null), ActorRefs.NoSender!);
            },
            e => actor.Tell(new SnapshotLoaded(instance, null, e), ActorRefs.NoSender!));
    }

    public void Save(SnapshotMetadata metadata, object snapshot, IActorRef actor) => Enqueue(
        async store =>
        {
            await store.SaveAsync(store.KeepsObjects
                ? new SnapshotRow(metadata.PersistenceId, metadata.SequenceNr, metadata.Timestamp, 0, "", [], snapshot)
                : Serialize(metadata, snapshot)).ConfigureAwait(false);
            actor.Tell(new SaveSnapshotSuccess(metadata), ActorRefs.NoSender!);
        },
        e => actor.Tell(new SaveSnapshotFailure(metadata, e), ActorRefs.NoSender!));

    public void Delete(SnapshotMetadata metadata, IActorRef actor) => Enqueue(
        async store =>
        {
            await store.DeleteAsync(metadata.PersistenceId, new SnapshotSelectionCriteria(metadata.SequenceNr, DateTime.MaxValue, metadata.SequenceNr)).ConfigureAwait(false);
            actor.Tell(new DeleteSnapshotSuccess(metadata), ActorRefs.NoSender!);
        },
        e => actor.Tell(new DeleteSnapshotFailure(metadata, e), ActorRefs.NoSender!));

    public void Delete(string persistenceId, SnapshotSelectionCriteria criteria, IActorRef actor) => Enqueue(
        async store =>
        {
            await store.DeleteAsync(persistenceId, criteria).ConfigureAwait(false);
            actor.Tell(new DeleteSnapshotsSuccess(criteria), ActorRefs.NoSender!);
        },
        e => actor.Tell(new DeleteSnapshotsFailure(criteria, e), ActorRefs.NoSender!));

    private SnapshotRow Serialize(SnapshotMetadata metadata, object snapshot)
    {
        var serializer = _system.Serialization.FindSerializerFor(snapshot);
        return new SnapshotRow(
            metadata.PersistenceId,
            metadata.SequenceNr,
            metadata.Timestamp,
            serializer.Identifier,
            Akka.Serialization.Serialization.ManifestFor(serializer, snapshot),
            serializer.ToBinary(snapshot));
    }

    public async Task CloseAsync()
    {
        _work.Writer.TryComplete();
        await _loop.ConfigureAwait(false);
        if (_store is not null)
        {
            await _store.DisposeAsync().ConfigureAwait(false);
        }
    }

    private void Enqueue(Func<ISnapshotStorage, Task> work, Action<Exception> failed) => _work.Writer.TryWrite(async () =>
    {
        try
        {
            var store = _store ?? throw new NotSupportedException("No snapshot store is configured: set akka.persistence.snapshot-store.plugin");
            await _breaker.WithCircuitBreaker(async () =>
            {
                if (!_initialized)
                {
                    await store.InitializeAsync().ConfigureAwait(false);
                    _initialized = true;
                }

                await work(store).ConfigureAwait(false);
            }).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            failed(e);
        }
    });

    private async Task RunAsync()
    {
        await foreach (var work in _work.Reader.ReadAllAsync().ConfigureAwait(false))
        {
            await work().ConfigureAwait(false);
        }
    }
}
