using NodaTime;
using Xunit;

namespace Holdfast.Policies.Tests;

public sealed class RetentionTests
{
    private static readonly Instant Now = Times.Utc(2026, 6, 1);
    private static readonly Policy Daily = Times.Read("""points { p { every = 1h, keep { for = 1d } } }""");

    [Fact]
    public void A_snapshot_that_a_replication_still_needs_as_a_base_is_kept()
    {
        var old = Snapshot("old", Now - Duration.FromDays(40)) with { BaseFor = ["nas"] };

        var decision = Decide(old, Snapshot("new", Now));

        Assert.Contains("nas", Assert.Single(decision.Keep.Single(k => k.Snapshot == old).Reasons).What, StringComparison.Ordinal);
    }

    [Fact]
    public void The_last_good_snapshot_is_kept_however_old_and_although_newer_ones_are_broken()
    {
        var good = Snapshot("good", Now - Duration.FromDays(400));
        var broken = Snapshot("broken", Now - Duration.FromDays(399)) with { Good = false };

        Assert.Empty(Decide(good, broken).Remove);
    }

    [Fact]
    public void A_broken_snapshot_stands_for_nothing_and_goes_when_a_newer_one_is_good()
    {
        var good = Snapshot("good", Now - Duration.FromHours(2));
        var broken = Snapshot("broken", Now - Duration.FromHours(1)) with { Good = false };

        var decision = Decide(good, broken, Snapshot("new", Now));

        Assert.Equal("broken", Assert.Single(decision.Remove).Snapshot.Id);
    }

    [Fact]
    public void What_is_immutable_is_kept_even_if_its_rule_is_gone()
    {
        var locked = new SnapshotRecord("locked", Now - Duration.FromDays(10), true, PointTerms.Least, [new ServedRule(new RuleId("gone", "r"), Now)], ImmutableUntil: Now + Duration.FromDays(1));

        var decision = Retention.Decide([locked, Snapshot("new", Now)], Daily, Times.Trusted(Now));
        Assert.Equal(Now + Duration.FromDays(1), decision.Keep.Single(k => k.Snapshot == locked).Until);

        var later = Retention.Decide([locked, Snapshot("new", Now)], Daily, Times.Trusted(Now + Duration.FromDays(1)));
        Assert.Contains("gone.r is no longer a rule", Assert.Single(later.Remove, r => r.Snapshot == locked).Why[0], StringComparison.Ordinal);
    }

    [Fact]
    public void Immutability_of_a_rule_counts_from_the_point_and_outlasts_its_keep()
    {
        var policy = Times.Read("""points { p { every = 1h, keep { for = 1d }, storage { immutable-for = 7d } } }""");
        var snapshots = Enumerable.Range(0, 10).Select(d => Snapshot($"d{d}", Now - Duration.FromDays(d))).ToList();

        Assert.Equal(7, Retention.Decide(snapshots, policy, Times.Trusted(Now)).Keep.Count);
    }

    [Fact]
    public void A_snapshot_taken_by_hand_is_nobodys_to_remove()
    {
        var hand = new SnapshotRecord("hand", Now - Duration.FromDays(400), true, PointTerms.Least, [], SnapshotOrigin.Hand);

        Assert.Empty(Decide(hand, Snapshot("new", Now)).Remove);
    }

    [Fact]
    public void Every_decision_has_its_reasons()
    {
        var decision = Decide(Enumerable.Range(0, 60).Select(h => Snapshot($"h{h}", Now - Duration.FromHours(h))).ToArray());

        Assert.Equal(24, decision.Keep.Count);
        Assert.Equal(36, decision.Remove.Count);
        Assert.All(decision.Keep, k => Assert.NotEmpty(k.Reasons));
        Assert.All(decision.Remove, r => Assert.Contains("p.p keeps its points for 1d", Assert.Single(r.Why), StringComparison.Ordinal));
    }

    [Fact]
    public void The_first_own_point_of_a_period_stands_for_it_and_any_point_while_there_is_none()
    {
        var policy = Times.Read("""points { p { at = "12:00", keep { daily = 2 } } }""");
        var other = new SnapshotRecord("other", Now + Duration.FromHours(1), true, PointTerms.Least, []);
        var own = new SnapshotRecord("own", Now + Duration.FromHours(12), true, PointTerms.Least, [new ServedRule(new RuleId("p", "p"), Now + Duration.FromHours(12))]);
        var last = new SnapshotRecord("last", Now + Duration.FromHours(13), true, PointTerms.Least, []);

        Assert.Empty(Retention.Decide([other], policy, Times.Trusted(other.Taken)).Remove);
        Assert.Equal("other", Assert.Single(Retention.Decide([other, own, last], policy, Times.Trusted(last.Taken)).Remove).Snapshot.Id);
    }

