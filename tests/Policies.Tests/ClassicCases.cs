using NodaTime;
using Xunit;

namespace Holdfast.Policies.Tests;

/// <summary>The cases that everybody who keeps backups knows, each to be read as an example.</summary>
public sealed class ClassicCases
{
    [Fact]
    public void Hourly_for_a_day_with_daily_for_a_month_keeps_24_hourly_and_30_daily_points()
    {
        var hourly = Times.Read("""points { hourly { every = 1h, keep { for = 1d } } }""", "short");
        var daily = Times.Read("""points { daily { at = "00:00", tolerance { after = 59m }, keep { for = 30d } } }""", "long");
        var story = new Story(Times.Utc(2026, 1, 1), hourly, daily);

        story.RunUntil(Times.Utc(2026, 3, 1, 12, 30));

        Assert.Equal(24, story.Kept("short.hourly").Count);
        Assert.Equal(30, story.Kept("long.daily").Count);
        // One of the daily points is also one of the hourly.
        Assert.Equal(53, story.KeptAll.Count);
        Assert.All(story.Kept("short.hourly").Zip(story.Kept("short.hourly").Skip(1)), p => Assert.Equal(Duration.FromHours(1), p.Second.Taken - p.First.Taken));
        Assert.All(story.Kept("long.daily"), s => Assert.InRange(s.Taken.InUtc().Hour, 0, 0));
    }

    [Fact]
    public void Two_full_backups_at_0100_and_0130_with_a_tolerance_become_one()
    {
        var first = Times.Read("""points { full { at = "01:00", tolerance = 30m, keep { last = 7 } } }""", "first");
        var second = Times.Read("""points { full { at = "01:30", tolerance = 30m, keep { last = 7 } } }""", "second");

        var plan = Plan(Times.Utc(2026, 1, 1), 7, first, second);

        Assert.Equal(7, plan.Points.Count);
        Assert.All(plan.Points, p => Assert.Equal(2, p.Serves.Count));
        Assert.All(plan.Points, p => Assert.Equal(new LocalTime(1, 0), p.At.InUtc().TimeOfDay));
    }

    [Fact]
    public void Two_full_backups_without_a_tolerance_stay_two()
    {
        var first = Times.Read("""points { full { at = "01:00", keep { last = 7 } } }""", "first");
        var second = Times.Read("""points { full { at = "01:30", keep { last = 7 } } }""", "second");

        var report = Merger.Merge(new MergeRequest("m", [first, second], Times.Utc(2026, 1, 1)));

        Assert.False(report.Overlaps);
        Assert.Equal(2, report.Cost.Checkpoints, 6);
        Assert.True(report.Accepted);
    }

    [Fact]
    public void Windows_that_do_not_overlap_are_each_served_in_their_own_time()
    {
        var night = Times.Read("""points { night { every = 1d, inside { from = "01:00", to = "03:00" }, keep { last = 7 } } }""", "night");
        var evening = Times.Read("""points { evening { every = 1d, inside { from = "20:00", to = "22:00" }, keep { last = 7 } } }""", "evening");

        var plan = Plan(Times.Utc(2026, 1, 1), 10, night, evening);

        Assert.Equal(20, plan.Points.Count);
        Assert.All(plan.Points, p => Assert.InRange(p.At.InUtc().Hour, p.Serves[0].Rule.Id.Policy == "night" ? 1 : 20, p.Serves[0].Rule.Id.Policy == "night" ? 2 : 21));
        Assert.Empty(plan.Conflicts);
    }

    [Fact]
    public void Windows_that_overlap_share_a_point_where_they_do()
    {
        var early = Times.Read("""points { p { every = 1d, inside { from = "01:00", to = "03:00" }, keep { last = 7 } } }""", "early");
        var late = Times.Read("""points { p { every = 1d, inside { from = "02:00", to = "04:00" }, keep { last = 7 } } }""", "late");

        var plan = Plan(Times.Utc(2026, 1, 1), 10, early, late);

        Assert.Equal(10, plan.Points.Count);
        Assert.All(plan.Points, p => Assert.Equal(2, p.At.InUtc().Hour));
    }

