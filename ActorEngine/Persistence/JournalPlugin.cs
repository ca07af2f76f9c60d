using System.Data.Common;
using System.Threading.Channels;
using Akka.Actor;
using Akka.Configuration;
using Akka.Event;
using Akka.Pattern;

namespace Akka.Persistence;

/// <summary>One thing in an actor's batch: events that are stored together or not at all, or one that only keeps its place.</summary>
internal sealed record BatchItem(IReadOnlyList<(object Payload, long SequenceNr)> Events, IActorRef? Sender, bool Deferred);

/// <summary>
/// The journal of one configuration section: puts the writes of all actors that come while a transaction runs into the next one, and answers in order.
/// An actor has at most one write under way, so that the queue is never longer than there are actors.
/// </summary>
internal sealed class JournalPlugin
{
    private const int EventsPerTransaction = 1000;
    private const int EventsPerReplayStep = 500;

    private readonly Channel<Job> _jobs = Channel.CreateUnbounded<Job>(new UnboundedChannelOptions { SingleReader = true });
    private readonly ExtendedActorSystem _system;
    private readonly IEventStore _store;
    private readonly CircuitBreaker _breaker;
    private readonly ILoggingAdapter _log;
    private readonly Task _loop;
    private bool _initialized;
    private Task _lastWrite = Task.CompletedTask;

    public JournalPlugin(ExtendedActorSystem system, IEventStore store, Config config)
    {
        _system = system;
        _store = store;
        _log = Logging.GetLogger(system, typeof(JournalPlugin));
        _breaker = CircuitBreaker.Create(
            system.Scheduler,
            config.GetInt("circuit-breaker.max-failures", 10),
            config.GetTimeSpan("circuit-breaker.call-timeout", TimeSpan.FromSeconds(20)),
            config.GetTimeSpan("circuit-breaker.reset-timeout", TimeSpan.FromSeconds(60)));
        RecoveryEventTimeout = config.GetTimeSpan("recovery-event-timeout", TimeSpan.FromSeconds(30));
        MaxMessageBatchSize = config.GetInt("max-message-batch-size", 200);
        _loop = Task.Run(RunAsync);
    }

    public TimeSpan RecoveryEventTimeout { get; }

    /// <summary>How many events an actor may have waiting to be written before it takes no further command.</summary>
    public int MaxMessageBatchSize { get; }

    public void Write(string persistenceId, string writer, IActorRef actor, int instance, IReadOnlyList<BatchItem> items) =>
        _jobs.Writer.TryWrite(new WriteJob(persistenceId, writer, actor, instance, items));

    public void Replay(string persistenceId, long from, long to, long max, IActorRef actor, int instance) =>
        _jobs.Writer.TryWrite(new ReplayJob(persistenceId, from, to, max, actor, instance));

    public void Delete(string persistenceId, long to, IActorRef actor) => _jobs.Writer.TryWrite(new DeleteJob(persistenceId, to, actor));

    public async Task CloseAsync()
    {
        _jobs.Writer.TryComplete();
        await _loop.ConfigureAwait(false);
        await _store.DisposeAsync().ConfigureAwait(false);
    }

    private async Task RunAsync()
    {
        var batch = new List<WriteJob>();
        var reader = _jobs.Reader;
        Job? next = null;
        while (next is not null || await reader.WaitToReadAsync().ConfigureAwait(false))
        {
            if (next is null && !reader.TryRead(out next))
            {
                continue;
            }

            switch (next)
            {
                case WriteJob write:
                    next = null;
                    batch.Clear();
                    batch.Add(write);
                    var size = write.Items.Count;
                    while (size < EventsPerTransaction && reader.TryRead(out next))
                    {
                        if (next is not WriteJob more)
                        {
                            break;
                        }

                        next = null;
                        batch.Add(more);
                        size += more.Items.Count;
                    }

                    await WriteBatchAsync(batch).ConfigureAwait(false);
                    break;
                case ReplayJob replay:
                    next = null;

                    // A write that timed out may still get through: a recovery must not read past it.
                    _ = ReplayAsync(replay, _lastWrite);
                    break;
                case DeleteJob delete:
                    next = null;
                    await DeleteAsync(delete).ConfigureAwait(false);
                    break;
                default:
                    next = null;
                    break;
            }
        }
    }

    private async Task WriteBatchAsync(List<WriteJob> batch)
    {
        foreach (var job in batch)
        {
            Serialize(job);
        }

        try
        {
            await StoreAsync(batch.SelectMany(job => job.Rows).ToArray()).ConfigureAwait(false);
            foreach (var job in batch)
            {
                Answer(job, null);
            }
        }
        catch (DbException e) when (batch.Count > 1 && IsConflict(e))
        {
            // One of them is at fault; the others must not suffer for it.
            foreach (var job in batch)
            {
                try
                {
                    await StoreAsync(job.Rows).ConfigureAwait(false);
                    Answer(job, null);
                }
                catch (Exception own)
                {
                    Answer(job, own);
                }
            }
        }
        catch (Exception e)
        {
            foreach (var job in batch)
            {
                Answer(job, e);
            }
        }
    }

    // Class 23 of SQLSTATE, and SQLITE_CONSTRAINT.
    private static bool IsConflict(DbException e) =>
        e.SqlState?.StartsWith("23", StringComparison.Ordinal) == true || e is Microsoft.Data.Sqlite.SqliteException { SqliteErrorCode: 19 };

