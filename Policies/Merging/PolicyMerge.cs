namespace Holdfast.Policies;

/// <summary>
/// The join of policies. It is the union of what they say, so it is associative, commutative and idempotent, and adding a
/// policy never takes anything away; its reduced form drops what other rules of it cover.
/// </summary>
public static class PolicyMerge
{
    /// <summary>
    /// One policy with the rules of all: rules that say the same become one that names both. Nothing is dropped, so this is
    /// the form to carry out: every snapshot remembers all it serves, and a policy can be taken away again.
    /// </summary>
    /// <param name="name">The name of the result.</param>
    /// <param name="policies">The policies, in any order, themselves merged or not.</param>
    public static Policy Join(string name, IEnumerable<Policy> policies)
    {
        ArgumentNullException.ThrowIfNull(policies);
        var rules = new Dictionary<Clause, PointRule>();
        var limits = new Dictionary<Limit, LimitRule>();
        var sharing = Sharing.FewestPoints;
        foreach (var policy in policies)
        {
            sharing = policy.Sharing > sharing ? policy.Sharing : sharing;
            foreach (var rule in policy.Rules)
            {
                rules[rule.Clause] = rules.TryGetValue(rule.Clause, out var same) ? same with { Sources = same.Sources.SortedUnion(rule.Sources) } : rule;
            }

            foreach (var limit in policy.Limits)
            {
                limits[limit.Limit] = limits.TryGetValue(limit.Limit, out var same) ? same with { Sources = same.Sources.SortedUnion(limit.Sources) } : limit;
            }
        }

        return new Policy(name, Ordered(rules.Values), Ordered(Strictest(limits.Values)), sharing);
    }

    /// <summary>The same policy without the rules that others of it cover: what is worth writing down.</summary>
    public static Policy Reduce(Policy policy)
    {
        ArgumentNullException.ThrowIfNull(policy);
        var joined = Join(policy.Name, [policy]);
        var covered = CoverSweep.Covered(joined.Rules);
        return joined with { Rules = joined.Rules.Where(r => !covered.Contains(r)).ToValueList() };
    }

    /// <summary>The rule of a reduced policy that covers a clause, or null.</summary>
    public static PointRule? CoveredBy(Policy policy, Clause clause)
    {
        ArgumentNullException.ThrowIfNull(policy);
        return policy.Rules.FirstOrDefault(r => r.Clause.Covers(clause));
    }

    internal static ValueList<PointRule> Ordered(IEnumerable<PointRule> rules)
    {
        var list = rules.ToList();
        // The text decides only between rules with the same name, so it is not written for the others.
        list.Sort((a, b) => a.Id.CompareTo(b.Id) is var c and not 0 ? c : string.CompareOrdinal(PolicyWriter.OneLine(a.Clause), PolicyWriter.OneLine(b.Clause)));
        return list.ToValueList();
    }

    private static ValueList<LimitRule> Ordered(IEnumerable<LimitRule> limits)
    {
        var list = limits.ToList();
        list.Sort((a, b) => a.Sources[0].CompareTo(b.Sources[0]) is var c and not 0 ? c : string.CompareOrdinal(a.Limit.ToString(), b.Limit.ToString()));
        return list.ToValueList();
    }

    // Of two limits on the same thing the smaller holds both; hours that are not allowed add up.
    private static IEnumerable<LimitRule> Strictest(IEnumerable<LimitRule> limits)
    {
        var all = limits.ToList();
        var freeze = all.Select(l => l.Limit).OfType<FreezeLimit>().OrderBy(l => l.AtMost).FirstOrDefault();
        var bandwidth = all.Select(l => l.Limit).OfType<BandwidthLimit>().OrderBy(l => l.BytesPerSecond).FirstOrDefault();
        return all.Where(l => l.Limit is BlackoutLimit || l.Limit.Equals(freeze) || l.Limit.Equals(bandwidth));
    }
}
