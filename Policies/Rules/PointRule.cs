namespace Holdfast.Policies;

/// <summary>What a rule about recovery points says, without its name: two that say the same are equal.</summary>
/// <param name="Demand">When it wants points.</param>
/// <param name="Keep">How long the points that serve it are kept.</param>
/// <param name="Terms">What the points that serve it must be.</param>
public sealed record Clause(Demand Demand, Keep Keep, PointTerms Terms)
{
    /// <summary>
    /// Whether a plan that keeps this clause keeps the other as well, whatever the world does. Sound, not complete: where it
    /// is not obvious the answer is no, and both clauses stay.
    /// </summary>
    public bool Covers(Clause other)
    {
        ArgumentNullException.ThrowIfNull(other);
        if (!Terms.Covers(other.Terms) || !Keep.Covers(other.Keep))
        {
            return false;
        }

        if (Demand.Equals(other.Demand))
        {
            return true;
        }

        // The newest N points of a denser schedule reach back less far, and whatever is one per period of an own schedule
        // says nothing about that of another: so both only carry over between equal demands.
        return other.Keep is { Last: 0, Per.Count: 0 } && DemandCovers(Demand, other.Demand);
    }

    private static bool DemandCovers(Demand strong, Demand weak) => (strong, weak) switch
    {
        (EveryDemand s, EveryDemand w) => s.Interval <= w.Interval && Equals(s.Windows, w.Windows),
        (CalendarDemand s, CalendarDemand w) => s.Pattern.Equals(w.Pattern) && s.Zone == w.Zone && s.Before <= w.Before && s.After <= w.After && (s.CatchUp || !w.CatchUp),
        (EveryDemand { Windows: null } s, CalendarDemand w) => s.Interval <= w.Before + w.After,
        (TriggerDemand s, TriggerDemand w) => s.Condition.Equals(w.Condition) && s.AtMostEvery <= w.AtMostEvery && s.Within <= w.Within,
        _ => false,
    };
}

/// <summary>A rule of a policy about recovery points.</summary>
/// <param name="Sources">
/// The rules that say this: itself, or, in a merged policy, those it was merged from. A snapshot remembers these names as
/// what it serves, so that they outlive the merged policy.
/// </param>
/// <param name="Clause">What it says.</param>
/// <param name="Position">Where it was written.</param>
public sealed record PointRule(ValueList<RuleId> Sources, Clause Clause, SourcePosition Position)
{
    /// <summary>The first of the names.</summary>
    public RuleId Id => Sources[0];

    /// <summary>All names, for people.</summary>
    public string Title => string.Join(" + ", Sources);

    /// <inheritdoc/>
    public bool Equals(PointRule? other) => other is not null && Sources.Equals(other.Sources) && Clause.Equals(other.Clause);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Sources, Clause);
}
