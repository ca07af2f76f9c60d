using Akka.Actor;
using Holdfast.Actors.Protection;
using Holdfast.Policies;

namespace Holdfast.Actors.Tests.Protection;

public sealed class PolicyEntityTests
{
    private const string Minutely = "points { often { every = 1m, keep { for = 5m } } }";

    [Fact]
    public async Task Points_are_taken_at_the_times_of_the_plan_with_what_they_serve()
    {
        await using ProtectedWorld world = new();
        await world.Assign(ProtectedWorld.Text("a", Minutely), ProtectedWorld.Text("b", "points { slow { every = 3m, keep { last = 2 } } }"));

        await world.Pass(TimeSpan.FromMinutes(7));

        Assert.Equal([1, 2, 3, 4, 5, 6, 7], world.Committed.Select(c => (c.At - ProtectedWorld.Start).TotalMinutes));
        Assert.Equal(["a.often", "b.slow"], world.Committed[2].Tag.Serves.Select(s => s.Rule));
        Assert.Equal(["a.often"], world.Committed[3].Tag.Serves.Select(s => s.Rule));
        ProtectionState state = await world.Settle();
        Assert.Equal([("a.often", 7L, 0L), ("b.slow", 2L, 0L)], state.Promises.Select(p => (p.Rule, p.Kept, p.Broken)));
    }

    [Fact]
    public async Task Snapshots_that_no_rule_needs_any_more_are_removed_when_their_time_is_over()
    {
        await using ProtectedWorld world = new();
        await world.Assign(ProtectedWorld.Text("a", Minutely));

        await world.Pass(TimeSpan.FromMinutes(20) + TimeSpan.FromSeconds(30));
        await ProtectedWorld.Until(() => Task.FromResult(world.Kept.Count() == 5), "five snapshots");

        Assert.Equal(["s0015", "s0016", "s0017", "s0018", "s0019"], world.Kept);
        Assert.Equal(15, (await world.Settle()).SnapshotsRemoved);
        Assert.True(world.Collections is 1, $"{world.Collections} collections in 20 minutes");
    }

    [Fact]
    public async Task A_snapshot_that_a_replication_needs_stays_and_so_does_what_was_taken_by_hand()
    {
        await using ProtectedWorld world = new();
        world.Pinned["s0000"] = "nas";
        await world.Assign(ProtectedWorld.Text("a", "points { often { every = 1m, keep { last = 1 } } }"));

        await world.Pass(TimeSpan.FromMinutes(4));
        await ProtectedWorld.Until(() => Task.FromResult(world.Kept.Count() == 2), "two snapshots");

        Assert.Equal(["s0000", "s0003"], world.Kept);
    }

    [Fact]
    public async Task A_checkpoint_that_fails_is_tried_again_with_growing_pauses_and_a_promise_that_breaks_is_reported_once()
    {
        await using ProtectedWorld world = new();
        List<double> tried = [];
        world.OnCheckpoint = _ =>
        {
            tried.Add((world.Now - ProtectedWorld.Start).TotalSeconds);
            return tried.Count < 5 ? CheckpointFate.Failed : CheckpointFate.Committed;
        };
        await world.Assign(ProtectedWorld.Text("a", Minutely));

        for (int i = 0; i < 80; i++)
        {
            await world.Settle();
            world.Advance(TimeSpan.FromSeconds(1));
        }

        ProtectionState state = await world.Settle();
        Assert.Equal([60, 61, 63, 67, 75], tried);
        PromiseBroken broken = Assert.Single(state.Breaks);
        Assert.Equal("a.often", broken.Rule);
        Assert.Null(state.Failure);
        Assert.Equal(135, (state.Next!.At - ProtectedWorld.Start).TotalSeconds);
    }

