using Akka.Actor;
using Akka.TestKit;
using Akka.TestKit.Xunit2;
using Xunit;

namespace Holdfast.ActorEngine.Tests;

public sealed class SupervisionSpec : TestKit
{
    public SupervisionSpec()
        : base(Patience.Config + "akka.loglevel = OFF")
    {
    }

    private sealed record Make(Props Props, string Name);

    private sealed class Boss : ReceiveActor
    {
        private readonly SupervisorStrategy _strategy;

        public Boss(SupervisorStrategy strategy, IActorRef? probe = null)
        {
            _strategy = strategy;
            Receive<Make>(make => Sender.Tell(Context.ActorOf(make.Props, make.Name)));
            Receive<string>(text => text == "children", _ => Sender.Tell(Context.GetChildren().Select(child => child.Path.Name).Order().ToArray()));
            ReceiveAny(message => probe?.Tell(("boss", message)));
        }

        protected override SupervisorStrategy SupervisorStrategy() => _strategy;
    }

    private sealed class Worker : ReceiveActor
    {
        private readonly IActorRef _probe;
        private int _count;

        public Worker(IActorRef probe)
        {
            _probe = probe;
            Receive<Exception>(exception => throw exception);
            Receive<string>(text => text == "count", _ => Sender.Tell(_count));
            Receive<string>(_ => _count++);
        }

        protected override void PreRestart(Exception reason, object message)
        {
            _probe.Tell((Self.Path.Name, "restart", message is Exception));
            base.PreRestart(reason, message);
        }

        protected override void PostStop() => _probe.Tell((Self.Path.Name, "stop", false));
    }

    private IActorRef Create(SupervisorStrategy strategy, IActorRef? probe = null) => Sys.ActorOf(Props.Create(() => new Boss(strategy, probe)));

    private async Task<IActorRef> Hire(IActorRef boss, string name, IActorRef probe) =>
        await boss.Ask<IActorRef>(new Make(Props.Create(() => new Worker(probe)), name), TimeSpan.FromSeconds(30));

    [Fact]
    public async Task Resume_keeps_the_state_and_drops_the_message()
    {
        var worker = await Hire(Create(new OneForOneStrategy(_ => Directive.Resume)), "a", TestActor);
        worker.Tell("x");
        worker.Tell(new InvalidOperationException());
        worker.Tell("x");
        Assert.Equal(2, await worker.Ask<int>("count"));
        ExpectNoMsg();
    }

    [Fact]
    public async Task Restart_replaces_the_state_and_tells_the_hook_what_failed()
    {
        var worker = await Hire(Create(new OneForOneStrategy(_ => Directive.Restart)), "a", TestActor);
        worker.Tell("x");
        worker.Tell(new InvalidOperationException());
        ExpectMsg(("a", "restart", true));
        ExpectMsg(("a", "stop", false));
        Assert.Equal(0, await worker.Ask<int>("count"));
    }

    [Fact]
    public async Task Stop_ends_the_child_and_frees_its_name_after_its_end()
    {
        var boss = Create(new OneForOneStrategy(_ => Directive.Stop));
        var worker = await Hire(boss, "a", TestActor);
        var watcher = CreateTestProbe();
        watcher.Watch(worker);
        worker.Tell(new InvalidOperationException());
        watcher.ExpectTerminated(worker);
        ExpectMsg(("a", "stop", false));
        await AwaitAssertAsync(async () => Assert.Empty(await boss.Ask<string[]>("children")));
        Assert.NotEqual(worker, await Hire(boss, "a", TestActor));
    }

    [Fact]
    public async Task All_for_one_restarts_the_siblings_too()
    {
        var boss = Create(new AllForOneStrategy(_ => Directive.Restart));
        var first = await Hire(boss, "a", TestActor);
        var second = await Hire(boss, "b", TestActor);
        second.Tell("x");
        first.Tell(new InvalidOperationException());
        var got = ReceiveN(4, TimeSpan.FromSeconds(30)).Cast<(string Name, string Event, bool Failed)>().ToArray();
        Assert.Contains(("a", "restart", true), got);
        Assert.Contains(("b", "restart", false), got);
        Assert.Equal(0, await second.Ask<int>("count"));
    }

    [Fact]
    public async Task All_for_one_with_stop_ends_all()
    {
        var boss = Create(new AllForOneStrategy(_ => Directive.Stop));
        var first = await Hire(boss, "a", TestActor);
        var second = await Hire(boss, "b", TestActor);
        var watcher = CreateTestProbe();
        watcher.Watch(second);
        first.Tell(new InvalidOperationException());
        watcher.ExpectTerminated(second);
    }

