using Akka.Actor;
using Akka.TestKit;
using Akka.TestKit.Xunit2;
using Xunit;

namespace Holdfast.ActorEngine.Tests;

public sealed class DeathWatchSpec : TestKit
{
    public DeathWatchSpec()
        : base(Patience.Config + "akka.loglevel = OFF")
    {
    }

    // A Terminated that is passed on is not one for its receiver.
    private sealed record Gone(IActorRef ActorRef, bool ExistenceConfirmed, bool AddressTerminated);

    private sealed record Run(Action<IUntypedActorContext> Action);

    private sealed class Watcher : UntypedActor
    {
        private readonly IActorRef _probe;
        private readonly bool _handlesTerminated;

        public Watcher(IActorRef probe, bool handlesTerminated)
        {
            _probe = probe;
            _handlesTerminated = handlesTerminated;
        }

        protected override void OnReceive(object message)
        {
            switch (message)
            {
                case Run run:
                    run.Action(Context);
                    Sender.Tell("ran");
                    break;
                case Terminated when !_handlesTerminated:
                    Unhandled(message);
                    break;
                case Terminated terminated:
                    _probe.Tell(new Gone(terminated.ActorRef, terminated.ExistenceConfirmed, terminated.AddressTerminated));
                    break;
                default:
                    _probe.Tell(message);
                    break;
            }
        }

        protected override void PostStop() => _probe.Tell("watcher stopped");
    }

    private IActorRef CreateWatcher(bool handlesTerminated = true) => Sys.ActorOf(Props.Create(() => new Watcher(TestActor, handlesTerminated)));

    private static Task Do(IActorRef watcher, Action<IUntypedActorContext> action) => watcher.Ask<string>(new Run(action), TimeSpan.FromSeconds(10));

    [Fact]
    public async Task A_watcher_is_told_once_even_when_it_watched_twice()
    {
        var subject = Sys.ActorOf(Props.Empty);
        var watcher = CreateWatcher();
        await Do(watcher, context =>
        {
            context.Watch(subject);
            context.Watch(subject);
        });
        Sys.Stop(subject);
        var terminated = ExpectMsg<Gone>();
        Assert.Equal(subject, terminated.ActorRef);
        Assert.True(terminated.ExistenceConfirmed);
        Assert.False(terminated.AddressTerminated);
        ExpectNoMsg();
    }

    [Fact]
    public async Task Watching_an_actor_that_is_gone_is_answered_at_once()
    {
        var subject = Sys.ActorOf(Props.Empty);
        Watch(subject);
        Sys.Stop(subject);
        ExpectTerminated(subject);
        await Do(CreateWatcher(), context => context.Watch(subject));
        Assert.Equal(subject, ExpectMsg<Gone>().ActorRef);
    }

    [Fact]
    public async Task Watching_a_reference_that_never_was_an_actor_is_answered_without_existence()
    {
        var unknown = await Assert.ThrowsAsync<ActorNotFoundException>(() => Sys.ActorSelection("/user/nobody").ResolveOne(TimeSpan.FromSeconds(1)));
        Assert.NotNull(unknown);
        var path = Sys.DeadLetters.Path.Root / "user" / "never";
        var reference = ((ExtendedActorSystem)Sys).Serialization.DeserializeActorRef(path.ToSerializationFormat());
        await Do(CreateWatcher(), context => context.Watch(reference));
        Assert.False(ExpectMsg<Gone>().ExistenceConfirmed);
    }

    [Fact]
    public async Task Unwatch_drops_a_Terminated_that_waits_in_the_mailbox()
    {
        var subject = Sys.ActorOf(Props.Empty);
        var probe = CreateTestProbe();
        probe.Watch(subject);
        var watcher = CreateWatcher();
        await Do(watcher, context => context.Watch(subject));
        await Do(watcher, context =>
        {
            context.Stop(subject);
            probe.ExpectTerminated(subject);

            // The notification overtakes what is in the mailbox, so that Terminated waits there by the time of the second message.
            context.Self.Tell(new Run(inner => inner.Unwatch(subject)), ActorRefs.Nobody);
        });
        watcher.Tell("after");
        ExpectMsg("after");
        ExpectNoMsg();
    }

