using Akka.Actor;
using Akka.Event;

namespace Akka.Persistence;

/// <summary>The end of a recovery, as a message to the actor: all that was stored has been replayed.</summary>
public sealed class RecoveryCompleted
{
    /// <summary>The only instance.</summary>
    public static readonly RecoveryCompleted Instance = new();

    private RecoveryCompleted()
    {
    }

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is RecoveryCompleted;

    /// <inheritdoc/>
    public override int GetHashCode() => 1;
}

/// <summary>What a recovery reads.</summary>
public sealed class Recovery
{
    /// <summary>Everything.</summary>
    public Recovery()
        : this(SnapshotSelectionCriteria.Latest, long.MaxValue, long.MaxValue)
    {
    }

    /// <summary>From a snapshot that fits.</summary>
    public Recovery(SnapshotSelectionCriteria fromSnapshot)
        : this(fromSnapshot, long.MaxValue, long.MaxValue)
    {
    }

    /// <summary>From a snapshot that fits, up to a number.</summary>
    public Recovery(SnapshotSelectionCriteria fromSnapshot, long toSequenceNr)
        : this(fromSnapshot, toSequenceNr, long.MaxValue)
    {
    }

    /// <summary>From a snapshot that fits, up to a number, and no more than so many events.</summary>
    public Recovery(SnapshotSelectionCriteria? fromSnapshot = null, long toSequenceNr = long.MaxValue, long replayMax = long.MaxValue)
    {
        FromSnapshot = fromSnapshot ?? SnapshotSelectionCriteria.Latest;
        ToSequenceNr = toSequenceNr;
        ReplayMax = replayMax;
    }

    /// <summary>Everything.</summary>
    public static Recovery Default { get; } = new(SnapshotSelectionCriteria.Latest, long.MaxValue, long.MaxValue);

    /// <summary>Nothing but the highest number.</summary>
    public static Recovery None { get; } = new(SnapshotSelectionCriteria.None, 0, long.MaxValue);

    /// <summary>Which snapshot.</summary>
    public SnapshotSelectionCriteria FromSnapshot { get; }

    /// <summary>Up to which number.</summary>
    public long ToSequenceNr { get; }

    /// <summary>How many events at most.</summary>
    public long ReplayMax { get; }
}

/// <summary>A recovery took too long.</summary>
public sealed class RecoveryTimedOutException : AkkaException
{
    /// <summary>Creates one.</summary>
    public RecoveryTimedOutException()
    {
    }

    /// <summary>Creates one with a message and a cause.</summary>
    public RecoveryTimedOutException(string message, Exception? cause = null)
        : base(message, cause)
    {
    }
}

/// <summary>Which snapshot it is.</summary>
public sealed class SnapshotMetadata : IEquatable<SnapshotMetadata>
{
    /// <summary>Creates one.</summary>
    public SnapshotMetadata(string persistenceId, long sequenceNr, DateTime timestamp)
    {
        PersistenceId = persistenceId;
        SequenceNr = sequenceNr;
        Timestamp = timestamp;
    }

    /// <summary>Whose.</summary>
    public string PersistenceId { get; }

    /// <summary>After which event.</summary>
    public long SequenceNr { get; }

    /// <summary>When, in UTC.</summary>
    public DateTime Timestamp { get; }

    /// <inheritdoc/>
    public bool Equals(SnapshotMetadata? other) => other is not null && PersistenceId == other.PersistenceId && SequenceNr == other.SequenceNr && Timestamp == other.Timestamp;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is SnapshotMetadata other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(PersistenceId, SequenceNr);

    /// <inheritdoc/>
    public override string ToString() => $"SnapshotMetadata<pid: {PersistenceId}, seqNr: {SequenceNr}, timestamp: {Timestamp:yyyy/MM/dd}>";
}

/// <summary>Which snapshots are meant.</summary>
public sealed class SnapshotSelectionCriteria : IEquatable<SnapshotSelectionCriteria>
{
    /// <summary>Those up to a number.</summary>
    public SnapshotSelectionCriteria(long maxSequenceNr)
        : this(maxSequenceNr, DateTime.MaxValue)
    {
    }

    /// <summary>Those between numbers and times; all ends are included.</summary>
    public SnapshotSelectionCriteria(long maxSequenceNr, DateTime maxTimeStamp, long minSequenceNr = 0, DateTime? minTimestamp = null)
    {
        MaxSequenceNr = maxSequenceNr;
        MaxTimeStamp = maxTimeStamp;
        MinSequenceNr = minSequenceNr;
        MinTimestamp = minTimestamp ?? DateTime.MinValue;
    }

    /// <summary>All; the latest is taken.</summary>
    public static SnapshotSelectionCriteria Latest { get; } = new(long.MaxValue, DateTime.MaxValue);

    /// <summary>None.</summary>
    public static SnapshotSelectionCriteria None { get; } = new(0, DateTime.MinValue);

    /// <summary>Up to which number.</summary>
    public long MaxSequenceNr { get; }

