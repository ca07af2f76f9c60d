using Akka.Actor;
using Akka.Configuration;
using Akka.Pattern;
using Akka.Routing;
using Akka.TestKit;
using Akka.TestKit.Xunit2;
using Xunit;

namespace Holdfast.ActorEngine.Tests;

public sealed class PatternsSpec : TestKit
{
    public PatternsSpec()
        : base(Patience.Config + """
            akka {
              loglevel = OFF
              scheduler.implementation = "Akka.TestKit.TestScheduler, Akka.TestKit"
              actor.deployment {
                /configured { router = round-robin-pool, nr-of-instances = 3 }
                "/wild/*" { dispatcher = pinned-by-config }
              }
            }
            pinned-by-config.type = PinnedDispatcher
            """)
    {
    }

    private TestScheduler Scheduler => (TestScheduler)Sys.Scheduler;

    private sealed class Child : ReceiveActor
    {
        public Child(IActorRef probe)
        {
            probe.Tell("started");
            Receive<string>(text => text == "fail", _ => throw new InvalidOperationException());
            Receive<string>(text => text == "stop", _ => Context.Stop(Self));
            Receive<string>(text => text == "parent", _ => Context.Parent.Tell("to the grandparent"));
            ReceiveAny(message => Sender.Tell(message));
        }
    }

    private IActorRef Supervise(Func<BackoffOptions, BackoffOptions>? change = null, bool onFailure = false, int retries = -1)
    {
        var props = Props.Create(() => new Child(TestActor));
        var options = onFailure
            ? Backoff.OnFailure(props, "child", TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(8), 0.0, retries)
            : Backoff.OnStop(props, "child", TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(8), 0.0, retries);
        var supervisor = Sys.ActorOf(BackoffSupervisor.Props((change ?? (each => each))(options)));
        ExpectMsg("started");
        return supervisor;
    }

    private void AwaitNoChild(IActorRef supervisor) => AwaitAssert(() =>
    {
        supervisor.Tell(BackoffSupervisor.GetCurrentChild.Instance, TestActor);
        Assert.Null(ExpectMsg<BackoffSupervisor.CurrentChild>().Ref);
    });

    private void AwaitRestarts(IActorRef supervisor, int count) => AwaitAssert(() =>
    {
        supervisor.Tell(BackoffSupervisor.GetRestartCount.Instance, TestActor);
        Assert.Equal(count, ExpectMsg<BackoffSupervisor.RestartCount>().Count);
    });

    [Theory]
    [InlineData("stop", false)]
    [InlineData("fail", false)]
    [InlineData("fail", true)]
    public void A_child_is_started_again_after_delays_that_double(string how, bool onFailure)
    {
        var supervisor = Supervise(options => options.WithManualReset(), onFailure);
        foreach (var seconds in new[] { 1, 2, 4, 8, 8 })
        {
            supervisor.Tell(how);
            AwaitNoChild(supervisor);
            Scheduler.Advance(TimeSpan.FromSeconds(seconds) - TimeSpan.FromMilliseconds(1));
            ExpectNoMsg();
            Scheduler.Advance(TimeSpan.FromMilliseconds(1));
            ExpectMsg("started");
        }

        AwaitRestarts(supervisor, 5);
        supervisor.Tell(BackoffSupervisor.Reset.Instance);
        AwaitRestarts(supervisor, 0);
    }

    [Fact]
    public void The_count_begins_anew_when_the_child_has_run_long_enough()
    {
        var supervisor = Supervise(options => options.WithAutoReset(TimeSpan.FromSeconds(3)));
        supervisor.Tell("stop");
        AwaitNoChild(supervisor);
        Scheduler.Advance(TimeSpan.FromSeconds(1));
        ExpectMsg("started");
        AwaitRestarts(supervisor, 1);
        Scheduler.Advance(TimeSpan.FromSeconds(3));
        AwaitRestarts(supervisor, 0);
    }

    [Fact]
    public void A_supervisor_on_failure_ends_with_a_child_that_stops_by_itself_and_one_with_a_limit_after_it()
    {
        var supervisor = Supervise(onFailure: true);
        Watch(supervisor);
        supervisor.Tell("stop");
        ExpectTerminated(supervisor);

        var limited = Supervise(retries: 1);
        Watch(limited);
        limited.Tell("stop");
        AwaitNoChild(limited);
        Scheduler.Advance(TimeSpan.FromSeconds(1));
        ExpectMsg("started");
        limited.Tell("stop");
        ExpectTerminated(limited);
    }

