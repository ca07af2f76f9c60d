using Akka.Actor;
using Akka.Persistence;
using Akka.TestKit;
using Akka.TestKit.Xunit2;
using Xunit;

namespace Holdfast.ActorEngine.Tests.Persistence;

[Collection("databases")]
public sealed class PersistenceSpec(PostgresCluster cluster)
{
    public static TheoryData<string> Backends => new("memory", "sqlite", "postgres");

    private void Run(string kind, Action<ActorSystem, TestProbe> test)
    {
        using var backend = new Backend(kind, cluster);
        using var system = ActorSystem.Create("persistence", backend.Config);
        var kit = new TestKit(system);
        test(system, kit.CreateTestProbe());
    }

    private static IActorRef Open(ActorSystem system, TestProbe probe, string id, Recovery? recovery = null, bool failsOnBadEvent = false) =>
        system.ActorOf(Props.Create(() => new Account(id, probe.Ref, recovery, failsOnBadEvent)));

    private static void Close(IActorRef actor, TestProbe probe)
    {
        probe.Watch(actor);
        actor.Tell(PoisonPill.Instance);
        probe.FishForMessage(message => message is Terminated terminated && terminated.ActorRef.Equals(actor));
    }

    [Theory]
    [MemberData(nameof(Backends))]
    public void Events_come_back_in_order(string kind) => Run(kind, (system, probe) =>
    {
        var actor = Open(system, probe, "a");
        probe.ExpectMsg("recovered ");
        foreach (var text in new[] { "1", "2", "3" })
        {
            actor.Tell(text);
        }

        actor.Tell("all x y z");
        foreach (var text in new[] { "1", "2", "3", "x", "y", "z" })
        {
            probe.ExpectMsg("stored " + text);
        }

        probe.Send(actor, "nr");
        probe.ExpectMsg(6L);
        Close(actor, probe);
        var again = Open(system, probe, "a");
        probe.ExpectMsg("recovered 1,2,3,x,y,z");
        probe.Send(again, "nr");
        probe.ExpectMsg(6L);
        Open(system, probe, "other");
        probe.ExpectMsg("recovered ");
    });

    [Theory]
    [MemberData(nameof(Backends))]
    public void No_command_is_handled_between_Persist_and_its_handler(string kind) => Run(kind, (system, probe) =>
    {
        var actor = Open(system, probe, "a");
        probe.ExpectMsg("recovered ");
        for (var i = 0; i < 50; i++)
        {
            actor.Tell("nested " + i);
            probe.Send(actor, "get");
        }

        var expected = new List<string>();
        for (var i = 0; i < 50; i++)
        {
            expected.Add(i.ToString());
            expected.Add(i + "+");
            probe.ExpectMsg("stored " + i);
            probe.ExpectMsg("stored " + i + "+");
            probe.ExpectMsg(string.Join(",", expected));
        }
    });

    [Theory]
    [MemberData(nameof(Backends))]
    public void PersistAsync_lets_commands_pass_and_keeps_the_order_of_events_and_deferrals(string kind) => Run(kind, (system, probe) =>
    {
        var actor = Open(system, probe, "a");
        probe.ExpectMsg("recovered ");
        for (var i = 0; i < 20; i++)
        {
            actor.Tell("async " + i);
        }

        var commands = new List<string>();
        var rest = new List<string>();
        foreach (var message in probe.ReceiveN(80, TimeSpan.FromSeconds(20)).Cast<string>())
        {
            (message.StartsWith("command", StringComparison.Ordinal) ? commands : rest).Add(message);
        }

        Assert.Equal(Enumerable.Range(0, 20).Select(i => "command " + i), commands);
        Assert.Equal(Enumerable.Range(0, 20).SelectMany(i => new[] { $"stored {i}-1", $"stored {i}-2", "deferred " + i }), rest);
    });

    [Theory]
    [MemberData(nameof(Backends))]
    public void An_asynchronous_handler_holds_commands_back_and_may_persist(string kind) => Run(kind, (system, probe) =>
    {
        var actor = Open(system, probe, "a");
        probe.ExpectMsg("recovered ");
        actor.Tell("task t");
        probe.Send(actor, "get");
        probe.ExpectMsg("stored t");
        probe.ExpectMsg("stored t after");
        probe.ExpectMsg("t,t after");
    });

