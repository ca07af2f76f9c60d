using NodaTime;

namespace Holdfast.Policies;

/// <summary>A rule that a chosen way of merging weakens.</summary>
/// <param name="Rule">The rule as its policy has it.</param>
/// <param name="Kind">What of it is weakened.</param>
/// <param name="What">How, as a sentence.</param>
public sealed record Weakened(RuleId Rule, RuleKind Kind, string What);

/// <summary>Applies the ways of merging that are not the sound one, before the rules are joined.</summary>
internal sealed class MergeWayRules(MergeWays ways)
{
    public List<Weakened> Weakened { get; } = [];

    public List<Policy> Apply(IReadOnlyList<Policy> policies)
    {
        var rules = policies.SelectMany(p => p.Rules).ToList();
        rules = Terms(rules, ways.Retention, RuleKind.Retention, c => c.Keep, (c, k) => c with { Keep = k }, (a, b) => a.Join(b), (a, b) => a.Covers(b), KeepWeight);
        rules = Terms(rules, ways.Replication, RuleKind.Replication, c => c.Terms.Copies, (c, v) => c with { Terms = c.Terms with { Copies = v } }, (a, b) => a.Join(b), (a, b) => a.Covers(b), c => c.Count * 1e9 - c.To.Select(t => t.Lag.TotalSeconds).DefaultIfEmpty().Min() / 1e6);
        rules = Terms(rules, ways.Consistency, RuleKind.Consistency, c => c.Terms.Consistency, (c, v) => c with { Terms = c.Terms with { Consistency = v } }, (a, b) => a > b ? a : b, (a, b) => a >= b, c => (int)c);
        rules = Terms(rules, ways.Storage, RuleKind.Storage, c => c.Terms.Storage, (c, v) => c with { Terms = c.Terms with { Storage = v } }, (a, b) => a.Join(b), (a, b) => a.Covers(b), s => (int)s.Tier + (int)s.Compression + (s.Encrypted ? 10 : 0) + s.ImmutableFor.TotalDays * 100);
        rules = Points(rules);
        var sharing = ways.RecoveryPoint == MergeWay.Each ? Sharing.PerPolicy : policies.Select(p => p.Sharing).DefaultIfEmpty().Max();
        return [new Policy("merged", rules.ToValueList(), Limits(policies).ToValueList(), sharing)];
    }

    private bool IsStated(PointRule rule) => rule.Sources.Any(s => s.Policy == ways.StatedPolicy);

    private List<PointRule> Terms<T>(
        List<PointRule> rules, MergeWay way, RuleKind kind, Func<Clause, T> get, Func<Clause, T, Clause> set, Func<T, T, T> join, Func<T, T, bool> covers, Func<T, double> weight)
        where T : notnull
    {
        if (way is MergeWay.Sound or MergeWay.Each || rules.Count == 0)
        {
            return rules;
        }

        var values = rules.Select(r => get(r.Clause)).ToList();
        T chosen;
        switch (way)
        {
            case MergeWay.Union:
                chosen = values.Aggregate(join);
                break;
            case MergeWay.Stated:
                var stated = rules.Where(IsStated).Select(r => get(r.Clause)).ToList();
                if (stated.Count == 0)
                {
                    throw new ArgumentException($"the stated policy '{ways.StatedPolicy}' has no rules to take {kind} from");
                }

                chosen = stated.Aggregate(join);
                break;
            default:
                var ordered = values.OrderBy(weight).ThenBy(v => v.ToString(), StringComparer.Ordinal).ToList();
                chosen = way == MergeWay.Strictest ? ordered[^1] : ordered[0];
                break;
        }

        foreach (var rule in rules.Where(r => !covers(chosen, get(r.Clause))))
        {
            Weakened.AddRange(rule.Sources.Select(s => new Weakened(s, kind, $"{s} asks for more than the {way.ToString().ToLowerInvariant()} rule gives")));
        }

        return rules.ConvertAll(r => r with { Clause = set(r.Clause, chosen) });
    }

    private List<PointRule> Points(List<PointRule> rules)
    {
        var demanding = rules.Where(r => r.Clause.Demand is EveryDemand or CalendarDemand).ToList();
        if (ways.RecoveryPoint is MergeWay.Sound or MergeWay.Union or MergeWay.Each || demanding.Count == 0)
        {
            return rules;
        }

        List<PointRule> winners;
        if (ways.RecoveryPoint == MergeWay.Stated)
        {
            winners = demanding.Where(IsStated).ToList();
            if (winners.Count == 0)
            {
                throw new ArgumentException($"the stated policy '{ways.StatedPolicy}' has no rules about recovery points");
            }
        }
        else
        {
            var ordered = demanding.OrderBy(r => r.Clause.Demand.PointsPerDay).ThenBy(r => r.Title, StringComparer.Ordinal).ToList();
            winners = [ways.RecoveryPoint == MergeWay.Strictest ? ordered[^1] : ordered[0]];
        }

        // What the losers said about their points goes to the winners' points: only the when is decided here.
        var keep = demanding.Select(r => r.Clause.Keep).Aggregate((a, b) => a.Join(b));
        var terms = demanding.Select(r => r.Clause.Terms).Aggregate((a, b) => a.Join(b));
        var result = rules.Except(demanding).ToList();
        result.AddRange(winners.Select(w => w with { Clause = w.Clause with { Keep = keep, Terms = terms } }));
        foreach (var loser in demanding.Except(winners))
        {
            var own = new Clause(loser.Clause.Demand, Keep.Nothing, PointTerms.Least);
            if (!winners.Exists(w => (w.Clause with { Keep = Keep.Nothing }).Covers(own)))
            {
                Weakened.AddRange(loser.Sources.Select(s => new Weakened(s, RuleKind.RecoveryPoint, $"{s} no longer gets its own points; those of {winners[0].Title} need not be at its times")));
            }
        }

        return result;
    }

    private IEnumerable<LimitRule> Limits(IReadOnlyList<Policy> policies)
    {
        var all = policies.SelectMany(p => p.Limits).ToList();
        if (ways.Impact is not (MergeWay.Weakest or MergeWay.Stated))
        {
            return all;
        }

        List<LimitRule> chosen;
        if (ways.Impact == MergeWay.Stated)
        {
            chosen = all.Where(l => l.Sources.Any(s => s.Policy == ways.StatedPolicy)).ToList();
        }
        else
        {
            var freeze = all.Where(l => l.Limit is FreezeLimit).OrderByDescending(l => ((FreezeLimit)l.Limit).AtMost).Take(1);
            var bandwidth = all.Where(l => l.Limit is BandwidthLimit).OrderByDescending(l => ((BandwidthLimit)l.Limit).BytesPerSecond).Take(1);
            chosen = [.. freeze, .. bandwidth];
        }

        foreach (var limit in all.Except(chosen))
        {
            Weakened.AddRange(limit.Sources.Select(s => new Weakened(s, RuleKind.Impact, $"the limit {s} no longer holds")));
        }

        return chosen;
    }

    private static double KeepWeight(Keep keep) => Math.Max(
        Math.Max(keep.For.TotalSeconds, keep.Last * 60.0),
        keep.Per.Select(p => p.Count * KeepPer.MeanLength(p.Period).TotalSeconds).DefaultIfEmpty().Max());
}
