using System.Text.Json;
using System.Xml.Linq;
using NodaTime;
using Xunit;

namespace Holdfast.Policies.Tests;

/// <summary>What an operator is shown: checks, explanations, tables, JSON, drawings, and the ways of merging.</summary>
public sealed class ShownTests
{
    private static readonly Instant From = Times.Utc(2026, 1, 5);

    [Theory]
    [InlineData("points { a { every = 1h, keep { for = 1d } }, b { every = 2h, keep { for = 12h } } }", "b", "can never matter: p.a")]
    [InlineData("points { a { every = 1h } }", "a", "keeps nothing")]
    [InlineData("points { a { every = 1h, keep { for = 30d, daily = 7 } } }", "a", "only matters when there are no new points")]
    [InlineData("points { a { every = 1h, keep { for = 30d, last = 5 } } }", "a", "keeping the last 5")]
    [InlineData("points { a { every = 1s, keep { for = 30d } } }", "a", "over-protection")]
    [InlineData("points { a { every = 2s, keep { for = 1h } } }", "a", "shorter than a checkpoint takes")]
    [InlineData("points { a { every = 1d, inside { from = \"01:00\", to = \"02:00\" }, keep { last = 3 } } }", "a", "every window is shorter")]
    [InlineData("points { a { every = 1h, keep { for = 1h }, copies { to { nas { lag = 2h } } } } }", "a", "before its copy on nas")]
    [InlineData("points { a { every = 1h, keep { for = 1d }, storage { immutable-for = 9d } } }", "a", "immutable for 9d")]
    [InlineData("triggers { a { on = administrator, at-most-every = 0, keep { last = 1 } } }", "a", "any number of times")]
    [InlineData("points { a { every = 1h, keep { for = 1d } } }, limits { not-during { l { from = \"01:00\", to = \"03:00\" } } }", "a", "conflict with p.l")]
    [InlineData("points { a { every = 1h, keep { for = 1d } } }, limits { freeze = 1ms }", "a", "predicted to freeze")]
    [InlineData("points { a { every = 1h, keep { for = 1d }, copies { to { nas { lag = 1s } } } } }, limits { bandwidth = 1MiB/s }", "a", "longer than its lag")]
    public void A_check_finds_what_is_valid_and_not_meant(string body, string rule, string expected)
    {
        var profile = ObjectProfile.Default with { Total = 3, Samples = 10 };

        var problems = PolicyCheck.Check([Times.Read(body)], profile, From);

        Assert.Contains(problems, p => p.Rule == rule && p.Message.Contains(expected, StringComparison.Ordinal) && p.Position.Line > 0);
        Assert.Contains("\"severity\":\"warning\"", PolicyJson.Lines(problems), StringComparison.Ordinal);
    }

    [Fact]
    public void A_check_of_a_sound_policy_finds_nothing() =>
        Assert.Empty(PolicyCheck.Check([Times.Read("""points { a { every = 1h, keep { for = 1d, daily = 30 } } }""")], ObjectProfile.Default, From));

    [Fact]
    public void An_explanation_says_why_a_snapshot_exists_and_why_it_is_kept_or_not()
    {
        var policy = Times.Read("""points { hourly { every = 1h, keep { for = 2h } } }""");
        var plan = Planner.Until(policy, PlanState.StartingAt(From), From, From + Times.Hours(5));
        var records = plan.Points.Select((p, i) => new SnapshotRecord($"s{i}", p.At, true, p.Terms, p.Tags)).ToList();
        var decision = Retention.Decide(records, policy, Times.Trusted(From + Times.Hours(5)));

        var kept = SnapshotExplanation.Of("s3", decision, policy)!;
        Assert.Contains("exists because p.hourly asked for it (every = 1h)", kept.ToText(), StringComparison.Ordinal);
        Assert.Contains("is kept because p.hourly keeps its points for 2h, until 2026-01-05T06:00:00Z", kept.ToText(), StringComparison.Ordinal);
        var gone = SnapshotExplanation.Of("s0", decision, policy)!;
        Assert.Contains("may go because p.hourly keeps its points for 2h, and this one is 4h old", gone.ToText(), StringComparison.Ordinal);
        Assert.Null(SnapshotExplanation.Of("nothing", decision, policy));
        Assert.Equal("s3", JsonDocument.Parse(PolicyJson.Line(kept)).RootElement.GetProperty("snapshot").GetString());
        Assert.Equal(records.Count, PolicyJson.Lines(decision).Trim().Split('\n').Length);
        Assert.Equal(records.Count, PlanTables.Retention(decision, DateTimeZone.Utc).Rows.Count);
    }