    [Fact]
    public void An_rpo_against_a_blackout_is_named_with_both_rules_and_the_blackout_is_kept()
    {
        var strict = Times.Read("""points { rpo { every = 1h, keep { for = 1d } } }""", "strict");
        var quiet = Times.Read("""limits { not-during { trading { days = [mon-fri], from = "09:00", to = "17:00" } } }""", "quiet");

        var report = Merger.Merge(new MergeRequest("m", [strict, quiet], Times.Utc(2026, 1, 5)));

        var conflict = Assert.Single(report.Conflicts);
        Assert.Equal("strict.rpo", conflict.Rule.Title);
        Assert.Equal("quiet.trading", Assert.Single(conflict.Limits).Title);
        var plan = Plan(Times.Utc(2026, 1, 5), 1, strict, quiet);
        Assert.DoesNotContain(plan.Points, p => p.At.InUtc().Hour is >= 9 and < 17);
        // The promise is broken for as short a time as the blackout allows: the last second before, the first after.
        Assert.Contains(plan.Points, p => p.At == Times.Utc(2026, 1, 5, 8, 59, 59));
        Assert.Contains(plan.Points, p => p.At == Times.Utc(2026, 1, 5, 17) && p.Serves[0].Late);
    }

    [Fact]
    public void A_short_blackout_is_no_conflict_it_only_moves_the_point_forward()
    {
        var strict = Times.Read("""points { rpo { every = 1h, keep { for = 1d } } }""", "strict");
        var quiet = Times.Read("""limits { not-during { lunch { from = "12:00", to = "12:30" } } }""", "quiet");

        var plan = Plan(Times.Utc(2026, 1, 5), 1, strict, quiet);

        Assert.Empty(plan.Conflicts);
        Assert.Contains(plan.Points, p => p.At == Times.Utc(2026, 1, 5, 11, 59, 59));
        Assert.DoesNotContain(plan.Points, p => p.At >= Times.Utc(2026, 1, 5, 12) && p.At < Times.Utc(2026, 1, 5, 12, 30));
    }

    [Fact]
    public void Three_destinations_with_different_lags_are_all_served_each_with_the_shortest_lag()
    {
        var a = Times.Read("""points { p { every = 1h, keep { for = 1d }, copies { to { nas { lag = 15m }, s3 { lag = 4h } } } } }""", "a");
        var b = Times.Read("""points { p { every = 1h, keep { for = 7d }, copies { to { nas { lag = 1h }, tape { lag = 1d } } } } }""", "b");

        var plan = Plan(Times.Utc(2026, 1, 1), 1, a, b);

        Assert.Equal(24, plan.Points.Count);
        Assert.All(plan.Points, p => Assert.Equal(
            [new CopyTo("nas", Duration.FromMinutes(15)), new CopyTo("s3", Duration.FromHours(4)), new CopyTo("tape", Duration.FromDays(1))], p.Terms.Copies.To));
        // Each place keeps its copies only as long as the rules that want them there say.
        var story = new Story(Times.Utc(2026, 1, 1), a, b);
        story.RunUntil(Times.Utc(2026, 1, 10, 0, 30));
        Assert.Equal(24, story.KeptOn("s3"));
        Assert.Equal(7 * 24, story.KeptOn("tape"));
        Assert.Equal(7 * 24, story.KeptOn("nas"));
    }

