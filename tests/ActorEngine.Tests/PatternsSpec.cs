using Akka.Actor;
using Akka.Configuration;
using Akka.Dispatch;
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

public sealed class MailboxSpec : TestKit
{
    public MailboxSpec()
        : base(Patience.Config + "akka.loglevel = OFF\n" + $$"""
            bounded { mailbox-type = "Akka.Dispatch.BoundedMailbox, Akka", mailbox-capacity = 2, mailbox-push-timeout-time = 20ms }
            control { mailbox-type = "{{typeof(ControlFirst).FullName!.Replace("+", "+", StringComparison.Ordinal)}}, Holdfast.ActorEngine.Tests" }
            dedicated { type = ForkJoinDispatcher, dedicated-thread-pool.thread-count = 2 }
            """)
    {
    }

    public sealed class ControlFirst(Settings settings, Config config) : UnboundedStablePriorityMailbox(settings, config)
    {
        protected override int PriorityGenerator(object message) => message is string ? 0 : 1;
    }

    private sealed class Gated : ReceiveActor
    {
        public Gated(IActorRef probe)
        {
            Receive<ManualResetEventSlim>(gate =>
            {
                probe.Tell("begun");
                gate.Wait(TimeSpan.FromSeconds(20));
            });
            ReceiveAny(probe.Tell);
        }
    }

    [Fact]
    public void A_bounded_mailbox_gives_up_after_the_push_timeout()
    {
        var actor = Sys.ActorOf(Props.Create(() => new Gated(TestActor)).WithMailbox("bounded"));
        using var gate = new ManualResetEventSlim();
        actor.Tell(gate);
        ExpectMsg("begun");
        actor.Tell(1);
        actor.Tell(2);
        EventFilter.DeadLetter<int>(number => number == 3).ExpectOne(() => actor.Tell(3));
        gate.Set();
        ExpectMsg(1);
        ExpectMsg(2);
        ExpectNoMsg();
    }

    [Fact]
    public void A_control_aware_mailbox_is_a_stable_priority_mailbox()
    {
        var actor = Sys.ActorOf(Props.Create(() => new Gated(TestActor)).WithMailbox("control"));
        using var gate = new ManualResetEventSlim();
        actor.Tell(gate);
        ExpectMsg("begun");
        actor.Tell(1);
        actor.Tell(2);
        actor.Tell("control 1");
        actor.Tell(3);
        actor.Tell("control 2");
        gate.Set();
        ExpectMsg("control 1");
        ExpectMsg("control 2");
        ExpectMsg(1);
        ExpectMsg(2);
        ExpectMsg(3);
    }

    private sealed class Spread : ReceiveActor
    {
        public Spread() => ReceiveAny(_ => Sender.Tell(Environment.CurrentManagedThreadId));
    }

    [Fact]
    public async Task Dedicated_threads_are_as_many_as_configured()
    {
        var actors = Enumerable.Range(0, 20).Select(_ => Sys.ActorOf(Props.Create<Spread>().WithDispatcher("dedicated"))).ToArray();
        var threads = await Task.WhenAll(actors.SelectMany(actor => Enumerable.Range(0, 10).Select(_ => actor.Ask<int>("x", TimeSpan.FromSeconds(20)))));
        Assert.InRange(threads.Distinct().Count(), 1, 2);
    }

    private sealed class Forwarder : ReceiveActor
    {
        public Forwarder(IActorRef next)
        {
            Receive<int>(number =>
            {
                if (number == 0)
                {
                    Sender.Tell("through", Self);
                }
                else
                {
                    next.Tell(number - 1, Sender);
                }
            });
            Receive<IActorRef>(other => next = other);
        }
    }

    [Fact]
    public async Task Many_senders_on_many_dispatchers_lose_nothing_and_keep_their_order()
    {
        var receiver = Sys.ActorOf(Props.Create(() => new OrderKeeper(8 * 20_000)));
        var done = receiver.Ask<string>("report", TimeSpan.FromSeconds(60));
        await Task.WhenAll(Enumerable.Range(0, 8).Select(sender => Task.Run(() =>
        {
            for (var i = 0; i < 20_000; i++)
            {
                receiver.Tell((sender, i));
            }
        })));
        Assert.Equal("all in order", await done);
    }

    private sealed class OrderKeeper : ReceiveActor
    {
        private readonly int[] _next = new int[8];
        private IActorRef? _waiting;
        private int _count;
        private string? _wrong;

        public OrderKeeper(int expected)
        {
            Receive<string>(_ => _waiting = Sender);
            Receive<(int Sender, int Number)>(message =>
            {
                if (_next[message.Sender]++ != message.Number)
                {
                    _wrong ??= $"sender {message.Sender}: {message.Number}";
                }

                if (++_count == expected)
                {
                    _waiting!.Tell(_wrong ?? "all in order");
                }
            });
        }
    }

