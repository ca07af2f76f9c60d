using NodaTime;

namespace Holdfast.Policies;

/// <summary>That a point serves a rule, and which of its obligations.</summary>
/// <param name="Rule">The rule.</param>
/// <param name="From">The first instant at which a point served this obligation.</param>
/// <param name="Due">The last instant, less the reserve for a second try.</param>
/// <param name="Occurrence">What is remembered as served: the anchor, the event, or the point itself for an interval.</param>
/// <param name="Late">The point is later than the rule asks for; it makes up for what was missed.</param>
public sealed record Service(PointRule Rule, Instant From, Instant Due, Instant Occurrence, bool Late);

/// <summary>A checkpoint that is to be taken.</summary>
/// <param name="At">When.</param>
/// <param name="Serves">Which rules ask for it; never empty.</param>
/// <param name="Terms">What it must be: the join over those rules.</param>
public sealed record PlannedPoint(Instant At, ValueList<Service> Serves, PointTerms Terms)
{
    /// <summary>The names of the rules with their occurrences, to be recorded with the snapshot.</summary>
    public ValueList<ServedRule> Tags => Serves.SelectMany(s => s.Rule.Sources.Select(id => new ServedRule(id, s.Occurrence))).ToValueList();
}

/// <summary>The record, kept with a snapshot, of an obligation that it fulfils.</summary>
/// <param name="Rule">The rule by the name it had in its own policy.</param>
/// <param name="Occurrence">Which obligation; <see cref="Service.Occurrence"/>.</param>
public readonly record struct ServedRule(RuleId Rule, Instant Occurrence);

/// <summary>A rule that a limit keeps from being kept.</summary>
/// <param name="Rule">The rule that does not hold.</param>
/// <param name="Limits">The limits that are in its way.</param>
/// <param name="From">When it first does not hold.</param>
/// <param name="Until">When it holds again, that first time.</param>
/// <param name="Times">How often this happens within what was looked at.</param>
/// <param name="What">What happens, as a sentence.</param>
public sealed record Conflict(PointRule Rule, ValueList<LimitRule> Limits, Instant From, Instant Until, int Times, string What);

/// <summary>A promise that was not kept: an obligation that ended before the plan began.</summary>
/// <param name="Rule">The rule.</param>
/// <param name="Occurrence">The anchor or the end of the interval.</param>
/// <param name="Due">By when it should have been met.</param>
public sealed record Missed(PointRule Rule, Instant Occurrence, Instant Due);

/// <summary>What is to be done, from an instant until another.</summary>
/// <param name="Policy">The policy that is planned.</param>
/// <param name="From">The beginning; no point is earlier.</param>
/// <param name="Until">The end; the plan says nothing about later.</param>
/// <param name="Points">The checkpoints in order.</param>
/// <param name="Conflicts">The rules that cannot hold, each with its limits.</param>
/// <param name="Missed">The promises that were broken before the plan began.</param>
public sealed record Plan(Policy Policy, Instant From, Instant Until, IReadOnlyList<PlannedPoint> Points, ValueList<Conflict> Conflicts, ValueList<Missed> Missed);

/// <summary>How to plan.</summary>
/// <param name="Reserve">
/// How long before a deadline a checkpoint is planned, so that it can be finished, or tried again, in time. At most half of
/// each interval is given up for it.
/// </param>
public sealed record PlanOptions(Duration Reserve)
{
    /// <summary>No reserve: every point at the last moment.</summary>
    public static PlanOptions Default { get; } = new(Duration.Zero);
}

/// <summary>An event that a trigger rule let through and no point has served yet.</summary>
/// <param name="Rule">The trigger rule.</param>
/// <param name="At">When it happened.</param>
public readonly record struct PendingEvent(RuleId Rule, Instant At);

/// <summary>What a plan must know of the past: for each rule, up to where it is served.</summary>
public sealed class PlanState
{
    private readonly Dictionary<RuleId, Instant> _served;

    private PlanState(Instant since, Dictionary<RuleId, Instant> served, ValueList<PendingEvent> pending)
    {
        Since = since;
        _served = served;
        Pending = pending;
    }

    /// <summary>From when rules count that nothing else is known of.</summary>
    public Instant Since { get; }

    /// <summary>The events that wait for a point.</summary>
    public ValueList<PendingEvent> Pending { get; }

    /// <summary>Up to where each rule is served, or since when it is assigned.</summary>
    public IReadOnlyDictionary<RuleId, Instant> Served => _served;

    /// <summary>The state in which every rule counts from an instant.</summary>
    public static PlanState StartingAt(Instant since) => new(since, [], []);

    /// <summary>The state after some snapshots, from what is recorded with them.</summary>
    public static PlanState After(Instant since, IEnumerable<ServedRule> served)
    {
        ArgumentNullException.ThrowIfNull(served);
        return StartingAt(since).With(served);
    }

    /// <summary>The state after a rule was assigned later than the others.</summary>
    public PlanState Assigned(RuleId rule, Instant at) => new(Since, new Dictionary<RuleId, Instant>(_served) { [rule] = at }, Pending);

    /// <summary>The state after a snapshot with these tags was committed.</summary>
    public PlanState With(IEnumerable<ServedRule> tags)
    {
        ArgumentNullException.ThrowIfNull(tags);
        var served = new Dictionary<RuleId, Instant>(_served);
        foreach (var tag in tags)
        {
            served[tag.Rule] = served.TryGetValue(tag.Rule, out var known) ? Instant.Max(known, tag.Occurrence) : tag.Occurrence;
        }

        return new PlanState(Since, served, Pending.Where(e => !served.TryGetValue(e.Rule, out var at) || at < e.At).ToValueList());
    }

    /// <summary>The state after a trigger rule fired.</summary>
    public PlanState Fired(RuleId rule, Instant at) => new(Since, _served, Pending.Append(new PendingEvent(rule, at)).ToValueList());

    /// <summary>Up to where a rule is served: for a merged rule, where the least served of its sources is.</summary>
    internal long ServedThrough(PointRule rule)
    {
        var least = long.MaxValue;
        foreach (var id in rule.Sources)
        {
            least = Math.Min(least, _served.TryGetValue(id, out var at) ? at.Seconds() : Since.Seconds());
        }

        return least;
    }
}