    [Fact]
    public void A_plan_is_shown_as_a_table_as_json_and_as_a_drawing()
    {
        var policy = Times.Read("""
            zone = "Europe/Berlin"
            points { hourly { every = 1h, keep { for = 1d } }, <nightly> { at = "03:00", tolerance = 1h, keep { daily = 7 }, copies { to { nas { lag = 1h } } } } }
            limits { not-during { lunch { from = "12:00", to = "14:30" } } }
            """.Replace("<nightly>", "\"<night & day>\"", StringComparison.Ordinal));
        var plan = Planner.Until(policy, PlanState.StartingAt(From), From, From + Times.Days(1));

        var table = PlanTables.Points(plan, Zones.Get("Europe/Berlin"));
        Assert.Equal(plan.Points.Count, table.Rows.Count);
        Assert.Contains("2026-01-05 03:00:00+01", table.ToText(), StringComparison.Ordinal);
        Assert.Contains("nas within 1h", table.ToText(), StringComparison.Ordinal);
        Assert.Contains("p.lunch", PlanTables.Trouble(plan, DateTimeZone.Utc).ToText(), StringComparison.Ordinal);

        var lines = PolicyJson.Lines(plan).Trim().Split('\n').Select(l => JsonDocument.Parse(l).RootElement).ToList();
        Assert.Equal(plan.Points.Count, lines.Count(l => l.GetProperty("kind").GetString() == "point"));
        Assert.Equal("p.hourly", lines.Single(l => l.GetProperty("kind").GetString() == "conflict").GetProperty("rule")[0].GetString());

        var records = plan.Points.Select((p, i) => new SnapshotRecord($"s{i}", p.At, true, p.Terms, p.Tags)).ToList();
        var svg = XDocument.Parse(PlanSvg.Draw(plan, DateTimeZone.Utc, Retention.Decide(records, policy, Times.Trusted(plan.Until))));
        var circles = svg.Descendants().Where(e => e.Name.LocalName == "circle").ToList();
        Assert.Equal(plan.Points.Count + plan.Points.Sum(p => p.Serves.Count), circles.Count);
        Assert.Contains(svg.Descendants(), e => e.Value.Contains("<night & day>", StringComparison.Ordinal));
        Assert.Equal(records.Count, svg.Descendants().Count(e => (string?)e.Attribute("fill") == "#009988"));
    }

    [Fact]
    public void A_merge_says_what_became_of_every_rule()
    {
        var a = Times.Read("""points { x { every = 1h, keep { for = 1d } }, y { every = 4h, keep { for = 1h } } }""", "a");
        var b = Times.Read("""points { x { every = 1h, keep { for = 1d } }, z { at = "01:00", tolerance = 1h, keep { daily = 30 } } }""", "b");

        var report = Merger.Merge(new MergeRequest("both", [a, b], From));

        Assert.Equal(["the same as b.x", "covered by a.x + b.x", "the same as a.x", "carried"], report.Fates.Select(f => f.What));
        Assert.Equal(2, report.Reduced.Rules.Count);
        Assert.Equal(3, report.Full.Rules.Count);
        Assert.Contains("merged-from = [\"a.x\", \"b.x\"]", PolicyWriter.Write(report.Reduced), StringComparison.Ordinal);
        Assert.Contains("side by side", MergeText.Write(report), StringComparison.Ordinal);
        Assert.True(JsonDocument.Parse(PolicyJson.Line(report)).RootElement.GetProperty("accepted").GetBoolean());
    }