    [Fact]
    public void A_clock_that_jumps_forward_removes_nothing()
    {
        var clock = TrustedClock.Default;
        var snapshots = Enumerable.Range(0, 25).Select(h => Snapshot($"h{h}", Now - Duration.FromHours(h))).ToList();
        var evidence = ClockEvidence.First(Now);

        var jumped = clock.Look(evidence, Now + Duration.FromDays(3650), Duration.FromMinutes(5));
        var decision = Retention.Decide(snapshots, Daily, jumped);

        Assert.Empty(decision.Remove);
        Assert.Contains("forward", decision.Suspended, StringComparison.Ordinal);
        // It is set right again: everything goes on as if nothing had happened.
        var right = clock.Look(jumped.Evidence, Now + Duration.FromMinutes(10), Duration.FromMinutes(5));
        Assert.Null(right.Distrust);
        Assert.Single(Retention.Decide(snapshots, Daily, right).Remove);
    }

    [Fact]
    public void A_clock_that_jumps_back_removes_nothing_and_snapshots_of_the_future_are_kept()
    {
        var snapshots = Enumerable.Range(0, 48).Select(h => Snapshot($"h{h}", Now - Duration.FromHours(h))).ToList();
        var back = TrustedClock.Default.Look(ClockEvidence.First(Now), Now - Duration.FromDays(365), Duration.FromMinutes(1));

        Assert.Empty(Retention.Decide(snapshots, Daily, back).Remove);
        // Even if the clock is believed: what is later than now is kept.
        Assert.Empty(Retention.Decide(snapshots, Daily, Times.Trusted(Now - Duration.FromDays(365))).Remove);
    }

    [Fact]
    public void A_doubted_clock_is_believed_when_it_goes_steadily_for_a_day()
    {
        var clock = TrustedClock.Default;
        var time = clock.Look(ClockEvidence.First(Now), Now + Duration.FromDays(100), Duration.FromHours(1));
        for (var hour = 1; hour < 24; hour++)
        {
            time = clock.Look(time.Evidence, Now + Duration.FromDays(100) + Duration.FromHours(hour), Duration.FromHours(1));
            Assert.NotNull(time.Distrust);
        }

        time = clock.Look(time.Evidence, Now + Duration.FromDays(101), Duration.FromHours(1));
        Assert.Null(time.Distrust);
        Assert.Equal(Now + Duration.FromDays(101), time.Now);
    }

    [Fact]
    public void After_a_restart_a_few_days_are_believed_and_a_year_or_the_past_is_not()
    {
        var clock = TrustedClock.Default;
        Assert.Null(clock.Look(ClockEvidence.First(Now), Now + Duration.FromDays(3), null).Distrust);
        Assert.NotNull(clock.Look(ClockEvidence.First(Now), Now + Duration.FromDays(365), null).Distrust);
        Assert.NotNull(clock.Look(ClockEvidence.First(Now), Now - Duration.FromHours(1), null).Distrust);
    }

    [Fact]
    public void Removing_what_may_go_changes_no_later_decision()
    {
        var random = new Random(TestSize.Seed);
        var policy = Times.Read("""points { p { every = 1h, keep { for = 6h, last = 9, daily = 5, weekly = 3 } } }""");
        for (var round = 0; round < TestSize.Of(200, 5_000); round++)
        {
            var all = new List<SnapshotRecord>();
            var pruned = new List<SnapshotRecord>();
            var at = Now;
            for (var i = 0; i < 80; i++)
            {
                at += Duration.FromMinutes(random.Next(1, 900));
                var snapshot = Snapshot($"s{i}", at) with { Good = random.Next(10) > 0, Serves = random.Next(4) > 0 ? [new ServedRule(new RuleId("p", "p"), at)] : [] };
                all.Add(snapshot);
                pruned.Add(snapshot);
                pruned = Retention.Decide(pruned, policy, Times.Trusted(at)).Keep.Select(k => k.Snapshot).ToList();
            }

            var atOnce = Retention.Decide(all, policy, Times.Trusted(at)).Keep.Select(k => k.Snapshot.Id);
            Assert.True(atOnce.SequenceEqual(pruned.Select(s => s.Id)), $"seed {TestSize.Seed} round {round}");
        }
    }

    private static RetentionDecision Decide(params SnapshotRecord[] snapshots) => Retention.Decide(snapshots, Daily, Times.Trusted(Now));

    private static SnapshotRecord Snapshot(string id, Instant taken) => new(id, taken, true, PointTerms.Least, [new ServedRule(new RuleId("p", "p"), taken)]);
}
