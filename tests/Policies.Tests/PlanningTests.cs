using NodaTime;
using Xunit;

namespace Holdfast.Policies.Tests;

public sealed class PlanningTests
{
    [Fact]
    public void A_node_that_is_restarted_at_any_point_goes_on_with_the_same_plan()
    {
        for (var i = 0; i < TestSize.Of(300, 10_000); i++)
        {
            var random = new Random(unchecked(TestSize.Seed + i * 31337));
            var policies = new RandomPolicies(random).Set(random.Next(1, 4), limits: true);
            var policy = PolicyMerge.Join("m", policies) with { Sharing = (Sharing)random.Next(3) };
            var start = Times.Utc(2026, 3, 20, 7, 11, 13);
            var perDay = policy.Rules.Sum(r => r.Clause.Demand.PointsPerDay);
            var end = start + Duration.FromSeconds(Math.Round(Math.Min(200 / Math.Max(perDay, 0.05), 60) * 86400));
            var options = new PlanOptions(Duration.FromSeconds(random.Next(2) * 90));
            var whole = Planner.Until(policy, PlanState.StartingAt(start), start, end, options);
            if (whole.Points.Count < 2)
            {
                continue;
            }

            // Two policies that do not share may want points at the same second: a node that took one of them takes the other as well.
            var done = random.Next(1, whole.Points.Count);
            while (done < whole.Points.Count && whole.Points[done].At == whole.Points[done - 1].At)
            {
                done++;
            }

            var state = PlanState.After(start, whole.Points.Take(done).SelectMany(p => p.Tags));
            var rest = Planner.Until(policy, state, whole.Points[done - 1].At + Duration.FromSeconds(1), end, options);

            var expected = whole.Points.Skip(done).Select(p => (p.At, Names(p))).ToList();
            var found = rest.Points.Select(p => (p.At, Names(p))).ToList();
            Assert.True(expected.SequenceEqual(found), $"seed {TestSize.Seed} case {i}, after {done} of {whole.Points.Count} ({policy.Sharing}): expected {string.Join(" ", expected.Except(found).Take(3))}, found {string.Join(" ", found.Except(expected).Take(3))}, before {string.Join(" ", whole.Points.Take(done).TakeLast(4).Select(p => (p.At, Names(p))))}, then {string.Join(" ", expected.Take(8))}\n{PolicyWriter.Write(policy)}");
        }
    }

    [Fact]
    public void The_next_checkpoints_are_the_beginning_of_the_long_plan()
    {
        var policy = Times.Read("""points { a { every = 7h }, b { at = "03:00", day-of-month = 31 } }""");
        var start = Times.Utc(2026, 1, 1);

        var next = Planner.Next(policy, PlanState.StartingAt(start), start, 20);
        var whole = Planner.Until(policy, PlanState.StartingAt(start), start, start + Duration.FromDays(400));

        Assert.Equal(20, next.Points.Count);
        Assert.Equal(whole.Points.Take(20).Select(p => p.At), next.Points.Select(p => p.At));
        var yearly = Times.Read("""points { y { at = "00:00", day-of-month = 29, month = 2 } }""");
        Assert.Equal(10, Planner.Next(yearly, PlanState.StartingAt(start), start, 10).Points.Count);
    }

    [Fact]
    public void A_point_is_as_strong_as_the_strongest_rule_that_it_serves_and_no_stronger()
    {
        var policy = Times.Read("""
            points {
              light { every = 1h }
              heavy { every = 6h, consistency = volumes, copies { to { nas { lag = 1h } } }, storage { encryption = required } }
            }
            """);
        var start = Times.Utc(2026, 1, 1);
        var plan = Planner.Until(policy, PlanState.StartingAt(start), start, start + Duration.FromDays(1));

        Assert.Equal(24, plan.Points.Count);
        Assert.Equal(4, plan.Points.Count(p => p.Terms.Consistency == Consistency.Volumes));
        Assert.All(plan.Points, p => Assert.Equal(p.Serves.Count == 2, p.Terms.Storage.Encrypted));
    }