    [Fact]
    public async Task A_ring_of_actors_on_different_dispatchers_passes_messages_round()
    {
        var last = Sys.ActorOf(Props.Create(() => new Forwarder(Nobody.Instance)));
        var ring = last;
        for (var i = 0; i < 50; i++)
        {
            var next = ring;
            var props = Props.Create(() => new Forwarder(next));
            ring = Sys.ActorOf((i % 5) switch
            {
                0 => props.WithDispatcher("dedicated"),
                1 => props.WithDispatcher(CallingThreadDispatcher.Id),
                _ => props,
            });
        }

        last.Tell(ring);
        Assert.Equal("through", await ring.Ask<string>(4_000, TimeSpan.FromMinutes(3)));
    }

    [Fact]
    public async Task An_actor_that_blocks_right_after_a_send_does_not_hold_up_the_receiver()
    {
        var receiver = Sys.ActorOf(Props.Create<Spread>());
        var blocker = Sys.ActorOf(Props.Create(() => new Blocker(receiver)));
        Assert.IsType<int>(await blocker.Ask<object>("go", TimeSpan.FromSeconds(20)));
    }

    private sealed class Blocker : ReceiveActor
    {
        public Blocker(IActorRef other) => ReceiveAny(_ => Sender.Tell(other.Ask<object>("x", TimeSpan.FromSeconds(15)).Result));
    }

    [Fact]
    public async Task An_actor_whose_partner_blocks_in_the_middle_of_their_exchange_goes_on()
    {
        for (var round = 0; round < 20; round++)
        {
            using var opened = new ManualResetEventSlim();
            var first = Sys.ActorOf(Props.Create(() => new Partner(opened, ActorRefs.Nobody)));
            var second = Sys.ActorOf(Props.Create(() => new Partner(opened, ActorRefs.Nobody)));
            for (var i = 0; i < 100; i++)
            {
                first.Tell("ball", second);
            }

            var blocked = first.Ask<bool>("block", TimeSpan.FromSeconds(20));
            second.Tell("open");
            Assert.True(await blocked, "the other was held up too");
            Sys.Stop(first);
            Sys.Stop(second);
        }
    }

    [Fact]
    public async Task Whoever_gets_messages_from_a_pair_in_endless_exchange_has_turns_too()
    {
        var third = Sys.ActorOf(Props.Create<Spread>());
        var first = Sys.ActorOf(Props.Create(() => new Partner(null!, third)));
        var second = Sys.ActorOf(Props.Create(() => new Partner(null!, third)));
        for (var i = 0; i < 100; i++)
        {
            first.Tell("ball", second);
        }

        for (var i = 0; i < 100; i++)
        {
            await third.Ask<int>("x", TimeSpan.FromSeconds(20));
        }

        Sys.Stop(first);
        Sys.Stop(second);
    }

    private sealed class Partner : ReceiveActor
    {
        private int _balls;

        public Partner(ManualResetEventSlim opened, IActorRef third)
        {
            Receive<string>(text => text == "ball", text =>
            {
                if (++_balls % 100 == 0 && !third.Equals(ActorRefs.Nobody))
                {
                    third.Tell(text);
                }

                Sender.Tell(text);
            });
            Receive<string>(text => text == "block", _ => Sender.Tell(opened.Wait(TimeSpan.FromSeconds(15))));
            Receive<string>(text => text == "open", _ => opened.Set());
        }
    }

    [Fact]
    public async Task A_mailbox_of_a_million_messages_leaves_other_actors_their_turns()
    {
        var flooded = Sys.ActorOf(Props.Create(() => new Gated(ActorRefs.Nobody)));
        var other = Sys.ActorOf(Props.Create<Spread>());
        for (var i = 0; i < 1_000_000; i++)
        {
            flooded.Tell("x");
        }

        flooded.Tell(new Identify("end"), TestActor);
        await other.Ask<int>("x", TimeSpan.FromSeconds(20));
        ExpectMsg<ActorIdentity>(TimeSpan.FromSeconds(30));
    }

    [Fact]
    public void A_tell_allocates_nothing()
    {
        var actor = Sys.ActorOf(Props.Create(() => new Gated(ActorRefs.Nobody)));
        var message = new object();
        for (var round = 0; round < 20; round++)
        {
            Burst(actor, message);
        }

        var before = GC.GetAllocatedBytesForCurrentThread();
        Burst(actor, message);
        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;

        // What remains is the question at the end of the burst and its answer, once per 5,000 messages.
        Assert.True(allocated < 5_000, $"{allocated} bytes for 5,000 messages");
    }

    private void Burst(IActorRef actor, object message)
    {
        for (var i = 0; i < 5_000; i++)
        {
            actor.Tell(message, TestActor);
        }

        actor.Tell(new Identify("end"), TestActor);
        ExpectMsg<ActorIdentity>(TimeSpan.FromSeconds(20));
    }
}
