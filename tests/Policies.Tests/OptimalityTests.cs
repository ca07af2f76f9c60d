using NodaTime;
using Xunit;
using Xunit.Abstractions;

namespace Holdfast.Policies.Tests;

public sealed class OptimalityTests(ITestOutputHelper output)
{
    // A second of the plan is a tick of the enumeration.
    private const int Ticks = 15;

    [Fact]
    public void No_choice_of_points_needs_fewer_than_the_plan()
    {
        var count = TestSize.Of(1_500, 30_000);
        long shared = 0;
        for (var i = 0; i < count; i++)
        {
            var random = new Random(unchecked(TestSize.Seed + i * 7919));
            var policy = SmallPolicy(random);
            var start = Times.Utc(2026, 3, 2);
            var plan = Planner.Until(policy, PlanState.StartingAt(start), start, start + Duration.FromSeconds(Ticks));
            var planned = plan.Points.Select(p => (int)(p.At - start).TotalSeconds).ToArray();
            var least = Enumerable.Range(0, 1 << (Ticks + 1)).Where(m => Meets(policy, m)).Select(m => System.Numerics.BitOperations.PopCount((uint)m)).DefaultIfEmpty(-1).Min();
            // The plan may hold a point for an obligation that ends beyond the enumeration; all that counts is what must be met within it.
            var needed = Needed(policy, planned);
            Assert.True(needed == least, $"seed {TestSize.Seed} case {i}: {needed} points [{string.Join(",", planned)}] where {least} are enough\n{PolicyWriter.Write(policy)}");
            shared += plan.Points.Count(p => p.Serves.Count > 1);
        }

        output.WriteLine($"seed {TestSize.Seed}: {count} policies, {shared} points that serve more than one rule");
        Assert.True(shared > count / 2, "the policies hardly overlapped");
    }

    private static Policy SmallPolicy(Random random)
    {
        var rules = new List<PointRule>();
        for (var i = 0; i < random.Next(1, 5); i++)
        {
            Demand demand;
            if (random.Next(3) == 0)
            {
                demand = new EveryDemand(Duration.FromSeconds(random.Next(2, 9)), random.Next(2) == 0 ? null : new TimeWindows([Window(random, 12)], "UTC", random.Next(3) == 0));
            }
            else
            {
                demand = new CalendarDemand(CalendarPattern.Daily(new LocalTime(0, 0, random.Next(1, 11))), "UTC", Duration.FromSeconds(random.Next(0, 4)), Duration.FromSeconds(random.Next(0, 5)));
            }

            rules.Add(new PointRule([new RuleId("p", $"r{i}")], new Clause(demand, Keep.Nothing, PointTerms.Least), SourcePosition.None));
        }

        var limits = random.Next(2) == 0 ? ValueList<LimitRule>.Empty
            : [new LimitRule([new RuleId("p", "l")], new BlackoutLimit(Window(random, 3), "UTC"), SourcePosition.None)];
        var policy = new Policy("p", rules.ToValueList(), limits);
        var start = Times.Utc(2026, 3, 2);
        // Conflicts are another test's business: there, no choice of points is right.
        return ConflictFinder.Find(policy, null, start, Duration.FromSeconds(Ticks)).Count > 0 ? policy with { Limits = [] } : policy;
    }

    private static WeeklyWindow Window(Random random, int longest)
    {
        var from = random.Next(1, 12);
        return new WeeklyWindow(WeekDays.All, new LocalTime(0, 0, from), new LocalTime(0, 0, from + random.Next(1, longest)));
    }

    private static int Needed(Policy policy, int[] planned)
    {
        // The shortest beginning of the plan that meets everything within the enumeration.
        for (var n = 0; n <= planned.Length; n++)
        {
            if (Meets(policy, planned.Take(n).Aggregate(0, (mask, p) => mask | (1 << p))))
            {
                return n;
            }
        }

        return int.MaxValue;
    }

    private static bool Meets(Policy policy, int mask)
    {
        foreach (var blackout in policy.Limits.Select(l => (BlackoutLimit)l.Limit))
        {
            for (var t = blackout.Window.From.Second; t < blackout.Window.To.Second; t++)
            {
                if ((mask & (1 << t)) != 0)
                {
                    return false;
                }
            }
        }

        return policy.Rules.All(r => Meets(r.Clause.Demand, mask));
    }

    private static bool Meets(Demand demand, int mask)
    {
        if (demand is CalendarDemand calendar)
        {
            var anchor = calendar.Pattern.Time.Second;
            var end = anchor + (int)calendar.After.TotalSeconds;
            return end > Ticks || Any(mask, Math.Max(0, anchor - (int)calendar.Before.TotalSeconds), end);
        }

        var every = (EveryDemand)demand;
        var interval = (int)every.Interval.TotalSeconds;
        if (every.Windows is not { } windows)
        {
            return Spaced(mask, 0, Ticks, interval);
        }

        var from = windows.Windows[0].From.Second;
        var to = windows.Windows[0].To.Second;
        if (!windows.Outside)
        {
            return Opening(mask, from, to - 1, interval);
        }

        // Before the window the rule begins in the middle of an opening that began yesterday; after it, one goes on until tomorrow.
        return Spaced(mask, 0, from - 1, interval) && Spaced(mask, to, Ticks, interval);
    }

    private static bool Opening(int mask, int first, int last, int interval) =>
        first + interval <= last ? Spaced(mask, first, Math.Min(last, Ticks), interval) : last > Ticks || Any(mask, first, last);

    // Every (x, x + interval] within [first, last] has a point.
    private static bool Spaced(int mask, int first, int last, int interval)
    {
        for (var x = first; x + interval <= last; x++)
        {
            if (!Any(mask, x + 1, x + interval))
            {
                return false;
            }
        }

        return true;
    }

    private static bool Any(int mask, int from, int to) => (mask & ((1 << (to + 1)) - (1 << from))) != 0;
}