    [Fact]
    public async Task After_a_pause_one_point_makes_up_for_all_that_was_missed()
    {
        await using ProtectedWorld world = new();
        await world.Assign(
            ProtectedWorld.Text("a", Minutely),
            ProtectedWorld.Text("b", "points { hourly { at = \":00\", tolerance = 1m, keep { for = 1d } }, strict { at = \":30\", catch-up = no, keep { for = 1d } } }"));
        await world.Pass(TimeSpan.FromMinutes(2));
        await world.Entity.GracefulStop(Harness.Patience);

        world.Advance(TimeSpan.FromHours(5));
        await world.Reborn();
        ProtectionState state = await world.Settle();

        Assert.Equal(3, world.Committed.Count);
        Assert.Equal(["a.often", "b.hourly"], world.Committed[2].Tag.Serves.Select(s => s.Rule));
        Assert.All(world.Committed[2].Tag.Serves, s => Assert.True(s.Late || s.Occurrence == ProtectedWorld.Start.AddHours(5)));
        Assert.Equal(5, state.Breaks.Count(b => b.Rule == "b.strict"));
        Assert.Single(state.Breaks, b => b.Rule == "a.often");
        await world.Pass(TimeSpan.FromMinutes(3));
        Assert.Equal(6, world.Committed.Count);
        Assert.Equal(state.Breaks.Count, (await world.Settle()).Breaks.Count);
    }

    [Fact]
    public async Task Assignments_outlive_the_entity_and_take_effect_at_once()
    {
        await using ProtectedWorld world = new();
        await world.Assign(ProtectedWorld.Text("a", Minutely));
        await world.Reborn();
        Assert.Equal("a", Assert.Single((await world.Settle()).Assignments).Policy);

        await world.Assign(ProtectedWorld.Text("a", "points { often { every = 10m, keep { for = 1h } } }"));
        Assert.Equal(TimeSpan.FromMinutes(10), (await world.Settle()).Next!.At - ProtectedWorld.Start);
        await world.Ask<ProtectionState>(new UnassignPolicy("a"));
        await world.Reborn();

        ProtectionState state = await world.Settle();
        Assert.Empty(state.Assignments);
        Assert.Null(state.Next);
        Assert.Equal("policy.not-assigned", (await world.Ask<ProtectionRefused>(new UnassignPolicy("a"))).Code);
        Assert.Equal("policy.invalid", (await world.Ask<ProtectionRefused>(new AssignPolicies([new PolicyText("x", "policies { x { points { p { every = 1q } } } }")]))).Code);
    }

    [Fact]
    public async Task What_groups_give_comes_and_goes_and_what_the_object_has_itself_goes_before()
    {
        await using ProtectedWorld world = new();
        PolicyText slow = ProtectedWorld.Text("a", "points { often { every = 10m, keep { for = 1h } } }");
        PolicyText fast = ProtectedWorld.Text("a", Minutely);
        PolicyText other = ProtectedWorld.Text("b", "points { p { every = 7m, keep { for = 1h } } }");
        InheritPolicies Both() => new([new InheritedPolicy("label:x=y", slow), new InheritedPolicy("path:/srv", other)]);

        Assert.Equal(["label:x=y", "path:/srv"], (await world.Ask<ProtectionState>(Both())).Assignments.Select(a => a.Source));
        Assert.Equal("policy.name-taken", (await world.Ask<ProtectionRefused>(new AssignPolicies([fast]))).Code);
        Assert.Equal("policy.inherited", (await world.Ask<ProtectionRefused>(new UnassignPolicy("b"))).Code);
        Assert.Equal("policy.name-taken", (await world.Ask<ProtectionRefused>(new InheritPolicies([new InheritedPolicy("label:x=y", slow), new InheritedPolicy("label:z=z", fast)]))).Code);

        await world.Ask<ProtectionState>(new InheritPolicies([]));
        await world.Assign(fast);
        ProtectionState state = await world.Ask<ProtectionState>(Both());
        Assert.Equal([("a", "direct"), ("b", "path:/srv")], state.Assignments.Select(a => (a.Policy, a.Source)));
        await world.Reborn();
        Assert.Equal(TimeSpan.FromMinutes(1), (await world.Settle()).Next!.At - ProtectedWorld.Start);
    }

    [Fact]
    public async Task A_policy_that_is_unassigned_takes_with_it_what_only_it_needed()
    {
        await using ProtectedWorld world = new();
        await world.Assign(ProtectedWorld.Text("a", Minutely), ProtectedWorld.Text("b", "points { slow { every = 3m, keep { for = 1h } } }"));
        await world.Pass(TimeSpan.FromMinutes(6.5));

        await world.Ask<ProtectionState>(new UnassignPolicy("a"));
        await ProtectedWorld.Until(() => Task.FromResult(world.Kept.Count() == 2), "two snapshots");

        Assert.Equal(["s0002", "s0005"], world.Kept);
        await world.Ask<ProtectionState>(new UnassignPolicy("b"));
        await world.Pass(TimeSpan.FromHours(2));
        Assert.Equal(["s0002", "s0005"], world.Kept);
        Assert.Equal(6, world.Committed.Count);
    }

