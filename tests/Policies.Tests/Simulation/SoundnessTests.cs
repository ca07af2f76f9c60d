using NodaTime;
using Xunit;
using Xunit.Abstractions;

namespace Holdfast.Policies.Tests;

public sealed class SoundnessTests(ITestOutputHelper output)
{
    [Fact]
    public void Every_rule_of_every_policy_holds_under_the_merged_plan_or_is_named()
    {
        var seed = TestSize.Seed;
        var count = TestSize.Of(2_000, 100_000);
        long points = 0, alone = 0, excused = 0, named = 0, conflictFree = 0, violatedAlone = 0, onlyMerged = 0, onlyAlone = 0;
        var totals = new object();
        var failures = new List<string>();
        Parallel.For(0, count, new ParallelOptions { MaxDegreeOfParallelism = 2 }, i =>
        {
            var one = new Case(seed, i);
            one.Run();
            lock (totals)
            {
                points += one.Points;
                alone += one.AlonePoints;
                excused += one.Excused;
                named += one.Named;
                conflictFree += one.ConflictFree ? 1 : 0;
                violatedAlone += one.ExcusedAlone;
                onlyMerged += one.ExcusedMergedRules.Except(one.ExcusedAloneRules).Count();
                onlyAlone += one.ExcusedAloneRules.Except(one.ExcusedMergedRules).Count();
                if (one.Failures.Count > 0)
                {
                    failures.Add($"seed {seed} case {i}: {string.Join("\n", one.Failures.Take(3))}\n{(failures.Count == 0 ? one.Description : "")}");
                }
            }
        });
        output.WriteLine($"seed {seed}: {count} sets, {conflictFree} without conflicts; {points} points merged, {alone} points alone: mean saving {1 - (double)points / alone:P1}");
        output.WriteLine($"{excused} obligations that the world gave no chance (alone: {violatedAlone}), {named} violations of named conflicts");
        // The same outage meets the plans in different phases, so luck goes both ways; what is proved is that nobody lost a chance.
        output.WriteLine($"rules that an outage longer than the reserve broke under the merged plan only: {onlyMerged}, alone only: {onlyAlone}");
        Assert.True(failures.Count == 0, string.Join("\n", failures.Take(20)) + $"\n{failures.Count} in all");
        Assert.True(conflictFree > count / 2);
        Assert.True(named > 0 && excused > 0, "the worlds were too kind to prove anything");
    }

    private sealed class Case(int seed, int index)
    {
        private readonly Random _random = new(unchecked(seed * 7919 + index * 104_729));

        public List<string> Failures { get; } = [];

        public long Points { get; private set; }

        public long AlonePoints { get; private set; }

        public long Excused { get; private set; }

        public long ExcusedAlone { get; private set; }

        public HashSet<RuleId> ExcusedMergedRules { get; } = [];

        public HashSet<RuleId> ExcusedAloneRules { get; } = [];

        public long Named { get; private set; }

        public bool ConflictFree { get; private set; }

        public string Description { get; private set; } = "";

        public void Run()
        {
            var policies = new RandomPolicies(_random).Set(_random.Next(2, 4), limits: _random.Next(100) < 40);
            var merged = PolicyMerge.Join("merged", policies) with { Sharing = _random.Next(3) == 0 ? Sharing.LongestKeptFirst : Sharing.FewestPoints };
            var start = Instant.FromUtc(2019, 1, 1, 0, 0) + Duration.FromMinutes(_random.Next(6 * 366 * 1440));
            var perDay = merged.Rules.Sum(r => r.Clause.Demand.PointsPerDay);
            var days = Math.Clamp((TestSize.Long ? 1200 : 600) / Math.Max(perDay, 0.01), 1, 730);
            var end = start + Duration.FromMinutes(Math.Round(days * 1440));
            // Short outages within the reserve, or a world that does what it likes.
            var kind = _random.Next(3);
            var reserve = kind == 1 ? _random.Next(60, 1200) : _random.Next(2) == 0 ? 0 : _random.Next(600);
            var retry = Math.Max(1, reserve / 8);
            var probe = Planner.Until(merged, PlanState.StartingAt(start), start, end, new PlanOptions(Duration.FromSeconds(reserve)));
            var world = kind == 0 ? new World([]) : World(probe, start, end, kind == 1 ? Math.Max(1, reserve / 2 - retry) : 86400, reserve, retry);
            var conflicts = ConflictFinder.Find(merged, null, start, end - start + Duration.FromDays(2)).SelectMany(c => c.Rule.Sources).ToHashSet();
            ConflictFree = conflicts.Count == 0;
            Description = $"{string.Join("", policies.Select(PolicyWriter.Write))}\nfrom {start} until {end}, reserve {reserve}, retry {retry}, world {kind}: {world}";
            Points = One(merged, policies, world, conflicts, start, end, reserve, retry, isAlone: false);
            foreach (var policy in policies)
            {
                AlonePoints += One(policy with { Limits = merged.Limits }, [policy], world, conflicts, start, end, reserve, retry, isAlone: true);
            }

            if (kind == 0 && Points > AlonePoints && merged.Sharing == Sharing.FewestPoints && reserve == 0)
            {
                Failures.Add($"{Points} points merged, {AlonePoints} side by side");
            }
        }