    [Fact]
    public void Grandfather_father_son_over_a_leap_day_and_both_clock_changes_has_every_day_week_and_month()
    {
        var policy = Times.Read("""
            zone = "Europe/Berlin"
            points { nightly { at = "02:30", keep { daily = 400, weekly = 60, monthly = 14 } } }
            """, "gfs");
        var story = new Story(Instant.FromUtc(2023, 12, 31, 23, 0), policy);

        story.RunUntil(Instant.FromUtc(2025, 1, 1, 0, 0));

        var zone = DateTimeZoneProviders.Tzdb["Europe/Berlin"];
        var days = story.KeptAll.Select(s => s.Taken.InZone(zone).Date).ToList();
        Assert.Equal(366, days.Distinct().Count());
        Assert.Contains(new LocalDate(2024, 2, 29), days);
        // 02:30 does not exist on 31 March and exists twice on 27 October; there is one point on each.
        Assert.Equal(new LocalTime(3, 30), Assert.Single(story.KeptAll, s => s.Taken.InZone(zone).Date == new LocalDate(2024, 3, 31)).Taken.InZone(zone).TimeOfDay);
        Assert.Equal(Offset.FromHours(2), Assert.Single(story.KeptAll, s => s.Taken.InZone(zone).Date == new LocalDate(2024, 10, 27)).Taken.InZone(zone).Offset);
    }

    [Fact]
    public void Hourly_anchors_follow_the_elapsed_hours_when_the_clock_changes()
    {
        var policy = Times.Read("""
            zone = "Europe/Berlin"
            points { hourly { at = ":15", keep { hourly = 100 } } }
            """);

        Assert.Equal(25, Plan(Instant.FromUtc(2024, 10, 26, 22, 0), 25.0 / 24, policy).Points.Count);
        Assert.Equal(23, Plan(Instant.FromUtc(2024, 3, 30, 23, 0), 23.0 / 24, policy).Points.Count);
    }

    [Fact]
    public void Thirteen_weekly_and_three_monthly_keep_their_own_points_and_share_none_too_many()
    {
        var policy = Times.Read("""
            points {
              weekly { at = "05:00", days = [sun], keep { last = 13 } }
              monthly { at = "05:00", day-of-month = 1, keep { last = 3 } }
            }
            """);
        var story = new Story(Times.Utc(2025, 1, 1), policy);

        story.RunUntil(Times.Utc(2026, 3, 2));

        Assert.Equal(13, story.Kept("p.weekly").Count);
        Assert.Equal(3, story.Kept("p.monthly").Count);
        // 1 February and 1 March 2026 are Sundays: those points are one.
        Assert.Equal(14, story.KeptAll.Count);
    }

    [Fact]
    public void A_policy_that_is_unassigned_later_leaves_what_the_other_one_needs_and_nothing_else()
    {
        var hourly = Times.Read("""points { hourly { every = 1h, keep { for = 1d } } }""", "short");
        var daily = Times.Read("""points { daily { at = "00:00", tolerance { after = 59m }, keep { for = 30d } } }""", "long");
        var story = new Story(Times.Utc(2026, 1, 1), hourly, daily);
        story.RunUntil(Times.Utc(2026, 3, 1, 12, 30));

        story.Assign(daily);
        story.ApplyRetention();
        Assert.Equal(30, story.KeptAll.Count(s => s.Taken < Times.Utc(2026, 3, 1, 12)));
        // Only the last good snapshot is not one of the daily ones.
        Assert.Equal(31, story.KeptAll.Count);

        story.RunUntil(Times.Utc(2026, 3, 5, 12));
        Assert.Equal(30, story.KeptAll.Count);
    }

    [Fact]
    public void A_rule_that_another_covers_is_still_there_when_the_other_is_unassigned()
    {
        var weak = Times.Read("""points { p { every = 1h, keep { for = 1d } } }""", "weak");
        var strong = Times.Read("""points { p { every = 30m, keep { for = 2d } } }""", "strong");
        var story = new Story(Times.Utc(2026, 1, 1), weak, strong);
        story.RunUntil(Times.Utc(2026, 1, 4, 0, 10));

        story.Assign(weak);
        story.ApplyRetention();

        Assert.Equal(24, story.Kept("weak.p").Count);
    }

