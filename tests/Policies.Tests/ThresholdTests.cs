using NodaTime;
using Xunit;
using Xunit.Abstractions;

namespace Holdfast.Policies.Tests;

public sealed class ThresholdTests(ITestOutputHelper output)
{
    private static readonly Instant From = Times.Utc(2026, 1, 5);

    [Fact]
    public void What_is_refused_and_the_nearest_fit_are_what_trying_everything_finds()
    {
        var refused = 0;
        var fits = 0;
        for (var i = 0; i < TestSize.Of(60, 1_000); i++)
        {
            var random = new Random(unchecked(TestSize.Seed + i * 7919));
            var policies = (ValueList<Policy>)[Small(random, "a"), Small(random, "b")];
            var text = $"{(random.Next(2) == 0 ? "checkpoints" : "stored")}<={random.Next(15, 100)}%";
            var request = new MergeRequest("m", policies, From) { Horizon = Duration.FromDays(7), Threshold = Threshold.Parse(text), MostTried = 100_000 };
            var report = Merger.Merge(request);
            var line = request.Threshold.Lines[0];
            var dimension = line.Dimension!.Value;
            bool Fits(Cost cost) => cost[dimension] <= report.SideBySide[dimension] * line.Bound * (1 + 1e-9);
            Assert.True(report.Accepted == Fits(report.Cost), $"seed {TestSize.Seed} case {i}: {text}");
            if (report.Refusal is not { } refusal)
            {
                continue;
            }

            refused++;
            // Every combination of steps, with the cost of each taken anew.
            var knobs = FitSearch.Knobs(report.Full);
            var least = int.MaxValue;
            var steps = new int[knobs.Count];
            while (true)
            {
                if (steps.Sum() < least && Fits(CostModel.Predict(FitSearch.Apply(report.Full, knobs, steps), request.Profile, From, Duration.FromDays(7))))
                {
                    least = steps.Sum();
                }

                var k = 0;
                while (k < steps.Length && steps[k] == knobs[k].Steps)
                {
                    steps[k++] = 0;
                }

                if (k == steps.Length)
                {
                    break;
                }

                steps[k]++;
            }

            if (refusal.Nearest is { } nearest)
            {
                fits++;
                Assert.Equal($"{least} step", refusal.Search[..$"{least} step".Length]);
                Assert.True(Fits(nearest.Cost));
                // What is printed is what was measured: the policy, read back, costs that.
                var again = PolicyReader.ReadText(PolicyWriter.Write(nearest.Policy), "nearest").Policies[0];
                Assert.Equal(nearest.Policy.Rules.Count, again.Rules.Count);
            }
            else
            {
                Assert.Equal(int.MaxValue, least);
            }
        }

        output.WriteLine($"seed {TestSize.Seed}: {refused} refused, {fits} with a nearest fit");
        Assert.True(fits > 5, "the thresholds hardly bound");
    }

    [Fact]
    public void A_refusal_names_the_rule_that_costs_most_and_what_each_relaxation_saves()
    {
        var dear = Times.Read("""points { dear { every = 10m, keep { for = 2d } } }""", "dear");
        var cheap = Times.Read("""points { cheap { at = "03:05", keep { last = 2 } } }""", "cheap");

        var report = Merger.Merge(new MergeRequest("m", [dear, cheap], From) { Threshold = Threshold.Parse("checkpoints<=80/d") });

        Assert.False(report.Accepted);
        Assert.Equal("dear.dear", report.Refusal!.Costly[0].Rule.Title);
        Assert.Equal("dear.dear: every = 10m becomes every = 20m", report.Refusal.Relaxations[0].What);
        Assert.InRange(report.Refusal.Relaxations[0].Saving.Checkpoints, 70, 73);
        Assert.Equal(["dear.dear: every = 10m becomes every = 20m"], report.Refusal.Nearest!.Steps);
        Assert.Contains("refused: checkpoints is", MergeText.Write(report), StringComparison.Ordinal);
        Assert.Contains("\"refusal\"", PolicyJson.Line(report), StringComparison.Ordinal);
    }

    [Fact]
    public void Without_any_relaxation_that_fits_the_answer_says_so()
    {
        var policy = Times.Read("""points { p { at = "03:00", keep { last = 1 } } }""");

        var report = Merger.Merge(new MergeRequest("m", [policy], From) { Threshold = Threshold.Parse("checkpoints<0.1/d") });

        Assert.Null(report.Refusal!.Nearest);
        Assert.Contains("not even the weakest", report.Refusal.Search, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("checkpoints<=24/d")]
    [InlineData("freeze<5s/d, written<=1GiB/d")]
    [InlineData("stored<=80%,sent<100%")]
    [InlineData("all<=100%")]
    public void Thresholds_are_read(string text) => Assert.NotEmpty(Threshold.Parse(text).Lines);

    [Theory]
    [InlineData("")]
    [InlineData("checkpoints>5")]
    [InlineData("speed<5")]
    [InlineData("all<5")]
    [InlineData("stored<=lots")]
    [InlineData("freeze<=5GiB")]
    public void What_is_no_threshold_is_refused(string text) => Assert.Throws<FormatException>(() => Threshold.Parse(text));

    private static Policy Small(Random random, string name)
    {
        Demand demand = random.Next(3) == 0
            ? new CalendarDemand(CalendarPattern.Daily(new LocalTime(random.Next(24), 0)), "UTC", Duration.Zero, Times.Hours(random.Next(3)))
            : new EveryDemand(Times.Hours(random.Next(1, 8)));
        var keep = random.Next(2) == 0 ? new Keep(Times.Days(random.Next(1, 8)), 0, []) : new Keep(Duration.Zero, random.Next(2, 9), []);
        return new Policy(name, [new PointRule([new RuleId(name, "r")], new Clause(demand, keep, PointTerms.Least), SourcePosition.None)], []);
    }
}
