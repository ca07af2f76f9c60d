using FsCheck;
using FsCheck.Fluent;
using NodaTime;
using Xunit;

namespace Holdfast.Policies.Tests;

/// <summary>Laws of the join, over policies from small pools, so that rules that are equal or cover one another are common.</summary>
public sealed class AlgebraTests
{
    private static readonly int Count = TestSize.Of(2_000, 50_000);

    [Fact]
    public void Merging_is_commutative() => ForAll(s => Same(Join(s.A, s.B), Join(s.B, s.A)));

    [Fact]
    public void Merging_is_associative_with_results_that_are_reduced_in_between() =>
        ForAll(s => Same(Join(Join(s.A, s.B), s.C), Join(s.A, Join(s.B, s.C))));

    [Fact]
    public void Merging_is_idempotent() => ForAll(s => Same(Join(s.A, s.A), PolicyMerge.Reduce(PolicyMerge.Join("m", [s.A]))) && Same(Join(Join(s.A, s.B), s.B), Join(s.A, s.B)));

    [Fact]
    public void The_empty_policy_changes_nothing() => ForAll(s => Same(Join(s.A, new Policy("empty", [], [])), PolicyMerge.Reduce(PolicyMerge.Join("m", [s.A]))));

    [Fact]
    public void Adding_a_policy_never_weakens_a_rule() => ForAll(s =>
    {
        var before = Join(s.A, s.B);
        var after = Join(before, s.C);
        return before.Rules.All(r => after.Rules.Any(a => a.Clause.Covers(r.Clause))) && before.Limits.All(l => after.Limits.Any(a => Holds(a.Limit, l.Limit)));
    });

    [Fact]
    public void No_rule_of_a_reduced_policy_covers_another() => ForAll(s =>
    {
        var rules = Join(Join(s.A, s.B), s.C).Rules;
        return rules.All(r => rules.All(o => ReferenceEquals(r, o) || !r.Clause.Covers(o.Clause)));
    });

    [Fact]
    public void What_is_dropped_is_exactly_what_another_rule_covers() => ForAll(s =>
    {
        var full = PolicyMerge.Join("m", [s.A, s.B, s.C]);
        var expected = full.Rules.Where(r => !full.Rules.Any(o => !ReferenceEquals(o, r) && o.Clause.Covers(r.Clause)));
        return PolicyMerge.Reduce(full).Rules.SequenceEqual(expected);
    });

    [Fact]
    public void Assigning_and_unassigning_in_any_order_gives_the_merge_of_what_is_left() => ForAll(s =>
    {
        var all = PolicyMerge.Join("m", [s.C, s.A, s.B]);
        var left = PolicyMerge.Join("m", new[] { s.A, s.B, s.C }.Where(p => p.Name != "b"));
        var without = all with
        {
            Rules = PolicyMerge.Ordered(all.Rules.Select(r => r with { Sources = r.Sources.Where(i => i.Policy != "b").ToValueList() }).Where(r => r.Sources.Count > 0)),
            Limits = left.Limits,
        };
        return Same(without, left);
    });

    [Fact]
    public void What_a_merge_writes_is_read_as_the_same_policy() => ForAll(s =>
    {
        var merged = Join(Join(s.A, s.B), s.C);
        var reading = PolicyReader.ReadText(PolicyWriter.Write(merged), "merged.conf");
        return !reading.HasErrors && Same(Join(reading.Policies[0], reading.Policies[0]), merged) && Same(Join(reading.Policies[0], s.A), merged);
    });

    [Fact]
    public void Covering_is_a_partial_order() => ForAll(s =>
    {
        var clauses = new[] { s.A, s.B, s.C }.SelectMany(p => p.Rules).Select(r => r.Clause).ToList();
        return clauses.TrueForAll(a => a.Covers(a))
            && clauses.TrueForAll(a => clauses.TrueForAll(b => !(a.Covers(b) && b.Covers(a)) || a.Equals(b)))
            && clauses.TrueForAll(a => clauses.TrueForAll(b => clauses.TrueForAll(c => !(a.Covers(b) && b.Covers(c)) || a.Covers(c))));
    });

    private static Policy Join(Policy a, Policy b) => PolicyMerge.Reduce(PolicyMerge.Join("m", [a, b]));

    private static bool Same(Policy a, Policy b) => a.Rules.Equals(b.Rules) && a.Limits.Equals(b.Limits) && a.Sharing == b.Sharing;

    private static bool Holds(Limit strong, Limit weak) => (strong, weak) switch
    {
        (FreezeLimit s, FreezeLimit w) => s.AtMost <= w.AtMost,
        (BandwidthLimit s, BandwidthLimit w) => s.BytesPerSecond <= w.BytesPerSecond,
        _ => strong.Equals(weak),
    };

