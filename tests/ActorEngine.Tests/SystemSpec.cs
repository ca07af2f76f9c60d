using Akka;
using Akka.Actor;
using Akka.Configuration;
using Akka.Event;
using Akka.TestKit;
using Akka.TestKit.Xunit2;
using Xunit;

namespace Holdfast.ActorEngine.Tests;

public sealed class SystemSpec() : TestKit(Patience.Config)
{
    private const string Quiet = "akka { loglevel = OFF, stdout-loglevel = OFF }\n";

    private sealed class Echo : ReceiveActor
    {
        public Echo()
        {
            Receive<string>(text => text == "child", _ => Sender.Tell(Context.ActorOf(Props.Create<Echo>(), "child")));
            ReceiveAny(message => Sender.Tell(message, Self));
        }
    }

    [Fact]
    public async Task The_phases_of_coordinated_shutdown_run_in_order_and_a_hanging_task_holds_its_phase_up_no_longer_than_its_timeout()
    {
        var system = ActorSystem.Create("phases", Quiet + "akka.coordinated-shutdown.phases.service-stop.timeout = 100ms");
        var order = new List<string>();
        var shutdown = CoordinatedShutdown.Get(system);
        string[] phases =
        [
            CoordinatedShutdown.PhaseBeforeServiceUnbind, CoordinatedShutdown.PhaseServiceUnbind, CoordinatedShutdown.PhaseServiceRequestsDone,
            CoordinatedShutdown.PhaseServiceStop, CoordinatedShutdown.PhaseBeforeClusterShutdown, CoordinatedShutdown.PhaseClusterShardingShutdownRegion,
            CoordinatedShutdown.PhaseClusterLeave, CoordinatedShutdown.PhaseClusterExiting, CoordinatedShutdown.PhaseClusterExitingDone,
            CoordinatedShutdown.PhaseClusterShutdown, CoordinatedShutdown.PhaseBeforeActorSystemTerminate, CoordinatedShutdown.PhaseActorSystemTerminate,
        ];
        foreach (var phase in phases.Reverse())
        {
            shutdown.AddTask(phase, "note", () =>
            {
                lock (order)
                {
                    order.Add(phase);
                }

                return Task.FromResult(Done.Instance);
            });
        }

        shutdown.AddTask(CoordinatedShutdown.PhaseServiceStop, "hangs", () => new TaskCompletionSource<Done>().Task);
        shutdown.AddTask(CoordinatedShutdown.PhaseServiceUnbind, "fails", () => throw new InvalidOperationException());
        Assert.Throws<ConfigurationException>(() => shutdown.AddTask("unknown", "x", () => Task.FromResult(Done.Instance)));
        var run = shutdown.Run(CoordinatedShutdown.ClusterLeavingReason.Instance);
        Assert.Same(run, shutdown.Run(CoordinatedShutdown.UnknownReason.Instance));
        await run.WaitAsync(TimeSpan.FromSeconds(30));
        Assert.Equal(phases, order);
        Assert.Same(CoordinatedShutdown.ClusterLeavingReason.Instance, shutdown.ShutdownReason);
        Assert.True(system.WhenTerminated.IsCompleted);
    }

    [Fact]
    public async Task Terminate_runs_coordinated_shutdown_and_the_callbacks()
    {
        var system = ActorSystem.Create("callbacks", Quiet);
        var ran = new List<string>();
        CoordinatedShutdown.Get(system).AddTask(CoordinatedShutdown.PhaseServiceStop, "note", () =>
        {
            ran.Add("phase");
            return Task.FromResult(Done.Instance);
        });
        system.RegisterOnTermination(() => ran.Add("first registered"));
        system.RegisterOnTermination(() => ran.Add("last registered"));
        await system.Terminate().WaitAsync(TimeSpan.FromSeconds(30));
        Assert.Equal(["phase", "last registered", "first registered"], ran);
        Assert.Throws<InvalidOperationException>(() => system.RegisterOnTermination(() => { }));
        await system.Terminate();
    }

