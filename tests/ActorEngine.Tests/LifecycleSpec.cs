using Akka.Actor;
using Akka.TestKit.Xunit2;
using Xunit;

namespace Holdfast.ActorEngine.Tests;

public sealed class LifecycleSpec() : TestKit(Patience.Config)
{
    private sealed class Recorder : ReceiveActor
    {
        private readonly IActorRef _probe;

        public Recorder(IActorRef probe)
        {
            _probe = probe;
            _probe.Tell("constructor");
            Receive<string>(text => text == "fail", _ => throw new InvalidOperationException("as asked"));
            Receive<string>(text => Sender.Tell("echo " + text));
        }

        protected override void PreStart() => _probe.Tell("PreStart");

        protected override void PostStop() => _probe.Tell("PostStop");

        protected override void PreRestart(Exception reason, object message)
        {
            _probe.Tell($"PreRestart {reason.Message} {message}");
            base.PreRestart(reason, message);
        }

        protected override void PostRestart(Exception reason)
        {
            _probe.Tell("PostRestart " + reason.Message);
            base.PostRestart(reason);
        }
    }

    [Fact]
    public void An_actor_goes_through_its_hooks_in_order_when_it_restarts_and_stops()
    {
        var actor = Sys.ActorOf(Props.Create(() => new Recorder(TestActor)));
        ExpectMsg("constructor");
        ExpectMsg("PreStart");
        EventFilter.Exception<InvalidOperationException>("as asked").ExpectOne(() => actor.Tell("fail"));
        ExpectMsg("PreRestart as asked fail");
        ExpectMsg("PostStop");
        ExpectMsg("constructor");
        ExpectMsg("PostRestart as asked");
        ExpectMsg("PreStart");
        actor.Tell("x");
        ExpectMsg("echo x");
        Watch(actor);
        Sys.Stop(actor);
        ExpectMsg("PostStop");
        ExpectTerminated(actor);
    }

    [Fact]
    public async Task Ask_returns_the_reply()
    {
        var actor = Sys.ActorOf(Props.Create(() => new Recorder(TestActor)));
        Assert.Equal("echo hello", await actor.Ask<string>("hello", TimeSpan.FromSeconds(30)));
    }

    private sealed class Pinned : ReceiveActor
    {
        private readonly int _constructor = Environment.CurrentManagedThreadId;
        private int _preStart;

        public Pinned()
        {
            ReceiveAsync<string>(async _ =>
            {
                var before = Environment.CurrentManagedThreadId;
                await Task.Delay(5);
                await Task.Yield();
                Sender.Tell(new[] { _constructor, _preStart, before, Environment.CurrentManagedThreadId });
            });
        }

        protected override void PreStart() => _preStart = Environment.CurrentManagedThreadId;
    }

    [Fact]
    public async Task A_pinned_actor_runs_everything_on_one_thread_of_its_own()
    {
        using var system = ActorSystem.Create("pinned", "akka.actor.pinned.type = PinnedDispatcher");
        var first = system.ActorOf(Props.Create<Pinned>().WithDispatcher("akka.actor.pinned"));
        var second = system.ActorOf(Props.Create<Pinned>().WithDispatcher("akka.actor.pinned"));
        var a = (await first.Ask<int[]>("go", TimeSpan.FromSeconds(10))).Concat(await first.Ask<int[]>("go", TimeSpan.FromSeconds(10))).Distinct().ToArray();
        var b = (await second.Ask<int[]>("go", TimeSpan.FromSeconds(10))).Distinct().ToArray();
        Assert.Single(a);
        Assert.Single(b);
        Assert.NotEqual(a[0], b[0]);
    }
}