    private static void ForAll(Func<Three, bool> law)
    {
        var arbitrary = Arb.From(
            Gen.Choose(0, int.MaxValue - 1).Select(seed => new SmallPool(new Random(seed)).Three()),
            three => three.Smaller());
        var config = Config.QuickThrowOnFailure.WithMaxTest(Count).WithReplay(new Replay(new Rnd((ulong)TestSize.Seed, 7), null));
        Prop.ForAll(arbitrary, law).Check(config);
    }

    public sealed record Three(Policy A, Policy B, Policy C)
    {
        /// <summary>The same with one rule, one limit, or the terms of one rule less.</summary>
        public IEnumerable<Three> Smaller() =>
            Less(A).Select(a => this with { A = a }).Concat(Less(B).Select(b => this with { B = b })).Concat(Less(C).Select(c => this with { C = c }));

        public override string ToString() => PolicyWriter.Write(A) + PolicyWriter.Write(B) + PolicyWriter.Write(C);

        private static IEnumerable<Policy> Less(Policy policy)
        {
            for (var i = 0; i < policy.Rules.Count; i++)
            {
                var rules = policy.Rules.ToList();
                var rule = rules[i];
                rules.RemoveAt(i);
                yield return policy with { Rules = rules.ToValueList() };
                var simpler = rule with { Clause = new Clause(rule.Clause.Demand, Keep.Nothing, PointTerms.Least) };
                if (!simpler.Equals(rule))
                {
                    rules.Insert(i, simpler);
                    yield return policy with { Rules = rules.ToValueList() };
                }
            }

            for (var i = 0; i < policy.Limits.Count; i++)
            {
                yield return policy with { Limits = policy.Limits.Where((_, n) => n != i).ToValueList() };
            }
        }
    }

    private sealed class SmallPool(Random random)
    {
        public Three Three() => new(Policy("a"), Policy("b"), Policy("c"));

        private T Pick<T>(params T[] items) => items[random.Next(items.Length)];

        private Policy Policy(string name) => new(
            name,
            Enumerable.Range(0, random.Next(4)).Select(i => new PointRule([new RuleId(name, $"r{i}")], Clause(), SourcePosition.None)).ToValueList(),
            Enumerable.Range(0, random.Next(3)).Select(i => new LimitRule([new RuleId(name, $"l{i}")], Limit(), SourcePosition.None)).DistinctBy(l => l.Limit.GetType()).ToValueList());

        private Clause Clause() => new(Demand(), Keep(), Terms());

        private Demand Demand()
        {
            var window = new TimeWindows([new WeeklyWindow(WeekDays.All, new LocalTime(8, 0), new LocalTime(18, 0))], "UTC", false);
            return random.Next(5) switch
            {
                0 or 1 => new EveryDemand(Times.Hours(Pick(1, 2)), Pick<TimeWindows?>(null, null, window)),
                2 => new CalendarDemand(CalendarPattern.Daily(new LocalTime(1, 0)), "UTC", Times.Hours(Pick(0, 1)), Times.Hours(Pick(0, 1, 2))),
                3 => new TriggerDemand(new TriggerCondition(TriggerKind.Cpu, 80, Duration.Zero, "", 0, Duration.Zero), Times.Minutes(Pick(5, 10)), Times.Minutes(Pick(0, 1))),
                _ => new AnyPointDemand(),
            };
        }

        private Keep Keep() => new(Times.Days(Pick(0, 1, 2)), Pick(0, 0, 0, 3), Pick<ValueList<KeepPer>>([], [], [new KeepPer(KeepPeriod.Day, Pick(7, 30), Pick("UTC", "Europe/Berlin"))]));

        private PointTerms Terms() => new(
            Pick(Consistency.Crash, Consistency.Application),
            Pick(Copies.None, Copies.None, new Copies([new CopyTo("nas", Times.Hours(Pick(1, 2)))], 0, Quantity.Forever), new Copies([], 2, Times.Hours(1))),
            Pick(StorageTerms.Any, StorageTerms.Any, new StorageTerms(StorageTier.Any, Compression.Any, true, Duration.Zero)));

        private Limit Limit() => random.Next(3) switch
        {
            0 => new FreezeLimit(Duration.FromMilliseconds(Pick(100, 200))),
            1 => new BandwidthLimit(Pick(1L << 20, 10L << 20)),
            _ => new BlackoutLimit(new WeeklyWindow(Pick(WeekDays.All, WeekDays.Monday), new LocalTime(9, 0), new LocalTime(10, 0)), "UTC"),
        };
    }
}
