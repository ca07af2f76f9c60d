using NodaTime;

namespace Holdfast.Policies;

/// <summary>Who asked for a snapshot.</summary>
public enum SnapshotOrigin
{
    /// <summary>A policy.</summary>
    Policy,

    /// <summary>A person, or a program outside of any policy.</summary>
    Hand,
}

/// <summary>What retention must know of a snapshot.</summary>
/// <param name="Id">Its name in the store.</param>
/// <param name="Taken">The instant of its barrier, by the clock of the node that took it.</param>
/// <param name="Good">Whether it is complete and verified; only a good one can stand for a rule.</param>
/// <param name="Terms">What it is: its consistency, where its copies are or go, how it is stored.</param>
/// <param name="Serves">What it fulfils, recorded when it was taken.</param>
/// <param name="Origin">Who asked for it.</param>
/// <param name="ImmutableUntil">Until when nobody may remove it, as recorded with it; null for not at all.</param>
/// <param name="BaseFor">The devices whose replication still needs it as a base, or has not yet received it.</param>
public sealed record SnapshotRecord(
    string Id,
    Instant Taken,
    bool Good,
    PointTerms Terms,
    ValueList<ServedRule> Serves,
    SnapshotOrigin Origin = SnapshotOrigin.Policy,
    Instant? ImmutableUntil = null,
    ValueList<string>? BaseFor = null);

/// <summary>Why a snapshot is kept.</summary>
/// <param name="Rule">The rule that needs it, or null when it is protected whatever the rules say.</param>
/// <param name="What">The reason as a sentence without a full stop.</param>
/// <param name="Until">When this reason ends, if that is known; a reason without an end is over when a newer point takes its place.</param>
public sealed record KeepReason(PointRule? Rule, string What, Instant? Until);

/// <summary>A snapshot that stays.</summary>
/// <param name="Snapshot">The snapshot.</param>
/// <param name="Reasons">Why; never empty.</param>
public sealed record KeptSnapshot(SnapshotRecord Snapshot, ValueList<KeepReason> Reasons)
{
    /// <summary>Until when at least it is kept, if every reason has a known end.</summary>
    public Instant? Until => Reasons.All(r => r.Until is not null) ? Reasons.Max(r => r.Until) : null;
}

/// <summary>A snapshot that no rule needs any more.</summary>
/// <param name="Snapshot">The snapshot.</param>
/// <param name="Why">For each rule that it ever served, why that rule no longer needs it; never empty.</param>
public sealed record RemovedSnapshot(SnapshotRecord Snapshot, ValueList<string> Why);

/// <summary>What stays and what goes.</summary>
/// <param name="Keep">The snapshots that stay, oldest first.</param>
/// <param name="Remove">The snapshots that go, oldest first.</param>
/// <param name="Suspended">Why nothing is removed at all, or null: the clock is not to be trusted.</param>
public sealed record RetentionDecision(IReadOnlyList<KeptSnapshot> Keep, IReadOnlyList<RemovedSnapshot> Remove, string? Suspended);