        private long One(Policy carriedOut, ValueList<Policy> policies, World world, HashSet<RuleId> conflicts, Instant start, Instant end, long reserve, long retry, bool isAlone)
        {
            var rules = policies.SelectMany(p => p.Rules).ToList();
            Simulation? simulation = null;
            simulation = new Simulation(carriedOut, start, end, new PlanOptions(Duration.FromSeconds(reserve)), retry, world)
            {
                RetentionEvery = isAlone ? int.MaxValue : _random.Next(20, 120),
                AfterRetention = (now, kept) => Failures.AddRange(rules.SelectMany(r => Checker.Retained(r, simulation!.Log, now, kept))),
            };
            simulation.Run();
            var checker = new Checker(simulation.Log, carriedOut.Limits, start.ToUnixTimeSeconds(), end.ToUnixTimeSeconds(), reserve, retry, world);
            Failures.AddRange(checker.Trespasses(simulation.Attempts));
            foreach (var rule in rules)
            {
                foreach (var (what, excused) in checker.Check(rule))
                {
                    if (conflicts.Contains(rule.Id))
                    {
                        Named += isAlone ? 0 : 1;
                    }
                    else if (excused)
                    {
                        Excused += isAlone ? 0 : 1;
                        ExcusedAlone += isAlone ? 1 : 0;
                        (isAlone ? ExcusedAloneRules : ExcusedMergedRules).Add(rule.Id);
                    }
                    else
                    {
                        Failures.Add((isAlone ? "alone: " : "merged: ") + what);
                    }
                }
            }

            foreach (var title in simulation.PlanConflicts.Where(t => !conflicts.Contains(RuleId.Parse(t.Split(" + ")[0]))))
            {
                Failures.Add($"the plan has a conflict of {title} that was not named");
            }

            return simulation.Log.Count;
        }

        // Outages at random times and, so that they hurt, at times at which something is planned.
        private World World(Plan plan, Instant start, Instant end, long longest, long reserve, long retry)
        {
            var outages = new List<(long, long)>();
            var count = _random.Next(1, 12);
            var span = (end - start).TotalSeconds;
            for (var i = 0; i < count; i++)
            {
                var at = plan.Points.Count > 0 && _random.Next(2) == 0
                    ? plan.Points[_random.Next(plan.Points.Count)].At.ToUnixTimeSeconds() - _random.Next(10)
                    : start.ToUnixTimeSeconds() + (long)(_random.NextDouble() * span);
                var length = _random.Next(3) == 0 ? _random.Next(1, 60) : (long)(_random.NextDouble() * longest) + 1;
                outages.Add((at, at + Math.Min(length, longest)));
            }

            // Within the reserve, two outages must not follow so closely that together they are longer than it.
            var apart = outages.OrderBy(o => o.Item1).ToList();
            for (var i = apart.Count - 1; longest < 86400 && i > 0; i--)
            {
                if (apart[i].Item1 - apart[i - 1].Item2 < 2 * (reserve + retry))
                {
                    apart.RemoveAt(i);
                    i = apart.Count;
                }
            }

            return new World(apart);
        }
    }
}