    [Fact]
    public void Each_way_of_merging_does_what_its_name_says_and_names_what_it_weakens()
    {
        var a = Times.Read("""points { x { every = 1h, keep { for = 1d }, consistency = volumes } }, limits { freeze = 100ms }""", "a");
        var b = Times.Read("""points { y { at = "01:00", tolerance = 5m, keep { for = 30d }, copies { to { nas { lag = 1h } } } } }, limits { freeze = 200ms }""", "b");
        MergeReport Merge(string ways) => Merger.Merge(new MergeRequest("m", [a, b], From) { Ways = MergeWays.Parse(ways) });

        Assert.Empty(Merge("").Weakened);
        Assert.Equal(Sharing.PerPolicy, Merge("recovery-point=each").Full.Sharing);
        Assert.All(Merge("retention=union").Full.Rules, r => Assert.Equal(Duration.FromDays(30), r.Clause.Keep.For));
        Assert.All(Merge("retention=strictest").Full.Rules, r => Assert.Equal(Duration.FromDays(30), r.Clause.Keep.For));
        Assert.Equal(new RuleId("b", "y"), Assert.Single(Merge("retention=weakest").Weakened).Rule);
        Assert.Equal("b.y", Assert.Single(Merge("consistency=stated:a").Full.Rules, r => r.Clause.Demand is CalendarDemand && r.Clause.Terms.Consistency == Consistency.Volumes).Title);
        Assert.Equal(new RuleId("a", "x"), Assert.Single(Merge("consistency=weakest").Weakened).Rule);
        var strictest = Merge("recovery-point=strictest");
        Assert.Equal(Duration.FromHours(1), Assert.IsType<EveryDemand>(Assert.Single(strictest.Full.Rules).Clause.Demand).Interval);
        Assert.Equal(RuleKind.RecoveryPoint, Assert.Single(strictest.Weakened).Kind);
        Assert.Equal(Duration.FromMilliseconds(200), Assert.IsType<FreezeLimit>(Assert.Single(Merge("impact=weakest").Full.Limits).Limit).AtMost);
        Assert.All(Merge("replication=union,storage=union").Full.Rules, r => Assert.Single(r.Clause.Terms.Copies.To));
        Assert.Throws<ArgumentException>(() => Merge("retention=stated:nobody"));
        Assert.Throws<FormatException>(() => Merge("retention=somehow"));
        Assert.Throws<ArgumentException>(() => Merger.Merge(new MergeRequest("m", [a, b with { Name = "a" }], From)));
    }

    [Fact]
    public void A_profile_is_learnt_from_history_and_the_prediction_stands_beside_what_was_measured()
    {
        var truth = new ObjectProfile(8e9, 3e5, 0.8, 0.05, 0.4, 0.3, 4, 0);
        var history = new List<MeasuredCheckpoint>();
        var at = From;
        foreach (var minutes in Enumerable.Repeat((int[])[10, 30, 60, 20], 24).SelectMany(m => m))
        {
            at += Times.Minutes(minutes);
            var changed = truth.Changed(minutes * 60);
            history.Add(new MeasuredCheckpoint(at, Times.Minutes(minutes), (long)changed, (long)(changed * 0.3), Duration.FromSeconds(truth.Freeze(minutes * 60)), Duration.FromSeconds(4)));
        }

        var learnt = ObjectProfile.Learn((long)8e9, history);

        Assert.Equal(truth.ChangeExponent, learnt.ChangeExponent, 3);
        Assert.InRange(learnt.Written(7200) / truth.Written(7200), 0.99, 1.01);
        Assert.InRange(learnt.Freeze(7200) / truth.Freeze(7200), 0.99, 1.01);
        var predicted = CostModel.Predict(Times.Read("""points { p { every = 30m, keep { for = 1d } } }"""), learnt, From, Duration.FromDays(28));
        var half = Enumerable.Range(1, 48).Select(i => new MeasuredCheckpoint(From + Times.Minutes(30 * i), Times.Minutes(30), (long)truth.Changed(1800), (long)truth.Written(1800), Duration.FromSeconds(truth.Freeze(1800)), Duration.FromSeconds(4))).ToList();
        var comparison = CostComparison.Compare(predicted, half, Duration.FromDays(1));
        Assert.All(comparison.Where(c => c.Measured is not null && c.Measured > 0), c => Assert.InRange(c.Error!.Value, -0.01, 0.01));
        Assert.Contains("+0%", PlanTables.Comparison(comparison).ToText().Replace("-0%", "+0%", StringComparison.Ordinal).Replace(" 0%", " +0%", StringComparison.Ordinal), StringComparison.Ordinal);
        Assert.Equal(0, ObjectProfile.Learn(1, []).Samples);
    }
}
