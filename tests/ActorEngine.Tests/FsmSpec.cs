using Akka.Actor;
using Akka.TestKit;
using Akka.TestKit.Xunit2;
using Xunit;

namespace Holdfast.ActorEngine.Tests;

public sealed class FsmSpec : TestKit
{
    public FsmSpec()
        : base(Patience.Config + "akka.loglevel = OFF\nakka.scheduler.implementation = \"Akka.TestKit.TestScheduler, Akka.TestKit\"")
    {
    }

    private TestScheduler Scheduler => (TestScheduler)Sys.Scheduler;

    private enum Door
    {
        Locked,
        Open,
        Broken,
    }

    private sealed class DoorMachine : FSM<Door, int>
    {
        public DoorMachine(IActorRef probe)
        {
            StartWith(Door.Locked, 0);
            When(Door.Locked, e => e.FsmEvent switch
            {
                string and "open" => GoTo(Door.Open).Using(e.StateData + 1).Replying("opened"),
                string and "data" => Stay().Replying(e.StateData),
                string and "short" => GoTo(Door.Open).ForMax(TimeSpan.FromSeconds(1)),
                string and "again" => GoTo(Door.Locked),
                string and "nowhere" => GoTo(Door.Broken),
                string and "stop" => Stop(FSMBase.Normal.Instance, 77),
                string and "fail" => Stop(new FSMBase.Failure("because")),
                string and "timer" => StartTimer(),
                string and "restart timer" => RestartTimer(),
                string and "cancel timer" => EndTimer(),
                string and "tick" => Note(probe),
                _ => null!,
            });
            When(Door.Open, e => e.FsmEvent switch
            {
                FSMBase.StateTimeout => GoTo(Door.Locked),
                string and "stay" => Stay(),
                _ => null!,
            }, TimeSpan.FromSeconds(5));
            WhenUnhandled(e =>
            {
                probe.Tell(("unhandled", e.FsmEvent));
                return Stay();
            });
            OnTransition((from, to) => probe.Tell((from, to, NextStateData)));
            OnTermination(stop => probe.Tell((stop.Reason.GetType().Name, stop.TerminatedState, stop.StateData)));
            Initialize();
        }

        private State<Door, int> Note(IActorRef probe)
        {
            probe.Tell("ticked");
            return Stay();
        }

        private State<Door, int> StartTimer()
        {
            SetTimer("t", "tick", TimeSpan.FromSeconds(3), repeat: true);
            return Stay();
        }

        private State<Door, int> RestartTimer()
        {
            SetTimer("t", "tick", TimeSpan.FromSeconds(2));
            return Stay();
        }

        private State<Door, int> EndTimer()
        {
            CancelTimer("t");
            return Stay().Replying(IsTimerActive("t"));
        }
    }

    private IActorRef Create() => Sys.ActorOf(Props.Create(() => new DoorMachine(TestActor)));

    private void Settle(IActorRef actor)
    {
        actor.Tell(new Identify("settled"), TestActor);
        ExpectMsg<ActorIdentity>();
    }

    [Fact]
    public void A_transition_replies_then_tells_its_handlers_then_changes()
    {
        var door = Create();
        door.Tell(new FSMBase.SubscribeTransitionCallBack(TestActor));
        ExpectMsg(new FSMBase.CurrentState<Door>(door, Door.Locked));
        door.Tell("open");
        ExpectMsg("opened");
        ExpectMsg((Door.Locked, Door.Open, 1));
        ExpectMsg(new FSMBase.Transition<Door>(door, Door.Locked, Door.Open));
        door.Tell("what");
        ExpectMsg(("unhandled", (object)"what"));
    }

    [Fact]
    public void Stay_is_no_transition_and_going_to_the_same_state_is_one()
    {
        var door = Create();
        door.Tell("data");
        ExpectMsg(0);
        door.Tell("again");
        ExpectMsg((Door.Locked, Door.Locked, 0));
    }

    [Fact]
    public void A_state_timeout_fires_unless_something_comes()
    {
        var door = Create();
        door.Tell("open");
        ExpectMsg("opened");
        ExpectMsg((Door.Locked, Door.Open, 1));
        Settle(door);
        Scheduler.Advance(TimeSpan.FromSeconds(4));
        door.Tell("stay");
        Settle(door);
        Scheduler.Advance(TimeSpan.FromSeconds(4));
        ExpectNoMsg();
        Scheduler.Advance(TimeSpan.FromSeconds(1));
        ExpectMsg((Door.Open, Door.Locked, 1));
    }

    [Fact]
    public void ForMax_overrides_the_timeout_of_the_state()
    {
        var door = Create();
        door.Tell("short");
        ExpectMsg((Door.Locked, Door.Open, 0));
        Settle(door);
        Scheduler.Advance(TimeSpan.FromSeconds(1));
        ExpectMsg((Door.Open, Door.Locked, 0));
    }

    [Fact]
    public void Timers_by_name_repeat_are_replaced_and_cancelled()
    {
        var door = Create();
        door.Tell("timer");
        Settle(door);
        Scheduler.Advance(TimeSpan.FromSeconds(3));
        ExpectMsg("ticked");
        Scheduler.Advance(TimeSpan.FromSeconds(3));
        ExpectMsg("ticked");
        door.Tell("restart timer");
        Settle(door);
        Scheduler.Advance(TimeSpan.FromSeconds(10));
        ExpectMsg("ticked");
        ExpectNoMsg();
        door.Tell("timer");
        door.Tell("cancel timer");
        ExpectMsg(false);
        Scheduler.Advance(TimeSpan.FromSeconds(10));
        ExpectNoMsg();
    }

    [Theory]
    [InlineData("stop", "Normal", 77)]
    [InlineData("fail", "Failure", 0)]
    [InlineData("nowhere", "Failure", 0)]
    public void A_machine_says_why_it_stops_once(string message, string reason, int data)
    {
        var door = Create();
        Watch(door);
        door.Tell(message);
        ExpectMsg((reason, Door.Locked, data));
        ExpectTerminated(door);
        ExpectNoMsg();
    }

    [Fact]
    public void A_stop_from_outside_is_a_shutdown()
    {
        var door = Create();
        Watch(door);
        Sys.Stop(door);
        ExpectMsg(("Shutdown", Door.Locked, 0));
        ExpectTerminated(door);
    }
}
