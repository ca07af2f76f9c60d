using NodaTime;

namespace Holdfast.Policies;

/// <summary>
/// Looks for the nearest policy that fits: each rule can be weakened in steps, and the nearest is the one with the fewest
/// steps in all; among those with as few, the cheapest in the dimensions that matter.
/// </summary>
internal sealed class FitSearch(MergeRequest request, Costing costs, Cost sideBySide, bool overlaps, ValueList<Breach> breaches)
{
    public MergeRefusal Refuse(Policy policy, Cost cost)
    {
        var dimensions = breaches.Select(b => b.Dimension).Distinct().ToList();
        double Weight(Cost saving) => dimensions.Sum(d => cost[d] > 0 ? saving[d] / cost[d] : 0);

        var costly = policy.Rules
            .Select(r => new RuleCost(r, Minus(cost, costs.Of(policy with { Rules = policy.Rules.Where(o => !ReferenceEquals(o, r)).ToValueList() }))))
            .OrderByDescending(r => Weight(r.Saving)).ThenBy(r => r.Rule.Title, StringComparer.Ordinal).ToValueList();
        var knobs = Knobs(policy);
        var relaxations = knobs
            .Select(k => new Relaxation(policy.Rules[k.Rule], Describe(policy, k, 1), Minus(cost, costs.Of(Apply(policy, knobs, Single(knobs, k))))))
            .OrderByDescending(r => Weight(r.Saving)).ThenBy(r => r.What, StringComparer.Ordinal).ToValueList();
        var (nearest, search) = Search(policy, knobs, Weight, cost);
        return new MergeRefusal(breaches, costly, relaxations, nearest, search);
    }

    /// <summary>A property of a rule that can be weakened, and how many steps it has.</summary>
    internal sealed record Knob(int Rule, string What, int Steps, Func<Clause, Clause> Step);

    /// <summary>The knobs of a policy: intervals double, retention halves, copies and consistency go down one by one.</summary>
    internal static List<Knob> Knobs(Policy policy)
    {
        var knobs = new List<Knob>();
        for (var i = 0; i < policy.Rules.Count; i++)
        {
            var clause = policy.Rules[i].Clause;
            if (clause.Demand is EveryDemand)
            {
                knobs.Add(new Knob(i, "interval", 6, c => c with { Demand = (EveryDemand)c.Demand with { Interval = ((EveryDemand)c.Demand).Interval * 2 } }));
            }

            var keep = clause.Keep;
            if (keep.For > Duration.Zero && keep.For < Quantity.Forever)
            {
                knobs.Add(new Knob(i, "keep.for", 6, c => c with { Keep = c.Keep with { For = Duration.FromSeconds(Math.Floor(c.Keep.For.TotalSeconds / 2)) } }));
            }

            if (keep.Last > 1)
            {
                knobs.Add(new Knob(i, "keep.last", Halvings(keep.Last), c => c with { Keep = c.Keep with { Last = (c.Keep.Last + 1) / 2 } }));
            }

            for (var p = 0; p < keep.Per.Count; p++)
            {
                var index = p;
                if (keep.Per[p].Count > 1)
                {
                    knobs.Add(new Knob(i, $"keep.{keep.Per[p].Period.ToString().ToLowerInvariant()}", Halvings(keep.Per[p].Count), c => c with
                    {
                        Keep = c.Keep with { Per = c.Keep.Per.Select((k, n) => n == index ? k with { Count = (k.Count + 1) / 2 } : k).ToValueList() },
                    }));
                }
            }

            var copies = clause.Terms.Copies;
            if (copies.To.Count > 0 || copies.AtLeast > 0)
            {
                knobs.Add(new Knob(i, "copies", copies.To.Count + copies.AtLeast, c => c with { Terms = c.Terms with { Copies = Fewer(c.Terms.Copies) } }));
            }
        }

        return knobs;
    }