    [Fact]
    public void While_there_is_no_child_a_reply_is_given_and_a_final_message_ends_all()
    {
        var supervisor = Supervise(options => options.WithReplyWhileStopped("later").WithFinalStopMessage(message => message is "stop for good"));
        supervisor.Tell("hello");
        ExpectMsg("hello");
        supervisor.Tell("stop");
        AwaitNoChild(supervisor);
        supervisor.Tell("hello");
        ExpectMsg("later");
        Watch(supervisor);
        supervisor.Tell("stop for good");
        ExpectTerminated(supervisor);
    }

    [Fact]
    public void Back_off_options_are_checked()
    {
        Assert.Throws<ArgumentException>(() => BackoffSupervisor.Props(Backoff.OnStop(Props.Empty, "x", TimeSpan.Zero, TimeSpan.FromSeconds(1), 0, -1)));
        Assert.Throws<ArgumentException>(() => BackoffSupervisor.Props(Backoff.OnStop(Props.Empty, "x", TimeSpan.FromSeconds(2), TimeSpan.FromSeconds(1), 0, -1)));
        Assert.Throws<ArgumentException>(() => BackoffSupervisor.Props(Backoff.OnStop(Props.Empty, "x", TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(2), 1.5, -1)));
    }

    [Fact]
    public async Task A_breaker_opens_after_failures_tests_and_closes()
    {
        var breaker = CircuitBreaker.Create(Sys.Scheduler, 2, TimeSpan.FromSeconds(30), TimeSpan.FromSeconds(10));
        var events = new List<string>();
        breaker.OnOpen(() => TestActor.Tell("open")).OnHalfOpen(() => TestActor.Tell("half")).OnClose(() => TestActor.Tell("close"));
        Task<int> Fail() => breaker.WithCircuitBreaker<int>(() => Task.FromException<int>(new InvalidOperationException()));
        await Assert.ThrowsAsync<InvalidOperationException>(Fail);
        Assert.Equal(5, await breaker.WithCircuitBreaker(() => Task.FromResult(5)));
        await Assert.ThrowsAsync<InvalidOperationException>(Fail);
        Assert.True(breaker.IsClosed);
        Assert.Equal(1, breaker.CurrentFailureCount);
        await Assert.ThrowsAsync<InvalidOperationException>(Fail);
        ExpectMsg("open");
        Assert.True(breaker.IsOpen);
        await Assert.ThrowsAsync<OpenCircuitException>(() => breaker.WithCircuitBreaker(() => Task.FromResult(5)));
        Scheduler.Advance(TimeSpan.FromSeconds(10));
        ExpectMsg("half");
        var gate = new TaskCompletionSource<int>();
        var test = breaker.WithCircuitBreaker(() => gate.Task);
        await Assert.ThrowsAsync<OpenCircuitException>(() => breaker.WithCircuitBreaker(() => Task.FromResult(5)));
        gate.SetException(new InvalidOperationException());
        await Assert.ThrowsAsync<InvalidOperationException>(() => test);
        ExpectMsg("open");
        Scheduler.Advance(TimeSpan.FromSeconds(10));
        ExpectMsg("half");
        breaker.WithSyncCircuitBreaker(() => { });
        ExpectMsg("close");
        Assert.True(breaker.IsClosed);
        Assert.Empty(events);
    }

    private sealed class Named : ReceiveActor
    {
        public Named() => ReceiveAny(message => Sender.Tell((Self.Path.Name, message)));
    }

