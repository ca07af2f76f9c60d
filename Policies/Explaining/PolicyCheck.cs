using NodaTime;

namespace Holdfast.Policies;

/// <summary>Looks for rules that are valid and yet not what was meant.</summary>
public static class PolicyCheck
{
    private const double MostKept = 100_000;

    /// <summary>Checks the policies of one object, one by one and together.</summary>
    /// <param name="policies">The policies.</param>
    /// <param name="profile">The object, or null when nothing is known of it.</param>
    /// <param name="now">From when on to look for conflicts.</param>
    public static ValueList<PolicyProblem> Check(IReadOnlyList<Policy> policies, ObjectProfile? profile, Instant now)
    {
        ArgumentNullException.ThrowIfNull(policies);
        var problems = new List<PolicyProblem>();
        foreach (var policy in policies)
        {
            if (policy.IsEmpty)
            {
                problems.Add(new PolicyProblem(ProblemSeverity.Warning, SourcePosition.None, policy.Name, "", "the policy is empty: it protects nothing"));
            }

            foreach (var rule in policy.Rules)
            {
                problems.AddRange(One(rule, profile).Select(w => Problem(rule, w)));
            }
        }

        problems.AddRange(Covered(policies));
        var joined = PolicyMerge.Join("all", policies);
        foreach (var conflict in ConflictFinder.Find(joined, profile, now))
        {
            problems.Add(Problem(conflict.Rule, $"conflict with {string.Join(" and ", conflict.Limits.Select(l => $"{l.Title} ({l.Position})"))}: {conflict.What}"));
        }

        return problems.ToValueList();
    }

    private static PolicyProblem Problem(PointRule rule, string what) => new(ProblemSeverity.Warning, rule.Position, rule.Id.Policy, rule.Id.Rule, what);

    private static IEnumerable<PolicyProblem> Covered(IReadOnlyList<Policy> policies)
    {
        var rules = policies.SelectMany(p => p.Rules).ToList();
        for (var i = 0; i < rules.Count; i++)
        {
            for (var k = 0; k < rules.Count; k++)
            {
                // Of two that say the same, the later is the one too many.
                if (i != k && rules[k].Clause.Covers(rules[i].Clause) && (k < i || !rules[i].Clause.Covers(rules[k].Clause)))
                {
                    yield return Problem(rules[i], rules[k].Id.Policy == rules[i].Id.Policy
                        ? $"it can never matter: {rules[k].Title} ({rules[k].Position}) asks for all of it and more"
                        : $"over-protection: {rules[k].Title} ({rules[k].Position}) already asks for all of it");
                    break;
                }
            }
        }
    }

    private static IEnumerable<string> One(PointRule rule, ObjectProfile? profile)
    {
        var (demand, keep, terms) = rule.Clause;
        if (demand is EveryDemand every)
        {
            if (profile is { Samples: > 0 } && every.Interval.TotalSeconds <= profile.Total)
            {
                yield return $"its interval of {Quantity.Format(every.Interval)} is shorter than a checkpoint takes, which is {profile.Total:0.#} s on average over {profile.Samples}; the promise cannot be kept";
            }

            if (every.Windows is { Outside: false } windows && windows.Windows.All(w => w.NominalLength < every.Interval))
            {
                yield return $"every window is shorter than {Quantity.Format(every.Interval)}, so the interval does not matter: there is one point in each opening";
            }
        }

        if (keep.Equals(Keep.Nothing) && terms.Storage.ImmutableFor == Duration.Zero && demand is not AnyPointDemand)
        {
            yield return "it keeps nothing: each point is removed when the next one is good; write keep { … }";
        }

        foreach (var per in keep.Per)
        {
            if (KeepPer.MeanLength(per.Period) * per.Count <= keep.For)
            {
                yield return $"keeping one point of each of {per.Count} {per.Period.ToString().ToLowerInvariant()}s only matters when there are no new points: every point is kept for {Quantity.Format(keep.For)} anyway";
            }
        }

        if (demand.PointsPerDay > 0 && keep.Last > 0 && keep.Last / demand.PointsPerDay <= keep.For.TotalDays)
        {
            yield return $"keeping the last {keep.Last} only matters when there are no new points: there are more within {Quantity.Format(keep.For)} anyway";
        }

        if (keep.For < Quantity.Forever && demand.PointsPerDay * keep.For.TotalDays > MostKept)
        {
            yield return $"over-protection: it keeps {demand.PointsPerDay * keep.For.TotalDays:0} points at a time; keep fewer of the old ones with daily, weekly or monthly";
        }

        if (terms.Storage.ImmutableFor > keep.For && keep.Per.Count == 0 && keep.Last == 0)
        {
            yield return $"its points are immutable for {Quantity.Format(terms.Storage.ImmutableFor)}, so they are kept longer than its keep says";
        }

        foreach (var copy in terms.Copies.To.Where(c => c.Lag < Quantity.Forever && c.Lag > keep.For && keep.Last == 0 && keep.Per.Count == 0))
        {
            yield return $"a point may be let go before its copy on {copy.Device} must be complete: the lag of {Quantity.Format(copy.Lag)} is longer than it is kept";
        }

        if (demand is TriggerDemand { AtMostEvery: var pause } && pause == Duration.Zero)
        {
            yield return "it may fire any number of times; write at-most-every";
        }
    }
}