    /// <summary>The policy with each knob turned so many steps.</summary>
    internal static Policy Apply(Policy policy, List<Knob> knobs, int[] steps)
    {
        var rules = policy.Rules.ToArray();
        for (var k = 0; k < knobs.Count; k++)
        {
            for (var n = 0; n < steps[k]; n++)
            {
                rules[knobs[k].Rule] = rules[knobs[k].Rule] with { Clause = knobs[k].Step(rules[knobs[k].Rule].Clause) };
            }
        }

        return policy with { Rules = rules.ToValueList() };
    }

    private static int Halvings(int count) => (int)Math.Ceiling(Math.Log2(count));

    // First the copies that are only a number, then the named device with the longest lag.
    private static Copies Fewer(Copies copies)
    {
        if (copies.AtLeast > 0)
        {
            var fewer = copies.AtLeast - 1;
            return new Copies(copies.To, fewer, fewer == 0 ? Quantity.Forever : copies.Lag);
        }

        var last = copies.To.OrderByDescending(c => c.Lag).ThenByDescending(c => c.Device, StringComparer.Ordinal).First();
        return copies with { To = copies.To.Where(c => c != last).ToValueList() };
    }

    private static int[] Single(List<Knob> knobs, Knob knob) => knobs.Select(k => ReferenceEquals(k, knob) ? 1 : 0).ToArray();

    private static string Describe(Policy policy, Knob knob, int steps)
    {
        var rule = policy.Rules[knob.Rule];
        var weaker = rule.Clause;
        for (var n = 0; n < steps; n++)
        {
            weaker = knob.Step(weaker);
        }

        var before = PolicyWriter.Lines(rule.Clause).Except(PolicyWriter.Lines(weaker));
        var after = PolicyWriter.Lines(weaker).Except(PolicyWriter.Lines(rule.Clause));
        return $"{rule.Title}: {string.Join(", ", before)} becomes {string.Join(", ", after.DefaultIfEmpty("nothing"))}";
    }

    private static Cost Minus(Cost a, Cost b) => new(a.Checkpoints - b.Checkpoints, a.Freeze - b.Freeze, a.Written - b.Written, a.Stored - b.Stored, a.Sent - b.Sent, a.Base - b.Base);

    private (NearestFit? Fit, string Search) Search(Policy policy, List<Knob> knobs, Func<Cost, double> weight, Cost cost)
    {
        var most = knobs.Sum(k => k.Steps);
        var tried = 0;
        for (var total = 1; total <= most; total++)
        {
            NearestFit? best = null;
            var bestWeight = double.MaxValue;
            foreach (var steps in Vectors(knobs, total))
            {
                if (tried >= request.MostTried)
                {
                    return (null, $"no policy with fewer than {total} steps fits, and the search ended after {tried} policies");
                }

                tried++;
                var variant = Apply(policy, knobs, steps);
                var variantCost = costs.Of(variant);
                if (request.Threshold.Check(variantCost, sideBySide, overlaps).Count > 0)
                {
                    continue;
                }

                var variantWeight = -weight(Minus(cost, variantCost));
                if (variantWeight < bestWeight)
                {
                    bestWeight = variantWeight;
                    var taken = knobs.Select((k, i) => (Knob: k, Steps: steps[i])).Where(k => k.Steps > 0).Select(k => Describe(policy, k.Knob, k.Steps));
                    best = new NearestFit(PolicyMerge.Reduce(variant), taken.ToValueList(), variantCost);
                }
            }

            if (best is not null)
            {
                return (best, $"{total} step{(total == 1 ? "" : "s")}; {tried} policies tried, none with fewer steps fits");
            }
        }

        return (null, $"not even the weakest of {tried} policies fits");
    }

    private static IEnumerable<int[]> Vectors(List<Knob> knobs, int total)
    {
        var steps = new int[knobs.Count];
        return Fill(0, total);

        IEnumerable<int[]> Fill(int index, int left)
        {
            if (index == knobs.Count)
            {
                if (left == 0)
                {
                    yield return (int[])steps.Clone();
                }

                yield break;
            }

            for (var n = Math.Min(left, knobs[index].Steps); n >= 0; n--)
            {
                steps[index] = n;
                foreach (var vector in Fill(index + 1, left - n))
                {
                    yield return vector;
                }
            }

            steps[index] = 0;
        }
    }
}
