using Holdfast.Actors.Protection;
using Holdfast.Policies;

namespace Holdfast.Actors.Tests.Protection;

public sealed class TriggerTests
{
    [Fact]
    public async Task A_threshold_fires_when_it_is_exceeded_long_enough_and_not_more_often_than_its_rule_says()
    {
        await using ProtectedWorld world = new();
        FakeWatcher cpu = world.Watchers[TriggerKind.Cpu] = new FakeWatcher();
        await world.Assign(ProtectedWorld.Text("t", "triggers { busy { on = cpu, above = 90%, sustained = 20s, at-most-every = 10m, keep { last = 9 } } }"));
        await Begin(world);

        cpu.Sees = TriggerObservation.Of(95);
        await Seconds(world, 15);
        cpu.Sees = TriggerObservation.Of(50);
        await Seconds(world, 10);
        Assert.Empty(world.Committed);

        cpu.Sees = TriggerObservation.Of(95);
        await Seconds(world, 60);
        Assert.Single(world.Committed);
        await Seconds(world, 500);
        Assert.Single(world.Committed);
        await Seconds(world, 120);
        Assert.Equal(2, world.Committed.Count);
        Assert.Equal(2, cpu.Points);
        Assert.Empty((await world.State()).Breaks);
    }

    [Fact]
    public async Task An_event_of_a_program_or_a_file_fires_and_a_planned_point_within_its_time_serves()
    {
        await using ProtectedWorld world = new();
        FakeWatcher program = world.Watchers[TriggerKind.Program] = new FakeWatcher();
        await world.Assign(ProtectedWorld.Text(
            "t", "points { often { every = 1m, keep { for = 1h } } }, triggers { probe { on = program, run = \"x\", exit = 3, poll = 10s, at-most-every = 0, within = 2m, keep { last = 9 } } }"));
        await Begin(world);
        await Seconds(world, 15, 10);

        program.Sees = TriggerObservation.Event;
        await Seconds(world, 10, 10);
        program.Sees = TriggerObservation.Nothing;
        await Seconds(world, 50, 10);

        Assert.Equal([60], world.Committed.Select(c => (c.Tag.Planned - ProtectedWorld.Start).TotalSeconds));
        Assert.Equal(["t.often", "t.probe"], world.Committed[0].Tag.Serves.Select(s => s.Rule));
    }

    [Fact]
    public async Task A_trigger_that_cannot_be_watched_is_a_trouble_until_it_can()
    {
        await using ProtectedWorld world = new();
        FakeWatcher file = world.Watchers[TriggerKind.ConfigurationChange] = new FakeWatcher { Fails = new IOException("no such directory") };
        await world.Assign(ProtectedWorld.Text("t", "triggers { changed { on = configuration-change, path = \"/etc/x\", keep { last = 9 } } }"));
        await Begin(world);

        await Seconds(world, 10);
        Assert.Contains("no such directory", Assert.Single((await world.State()).Troubles), StringComparison.Ordinal);

        file.Fails = null;
        await Seconds(world, 10);
        Assert.Empty((await world.State()).Troubles);
    }

    [Fact]
    public async Task What_an_administrator_asked_for_comes_also_when_the_entity_dies_before_the_point()
    {
        await using ProtectedWorld world = new();
        await world.Assign(ProtectedWorld.Text("t", "triggers { mine { on = administrator, at-most-every = 5m, keep { last = 9 } } }"));
        await Begin(world);
        Assert.Equal("policy.no-trigger", (await world.Ask<ProtectionRefused>(new PullTrigger("t.other"))).Code);
        world.OnCheckpoint = _ => CheckpointFate.Hangs;

        TriggerPulled pulled = await world.Ask<TriggerPulled>(new PullTrigger(null));
        Assert.Equal(["t.mine"], pulled.Fired);
        await world.Reborn();
        world.OnCheckpoint = _ => CheckpointFate.Committed;
        await world.EndHanging(committed: false);
        await world.Settle();

        Assert.Equal("t.mine", Assert.Single(Assert.Single(world.Committed).Tag.Serves).Rule);
        pulled = await world.Ask<TriggerPulled>(new PullTrigger(null));
        Assert.Equal("t.mine", Assert.Single(pulled.Held).Rule);
        Assert.Single(world.Committed);
    }

    // The first look is at once; from then on there is one at a time.
    private static async Task Begin(ProtectedWorld world)
    {
        world.Advance(TimeSpan.FromMilliseconds(1));
        await world.Looked(1);
        await world.Settle();
    }

    // In small steps, so that each look is answered before the next is due.
    private static async Task Seconds(ProtectedWorld world, int seconds, int every = 5)
    {
        for (int i = 0; i < seconds; i += 5)
        {
            world.Advance(TimeSpan.FromSeconds(5));
            await world.Looked(every);
            await world.Settle();
        }
    }
}
