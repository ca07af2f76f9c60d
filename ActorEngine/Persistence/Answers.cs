using Akka.Actor;
using Akka.Event;

namespace Akka.Persistence;

// What a journal and a snapshot store answer. Only the instance that asked takes the answer.
internal enum WriteOutcome
{
    Stored,
    Rejected,
    Failed,

    // Not to be stored: came along for its place in the order.
    Deferred,
}

internal sealed class EventOutcome(object payload, long sequenceNr, WriteOutcome outcome, Exception? cause, int instance) : INoSerializationVerificationNeeded, IDeadLetterSuppression
{
    public object Payload { get; } = payload;

    public long SequenceNr { get; } = sequenceNr;

    public WriteOutcome Outcome { get; } = outcome;

    public Exception? Cause { get; } = cause;

    public int Instance { get; } = instance;
}

internal sealed class WriteFinished(int instance) : INoSerializationVerificationNeeded, IDeadLetterSuppression
{
    public int Instance { get; } = instance;
}

internal sealed class RecoveryPermitGranted(int instance) : INoSerializationVerificationNeeded, IDeadLetterSuppression
{
    public int Instance { get; } = instance;
}

internal sealed class SnapshotLoaded(int instance, SnapshotOffer? offer, Exception? cause) : INoSerializationVerificationNeeded, IDeadLetterSuppression
{
    public int Instance { get; } = instance;

    public SnapshotOffer? Offer { get; } = offer;

    public Exception? Cause { get; } = cause;
}

internal sealed class EventsReplayed(int instance, IReadOnlyList<(long SequenceNr, object Payload)> events, TaskCompletionSource handled) : INoSerializationVerificationNeeded, IDeadLetterSuppression
{
    public int Instance { get; } = instance;

    public IReadOnlyList<(long SequenceNr, object Payload)> Events { get; } = events;

    public TaskCompletionSource Handled { get; } = handled;
}

internal sealed class ReplayFinished(int instance, long highestSequenceNr, Exception? cause) : INoSerializationVerificationNeeded, IDeadLetterSuppression
{
    public int Instance { get; } = instance;

    public long HighestSequenceNr { get; } = highestSequenceNr;

    public Exception? Cause { get; } = cause;
}

internal sealed class RecoveryTick(int instance) : INoSerializationVerificationNeeded, IDeadLetterSuppression, INotInfluenceReceiveTimeout
{
    public int Instance { get; } = instance;
}
