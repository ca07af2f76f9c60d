using Akka.Actor;
using Holdfast.Policies;

namespace Holdfast.Actors.Protection;

/// <summary>The object that a <see cref="PolicyEntity"/> protects, as its host sees it.</summary>
/// <remarks>The members on snapshots may block; the entity never calls them on a thread that has to stay responsive.</remarks>
public interface IProtectedObject
{
    /// <summary>Its name.</summary>
    string Name { get; }

    /// <summary>Who takes its checkpoints; null while nobody does, and the assignments are only kept.</summary>
    IActorRef? Supervisor { get; }

    /// <summary>All its snapshots, in any order.</summary>
    IReadOnlyList<StoredSnapshot> Snapshots();

    /// <summary>Removes a snapshot.</summary>
    /// <returns>Null when it is gone; else why it has to stay.</returns>
    string? Remove(string snapshot);

    /// <summary>Gives back the space of what was removed.</summary>
    void CollectGarbage();

    /// <summary>Brings copies to a device, and removes there what no rule needs there any more.</summary>
    Task<CopyOutcome> CopyAsync(CopyOrder order, CancellationToken cancel);

    /// <summary>Begins to watch for the event of a trigger.</summary>
    ITriggerWatcher Watch(TriggerCondition condition);
}

/// <summary>A committed snapshot.</summary>
/// <param name="Id">Its id.</param>
/// <param name="Taken">When.</param>
/// <param name="Good">Whether it can be restored, as far as the catalogue tells.</param>
/// <param name="Tags">What is recorded with it.</param>
/// <param name="BaseFor">The replications that still need it.</param>
/// <param name="LogicalBytes">What it holds.</param>
/// <param name="ChangedBytes">What had to be written.</param>
/// <param name="StoredBytes">What the store grew by.</param>
public sealed record StoredSnapshot(
    string Id, DateTimeOffset Taken, bool Good, IReadOnlyDictionary<string, string> Tags, IReadOnlyList<string> BaseFor,
    long LogicalBytes, long ChangedBytes, long StoredBytes);

/// <summary>Watches for the event of one trigger.</summary>
public interface ITriggerWatcher : IDisposable
{
    /// <summary>Looks once. Called again only after the last call has ended.</summary>
    Task<TriggerObservation> ObserveAsync();

    /// <summary>A point was taken: what changed since the last point counts from here.</summary>
    void PointTaken();
}

/// <summary>What was seen.</summary>
/// <param name="Value">For thresholds: the value, in the unit of the kind.</param>
/// <param name="Happened">For all others: whether it has happened since the last look.</param>
public sealed record TriggerObservation(double Value, bool Happened)
{
    /// <summary>Nothing to report.</summary>
    public static TriggerObservation Nothing { get; } = new(0, false);

    /// <summary>It happened.</summary>
    public static TriggerObservation Event { get; } = new(0, true);

    /// <summary>A value.</summary>
    public static TriggerObservation Of(double value) => new(value, false);
}

/// <summary>The clocks of a host.</summary>
public interface IProtectionClock
{
    /// <summary>The wall clock.</summary>
    DateTimeOffset Now { get; }

    /// <summary>What tells one boot of the host from another.</summary>
    string Boot { get; }

    /// <summary>Time since that boot, with the time in which the host slept (CLOCK_BOOTTIME, clock_gettime(2)).</summary>
    TimeSpan SinceBoot { get; }
}

/// <summary>How policies are carried out.</summary>
public sealed record ProtectionSettings
{
    /// <summary>How long before a deadline a checkpoint is planned, so that it can be finished, or tried again, in time.</summary>
    public required TimeSpan Reserve { get; init; }

    /// <summary>How long after a failed checkpoint the next is tried; doubled each time.</summary>
    public required TimeSpan RetryFirst { get; init; }

    /// <summary>The longest time between two tries.</summary>
    public required TimeSpan RetryLast { get; init; }

    /// <summary>How often thresholds and files are looked at.</summary>
    public required TimeSpan Watch { get; init; }

    /// <summary>How often at most the space of removed snapshots is given back.</summary>
    public required TimeSpan CollectGarbage { get; init; }
}