    [Fact]
    public void Routers_take_turns_reach_all_or_go_by_the_key()
    {
        var turns = Sys.ActorOf(Props.Create<Named>().WithRouter(new RoundRobinPool(3)));
        var names = Ask(turns, 6, i => i);
        Assert.Equal(3, names.Distinct().Count());
        Assert.Equal(names[..3], names[3..]);

        var all = Sys.ActorOf(new BroadcastPool(4).Props(Props.Create<Named>()));
        all.Tell("x");
        Assert.Equal(4, ReceiveN(4).Distinct().Count());

        turns.Tell(new Broadcast("y"));
        Assert.Equal(3, ReceiveN(3).Distinct().Count());

        var byKey = Sys.ActorOf(Props.Create<Named>().WithRouter(new ConsistentHashingPool(5).WithHashMapping(message => message is int number ? number % 10 : null!)));
        var owners = Ask(byKey, 100, i => i);
        for (var key = 0; key < 10; key++)
        {
            Assert.Single(owners.Where((_, i) => i % 10 == key).Distinct());
        }

        Assert.True(owners.Distinct().Count() > 1);
        byKey.Tell(new ConsistentHashableEnvelope("enveloped", 3));
        Assert.Equal((owners[3], "enveloped"), ExpectMsg<(string, object)>());

        for (var i = 0; i < 3; i++)
        {
            Sys.ActorOf(Props.Create<Named>(), "member" + i);
        }

        var group = Sys.ActorOf(Props.Empty.WithRouter(new RoundRobinGroup("/user/member0", "/user/member1", "/user/member2")));
        Assert.Equal(["member0", "member1", "member2", "member0"], Ask(group, 4, i => i));
        Assert.Equal(3, Ask(Sys.ActorOf(Props.Create<Named>().WithRouter(FromConfig.Instance), "configured"), 6, i => i).Distinct().Count());
    }

    private string[] Ask(IActorRef router, int count, Func<int, object> message)
    {
        var names = new string[count];
        for (var i = 0; i < count; i++)
        {
            router.Tell(message(i));
            names[i] = ExpectMsg<(string Name, object)>().Name;
        }

        return names;
    }

    [Fact]
    public void A_pool_grows_shrinks_loses_the_dead_and_ends_with_the_last()
    {
        var pool = Sys.ActorOf(Props.Create<Named>().WithRouter(new RoundRobinPool(2)));
        Routee[] Members()
        {
            pool.Tell(GetRoutees.Instance);
            return [.. ExpectMsg<Routees>().Members];
        }

        Assert.Equal(2, Members().Length);
        pool.Tell(new AdjustPoolSize(2));
        Assert.Equal(4, Members().Length);
        pool.Tell(new AdjustPoolSize(-1));
        Assert.Equal(3, Members().Length);
        Sys.Stop(((ActorRefRoutee)Members()[0]).Actor);
        AwaitAssert(() => Assert.Equal(2, Members().Length));
        Watch(pool);
        pool.Tell(new Broadcast(PoisonPill.Instance));
        ExpectTerminated(pool);
    }

    [Fact]
    public async Task Deployment_by_configuration_reaches_actors_by_pattern()
    {
        var parent = Sys.ActorOf(Props.Create<Nursery>(), "wild");
        Assert.Equal("pinned-by-config", await parent.Ask<string>("any", TimeSpan.FromSeconds(10)));
    }

    private sealed class Nursery : ReceiveActor
    {
        public Nursery() => Receive<string>(name => Context.ActorOf(Props.Create<TellsDispatcher>(), name).Forward(name));
    }

    private sealed class TellsDispatcher : ReceiveActor
    {
        public TellsDispatcher() => ReceiveAny(_ => Sender.Tell(Context.Dispatcher.Id));
    }

    [Fact]
    public void An_inbox_receives_selects_watches_and_times_out()
    {
        using var inbox = Inbox.Create(Sys);
        var actor = Sys.ActorOf(Props.Create<Named>(), "named");
        inbox.Send(actor, 1);
        Assert.Equal(("named", (object)1), inbox.Receive(TimeSpan.FromSeconds(10)));
        inbox.Receiver.Tell("a");
        inbox.Receiver.Tell("b");
        Assert.Equal("b", inbox.ReceiveWhere(message => message is "b", TimeSpan.FromSeconds(10)));
        Assert.Equal("a", inbox.Receive(TimeSpan.FromSeconds(10)));
        Assert.Throws<TimeoutException>(() => inbox.Receive(TimeSpan.FromMilliseconds(20)));
        inbox.Watch(actor);
        Sys.Stop(actor);
        Assert.Equal(actor, ((Terminated)inbox.Receive(TimeSpan.FromSeconds(10))).ActorRef);
    }
}