    [Theory]
    [MemberData(nameof(Backends))]
    public void A_recovery_begins_at_the_latest_snapshot_and_deletions_are_remembered(string kind) => Run(kind, (system, probe) =>
    {
        var actor = Open(system, probe, "a");
        probe.ExpectMsg("recovered ");
        actor.Tell("1");
        actor.Tell("2");
        probe.ExpectMsg("stored 1");
        probe.ExpectMsg("stored 2");
        actor.Tell("snapshot");
        probe.ExpectMsg("saved 2");
        actor.Tell("3");
        probe.ExpectMsg("stored 3");
        actor.Tell(new Account.DeleteMessagesTo(2));
        probe.ExpectMsg("deleted 2");
        Close(actor, probe);

        actor = Open(system, probe, "a");
        probe.ExpectMsg("offer 2");
        probe.ExpectMsg("recovered 1,2,3");
        actor.Tell(new Account.DeleteMessagesTo(3));
        probe.ExpectMsg("deleted 3");
        actor.Tell(new Account.DropSnapshots(2));
        probe.ExpectMsg("snapshots deleted");
        Close(actor, probe);

        // All is deleted, and numbers go on all the same.
        actor = Open(system, probe, "a");
        probe.ExpectMsg("recovered ");
        probe.Send(actor, "nr");
        probe.ExpectMsg(3L);
        actor.Tell("4");
        probe.ExpectMsg("stored 4");
        probe.Send(actor, "nr");
        probe.ExpectMsg(4L);
    });

    [Theory]
    [MemberData(nameof(Backends))]
    public void A_recovery_can_be_limited(string kind) => Run(kind, (system, probe) =>
    {
        var actor = Open(system, probe, "a");
        probe.ExpectMsg("recovered ");
        actor.Tell("all 1 2 3 4 5");
        probe.ReceiveN(5, TimeSpan.FromSeconds(20));
        Close(actor, probe);
        Open(system, probe, "a", new Recovery(SnapshotSelectionCriteria.None, 3));
        probe.ExpectMsg("recovered 1,2,3");
        Open(system, probe, "a", new Recovery(SnapshotSelectionCriteria.None, long.MaxValue, 2));
        probe.ExpectMsg("recovered 1,2");
        var skipping = Open(system, probe, "a", Recovery.None);
        probe.ExpectMsg("recovered ");
        probe.Send(skipping, "nr");
        probe.ExpectMsg(5L);
    });

    [Theory]
    [InlineData("sqlite")]
    [InlineData("postgres")]
    public void What_cannot_be_serialised_is_rejected_and_the_actor_goes_on(string kind) => Run(kind, (system, probe) =>
    {
        var actor = Open(system, probe, "a");
        probe.ExpectMsg("recovered ");
        actor.Tell("reject");
        probe.ExpectMsg("rejected Unserializable 1");
        probe.ExpectMsg("stored after reject");
        probe.Send(actor, "get");
        probe.ExpectMsg("after reject");
    });

    [Theory]
    [MemberData(nameof(Backends))]
    public void A_restart_recovers_again_and_loses_no_command(string kind) => Run(kind, (system, probe) =>
    {
        var actor = Open(system, probe, "a");
        probe.ExpectMsg("recovered ");
        actor.Tell("1");
        actor.Tell("fail");
        actor.Tell("2");
        probe.ExpectMsg("stored 1");
        probe.ExpectMsg("stopped");
        probe.ExpectMsg("recovered 1");
        probe.ExpectMsg("stored 2");
    });

    [Theory]
    [MemberData(nameof(Backends))]
    public void A_replay_that_throws_fails_the_recovery_and_stops_the_actor(string kind) => Run(kind, (system, probe) =>
    {
        var actor = Open(system, probe, "a");
        probe.ExpectMsg("recovered ");
        actor.Tell("bad");
        probe.ExpectMsg("stored bad");
        Close(actor, probe);
        var again = Open(system, probe, "a", failsOnBadEvent: true);
        probe.Watch(again);
        probe.ExpectMsg("recovery failure cannot replay bad");
        probe.ExpectMsg("stopped");
        probe.ExpectTerminated(again);
    });

    [Theory]
    [MemberData(nameof(Backends))]
    public void Many_recoveries_at_once_all_come_through(string kind) => Run(kind, (system, probe) =>
    {
        const int actors = 120;
        for (var i = 0; i < actors; i++)
        {
            Open(system, probe, "many-" + i).Tell("all a b c");
        }

        probe.ReceiveN(actors * 4, TimeSpan.FromSeconds(60));
        var second = Enumerable.Range(0, actors).Select(i => Open(system, probe, "many-" + i)).ToArray();
        Assert.All(probe.ReceiveN(actors, TimeSpan.FromSeconds(60)), message => Assert.Equal("recovered a,b,c", message));
        Assert.Equal(actors, second.Length);
    });