    [Fact]
    public void A_policy_that_is_empty_asks_for_nothing_and_changes_nothing()
    {
        var empty = Times.Read("", "empty");
        var daily = Times.Read("""points { daily { every = 1d, keep { for = 7d } } }""", "daily");

        Assert.Empty(Plan(Times.Utc(2026, 1, 1), 30, empty).Points);
        Assert.Empty(Planner.Next(empty, PlanState.StartingAt(Times.Utc(2026, 1, 1)), Times.Utc(2026, 1, 1), 5).Points);
        Assert.Equal(PolicyMerge.Join("m", [daily]), PolicyMerge.Join("m", [empty, daily]));
        Assert.Contains("empty", Assert.Single(PolicyCheck.Check([empty], null, Times.Utc(2026, 1, 1))).Message, StringComparison.Ordinal);
        var report = Merger.Merge(new MergeRequest("m", [empty, daily], Times.Utc(2026, 1, 1)));
        Assert.True(report.Accepted);
        Assert.Equal(report.Alone[1].Cost, report.Cost);
    }

    [Fact]
    public void Retention_zero_keeps_the_last_good_snapshot_and_nothing_else()
    {
        var policy = Times.Read("""points { p { every = 1h, keep { for = 0, last = 0 } } }""");
        var story = new Story(Times.Utc(2026, 1, 1), policy);

        story.RunUntil(Times.Utc(2026, 1, 2));

        Assert.Equal(Times.Utc(2026, 1, 2), Assert.Single(story.KeptAll).Taken);
    }

    [Fact]
    public void After_a_pause_one_point_makes_up_for_everything_that_was_missed()
    {
        var policy = Times.Read("""
            points {
              hourly { every = 1h, keep { for = 1d } }
              daily { at = "03:00", keep { for = 7d } }
              strict { at = "04:00", catch-up = no, keep { for = 7d } }
            }
            """);
        var since = Times.Utc(2026, 1, 1);
        var back = Times.Utc(2026, 1, 4, 12, 34, 56);

        var plan = Planner.Until(policy, PlanState.StartingAt(since), back, back + Duration.FromHours(1));

        Assert.Equal(back, plan.Points[0].At);
        Assert.Equal(["hourly", "daily"], plan.Points[0].Serves.Select(s => s.Rule.Id.Rule));
        Assert.All(plan.Points[0].Serves, s => Assert.True(s.Late));
        Assert.Equal(2, plan.Points.Count);
        Assert.Equal(8, plan.Missed.Count);
    }

    private static Plan Plan(Instant from, double days, params Policy[] policies) =>
        Planner.Until(PolicyMerge.Join("m", policies), PlanState.StartingAt(from), from, from + Duration.FromSeconds(Math.Round(days * 86400)));

    /// <summary>An object under policies, day by day.</summary>
    private sealed class Story(Instant start, params Policy[] policies)
    {
        private Policy _policy = PolicyMerge.Join("m", policies);
        private PlanState _state = PlanState.StartingAt(start);
        private Instant _now = start;
        private int _number;

        public List<SnapshotRecord> KeptAll { get; private set; } = [];

        public void Assign(params Policy[] assigned) => _policy = PolicyMerge.Join("m", assigned);

        public void RunUntil(Instant until)
        {
            foreach (var point in Planner.Until(_policy, _state, _now, until).Points)
            {
                KeptAll.Add(new SnapshotRecord($"s{_number++}", point.At, true, point.Terms, point.Tags));
                _state = _state.With(point.Tags);
                KeptAll = Retention.Decide(KeptAll, _policy, Times.Trusted(point.At)).Keep.Select(k => k.Snapshot).ToList();
            }

            _now = until;
            ApplyRetention();
        }

        public void ApplyRetention() => KeptAll = Retention.Decide(KeptAll, _policy, Times.Trusted(_now)).Keep.Select(k => k.Snapshot).ToList();

        public List<SnapshotRecord> Kept(string rule) =>
            Retention.Decide(KeptAll, _policy, Times.Trusted(_now)).Keep.Where(k => k.Reasons.Any(r => r.Rule?.Sources.Contains(RuleId.Parse(rule)) == true)).Select(k => k.Snapshot).ToList();

        public int KeptOn(string device) =>
            Retention.DecideFor(KeptAll, _policy, Times.Trusted(_now), device).Keep.Count;
    }
}