    [Fact]
    public async Task A_clock_that_jumps_forward_removes_nothing()
    {
        await using ProtectedWorld world = new();
        await world.Assign(ProtectedWorld.Text("a", "points { often { every = 1m, keep { for = 1h } } }"));
        await world.Pass(TimeSpan.FromMinutes(5));

        // Noticed at the next look at the clock, at most a minute later.
        world.WallJump = TimeSpan.FromDays(400);
        world.Advance(TimeSpan.FromMinutes(1));
        await world.Pass(TimeSpan.FromMinutes(10));

        await ProtectedWorld.Until(async () => (await world.State()).Troubles.Any(t => t.Contains("the clock went forward", StringComparison.Ordinal)), "the clock is doubted");
        Assert.True(world.Committed.Count >= 14, $"{world.Committed.Count} points");
        Assert.Equal(world.Committed.Count, world.Kept.Count());
    }

    [Fact]
    public async Task A_clock_that_goes_back_does_not_silence_the_plan_and_removes_nothing()
    {
        await using ProtectedWorld world = new();
        await world.Assign(ProtectedWorld.Text("a", "points { often { every = 1m, keep { for = 1h } } }"));
        await world.Pass(TimeSpan.FromMinutes(5));

        world.WallJump = -TimeSpan.FromDays(400);
        await world.Pass(TimeSpan.FromMinutes(10));

        await ProtectedWorld.Until(async () => (await world.State()).Troubles.Any(t => t.Contains("the clock went back", StringComparison.Ordinal)), "the clock is doubted");
        Assert.InRange(world.Committed.Count, 14, 16);
        Assert.Equal(world.Committed.Count, world.Kept.Count());
    }

    [Fact]
    public async Task A_checkpoint_that_freezes_longer_than_a_limit_allows_is_reported()
    {
        await using ProtectedWorld world = new();
        world.Freeze = TimeSpan.FromMilliseconds(300);
        await world.Assign(ProtectedWorld.Text("a", Minutely + ", limits { freeze = 200ms }"));

        await world.Pass(TimeSpan.FromMinutes(1));

        PromiseBroken broken = Assert.Single((await world.Settle()).Breaks);
        Assert.Equal("a.freeze", broken.Rule);
        Assert.Contains("300 ms; the limit is 200 ms", broken.What, StringComparison.Ordinal);
    }

    [Fact]
    public async Task A_point_that_a_person_asks_for_is_what_the_rules_for_every_point_want()
    {
        await using ProtectedWorld world = new();
        Assert.Empty((await world.Ask<HandPoint>(new GetHandPoint())).Tags);
        await world.Assign(ProtectedWorld.Text("a", Minutely + ", every-point { storage { immutable-for = 2h } }"));

        SnapshotPolicyTag tag = SnapshotPolicyTag.In((await world.Ask<HandPoint>(new GetHandPoint())).Tags)!;

        Assert.True(tag.ByHand);
        Assert.Empty(tag.Serves);
        Assert.Equal(world.Now.AddHours(2), tag.ImmutableUntil);
        await world.Pass(TimeSpan.FromMinutes(1));
        Assert.Equal(world.Now.AddHours(2), world.Committed[0].Tag.ImmutableUntil);
    }

    [Fact]
    public async Task Without_a_supervisor_assignments_are_kept_and_nothing_is_asked_for()
    {
        await using ProtectedWorld world = new();
        IActorRef supervisor = world.Supervisor!;
        world.Supervisor = null;
        await world.Reborn();
        await world.Assign(ProtectedWorld.Text("a", Minutely));
        world.Advance(TimeSpan.FromMinutes(3));
        Assert.False((await world.State()).CarriedOut);
        Assert.Empty(world.Committed);

        world.Supervisor = supervisor;
        world.Entity.Tell(new BeginProtection(), ActorRefs.NoSender);
        await ProtectedWorld.Until(async () => (await world.State()).CarriedOut, "it is carried out");
        await world.Settle();

        Assert.Single(world.Committed);
    }
}