    private Task StoreAsync(IReadOnlyList<EventRow> rows) => rows.Count == 0 ? Task.CompletedTask : _breaker.WithCircuitBreaker(() =>
    {
        var write = InitializedWriteAsync(rows);
        _lastWrite = write;
        return write;
    });

    private async Task InitializedWriteAsync(IReadOnlyList<EventRow> rows)
    {
        await InitializeAsync().ConfigureAwait(false);
        await _store.WriteAsync(rows).ConfigureAwait(false);
    }

    private async Task InitializeAsync()
    {
        if (!Volatile.Read(ref _initialized))
        {
            await _store.InitializeAsync().ConfigureAwait(false);
            Volatile.Write(ref _initialized, true);
        }
    }

    private void Serialize(WriteJob job)
    {
        var now = DateTime.UtcNow.Ticks;
        for (var i = 0; i < job.Items.Count; i++)
        {
            var item = job.Items[i];
            if (item.Deferred)
            {
                continue;
            }

            var first = job.Rows.Count;
            try
            {
                foreach (var (payload, number) in item.Events)
                {
                    if (_store.KeepsObjects)
                    {
                        job.Rows.Add(new EventRow(job.PersistenceId, number, job.Writer, now, 0, "", [], payload));
                        continue;
                    }

                    var serializer = _system.Serialization.FindSerializerFor(payload);
                    job.Rows.Add(new EventRow(
                        job.PersistenceId, number, job.Writer, now, serializer.Identifier, Akka.Serialization.Serialization.ManifestFor(serializer, payload), serializer.ToBinary(payload)));
                }
            }
            catch (Exception e)
            {
                job.Rows.RemoveRange(first, job.Rows.Count - first);
                (job.Rejected ??= [])[i] = e;
            }
        }
    }

    private static void Answer(WriteJob job, Exception? failure)
    {
        job.Actor.Tell(new WriteFinished(job.Instance), ActorRefs.NoSender!);
        for (var i = 0; i < job.Items.Count; i++)
        {
            var item = job.Items[i];
            Exception? cause = null;
            var outcome = failure is not null && !item.Deferred ? WriteOutcome.Failed
                : item.Deferred ? WriteOutcome.Deferred
                : job.Rejected?.TryGetValue(i, out cause) == true ? WriteOutcome.Rejected : WriteOutcome.Stored;
            foreach (var (payload, number) in item.Events)
            {
                job.Actor.Tell(new EventOutcome(payload, number, outcome, failure ?? cause, job.Instance), item.Sender!);
            }
        }
    }

    private async Task ReplayAsync(ReplayJob job, Task before)
    {
        try
        {
            await before.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            await InitializeAsync().ConfigureAwait(false);
            var highest = await _store.ReadHighestSequenceNrAsync(job.PersistenceId).ConfigureAwait(false);
            var to = Math.Min(job.To, highest);
            var left = job.Max;
            for (var from = job.From; from <= to && left > 0;)
            {
                var rows = await _store.ReadAsync(job.PersistenceId, from, to, (int)Math.Min(left, EventsPerReplayStep)).ConfigureAwait(false);
                if (rows.Count == 0)
                {
                    break;
                }

                var handled = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
                var events = rows.Select(row => (row.SequenceNr, row.Kept ?? _system.Serialization.Deserialize(row.Payload, row.SerializerId, row.Manifest))).ToArray();
                job.Actor.Tell(new EventsReplayed(job.Instance, events, handled), ActorRefs.NoSender!);
                from = rows[^1].SequenceNr + 1;
                left -= rows.Count;

                // The next step is read when the actor is through with this one, so that a long history does not pile up in its mailbox.
                await handled.Task.ConfigureAwait(false);
            }

            job.Actor.Tell(new ReplayFinished(job.Instance, highest, null), ActorRefs.NoSender!);
        }
        catch (Exception e)
        {
            job.Actor.Tell(new ReplayFinished(job.Instance, 0, e), ActorRefs.NoSender!);
        }
    }

    private async Task DeleteAsync(DeleteJob job)
    {
        try
        {
            await _breaker.WithCircuitBreaker(async () =>
            {
                await InitializeAsync().ConfigureAwait(false);
                await _store.DeleteAsync(job.PersistenceId, job.To).ConfigureAwait(false);
            }).ConfigureAwait(false);
            job.Actor.Tell(new DeleteMessagesSuccess(job.To), ActorRefs.NoSender!);
        }
        catch (Exception e)
        {
            _log.Warning("Deleting the events of {0} up to {1} failed: {2}", job.PersistenceId, job.To, e.Message);
            job.Actor.Tell(new DeleteMessagesFailure(e, job.To), ActorRefs.NoSender!);
        }
    }

    private abstract record Job;

    private sealed record WriteJob(string PersistenceId, string Writer, IActorRef Actor, int Instance, IReadOnlyList<BatchItem> Items) : Job
    {
        public List<EventRow> Rows { get; } = [];

        public Dictionary<int, Exception>? Rejected { get; set; }
    }

    private sealed record ReplayJob(string PersistenceId, long From, long To, long Max, IActorRef Actor, int Instance) : Job;

    private sealed record DeleteJob(string PersistenceId, long To, IActorRef Actor) : Job;
}
