using NodaTime;

namespace Holdfast.Policies;

/// <summary>Merges policies, says what the result costs, and refuses it when that is not below the threshold.</summary>
public static class Merger
{
    /// <summary>Merges.</summary>
    /// <exception cref="ArgumentException">Two policies have the same name, or a stated policy is not among them.</exception>
    public static MergeReport Merge(MergeRequest request)
    {
        ArgumentNullException.ThrowIfNull(request);
        var twice = request.Policies.GroupBy(p => p.Name).FirstOrDefault(g => g.Count() > 1 && g.Distinct().Count() > 1);
        if (twice is not null)
        {
            throw new ArgumentException($"there are two different policies with the name '{twice.Key}'; give one another name");
        }

        if (request.Ways.StatedPolicy is { } stated && request.Policies.All(p => p.Name != stated))
        {
            throw new ArgumentException($"the stated policy '{stated}' is not among those to be merged");
        }

        var policies = request.Policies.Distinct().ToList();
        var ways = new MergeWayRules(request.Ways);
        var full = PolicyMerge.Join(request.Name, ways.Apply(policies));
        var horizon = request.Horizon ?? CostModel.HorizonFor(policies);
        var costs = new Costing(request, horizon);
        // Limits, and rules for every point, hold on the object whoever asks for a point: also side by side.
        var everywhere = full.Rules.Where(r => r.Clause.Demand is AnyPointDemand).ToList();
        var alone = policies
            .Select(p => new PolicyCost(p.Name, costs.Of(p with { Limits = full.Limits, Rules = p.Rules.Where(r => r.Clause.Demand is not AnyPointDemand).Concat(everywhere).ToValueList() })))
            .ToValueList();
        var (chosen, cost) = costs.Cheapest(full, alone);
        var sideBySide = Cost.SideBySide(alone.Select(a => a.Cost), cost.Base);
        var overlaps = cost.Checkpoints < sideBySide.Checkpoints * (1 - 1e-9);
        var breaches = request.Threshold.Check(cost, sideBySide, overlaps);
        var reduced = request.Ways.RecoveryPoint == MergeWay.Union ? chosen : PolicyMerge.Reduce(chosen);
        var conflicts = ConflictFinder.Find(chosen, request.Profile, request.From);
        var refusal = breaches.Count == 0 ? null : new FitSearch(request, costs, sideBySide, overlaps, breaches).Refuse(chosen, cost);
        return new MergeReport(chosen, reduced, Fates(policies, reduced, ways.Weakened), ways.Weakened.ToValueList(), conflicts, alone, sideBySide, cost, overlaps, refusal);
    }

    private static ValueList<RuleFate> Fates(List<Policy> policies, Policy reduced, List<Weakened> weakened)
    {
        var fates = new List<RuleFate>();
        var bySource = new Dictionary<RuleId, PointRule>();
        foreach (var rule in reduced.Rules)
        {
            foreach (var source in rule.Sources)
            {
                bySource[source] = rule;
            }
        }

        var weak = weakened.ToLookup(w => w.Rule);
        foreach (var rule in policies.SelectMany(p => p.Rules))
        {
            foreach (var source in rule.Sources)
            {
                if (weak[source].Any())
                {
                    fates.Add(new RuleFate(source, "weakened: " + string.Join("; ", weak[source].Select(w => w.What)), bySource.GetValueOrDefault(source)));
                }
                else if (bySource.TryGetValue(source, out var carrier))
                {
                    var same = carrier.Sources.Where(s => s != source).ToList();
                    fates.Add(new RuleFate(source, same.Count == 0 ? "carried" : "the same as " + string.Join(", ", same), carrier));
                }
                else
                {
                    var by = PolicyMerge.CoveredBy(reduced, rule.Clause);
                    fates.Add(new RuleFate(source, by is null ? "replaced by the chosen way of merging" : $"covered by {by.Title}", by));
                }
            }
        }

        return fates.ToValueList();
    }
}

/// <summary>Costs of the variants of one merge.</summary>
internal sealed class Costing(MergeRequest request, Duration horizon)
{
    public Cost Of(Policy policy) => CostModel.Predict(policy, request.Profile, request.From, horizon, request.Options);

    /// <summary>
    /// The way of sharing points that saves something and costs nowhere more than side by side. The fewest points are the best unless a rule
    /// with a long memory would have to keep more of them than of its own; then it chooses first; if even that is more, nothing is shared.
    /// </summary>
    public (Policy Policy, Cost Cost) Cheapest(Policy full, ValueList<PolicyCost> alone)
    {
        var first = (Policy: full, Cost: Of(full));
        if (full.Sharing != Sharing.FewestPoints || Saves(first.Cost))
        {
            return first;
        }

        (Policy Policy, Cost Cost)? fitting = Fits(first.Cost) ? first : null;
        foreach (var sharing in (Sharing[])[Sharing.LongestKeptFirst, Sharing.PerPolicy])
        {
            var variant = full with { Sharing = sharing };
            var cost = Of(variant);
            if (Saves(cost))
            {
                return (variant, cost);
            }

            fitting ??= Fits(cost) ? (variant, cost) : null;
        }

        return fitting ?? first;

        bool Saves(Cost cost) => Fits(cost) && cost.SomewhereBelow(Cost.SideBySide(alone.Select(a => a.Cost), cost.Base));

        bool Fits(Cost cost) => cost.NowhereAbove(Cost.SideBySide(alone.Select(a => a.Cost), cost.Base));
    }
}