    [Fact]
    public async Task More_restarts_than_allowed_stop_the_child()
    {
        var boss = Create(new OneForOneStrategy(2, TimeSpan.FromMinutes(1), _ => Directive.Restart));
        var worker = await Hire(boss, "a", TestActor);
        var watcher = CreateTestProbe();
        watcher.Watch(worker);
        for (var i = 0; i < 3; i++)
        {
            worker.Tell(new InvalidOperationException());
        }

        watcher.ExpectTerminated(worker);
        var events = ReceiveN(5, TimeSpan.FromSeconds(30)).Cast<(string, string Event, bool)>().Select(each => each.Event).ToArray();
        Assert.Equal(["restart", "stop", "restart", "stop", "stop"], events);
    }

    [Fact]
    public async Task Zero_retries_stop_at_the_first_failure()
    {
        var worker = await Hire(Create(new OneForOneStrategy(0, TimeSpan.FromMinutes(1), _ => Directive.Restart)), "a", TestActor);
        worker.Tell(new InvalidOperationException());
        ExpectMsg(("a", "stop", false));
    }

    [Fact]
    public async Task Escalation_makes_the_supervisor_fail_in_the_childs_place()
    {
        var top = Create(new OneForOneStrategy(_ => Directive.Restart));
        var middle = await top.Ask<IActorRef>(new Make(Props.Create(() => new Boss(new OneForOneStrategy(_ => Directive.Escalate), null)), "middle"));
        var worker = await Hire(middle, "a", TestActor);
        Watch(worker);
        worker.Tell(new InvalidOperationException());

        // The restart of the middle stops its children.
        ExpectMsg(("a", "stop", false));
        ExpectTerminated(worker);
        Assert.Empty(await middle.Ask<string[]>("children", TimeSpan.FromSeconds(30)));
    }

    [Fact]
    public async Task Escalation_to_a_supervisor_that_resumes_lets_the_child_go_on()
    {
        var top = Create(new OneForOneStrategy(_ => Directive.Resume));
        var middle = await top.Ask<IActorRef>(new Make(Props.Create(() => new Boss(new OneForOneStrategy(_ => Directive.Escalate), null)), "middle"));
        var worker = await Hire(middle, "a", TestActor);
        worker.Tell("x");
        worker.Tell(new InvalidOperationException());
        worker.Tell("x");
        Assert.Equal(2, await worker.Ask<int>("count", TimeSpan.FromSeconds(30)));
    }

    [Fact]
    public async Task Escalation_through_the_user_guardian_ends_the_system()
    {
        using var strict = ActorSystem.Create("strict", "akka { loglevel = OFF, stdout-loglevel = OFF, actor.guardian-supervisor-strategy = \"" + typeof(EscalatingStrategy).AssemblyQualifiedName + "\" }");
        var lone = strict.ActorOf(Props.Create(() => new Worker(Akka.Actor.Nobody.Instance)));
        lone.Tell(new InvalidOperationException());
        await strict.WhenTerminated.WaitAsync(TimeSpan.FromSeconds(20));
    }

    private sealed class EscalatingStrategy : SupervisorStrategyConfigurator
    {
        public override SupervisorStrategy Create() => new OneForOneStrategy(_ => Directive.Escalate);
    }

    [Fact]
    public async Task No_message_is_handled_between_a_failure_and_the_decision()
    {
        var decide = new ManualResetEventSlim();
        var boss = Create(new OneForOneStrategy(_ =>
        {
            decide.Wait(TimeSpan.FromSeconds(10));
            return Directive.Resume;
        }));
        var worker = await Hire(boss, "a", TestActor);
        worker.Tell(new InvalidOperationException());
        worker.Tell("x");
        var count = worker.Ask<int>("count");
        await Assert.ThrowsAsync<TimeoutException>(() => count.WaitAsync(TimeSpan.FromMilliseconds(100)));
        decide.Set();
        Assert.Equal(1, await count);
    }

    private sealed class Family : ReceiveActor
    {
        private readonly IActorRef _probe;

        public Family(IActorRef probe, bool keepChildren)
        {
            _probe = probe;
            KeepChildren = keepChildren;
            Context.ActorOf(Props.Create(() => new Worker(probe)), "child" + Interlocked.Increment(ref _created));
            Receive<Exception>(exception => throw exception);
            Receive<string>(_ => Sender.Tell(Context.GetChildren().Select(child => child.Path.Name).Order().ToArray()));
        }

        private static int _created;

        private bool KeepChildren { get; }

        protected override void PreRestart(Exception reason, object message)
        {
            if (KeepChildren)
            {
                PostStop();
                return;
            }

            base.PreRestart(reason, message);
            _probe.Tell("base of PreRestart is through");
        }

        protected override void PostRestart(Exception reason) => _probe.Tell("PostRestart with " + Context.GetChildren().Count() + " children");
    }

    [Fact]
    public void Children_end_before_the_new_instance_of_their_parent_begins()
    {
        var parent = Create(new OneForOneStrategy(_ => Directive.Restart)).Ask<IActorRef>(new Make(Props.Create(() => new Family(TestActor, false)), "f")).Result;
        parent.Tell(new InvalidOperationException());
        var first = ReceiveN(3, TimeSpan.FromSeconds(30)).ToArray();
        Assert.Equal("PostRestart with 1 children", first[2]);
        Assert.Contains("base of PreRestart is through", first);
        Assert.IsType<ValueTuple<string, string, bool>>(first.Single(each => each is not string));
    }

