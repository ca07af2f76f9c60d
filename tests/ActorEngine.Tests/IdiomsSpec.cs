using Akka;
using Akka.Actor;
using Akka.Actor.Setup;
using Akka.Configuration;
using Akka.Event;
using Akka.Pattern;
using Akka.Serialization;
using Akka.TestKit;
using Akka.TestKit.TestActors;
using Akka.TestKit.Xunit2;
using Xunit;

namespace Holdfast.ActorEngine.Tests;

/// <summary>The ways of writing that Akka.NET's documentation teaches: what users of it bring along.</summary>
public sealed class IdiomsSpec : TestKit
{
    private static readonly TimeSpan Wait = TimeSpan.FromSeconds(20);

    public IdiomsSpec()
        : base(Patience.Config + """
            akka {
              loglevel = OFF
              stdout-loglevel = OFF
              test.single-expect-default = 20s
              actor {
                serializers.letters = "Holdfast.ActorEngine.Tests.LetterSerializer, Holdfast.ActorEngine.Tests"
                serialization-bindings { "Holdfast.ActorEngine.Tests.Letter, Holdfast.ActorEngine.Tests" = letters }
              }
            }
            """)
    {
    }

    private sealed class Parent : UntypedActor
    {
        protected override void OnReceive(object message)
        {
            switch (message)
            {
                case Props props:
                    Sender.Tell(Context.ActorOf(props, "child"));
                    break;
                default:
                    Unhandled(message);
                    break;
            }
        }

        protected override SupervisorStrategy SupervisorStrategy() => new OneForOneStrategy(
            10,
            TimeSpan.FromMinutes(1),
            Decider.From(Directive.Escalate, Directive.Resume.When<ArithmeticException>(), Directive.Restart.When<NullReferenceException>(), Directive.Stop.When<ArgumentException>()));
    }

    private sealed class Fickle : ReceiveActor
    {
        private readonly ILoggingAdapter _log = Context.GetLogger();
        private int _state;

        public Fickle()
        {
            Receive<Exception>(e => throw e);
            Receive<int>(number => _state = number);
            Receive<string>(_ => Sender.Tell(_state));
            Receive<bool>(flag => _log.Info("got {0}", flag));
        }
    }

    [Fact]
    public void The_fault_tolerance_sample_of_the_documentation()
    {
        var supervisor = Sys.ActorOf<Parent>("supervisor");
        supervisor.Tell(Props.Create<Fickle>());
        var child = ExpectMsg<IActorRef>();
        child.Tell(42);
        child.Tell("get");
        ExpectMsg(42);
        child.Tell(new ArithmeticException());
        child.Tell("get");
        ExpectMsg(42);
        child.Tell(new NullReferenceException());
        child.Tell("get");
        ExpectMsg(0);
        Watch(child);
        child.Tell(new ArgumentException());
        ExpectMsg<Terminated>(terminated => terminated.ActorRef.Equals(child));
        supervisor.Tell(Props.Create<Fickle>());
        var second = ExpectMsg<IActorRef>();
        Watch(second);
        second.Tell(new InvalidOperationException("CRASH"));
        ExpectTerminated(second);
    }