    /// <summary>Up to which time.</summary>
    public DateTime MaxTimeStamp { get; }

    /// <summary>From which number.</summary>
    public long MinSequenceNr { get; }

    /// <summary>From which time.</summary>
    public DateTime? MinTimestamp { get; }

    /// <inheritdoc/>
    public bool Equals(SnapshotSelectionCriteria? other) =>
        other is not null && MaxSequenceNr == other.MaxSequenceNr && MaxTimeStamp == other.MaxTimeStamp && MinSequenceNr == other.MinSequenceNr && MinTimestamp == other.MinTimestamp;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is SnapshotSelectionCriteria other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(MaxSequenceNr, MaxTimeStamp, MinSequenceNr, MinTimestamp);
}

/// <summary>The first message of a recovery, when there is a snapshot.</summary>
public sealed class SnapshotOffer
{
    /// <summary>Creates one.</summary>
    public SnapshotOffer(SnapshotMetadata metadata, object snapshot)
    {
        Metadata = metadata;
        Snapshot = snapshot;
    }

    /// <summary>Which it is.</summary>
    public SnapshotMetadata Metadata { get; }

    /// <summary>The state.</summary>
    public object Snapshot { get; }
}

/// <summary>A snapshot is stored.</summary>
public sealed class SaveSnapshotSuccess : INoSerializationVerificationNeeded
{
    /// <summary>Creates one.</summary>
    public SaveSnapshotSuccess(SnapshotMetadata metadata) => Metadata = metadata;

    /// <summary>Which it is.</summary>
    public SnapshotMetadata Metadata { get; }
}

/// <summary>A snapshot could not be stored.</summary>
public sealed class SaveSnapshotFailure : INoSerializationVerificationNeeded
{
    /// <summary>Creates one.</summary>
    public SaveSnapshotFailure(SnapshotMetadata metadata, Exception cause)
    {
        Metadata = metadata;
        Cause = cause;
    }

    /// <summary>Which it is.</summary>
    public SnapshotMetadata Metadata { get; }

    /// <summary>Why not.</summary>
    public Exception Cause { get; }
}

/// <summary>A snapshot is deleted.</summary>
public sealed class DeleteSnapshotSuccess : INoSerializationVerificationNeeded
{
    /// <summary>Creates one.</summary>
    public DeleteSnapshotSuccess(SnapshotMetadata metadata) => Metadata = metadata;

    /// <summary>Which it was.</summary>
    public SnapshotMetadata Metadata { get; }
}

/// <summary>A snapshot could not be deleted.</summary>
public sealed class DeleteSnapshotFailure : INoSerializationVerificationNeeded
{
    /// <summary>Creates one.</summary>
    public DeleteSnapshotFailure(SnapshotMetadata metadata, Exception cause)
    {
        Metadata = metadata;
        Cause = cause;
    }

    /// <summary>Which it is.</summary>
    public SnapshotMetadata Metadata { get; }

    /// <summary>Why not.</summary>
    public Exception Cause { get; }
}

/// <summary>Snapshots are deleted.</summary>
public sealed class DeleteSnapshotsSuccess : INoSerializationVerificationNeeded
{
    /// <summary>Creates one.</summary>
    public DeleteSnapshotsSuccess(SnapshotSelectionCriteria criteria) => Criteria = criteria;

    /// <summary>Which they were.</summary>
    public SnapshotSelectionCriteria Criteria { get; }
}

/// <summary>Snapshots could not be deleted.</summary>
public sealed class DeleteSnapshotsFailure : INoSerializationVerificationNeeded
{
    /// <summary>Creates one.</summary>
    public DeleteSnapshotsFailure(SnapshotSelectionCriteria criteria, Exception cause)
    {
        Criteria = criteria;
        Cause = cause;
    }

    /// <summary>Which they are.</summary>
    public SnapshotSelectionCriteria Criteria { get; }

    /// <summary>Why not.</summary>
    public Exception Cause { get; }
}

/// <summary>Events are deleted.</summary>
public sealed class DeleteMessagesSuccess : IEquatable<DeleteMessagesSuccess>
{
    /// <summary>Creates one.</summary>
    public DeleteMessagesSuccess(long toSequenceNr) => ToSequenceNr = toSequenceNr;

    /// <summary>Up to which number.</summary>
    public long ToSequenceNr { get; }

    /// <inheritdoc/>
    public bool Equals(DeleteMessagesSuccess? other) => other is not null && ToSequenceNr == other.ToSequenceNr;

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is DeleteMessagesSuccess other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => ToSequenceNr.GetHashCode();
}

/// <summary>Events could not be deleted.</summary>
public sealed class DeleteMessagesFailure : INoSerializationVerificationNeeded
{
    /// <summary>Creates one.</summary>
    public DeleteMessagesFailure(Exception cause, long toSequenceNr)
    {
        Cause = cause;
        ToSequenceNr = toSequenceNr;
    }

    /// <summary>Why not.</summary>
    public Exception Cause { get; }

    /// <summary>Up to which number.</summary>
    public long ToSequenceNr { get; }
}
