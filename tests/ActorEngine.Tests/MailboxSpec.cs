using Akka.Actor;
using Akka.Configuration;
using Akka.Dispatch;
using Akka.TestKit;
using Akka.TestKit.Xunit2;
using Xunit;

namespace Holdfast.ActorEngine.Tests;

/// <summary>Mailboxes, and the dispatchers that run them.</summary>
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
