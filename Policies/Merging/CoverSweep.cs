namespace Holdfast.Policies;

/// <summary>
/// Finds the rules that others cover without comparing every two: only rules with the same demand, or of the same kind, can
/// cover one another, and among intervals a sweep from the shortest to the longest needs to remember only the strongest so far.
/// </summary>
internal static class CoverSweep
{
    /// <summary>The covered rules, by reference. The clauses are distinct.</summary>
    public static HashSet<PointRule> Covered(ValueList<PointRule> rules)
    {
        var covered = new HashSet<PointRule>(ReferenceEqualityComparer.Instance);
        foreach (var same in rules.GroupBy(r => r.Clause.Demand).Where(g => g.Skip(1).Any()))
        {
            Pairwise(same.ToList(), covered);
        }

        foreach (var kind in rules.Where(r => r.Clause.Demand is CalendarDemand or TriggerDemand).GroupBy(Kind).Where(g => g.Skip(1).Any()))
        {
            Pairwise(kind.ToList(), covered);
        }

        foreach (var kind in rules.Where(r => r.Clause.Demand is EveryDemand).GroupBy(r => ((EveryDemand)r.Clause.Demand).Windows))
        {
            // An interval without windows covers an anchor whose tolerance is as wide.
            Sweep(kind.Key is null ? kind.Concat(rules.Where(r => r.Clause.Demand is CalendarDemand)) : kind, covered);
        }

        return covered;
    }

    private static object Kind(PointRule rule) => rule.Clause.Demand switch
    {
        CalendarDemand c => (c.Pattern, c.Zone),
        TriggerDemand t => t.Condition,
        var other => other,
    };

    private static void Pairwise(List<PointRule> rules, HashSet<PointRule> covered)
    {
        var strongest = new List<PointRule>();
        foreach (var rule in rules)
        {
            if (strongest.Exists(s => s.Clause.Covers(rule.Clause)))
            {
                covered.Add(rule);
                continue;
            }

            covered.UnionWith(strongest.Where(s => rule.Clause.Covers(s.Clause)));
            strongest.RemoveAll(s => rule.Clause.Covers(s.Clause));
            strongest.Add(rule);
        }
    }

    private static void Sweep(IEnumerable<PointRule> rules, HashSet<PointRule> covered)
    {
        var strongest = new List<PointRule>();
        foreach (var rule in rules.OrderBy(r => Width(r.Clause.Demand)).ThenBy(r => r.Clause.Demand is CalendarDemand).ThenByDescending(r => r.Clause.Keep.For))
        {
            if (strongest.Exists(s => s.Clause.Covers(rule.Clause)))
            {
                covered.Add(rule);
            }

            // For later, longer intervals only the duration of keeping and the terms matter: those of a rule that is weaker in both never decide.
            if (rule.Clause.Demand is EveryDemand && !strongest.Exists(s => Outdoes(s.Clause, rule.Clause)))
            {
                strongest.RemoveAll(s => Outdoes(rule.Clause, s.Clause));
                strongest.Add(rule);
            }
        }
    }

    private static bool Outdoes(Clause strong, Clause weak) => strong.Keep.For >= weak.Keep.For && strong.Terms.Covers(weak.Terms);

    private static double Width(Demand demand) => demand switch
    {
        EveryDemand e => e.Interval.TotalSeconds,
        CalendarDemand c => (c.Before + c.After).TotalSeconds,
        _ => double.MaxValue,
    };
}
