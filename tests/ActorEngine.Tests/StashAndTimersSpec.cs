using Akka.Actor;
using Akka.TestKit;
using Akka.TestKit.Xunit2;
using Xunit;

namespace Holdfast.ActorEngine.Tests;

public sealed class StashAndTimersSpec : TestKit
{
    public StashAndTimersSpec()
        : base(Patience.Config + "akka.loglevel = OFF\nakka.scheduler.implementation = \"Akka.TestKit.TestScheduler, Akka.TestKit\"")
    {
    }

    private TestScheduler Scheduler => (TestScheduler)Sys.Scheduler;

    private sealed class Stasher : ReceiveActor, IWithUnboundedStash
    {
        private readonly IActorRef _probe;

        public Stasher(IActorRef probe)
        {
            _probe = probe;
            Receive<string>(text => text == "open", _ =>
            {
                Stash.UnstashAll();
                Become(() => Receive<object>(message => probe.Tell(message)));
            });
            Receive<string>(text => text == "twice", _ =>
            {
                Stash.Stash();
                try
                {
                    Stash.Stash();
                }
                catch (IllegalActorStateException)
                {
                    probe.Tell("refused");
                    Stash.ClearStash();
                }
            });
            Receive<string>(text => text == "fail", _ => throw new InvalidOperationException());
            ReceiveAny(_ => Stash.Stash());
        }

        public IStash Stash { get; set; } = null!;

        protected override void PostRestart(Exception reason) => _probe.Tell("restarted");
    }

    [Fact]
    public void Stashed_messages_come_back_in_order_before_the_others()
    {
        var actor = Sys.ActorOf(Props.Create(() => new Stasher(TestActor)));
        actor.Tell(1);
        actor.Tell(2);
        actor.Tell(3);
        actor.Tell("open");
        actor.Tell(4);
        for (var i = 1; i <= 4; i++)
        {
            ExpectMsg(i);
        }
    }

    [Fact]
    public void A_message_cannot_be_stashed_twice()
    {
        Sys.ActorOf(Props.Create(() => new Stasher(TestActor))).Tell("twice");
        ExpectMsg("refused");
    }

    [Fact]
    public void A_restart_gives_stashed_messages_back_to_the_mailbox_in_order()
    {
        var actor = Sys.ActorOf(Props.Create(() => new Stasher(TestActor)));
        actor.Tell(1);
        actor.Tell(2);
        actor.Tell("fail");
        actor.Tell(3);
        ExpectMsg("restarted");
        actor.Tell("open");
        ExpectMsg(1);
        ExpectMsg(2);
        ExpectMsg(3);
    }

    [Fact]
    public void What_is_stashed_when_the_actor_stops_goes_to_the_dead_letters()
    {
        Sys.EventStream.Subscribe(TestActor, typeof(Akka.Event.DeadLetter));
        var actor = Sys.ActorOf(Props.Create(() => new Stasher(TestActor)));
        actor.Tell(1);
        actor.Tell(2);
        actor.Tell(PoisonPill.Instance);
        Assert.Equal(1, ExpectMsg<Akka.Event.DeadLetter>().Message);
        Assert.Equal(2, ExpectMsg<Akka.Event.DeadLetter>().Message);
    }

    private sealed class SmallStasher : ReceiveActor, IWithStash
    {
        public SmallStasher(IActorRef probe) => ReceiveAny(message =>
        {
            try
            {
                Stash.Stash();
            }
            catch (StashOverflowException)
            {
                probe.Tell(("full", message, Stash.Capacity, Stash.IsFull));
            }
        });

        public IStash Stash { get; set; } = null!;
    }

    [Fact]
    public void A_bounded_stash_overflows()
    {
        var actor = Sys.ActorOf(Props.Create(() => new SmallStasher(TestActor)).WithStashCapacity(2));
        actor.Tell(1);
        actor.Tell(2);
        actor.Tell(3);
        ExpectMsg(("full", (object)3, 2, true));
    }

    private sealed class Timed : ReceiveActor, IWithTimers
    {
        public Timed(IActorRef probe, bool startAtOnce = false)
        {
            Receive<Action<ITimerScheduler>>(action =>
            {
                action(Timers);
                probe.Tell("done");
            });
            Receive<Exception>(exception => throw exception);
            ReceiveAny(probe.Tell);
        }

        public ITimerScheduler Timers { get; set; } = null!;