    [Fact]
    public async Task Asking_piping_and_stopping()
    {
        var replier = Sys.ActorOf(Props.Create(() => new EchoActor(this, true)), "echo");
        Assert.Equal("x", await replier.Ask<string>("x", Wait));
        ExpectMsg("x");
        Assert.IsType<Status.Failure>(await replier.Ask(new Status.Failure(new InvalidOperationException("no")), Wait));
        var thrown = await Assert.ThrowsAsync<InvalidOperationException>(() => replier.Ask<string>(new Status.Failure(new InvalidOperationException("no")), Wait));
        Assert.Equal("no", thrown.Message);
        await Assert.ThrowsAsync<ArgumentException>(() => replier.Ask<string>(5, Wait));
        ReceiveN(3, Wait);
        await new ValueTask<string>("piped").PipeTo(TestActor, replier, text => text + "!");
        ExpectMsgFrom(replier, "piped!");
        await default(ValueTask).PipeTo(TestActor, success: () => "done");
        ExpectMsg("done");
        await ValueTask.FromException<string>(new InvalidOperationException("bad")).PipeTo(TestActor, failure: e => e.Message);
        ExpectMsg("bad");
        Assert.True(await replier.GracefulStop(Wait));
        Assert.True(await replier.WatchAsync());
        using var source = new CancellationTokenSource();
        var alive = Sys.ActorOf(BlackHoleActor.Props);
        var watching = alive.WatchAsync(source.Token);
        source.Cancel();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => watching);
    }

    private sealed class Tree : ReceiveActor
    {
        public Tree(int depth, IActorRef probe)
        {
            if (depth > 0)
            {
                Context.ActorOf(Props.Create(() => new Tree(depth - 1, probe)), "a");
                Context.ActorOf(Props.Create(() => new Tree(depth - 1, probe)), "b");
            }

            Receive<string>(text => probe.Tell(text + Self.Path.ToStringWithoutAddress()));
            probe.Tell(depth);
        }
    }

    [Fact]
    public async Task Selecting_by_wildcards()
    {
        Sys.ActorOf(Props.Create(() => new Tree(2, TestActor)), "tree");
        ReceiveN(7, Wait);
        Sys.ActorSelection("/user/tree/**").Tell(">");
        ExpectMsgAllOf(">/user/tree/a", ">/user/tree/b", ">/user/tree/a/a", ">/user/tree/a/b", ">/user/tree/b/a", ">/user/tree/b/b");
        Sys.ActorSelection("/user/tree/*/b").Tell(">");
        ExpectMsgAllOf(">/user/tree/a/b", ">/user/tree/b/b");
        Assert.Throws<IllegalActorNameException>(() => Sys.ActorSelection("/user/**/a"));
        Assert.Equal("a", (await Sys.ActorSelection("/user/tree/a/../a").ResolveOne(Wait)).Path.Name);
        await Assert.ThrowsAsync<ActorNotFoundException>(() => Sys.ActorSelection("/user/none").ResolveOne(Wait));
    }

    [Fact]
    public void Providers_resolve_references_and_serializers_use_them()
    {
        var system = (ExtendedActorSystem)Sys;
        var actor = Sys.ActorOf(BlackHoleActor.Props, "addressee");
        var path = Akka.Serialization.Serialization.SerializedActorPath(actor);
        Assert.Equal(actor, system.Provider.ResolveActorRef(path));
        Assert.Equal(actor, system.Provider.ResolveActorRef(actor.Path));
        Assert.Equal(Sys.Name, system.Provider.DefaultAddress.System);
        Assert.Equal(Sys.DeadLetters, system.Provider.DeadLetters);
        var serializer = Sys.Serialization.FindSerializerFor(new Letter("text", actor));
        Assert.IsType<LetterSerializer>(serializer);
        var bytes = serializer.ToBinary(new Letter("text", actor));
        var again = (Letter)Sys.Serialization.Deserialize(bytes, serializer.Identifier, ((SerializerWithStringManifest)serializer).Manifest(new Letter("", actor)));
        Assert.Equal(("text", actor), (again.Text, again.To));
    }

    [Fact]
    public async Task Setting_a_system_up_in_code()
    {
        var bootstrap = BootstrapSetup.Create().WithConfig("akka { loglevel = OFF, stdout-loglevel = OFF }").WithActorRefProvider(ProviderSelection.Local.Instance);
        var system = ActorSystem.Create("setup", bootstrap.And(new Mine("x")));
        Assert.Equal("x", system.Settings.Setup.Get<Mine>().Value.Text);
        var reason = new Because();
        CoordinatedShutdown.Get(system).AddTask(CoordinatedShutdown.PhaseBeforeActorSystemTerminate, "tell", () =>
        {
            TestActor.Tell("going");
            return Task.FromResult(Done.Instance);
        });
        await CoordinatedShutdown.Get(system).Run(reason).WaitAsync(Wait);
        ExpectMsg("going");
        Assert.Same(reason, CoordinatedShutdown.Get(system).ShutdownReason);
        await system.WhenTerminated.WaitAsync(Wait);
    }

    private sealed class Mine(string text) : Setup
    {
        public string Text { get; } = text;
    }

    private sealed class Because : CoordinatedShutdown.Reason
    {
        public override int ExitCode => 3;
    }

    [Fact]
    public void Scheduling_and_cancelling()
    {
        using var source = new CancellationTokenSource();
        var cancelable = Cancelable.CreateLinkedCancelable(Sys.Scheduler, source.Token);
        Sys.Scheduler.ScheduleTellRepeatedly(TimeSpan.Zero, TimeSpan.FromHours(1), TestActor, "tick", ActorRefs.NoSender, cancelable);
        ExpectMsg("tick");
        source.Cancel();
        Assert.True(cancelable.IsCancellationRequested);
        var once = Sys.Scheduler.ScheduleTellOnceCancelable(TimeSpan.FromHours(1), TestActor, "never", TestActor);
        once.Cancel();
        Sys.Scheduler.Advanced.ScheduleOnce(TimeSpan.Zero, () => TestActor.Tell("action"));
        ExpectMsg("action");
        Sys.Scheduler.ScheduleTellOnce(1, TestActor, "soon", ActorRefs.NoSender);
        ExpectMsg("soon");
    }

    [Fact]
    public async Task A_breaker_with_chance_and_state()
    {
        var breaker = new CircuitBreaker(Sys.Scheduler, 1, TimeSpan.FromSeconds(10), TimeSpan.FromHours(1)).WithExponentialBackoff(TimeSpan.FromHours(2)).WithRandomFactor(0.1);
        var states = new TestBreaker(breaker);
        Assert.Equal(3, await breaker.WithCircuitBreaker(2, number => Task.FromResult(number + 1)));
        await Assert.ThrowsAsync<InvalidOperationException>(() => breaker.WithCircuitBreaker(() => throw new InvalidOperationException()));
        Assert.True(states.OpenLatch.Wait(Wait));
        var refused = await Assert.ThrowsAsync<OpenCircuitException>(() => breaker.WithCircuitBreaker(() => Task.CompletedTask));
        Assert.InRange(refused.RemainingDuration, TimeSpan.FromMinutes(50), TimeSpan.FromMinutes(66));
        Assert.Equal(0.1, breaker.RandomFactor);
    }

    [Fact]
    public void Unhandled_suppressed_and_dead()
    {
        Sys.EventStream.Subscribe<UnhandledMessage>(TestActor);
        Sys.EventStream.Subscribe(TestActor, typeof(AllDeadLetters));
        var deaf = Sys.ActorOf(Props.Create<UnhandledMessageActor>());
        deaf.Tell("what");
        Assert.Equal("what", ExpectMsg<UnhandledMessage>().Message);
        Watch(deaf);
        Sys.Stop(deaf);
        ExpectTerminated(deaf);
        deaf.Tell("late");
        Assert.Equal(("late", TestActor, deaf), ExpectMsg<DeadLetter>(letter => letter.Recipient.Equals(deaf)) is { } dead ? ((string)dead.Message, dead.Sender, dead.Recipient) : default);
        deaf.Tell(PoisonPill.Instance);
        ExpectMsg<SuppressedDeadLetter>(letter => letter.Message is PoisonPill);
        deaf.Tell(new Identify(7));
        Assert.Null(ExpectMsg<ActorIdentity>(identity => Equals(identity.MessageId, 7)).Subject);
    }

    [Fact]
    public void Levels_and_names_of_logging()
    {
        Assert.Equal(LogLevel.WarningLevel, Logging.LogLevelFor<Warning>());
        Assert.Equal(typeof(Info), Logging.ClassFor(LogLevel.InfoLevel));
        Assert.Equal("IdiomsSpec", Logging.SimpleName(this));
        Assert.Equal("ERROR", LogLevel.ErrorLevel.StringFor());
    }
}

public sealed record Letter(string Text, IActorRef To);

public sealed class LetterSerializer(ExtendedActorSystem system) : SerializerWithStringManifest(system)
{
    public override int Identifier => 4711;

    public override string Manifest(object o) => "letter";

    public override byte[] ToBinary(object obj) =>
        obj is Letter letter ? System.Text.Encoding.UTF8.GetBytes(letter.Text + "\n" + Akka.Serialization.Serialization.SerializedActorPath(letter.To)) : throw new ArgumentException("not a letter");

    public override object FromBinary(byte[] bytes, string manifest) =>
        manifest == "letter" && System.Text.Encoding.UTF8.GetString(bytes).Split('\n') is [var text, var path]
            ? new Letter(text, system.Provider.ResolveActorRef(path))
            : throw new ArgumentException("not a letter");
}