    [Fact]
    public void Children_that_PreRestart_spares_are_restarted_after_their_parent()
    {
        var parent = Create(new OneForOneStrategy(_ => Directive.Restart)).Ask<IActorRef>(new Make(Props.Create(() => new Family(TestActor, true)), "f")).Result;
        parent.Tell(new InvalidOperationException());
        ExpectMsg("PostRestart with 2 children");
        var restart = ExpectMsg<(string, string, bool)>();
        Assert.Equal("restart", restart.Item2);
        Assert.False(restart.Item3);
    }

    private sealed class FailsInConstructor : ReceiveActor
    {
        public FailsInConstructor(IActorRef probe)
        {
            probe.Tell("constructing");
            throw new InvalidOperationException("no");
        }
    }

    [Fact]
    public void A_constructor_that_throws_stops_the_actor_under_the_default_strategy()
    {
        var actor = Sys.ActorOf(Props.Create(() => new FailsInConstructor(TestActor)));
        ExpectMsg("constructing");
        Watch(actor);
        ExpectTerminated(actor);
        ExpectNoMsg();
    }

    private sealed class FailsAtRestart(IActorRef probe) : UntypedActor
    {
        protected override void OnReceive(object message) => throw new InvalidOperationException();

        protected override void PreRestart(Exception reason, object message)
        {
            probe.Tell("PreRestart");
            throw new NotSupportedException("PreRestart fails");
        }

        protected override void PostRestart(Exception reason)
        {
            probe.Tell("PostRestart");
            throw new NotSupportedException("PostRestart fails");
        }
    }

    [Fact]
    public void A_failing_PreRestart_does_not_prevent_the_restart_and_a_failing_PostRestart_stops()
    {
        var actor = Sys.ActorOf(Props.Create(() => new FailsAtRestart(TestActor)));
        Watch(actor);
        actor.Tell("go");
        ExpectMsg("PreRestart");
        ExpectMsg("PostRestart");
        ExpectTerminated(actor);
    }

    [Fact]
    public async Task A_decider_that_throws_makes_the_supervisor_fail()
    {
        var top = Create(new OneForOneStrategy(_ => Directive.Restart));
        var middle = await top.Ask<IActorRef>(new Make(Props.Create(() => new Boss(new OneForOneStrategy(Throwing), null)), "middle"));
        var worker = await Hire(middle, "a", TestActor);
        worker.Tell(new InvalidOperationException());
        ExpectMsg(("a", "stop", false));
        Assert.Empty(await middle.Ask<string[]>("children", TimeSpan.FromSeconds(30)));
    }

    private static Directive Throwing(Exception cause) => throw new NotSupportedException("cannot decide");

    [Fact]
    public void Kill_and_PoisonPill_keep_their_place_in_the_mailbox()
    {
        var actor = Sys.ActorOf(Props.Create(() => new Worker(TestActor)), "k");
        var answer = CreateTestProbe();
        Watch(actor);
        actor.Tell("x");
        actor.Tell("count", answer.Ref);
        actor.Tell(Kill.Instance);
        actor.Tell("count", answer.Ref);
        answer.ExpectMsg(1);
        ExpectMsg(("k", "stop", false));
        ExpectTerminated(actor);
        answer.ExpectNoMsg();

        var other = Sys.ActorOf(Props.Create(() => new Worker(TestActor)), "p");
        Watch(other);
        EventFilter.DeadLetter<string>().ExpectOne(() =>
        {
            other.Tell("x");
            other.Tell("count", answer.Ref);
            other.Tell(PoisonPill.Instance);
            other.Tell("late", answer.Ref);
            answer.ExpectMsg(1);
            ExpectMsg(("p", "stop", false));
            ExpectTerminated(other);
        });
    }

    [Fact]
    public async Task A_child_name_must_be_unique_and_allowed()
    {
        var boss = Create(new OneForOneStrategy(_ => Directive.Stop));
        await Hire(boss, "a", TestActor);
        var named = Sys.ActorOf(Props.Empty, "twice");
        Assert.Throws<InvalidActorNameException>(() => Sys.ActorOf(Props.Empty, "twice"));
        Assert.Throws<InvalidActorNameException>(() => Sys.ActorOf(Props.Empty, ""));
        Assert.Throws<InvalidActorNameException>(() => Sys.ActorOf(Props.Empty, "$a"));
        Assert.Throws<InvalidActorNameException>(() => Sys.ActorOf(Props.Empty, "a b"));
        Assert.Throws<InvalidActorNameException>(() => Sys.ActorOf(Props.Empty, "a/b"));
        Sys.ActorOf(Props.Empty, "abc%20'");
        Assert.NotNull(named);
    }
}