        protected override void PostRestart(Exception reason) => Self.Tell("restarted");
    }

    private void With(IActorRef actor, Action<ITimerScheduler> action)
    {
        actor.Tell(action);
        ExpectMsg("done");
    }

    [Fact]
    public void A_single_timer_sends_once_and_a_periodic_one_until_cancelled()
    {
        var actor = Sys.ActorOf(Props.Create(() => new Timed(TestActor, false)));
        With(actor, timers =>
        {
            timers.StartSingleTimer("once", "single", TimeSpan.FromSeconds(1));
            timers.StartPeriodicTimer("often", "tick", TimeSpan.FromSeconds(3));
        });
        Scheduler.Advance(TimeSpan.FromMilliseconds(999));
        ExpectNoMsg();
        Scheduler.Advance(TimeSpan.FromMilliseconds(1));
        ExpectMsg("single");
        Scheduler.Advance(TimeSpan.FromSeconds(5));
        ExpectMsg("tick");
        ExpectMsg("tick");
        With(actor, timers =>
        {
            Assert.False(timers.IsTimerActive("once"));
            Assert.True(timers.IsTimerActive("often"));
            timers.Cancel("often");
        });
        Scheduler.Advance(TimeSpan.FromSeconds(30));
        ExpectNoMsg();
    }

    [Fact]
    public void A_message_of_a_timer_that_was_cancelled_or_started_anew_is_not_delivered_even_when_it_waits_in_the_mailbox()
    {
        var actor = Sys.ActorOf(Props.Create(() => new Timed(TestActor, false)));
        With(actor, timers =>
        {
            timers.StartSingleTimer("a", "old", TimeSpan.FromSeconds(1));
            timers.StartSingleTimer("b", "cancelled", TimeSpan.FromSeconds(1));
            Scheduler.Advance(TimeSpan.FromSeconds(1));
            timers.StartSingleTimer("a", "new", TimeSpan.FromSeconds(1));
            timers.Cancel("b");
        });
        Scheduler.Advance(TimeSpan.FromSeconds(1));
        ExpectMsg("new");
        ExpectNoMsg();
    }

    [Fact]
    public void Timers_end_with_the_instance()
    {
        var actor = Sys.ActorOf(Props.Create(() => new Timed(TestActor, false)));
        With(actor, timers => timers.StartPeriodicTimer("often", "tick", TimeSpan.FromSeconds(1)));
        actor.Tell(new InvalidOperationException());
        ExpectMsg("restarted");
        Scheduler.Advance(TimeSpan.FromSeconds(10));
        ExpectNoMsg();
    }

    private sealed class Idle : ReceiveActor
    {
        public Idle(IActorRef probe)
        {
            SetReceiveTimeout(TimeSpan.FromSeconds(10));
            Receive<ReceiveTimeout>(_ => probe.Tell("timeout"));
            Receive<string>(text => text == "off", _ =>
            {
                SetReceiveTimeout(null);
                probe.Tell("off");
            });
            ReceiveAny(message => probe.Tell(message));
        }
    }

    private sealed class Quiet : INotInfluenceReceiveTimeout
    {
    }

    [Fact]
    public void A_receive_timeout_starts_anew_with_every_message_but_the_ones_that_do_not_count()
    {
        var actor = Sys.ActorOf(Props.Create(() => new Idle(TestActor)));
        actor.Tell(0);
        ExpectMsg(0);
        Settle(actor);
        Scheduler.Advance(TimeSpan.FromSeconds(8));
        actor.Tell(1);
        ExpectMsg(1);
        Settle(actor);
        Scheduler.Advance(TimeSpan.FromSeconds(8));
        ExpectNoMsg();
        actor.Tell(new Quiet());
        ExpectMsg<Quiet>();
        Scheduler.Advance(TimeSpan.FromSeconds(2));
        ExpectMsg("timeout");
        Settle(actor);
        Scheduler.Advance(TimeSpan.FromSeconds(10));
        ExpectMsg("timeout");
        actor.Tell("off");
        ExpectMsg("off");
        Settle(actor);
        Scheduler.Advance(TimeSpan.FromSeconds(100));
        ExpectNoMsg();
    }

    // Identify does not influence the time-out, and its answer shows that the actor is through with what came before.
    private void Settle(IActorRef actor)
    {
        actor.Tell(new Identify("settled"), TestActor);
        ExpectMsg<ActorIdentity>();
    }
}