    [Fact]
    public async Task Terminated_comes_after_all_messages_of_the_dead_one()
    {
        var watcher = CreateWatcher();
        for (var round = 0; round < 50; round++)
        {
            var subject = Sys.ActorOf(Props.Create(() => new Talker(watcher)));
            await Do(watcher, context => context.Watch(subject));
            subject.Tell("go");
            for (var i = 0; i < 20; i++)
            {
                ExpectMsg(i);
            }

            Assert.Equal(subject, ExpectMsg<Gone>().ActorRef);
        }
    }

    private sealed class Talker(IActorRef target) : UntypedActor
    {
        protected override void OnReceive(object message)
        {
            for (var i = 0; i < 20; i++)
            {
                target.Tell(i);
            }

            Context.Stop(Self);
        }
    }

    [Fact]
    public async Task A_Terminated_that_is_not_handled_is_a_death_pact()
    {
        var subject = Sys.ActorOf(Props.Empty);
        var watcher = CreateWatcher(handlesTerminated: false);
        Watch(watcher);
        await Do(watcher, context => context.Watch(subject));
        Sys.Stop(subject);
        ExpectMsg("watcher stopped");
        ExpectTerminated(watcher);
    }

    [Fact]
    public async Task WatchWith_sends_its_own_message_and_refuses_another()
    {
        var subject = Sys.ActorOf(Props.Empty);
        var watcher = CreateWatcher();
        await Do(watcher, context =>
        {
            context.WatchWith(subject, "it is gone");
            context.WatchWith(subject, "it is gone");
            Assert.Throws<InvalidOperationException>(() => context.WatchWith(subject, "other"));
            Assert.Throws<InvalidOperationException>(() => context.Watch(subject));
        });
        Sys.Stop(subject);
        ExpectMsg("it is gone");
        ExpectNoMsg();
    }

    [Fact]
    public async Task Watching_oneself_does_nothing()
    {
        var watcher = CreateWatcher();
        await Do(watcher, context => context.Watch(context.Self));
        Sys.Stop(watcher);
        ExpectMsg("watcher stopped");
        ExpectNoMsg();
    }

    [Fact]
    public async Task A_watch_ends_with_the_instance_of_the_watcher_when_it_unwatches_before_a_restart()
    {
        var parent = CreateWatcher();
        IActorRef? child = null;
        await Do(parent, context =>
        {
            child = context.ActorOf(Props.Empty, "child");
            context.Watch(child);
            context.Stop(child);
        });
        Assert.Equal(child, ExpectMsg<Gone>().ActorRef);
        await Do(parent, context => Assert.True(context.Child("child").IsNobody()));
        await Do(parent, context => context.ActorOf(Props.Empty, "child"));
    }

    [Fact]
    public async Task GracefulStop_waits_for_the_end()
    {
        var subject = Sys.ActorOf(Props.Empty);
        Assert.True(await subject.GracefulStop(TimeSpan.FromSeconds(10)));
        Assert.True(await subject.GracefulStop(TimeSpan.FromSeconds(10)));
        var stubborn = CreateWatcher();
        await Assert.ThrowsAsync<TaskCanceledException>(() => stubborn.GracefulStop(TimeSpan.FromMilliseconds(50), "please"));
    }

    [Fact]
    public void Messages_to_the_dead_go_to_the_dead_letters()
    {
        var subject = Sys.ActorOf(Props.Empty);
        Watch(subject);
        Sys.Stop(subject);
        ExpectTerminated(subject);
        Sys.EventStream.Subscribe(TestActor, typeof(Akka.Event.DeadLetter));
        subject.Tell("hello", TestActor);
        var letter = ExpectMsg<Akka.Event.DeadLetter>();
        Assert.Equal("hello", letter.Message);
        Assert.Equal(TestActor, letter.Sender);
        Assert.Equal(subject, letter.Recipient);
        subject.Tell(PoisonPill.Instance);
        ExpectNoMsg();
        subject.Tell(new Identify(7), TestActor);
        Assert.Null(ExpectMsg<ActorIdentity>().Subject);
    }
}