    [Theory]
    [InlineData("sqlite")]
    [InlineData("postgres")]
    public void A_longer_history_is_replayed_in_steps(string kind) => Run(kind, (system, probe) =>
    {
        var actor = Open(system, probe, "long");
        probe.ExpectMsg("recovered ");
        actor.Tell("all " + string.Join(" ", Enumerable.Range(0, 2300)));
        probe.ReceiveN(2300, TimeSpan.FromSeconds(60));
        Close(actor, probe);
        Open(system, probe, "long");
        probe.ExpectMsg("recovered " + string.Join(",", Enumerable.Range(0, 2300)));
    });

    private sealed record Opened(string Owner, int Amount);

    private sealed class InMemory : ReceivePersistentActor
    {
        private readonly List<object> _seen = [];

        public InMemory()
        {
            RecoverAny(_seen.Add);
            Command<Opened>(opened => Persist(opened, each => Sender.Tell(each.Amount)));
            Command<string>(text => text == "save", _ => SaveSnapshot(new Opened("all", _seen.Count)));
            Command<SaveSnapshotSuccess>(_ => Context.Parent.Tell("saved"));
            Command<string>(_ => Sender.Tell(_seen.ToArray()));
        }

        public override string PersistenceId => "plain";
    }

    [Fact]
    public void The_journal_in_memory_keeps_plain_objects() => Run("memory", (system, probe) =>
    {
        var first = system.ActorOf(Props.Create<InMemory>());
        probe.Send(first, new Opened("me", 7));
        probe.ExpectMsg(7);
        Close(first, probe);
        var second = system.ActorOf(Props.Create<InMemory>());
        probe.Send(second, "all");
        Assert.Equal(new Opened("me", 7), probe.ExpectMsg<object[]>()[0]);
    });

    [Fact]
    public void A_database_that_restarts_fails_writes_meanwhile_and_loses_nothing_that_was_acknowledged() => Run("postgres", (system, probe) =>
    {
        var actor = Open(system, probe, "a");
        probe.ExpectMsg("recovered ");
        actor.Tell("before");
        probe.ExpectMsg("stored before");
        cluster.Restart(() =>
        {
            probe.Watch(actor);
            actor.Tell("meanwhile");
            probe.ExpectMsg("failure meanwhile 2", TimeSpan.FromSeconds(60));
            probe.ExpectMsg("stopped");
            probe.ExpectTerminated(actor);
        });
        var again = Open(system, probe, "a");
        probe.ExpectMsg("recovered before", TimeSpan.FromSeconds(60));
        again.Tell("after");
        probe.ExpectMsg("stored after");
    });

    [Fact]
    public void A_disk_that_is_full_fails_the_write_and_keeps_what_it_has()
    {
        using var disk = new SmallDisk();
        using var backend = new Backend("sqlite", cluster, disk.Path);
        using var system = ActorSystem.Create("full", backend.Config);
        var probe = new TestKit(system).CreateTestProbe();
        var actor = Open(system, probe, "a");
        probe.ExpectMsg("recovered ");
        actor.Tell("fits");
        probe.ExpectMsg("stored fits");
        probe.Watch(actor);
        disk.Fill();
        var big = new string('x', 100_000);
        actor.Tell(big);
        probe.ExpectMsg($"failure {big} 2", TimeSpan.FromSeconds(60));
        probe.ExpectMsg("stopped");
        probe.ExpectTerminated(actor);
        disk.MakeRoom();
        var again = Open(system, probe, "a");
        probe.ExpectMsg("recovered fits", TimeSpan.FromSeconds(60));
        again.Tell("fits, too");
        probe.ExpectMsg("stored fits, too");
        Close(again, probe);
        Open(system, probe, "a");
        probe.ExpectMsg("recovered fits,fits, too");
    }

    [Fact]
    public void Two_writers_of_one_id_do_not_overwrite_each_other() => Run("sqlite", (system, probe) =>
    {
        var first = Open(system, probe, "a");
        probe.ExpectMsg("recovered ");
        var second = Open(system, probe, "a");
        probe.ExpectMsg("recovered ");
        first.Tell("mine");
        probe.ExpectMsg("stored mine");
        probe.Watch(second);
        second.Tell("theirs");
        probe.ExpectMsg("failure theirs 1");
        probe.ExpectMsg("stopped");
        probe.ExpectTerminated(second);
        Open(system, probe, "a");
        probe.ExpectMsg("recovered mine");
    });

    [Fact]
    public void A_plugin_that_is_not_configured_is_an_error_at_the_start_of_the_actor()
    {
        using var system = ActorSystem.Create("none", "akka { loglevel = OFF, stdout-loglevel = OFF, persistence.journal.plugin = akka.persistence.journal.absent }");
        var probe = new TestKit(system).CreateTestProbe();
        var actor = Open(system, probe, "a");
        probe.Watch(actor);
        probe.ExpectTerminated(actor);
    }
}