    [Fact]
    public async Task Selections_find_actors_by_paths_with_wildcards()
    {
        var parent = Sys.ActorOf(Props.Create<Echo>(), "parent");
        var child = await parent.Ask<IActorRef>("child");
        Assert.Equal(child, await Sys.ActorSelection("/user/parent/child").ResolveOne(TimeSpan.FromSeconds(30)));
        Assert.Equal(child, await Sys.ActorSelection(child.Path).ResolveOne(TimeSpan.FromSeconds(30)));
        Assert.Equal(child, await Sys.ActorSelection("akka://test/user/parent/child").ResolveOne(TimeSpan.FromSeconds(30)));
        Assert.Equal(parent, await new ActorSelection(child, "..").ResolveOne(TimeSpan.FromSeconds(30)));
        Sys.ActorSelection("/user/p*/chi?d").Tell("hello");
        ExpectMsg("hello");
        Assert.Equal(child, LastSender);
        await Assert.ThrowsAsync<ActorNotFoundException>(() => Sys.ActorSelection("/user/none").ResolveOne(TimeSpan.FromSeconds(30)));
        EventFilter.DeadLetter<string>().ExpectOne(() => Sys.ActorSelection("/user/none").Tell("lost"));
    }

    [Fact]
    public void The_event_stream_delivers_by_type_hierarchy_and_forgets_the_dead()
    {
        Sys.EventStream.Subscribe(TestActor, typeof(IComparable));
        Sys.EventStream.Publish("text");
        ExpectMsg("text");
        Assert.False(Sys.EventStream.Subscribe(TestActor, typeof(IComparable)));
        Assert.True(Sys.EventStream.Unsubscribe(TestActor, typeof(IComparable)));
        Assert.False(Sys.EventStream.Unsubscribe(TestActor, typeof(IComparable)));
        Sys.EventStream.Publish("text");
        ExpectNoMsg();

        var subscriber = Sys.ActorOf(Props.Empty);
        Sys.EventStream.Subscribe(subscriber, typeof(string));
        Watch(subscriber);
        Sys.Stop(subscriber);
        ExpectTerminated(subscriber);
        Assert.False(Sys.EventStream.Unsubscribe(subscriber));
    }

    [Fact]
    public void Unhandled_messages_are_published()
    {
        Sys.EventStream.Subscribe(TestActor, typeof(UnhandledMessage));
        var actor = Sys.ActorOf(Props.Empty);
        actor.Tell(42);
        var unhandled = ExpectMsg<UnhandledMessage>();
        Assert.Equal(42, unhandled.Message);
        Assert.Equal(actor, unhandled.Recipient);
    }

    [Fact]
    public void Dead_letters_are_logged_up_to_the_limit()
    {
        using var system = ActorSystem.Create("limited", ConfigurationFactory.ParseString("akka { log-dead-letters = 3, loglevel = INFO, stdout-loglevel = OFF, log-dead-letters-suspend-duration = infinite }").WithFallback(DefaultConfig));
        var kit = new TestKit(system);
        kit.CreateEventFilter(system).Info(contains: "was not delivered").Expect(3, () =>
        {
            for (var i = 0; i < 10; i++)
            {
                system.DeadLetters.Tell(i);
            }
        });
    }

    [Fact]
    public void Log_levels_are_respected_and_formats_are_filled_in()
    {
        var log = Logging.GetLogger(Sys, "source");
        Assert.False(log.IsDebugEnabled);
        Assert.True(log.IsInfoEnabled);
        EventFilter.Info("three plus four is 7").ExpectOne(() => log.Info("three plus {0} is {1}", "four", 7));
        EventFilter.Debug().Expect(0, TimeSpan.FromMilliseconds(100), () => log.Debug("quiet"));
        Sys.EventStream.SetLogLevel(LogLevel.DebugLevel);
        EventFilter.Debug("loud").ExpectOne(() => log.Debug("loud"));
        EventFilter.Exception<InvalidOperationException>(contains: "wrong").ExpectOne(() => log.Error(new InvalidOperationException("it"), "went wrong"));
    }

