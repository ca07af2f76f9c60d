using Holdfast.Actors.Protection;

namespace Holdfast.Actors.Tests.Protection;

/// <summary>Copies on other devices.</summary>
public sealed class CopyTests
{
    private const string Often = "points { p { every = 1h, keep { last = 2 }, copies { to { \"/copies\" { lag = 30m } } } } }";

    [Fact]
    public async Task Each_point_is_copied_and_each_place_keeps_what_its_rules_say()
    {
        await using ProtectedWorld world = new();
        await world.Assign(ProtectedWorld.Text("gold", Often), ProtectedWorld.Text("more", "points { q { every = 1h, keep { last = 5 } } }"));
        for (int hour = 0; hour < 6; hour++)
        {
            await world.Pass(TimeSpan.FromHours(1));
            await ProtectedWorld.Until(
                async () => (await world.State()).Copies is [{ Waiting: 0 }] && world.Copies.ContainsKey(world.Committed[^1].Id), "the copy of the last point is there");
        }

        await ProtectedWorld.Until(() => Task.FromResult(world.Copies.Count == 2 && world.Kept.Count() == 5), "what no rule needs is gone");
        Assert.Equal(world.Committed.TakeLast(2).Select(c => c.Id), world.Copies.Keys.Order(StringComparer.Ordinal));
        Assert.Equal(world.Committed.Count, world.CopiesSent);
        ProtectionState state = await world.State();
        Assert.Empty(state.Breaks);
        Assert.Empty(state.Troubles);
    }

    [Fact]
    public async Task What_a_device_lacks_is_not_removed_and_comes_late_as_a_broken_promise()
    {
        await using ProtectedWorld world = new();
        world.DeviceIsDown = true;
        await world.Assign(ProtectedWorld.Text("gold", Often));
        await world.Pass(TimeSpan.FromHours(4));
        await ProtectedWorld.Until(async () => (await world.State()).Breaks.Count > 0, "the lag is over");
        ProtectionState state = await world.State();
        Assert.Equal(world.Committed.Count, world.Kept.Count());
        Assert.Contains(state.Troubles, t => t.Contains("/copies", StringComparison.Ordinal) && t.Contains("down", StringComparison.Ordinal));
        Assert.All(state.Breaks, b => Assert.Contains("was not there after 30m", b.What, StringComparison.Ordinal));
        Assert.Equal(state.Breaks.Count, state.Breaks.Select(b => b.What).Distinct().Count());

        world.DeviceIsDown = false;
        await world.Pass(TimeSpan.FromMinutes(5));
        await ProtectedWorld.Until(() => Task.FromResult(world.Copies.Count == 2 && world.Kept.Count() == 2), "both places keep two");
        Assert.Empty((await world.State()).Troubles);
        Assert.Equal(world.Committed.TakeLast(2).Select(c => c.Id), world.Copies.Keys.Order(StringComparer.Ordinal));
    }

    [Fact]
    public async Task A_copy_whose_time_is_over_goes_without_waiting_for_the_next_point()
    {
        await using ProtectedWorld world = new();
        await world.Assign(ProtectedWorld.Text("gold", "points { p { every = 4h, keep { for = 5h }, copies { to { \"/copies\" { lag = 30m } } } } }"));
        while (world.Committed.Count < 2)
        {
            await world.Pass(TimeSpan.FromMinutes(10));
        }

        await ProtectedWorld.Until(() => Task.FromResult(world.Copies.Count == 2), "each point is copied");
        await world.Pass(TimeSpan.FromHours(2));
        await ProtectedWorld.Until(() => Task.FromResult(world.Copies.Count == 1), "the first one's time is over");
        Assert.Equal(2, world.Committed.Count);
        Assert.Equal([world.Committed[1].Id], world.Copies.Keys);
    }

    [Fact]
    public async Task What_is_only_on_the_device_and_not_of_these_policies_stays()
    {
        await using ProtectedWorld world = new();
        await world.Assign(ProtectedWorld.Text("gold", Often));
        DateTimeOffset longAgo = world.Now - TimeSpan.FromDays(100);
        StoredSnapshot Only(string id, string? rule) => new(
            id, longAgo, true,
            rule is null ? new Dictionary<string, string>() : new SnapshotPolicyTag { Planned = longAgo, Asked = longAgo, Serves = [new ServedTag(rule, longAgo, false)] }.ToTags(),
            [], 1, 1, 1);
        world.Copies["a-hand"] = Only("a-hand", null);
        world.Copies["a-other"] = Only("a-other", "theirs.p");
        world.Copies["a-own"] = Only("a-own", "gold.p");
        await world.Pass(TimeSpan.FromHours(4));
        // Copies come and go one after the other: four are there before the last one has come, too.
        await ProtectedWorld.Until(
            () => Task.FromResult(world.Copies.Keys.Order(StringComparer.Ordinal).SequenceEqual(["a-hand", "a-other", .. world.Committed.TakeLast(2).Select(c => c.Id)])),
            "what these rules let go is gone, and nothing else");
    }

    [Fact]
    public async Task The_bandwidth_of_the_policies_bounds_the_copies()
    {
        await using ProtectedWorld world = new();
        await world.Assign(ProtectedWorld.Text("gold", Often + ", limits { bandwidth = 3MiB/s }"), ProtectedWorld.Text("slow", "points { p { every = 2h, keep { last = 1 } } }, limits { bandwidth = 1MiB/s }"));
        await world.Pass(TimeSpan.FromHours(1));
        await ProtectedWorld.Until(() => Task.FromResult(world.Copies.Count > 0), "a copy is there");
        Assert.Equal(1 << 20, world.CopyBandwidth);
    }
}