    [Fact]
    public void Rules_for_every_point_apply_to_every_point_and_ask_for_none()
    {
        var policy = Times.Read("""every-point { consistency = application, storage { encryption = required } }""", "all");
        var other = Times.Read("""points { p { every = 1h } }""", "other");
        var start = Times.Utc(2026, 1, 1);

        Assert.Empty(Planner.Until(policy, PlanState.StartingAt(start), start, start + Duration.FromDays(1)).Points);
        var plan = Planner.Until(PolicyMerge.Join("m", [policy, other]), PlanState.StartingAt(start), start, start + Duration.FromDays(1));
        Assert.Equal(24, plan.Points.Count);
        Assert.All(plan.Points, p => Assert.True(p.Terms is { Consistency: Consistency.Application, Storage.Encrypted: true } && p.Serves.Count == 2));
    }

    [Fact]
    public void A_trigger_waits_for_a_point_that_is_planned_soon_enough()
    {
        var policy = Times.Read("""points { p { every = 1h } }, triggers { t { on = administrator, within = 5m, at-most-every = 1m } }""");
        var trigger = new RuleId("p", "t");
        var start = Times.Utc(2026, 1, 1);
        var state = PlanState.StartingAt(start);

        var soon = Planner.Until(policy, state.Fired(trigger, start + Times.Minutes(58)), start, start + Times.Hours(1)).Points;
        Assert.Equal(start + Times.Hours(1), Assert.Single(soon).At);
        Assert.Equal(2, soon[0].Serves.Count);

        var early = Planner.Until(policy, state.Fired(trigger, start + Times.Minutes(30)), start, start + Times.Hours(1)).Points;
        Assert.Equal(start + Times.Minutes(35), early[0].At);
        // The point for the event resets the clock of the interval.
        Assert.Single(early);
        Assert.Empty(state.Fired(trigger, start).With([new ServedRule(trigger, start)]).Pending);
    }

    [Fact]
    public void A_trigger_fires_when_the_value_stays_above_and_not_too_often()
    {
        var demand = (TriggerDemand)Times.Read("""triggers { t { on = cpu, above = 80%, sustained = 1m, at-most-every = 10m } }""").Rules[0].Clause.Demand;
        var at = Times.Utc(2026, 1, 1);
        var state = TriggerState.Initial;
        var fired = new List<int>();
        for (var second = 0; second < 1800; second += 10)
        {
            var step = TriggerGate.Sample(demand, state, second == 30 ? 50 : 90, at + Duration.FromSeconds(second));
            state = step.Next;
            if (step.Fires)
            {
                fired.Add(second);
            }
        }

        Assert.Equal([100, 700, 1300], fired);
    }

    [Fact]
    public void A_blackout_that_never_ends_is_a_conflict_and_not_an_endless_search()
    {
        var policy = Times.Read("""points { p { every = 1h }, d { at = "01:00", catch-up = no } }, limits { not-during { always { from = "00:00", to = "24:00" } } }""");
        var start = Times.Utc(2026, 1, 1);

        Assert.Empty(Planner.Until(policy, PlanState.StartingAt(start), start, start + Duration.FromDays(30)).Points);
        Assert.Equal(2, ConflictFinder.Find(policy, null, start).Count);
    }

    [Fact]
    public void Between_two_blackouts_the_first_allowed_second_is_taken_when_the_reserve_does_not_fit()
    {
        var policy = Times.Read("""
            points { p { every = 4h, inside { from = "03:00", to = "05:00" } } }
            limits { not-during { a { from = "00:00", to = "04:13" }, b { from = "04:15", to = "06:00" } } }
            """);
        var start = Times.Utc(2026, 1, 1);

        var plan = Planner.Until(policy, PlanState.StartingAt(start), start, start + Duration.FromDays(1), new PlanOptions(Duration.FromMinutes(5)));

        Assert.Equal(Times.Utc(2026, 1, 1, 4, 13), Assert.Single(plan.Points).At);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-5)]
    public void A_plan_that_ends_before_it_begins_is_refused(int days)
    {
        var start = Times.Utc(2026, 1, 1);
        Assert.Throws<ArgumentOutOfRangeException>(() => Planner.Until(new Policy("p", [], []), PlanState.StartingAt(start), start, start + Duration.FromDays(days)));
    }

    private static string Names(PlannedPoint point) => string.Join("+", point.Serves.Select(s => $"{s.Rule.Title}{(s.Late ? "!" : "")}"));
}