    [Fact]
    public async Task The_scheduler_repeats_cancels_and_refuses_nonsense()
    {
        var count = 0;
        var through = new TaskCompletionSource();
        using var cancelable = new Cancelable(Sys.Scheduler);
        Sys.Scheduler.Advanced.ScheduleRepeatedly(TimeSpan.Zero, TimeSpan.FromMilliseconds(1), () =>
        {
            if (Interlocked.Increment(ref count) == 5)
            {
                cancelable.Cancel();
                through.SetResult();
            }
        }, cancelable);
        await through.Task.WaitAsync(TimeSpan.FromSeconds(10));
        Sys.Scheduler.ScheduleTellOnce(TimeSpan.FromMilliseconds(20), TestActor, "later", TestActor);
        ExpectMsg("later");
        Assert.Equal(5, Volatile.Read(ref count));
        var never = Sys.Scheduler.ScheduleTellOnceCancelable(TimeSpan.FromMilliseconds(50), TestActor, "never", TestActor);
        never.Cancel();
        Assert.True(never.IsCancellationRequested);
        Assert.True(never.Token.IsCancellationRequested);
        Sys.Scheduler.ScheduleTellOnce(TimeSpan.FromMilliseconds(100), TestActor, "after", TestActor);
        ExpectMsg("after");
        Assert.Throws<ArgumentOutOfRangeException>(() => Sys.Scheduler.ScheduleTellRepeatedly(TimeSpan.Zero, TimeSpan.Zero, TestActor, "x", TestActor));
        Assert.Throws<ArgumentOutOfRangeException>(() => Sys.Scheduler.ScheduleTellOnce(TimeSpan.FromMilliseconds(-1), TestActor, "x", TestActor));
    }

    [Fact]
    public void A_system_name_and_null_messages_are_checked()
    {
        Assert.Throws<ArgumentException>(() => ActorSystem.Create("not allowed"));
        Assert.Throws<InvalidMessageException>(() => TestActor.Tell(null!));
    }

    [Fact]
    public void An_unknown_dispatcher_is_refused_where_the_actor_is_created()
    {
        Assert.Throws<ConfigurationException>(() => Sys.ActorOf(Props.Empty.WithDispatcher("no.such.dispatcher")));
        Assert.Throws<ConfigurationException>(() => Sys.ActorOf(Props.Empty.WithMailbox("no.such.mailbox")));
    }

    [Fact]
    public void Become_stacks_and_replaces()
    {
        var actor = Sys.ActorOf(Props.Create<Moody>());
        foreach (var (say, hear) in new[] { ("x", "base"), ("push", "pushed"), ("x", "top"), ("pop", "popped"), ("x", "base"), ("replace", "replaced"), ("x", "other") })
        {
            actor.Tell(say);
            ExpectMsg(hear);
        }
    }

    private sealed class Moody : ReceiveActor
    {
        public Moody()
        {
            Receive<string>(text => text == "push", _ =>
            {
                BecomeStacked(() =>
                {
                    Receive<string>(text => text == "pop", _ =>
                    {
                        UnbecomeStacked();
                        Sender.Tell("popped");
                    });
                    ReceiveAny(_ => Sender.Tell("top"));
                });
                Sender.Tell("pushed");
            });
            Receive<string>(text => text == "replace", _ =>
            {
                Become(() => ReceiveAny(_ => Sender.Tell("other")));
                Sender.Tell("replaced");
            });
            ReceiveAny(_ => Sender.Tell("base"));
            Assert.Throws<InvalidOperationException>(() => Receive<int>(_ => { }));
        }
    }

    [Fact]
    public async Task Props_take_expressions_arguments_and_producers()
    {
        var captured = "captured";
        Assert.Equal("captured!2", await Sys.ActorOf(Props.Create(() => new Holder(captured + "!", 2))).Ask<string>("get"));
        Assert.Equal("a1", await Sys.ActorOf(Props.Create<Holder>("a", 1)).Ask<string>("get"));
        Assert.Equal("b3", await Sys.ActorOf(Props.Create(typeof(Holder), "b", 3)).Ask<string>("get"));
        Assert.Equal("p9", await Sys.ActorOf(Props.CreateBy(new HolderProducer())).Ask<string>("get"));
        Assert.Throws<ArgumentException>(() => Props.Create(() => MakeHolder()));
        Assert.Throws<ArgumentException>(() => Props.Create(typeof(string)));
    }

    private static Holder MakeHolder() => throw new NotSupportedException();

    private sealed class Holder : ReceiveActor
    {
        public Holder(string text, int number) => ReceiveAny(_ => Sender.Tell(text + number));
    }

    private sealed class HolderProducer : IIndirectActorProducer
    {
        public Type ActorType => typeof(Holder);

        public ActorBase Produce() => new Holder("p", 9);

        public void Release(ActorBase actor)
        {
        }
    }
}
