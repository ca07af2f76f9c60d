namespace Akka.Persistence;

/// <summary>A stored event; <paramref name="Kept"/> is it itself in a store that keeps objects.</summary>
internal readonly record struct EventRow(string PersistenceId, long SequenceNr, string Writer, long Timestamp, int SerializerId, string Manifest, byte[] Payload, object? Kept = null);

/// <summary>A stored snapshot; <paramref name="Kept"/> is it itself in a store that keeps objects.</summary>
internal readonly record struct SnapshotRow(string PersistenceId, long SequenceNr, DateTime Timestamp, int SerializerId, string Manifest, byte[] Payload, object? Kept = null);

/// <summary>Where events are kept. Everything may be called from any thread; writes come one at a time.</summary>
internal interface IEventStore : IAsyncDisposable
{
    /// <summary>Whether events are kept as they are, and nothing is serialised.</summary>
    bool KeepsObjects => false;

    /// <summary>Creates or migrates what is needed. Called until it succeeds once.</summary>
    Task InitializeAsync();

    /// <summary>Stores all of these or none, durably.</summary>
    Task WriteAsync(IReadOnlyList<EventRow> events);

    /// <summary>The highest number ever stored for an id, also when that event is deleted; 0 for none.</summary>
    Task<long> ReadHighestSequenceNrAsync(string persistenceId);

    /// <summary>Some events of an id in order.</summary>
    Task<IReadOnlyList<EventRow>> ReadAsync(string persistenceId, long fromSequenceNr, long toSequenceNr, int limit);

    /// <summary>Deletes the events of an id up to a number; the highest number is remembered.</summary>
    Task DeleteAsync(string persistenceId, long toSequenceNr);
}

/// <summary>Where snapshots are kept.</summary>
internal interface ISnapshotStorage : IAsyncDisposable
{
    /// <summary>Whether snapshots are kept as they are, and nothing is serialised.</summary>
    bool KeepsObjects => false;

    /// <summary>Creates or migrates what is needed. Called until it succeeds once.</summary>
    Task InitializeAsync();

    /// <summary>Stores a snapshot; one of the same number is replaced.</summary>
    Task SaveAsync(SnapshotRow snapshot);

    /// <summary>The latest snapshot that fits; null for none.</summary>
    Task<SnapshotRow?> LoadAsync(string persistenceId, SnapshotSelectionCriteria criteria, long toSequenceNr);

    /// <summary>Deletes the snapshots that fit.</summary>
    Task DeleteAsync(string persistenceId, SnapshotSelectionCriteria criteria);
}

/// <summary>Keeps events and snapshots, as the objects that they are, for as long as the system lives.</summary>
internal sealed class MemoryStore : IEventStore, ISnapshotStorage
{
    private readonly Dictionary<string, SortedDictionary<long, EventRow>> _events = [];
    private readonly Dictionary<string, long> _highest = [];
    private readonly Dictionary<(string Id, long SequenceNr), SnapshotRow> _snapshots = [];

    public bool KeepsObjects => true;

    public Task InitializeAsync() => Task.CompletedTask;

    public Task WriteAsync(IReadOnlyList<EventRow> events)
    {
        lock (_events)
        {
            foreach (var row in events)
            {
                if (!_events.TryGetValue(row.PersistenceId, out var list))
                {
                    _events[row.PersistenceId] = list = [];
                }

                list.Add(row.SequenceNr, row);
                _highest[row.PersistenceId] = Math.Max(_highest.GetValueOrDefault(row.PersistenceId), row.SequenceNr);
            }
        }

        return Task.CompletedTask;
    }

    public Task<long> ReadHighestSequenceNrAsync(string persistenceId)
    {
        lock (_events)
        {
            return Task.FromResult(_highest.GetValueOrDefault(persistenceId));
        }
    }

    public Task<IReadOnlyList<EventRow>> ReadAsync(string persistenceId, long fromSequenceNr, long toSequenceNr, int limit)
    {
        lock (_events)
        {
            return Task.FromResult<IReadOnlyList<EventRow>>(_events.TryGetValue(persistenceId, out var list)
                ? [.. list.Values.Where(row => row.SequenceNr >= fromSequenceNr && row.SequenceNr <= toSequenceNr).Take(limit)]
                : []);
        }
    }

    public Task DeleteAsync(string persistenceId, long toSequenceNr)
    {
        lock (_events)
        {
            if (_events.TryGetValue(persistenceId, out var list))
            {
                foreach (var number in list.Keys.Where(number => number <= toSequenceNr).ToArray())
                {
                    list.Remove(number);
                }
            }
        }

        return Task.CompletedTask;
    }

    public Task SaveAsync(SnapshotRow snapshot)
    {
        lock (_snapshots)
        {
            _snapshots[(snapshot.PersistenceId, snapshot.SequenceNr)] = snapshot;
        }

        return Task.CompletedTask;
    }

    public Task<SnapshotRow?> LoadAsync(string persistenceId, SnapshotSelectionCriteria criteria, long toSequenceNr)
    {
        lock (_snapshots)
        {
            SnapshotRow? best = null;
            foreach (var row in _snapshots.Values)
            {
                if (row.PersistenceId == persistenceId && Fits(row, criteria) && row.SequenceNr <= toSequenceNr && (best is null || row.SequenceNr > best.Value.SequenceNr))
                {
                    best = row;
                }
            }

            return Task.FromResult(best);
        }
    }

    public Task DeleteAsync(string persistenceId, SnapshotSelectionCriteria criteria)
    {
        lock (_snapshots)
        {
            foreach (var row in _snapshots.Values.Where(row => row.PersistenceId == persistenceId && Fits(row, criteria)).ToArray())
            {
                _snapshots.Remove((row.PersistenceId, row.SequenceNr));
            }
        }

        return Task.CompletedTask;
    }

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private static bool Fits(SnapshotRow row, SnapshotSelectionCriteria criteria) =>
        row.SequenceNr >= criteria.MinSequenceNr && row.SequenceNr <= criteria.MaxSequenceNr && row.Timestamp >= criteria.MinTimestamp && row.Timestamp <= criteria.MaxTimeStamp;
}
