using System.Collections;
using Akka.Actor;
using Akka.Actor.Dsl;
using Akka.Event;
using Akka.TestKit;
using Akka.TestKit.TestActors;
using Akka.TestKit.Xunit2;
using Xunit;
using Xunit.Sdk;

namespace Holdfast.ActorEngine.Tests;

/// <summary>The TestKit itself, member by member: others bring specs that stand on it.</summary>
public sealed class TestKitSpec : TestKit
{
    private static readonly TimeSpan Soon = TimeSpan.FromMilliseconds(50);

    public TestKitSpec()
        : base("akka.loglevel = DEBUG")
    {
    }

    private static void Fails(Action action) => Assert.ThrowsAny<XunitException>(action);

    [Fact]
    public void ExpectMsg_takes_values_predicates_assertions_and_comparers()
    {
        foreach (var message in new object[] { "a", "b", "c", "d", "e", 1 })
        {
            TestActor.Tell(message);
        }

        Assert.Equal("a", ExpectMsg<string>());
        ExpectMsg("b");
        ExpectMsg<string>(text => text == "c");
        ExpectMsg<string>(text => Assert.Equal("d", text));
        ExpectMsg<string>((text, sender) => text == "e" && sender.Equals(TestActor));
        ExpectMsg(11, (expected, actual) => expected % 10 == actual % 10);
        ExpectNoMsg(0);
        TestActor.Tell("x");
        Fails(() => ExpectMsg<int>());
        TestActor.Tell("x");
        Fails(() => ExpectMsg("y"));
        Fails(() => ExpectMsg<string>(Soon));
        TestActor.Tell("x");
        Fails(() => ExpectNoMsg(Soon));
    }

    [Fact]
    public async Task ExpectMsgAsync_takes_the_same()
    {
        foreach (var message in new object[] { "a", "b", "c", "d", 1 })
        {
            TestActor.Tell(message);
        }

        Assert.Equal("a", await ExpectMsgAsync<string>());
        await ExpectMsgAsync("b");
        await ExpectMsgAsync<string>(text => text == "c");
        await ExpectMsgAsync<string>((text, _) => Assert.Equal("d", text));
        await ExpectMsgAsync(11, (expected, actual) => expected % 10 == actual % 10);
        await ExpectNoMsgAsync(Soon);
        await Assert.ThrowsAnyAsync<XunitException>(async () => await ExpectMsgAsync<string>(Soon));
    }

    [Fact]
    public async Task ExpectMsgFrom_looks_at_the_sender()
    {
        var probe = CreateTestProbe("sender");
        for (var i = 0; i < 8; i++)
        {
            probe.Send(TestActor, "x");
        }

        ExpectMsgFrom<string>(probe.Ref);
        ExpectMsgFrom(probe.Ref, "x");
        ExpectMsgFrom<string>(probe.Ref, text => text == "x");
        ExpectMsgFrom<string>(sender => sender.Path.Name == "sender", (string text) => text == "x");
        ExpectMsgFrom<string>(probe.Ref, (string text) => Assert.Equal("x", text));
        await ExpectMsgFromAsync<string>(probe.Ref);
        await ExpectMsgFromAsync(probe.Ref, "x");
        Assert.Equal(probe.Ref, LastSender);
        Assert.Equal("x", LastMessage);
        Fails(() => ExpectMsgFrom<string>(TestActor));
    }

    [Fact]
    public async Task All_of_and_any_of_do_not_mind_the_order()
    {
        void Send(params object[] messages)
        {
            foreach (var message in messages)
            {
                TestActor.Tell(message);
            }
        }

        Send("b", "a");
        ExpectMsgAllOf("a", "b");
        Send("b", "a");
        ExpectMsgAllOf(TimeSpan.FromSeconds(3), "a", "b");
        Send("b", "a");
        var got = new List<string>();
        await foreach (var message in ExpectMsgAllOfAsync(new[] { "a", "b" }))
        {
            got.Add(message);
        }

        Assert.Equal(["b", "a"], got);
        Send("c");
        ExpectMsgAnyOf(new[] { "a", "b", "c" });
        Send(7, "text");
        ExpectMsgAllOfMatchingPredicates(PredicateInfo.Create<string>(text => text == "text"), PredicateInfo.Create<int>(number => number == 7));
        Send("a", "z");
        Fails(() => ExpectMsgAllOf("a", "b"));
    }

    [Fact]
    public async Task Fishing_and_silence()
    {
        for (var i = 0; i < 5; i++)
        {
            TestActor.Tell(i);
        }

        var passed = new ArrayList();
        Assert.Equal(2, FishForMessage<int>(number => number == 2, passed));
        Assert.Equal([0, 1], passed.Cast<int>());
        Assert.Equal(3, FishForMessage(message => message is 3));
        Assert.Equal(4, await FishForMessageAsync<int>(number => number == 4));
        Fails(() => FishForMessage<int>(_ => true, Soon));
        TestActor.Tell("a");
        TestActor.Tell("b");
        Assert.Equal(["a", "b"], (await WaitForRadioSilenceAsync(Soon)).Cast<string>());
        TestActor.Tell("a");
        await FishUntilMessageAsync<int>(Soon);
        TestActor.Tell(1);
        await Assert.ThrowsAnyAsync<XunitException>(() => FishUntilMessageAsync<int>(Soon));
    }

    [Fact]
    public async Task Receiving_one_some_and_as_long_as()
    {
        for (var i = 0; i < 9; i++)
        {
            TestActor.Tell(i);
        }

        Assert.Equal(0, PeekOne());
        Assert.Equal(0, await PeekOneAsync());
        Assert.Equal(0, ReceiveOne());
        Assert.Equal(1, await ReceiveOneAsync(Soon));
        Assert.True(TryReceiveOne(out var envelope, Soon));
        Assert.Equal((2, TestActor), (envelope.Message, envelope.Sender));
        Assert.Equal([3, 4], ReceiveN(2).Cast<int>());
        Assert.Equal([5], ReceiveWhile<int>(number => number < 6, Soon));
        Assert.Equal([6], await ReceiveWhileAsync<int>(number => number < 7, Soon).ToListAsync());
        Assert.Equal(["7"], ReceiveWhile(Soon, message => message is 7 ? "7" : null!));
        Assert.Equal([8], await ReceiveNAsync(1, Soon).ToListAsync());
        Assert.Null(ReceiveOne(TimeSpan.Zero));
        Assert.False((await TryReceiveOneAsync(Soon)).success);
        using var cancelled = new CancellationTokenSource(0);
        Assert.Null(ReceiveOne(TimeSpan.FromHours(1), cancelled.Token));
        Assert.ThrowsAny<OperationCanceledException>(() => ExpectMsg<int>(cancellationToken: cancelled.Token));
        Fails(() => ReceiveN(1, Soon));
        Assert.Throws<IllegalActorStateException>(() => LastMessage);
    }

    [Fact]
    public async Task Awaiting_assertions_and_conditions()
    {
        var count = 0;
        AwaitAssert(() => Assert.Equal(3, ++count), interval: TimeSpan.FromMilliseconds(1));
        await AwaitAssertAsync(() => Assert.Equal(5, ++count), interval: TimeSpan.FromMilliseconds(1));
        await AwaitAssertAsync(() =>
        {
            Assert.Equal(7, ++count);
            return Task.CompletedTask;
        }, interval: TimeSpan.FromMilliseconds(1));
        Assert.ThrowsAny<XunitException>(() => AwaitAssert(() => Assert.Fail("never"), Soon, TimeSpan.FromMilliseconds(5)));
        AwaitCondition(() => ++count > 9);
        await AwaitConditionAsync(() => ++count > 11);
        await AwaitConditionAsync(() => Task.FromResult(++count > 13));
        Fails(() => AwaitCondition(() => false, Soon));
        Assert.False(AwaitConditionNoThrow(() => false, Soon));
        Assert.False(await AwaitConditionNoThrowAsync(() => false, Soon));
        Assert.True(await AwaitConditionNoThrowAsync(() => true, Soon));
    }

    [Fact]
    public async Task Within_limits_what_is_expected_inside()
    {
        Within(TimeSpan.FromMinutes(1), () =>
        {
            Assert.InRange(Remaining, TimeSpan.FromSeconds(1), TimeSpan.FromMinutes(1));
            TestActor.Tell("x");
            ExpectMsg("x");
        });
        Assert.Throws<InvalidOperationException>(() => Remaining);
        Assert.Equal(7, Within(TimeSpan.FromMinutes(1), () => 7));
        Assert.Equal(8, await WithinAsync(TimeSpan.FromMinutes(1), () => Task.FromResult(8)));
        await WithinAsync(TimeSpan.FromMinutes(1), () => Task.CompletedTask);
        Fails(() => Within(Soon, () => ExpectMsg<string>()));
        Fails(() => Within(TimeSpan.FromMinutes(1), TimeSpan.FromMinutes(2), () => { }));

        // Silence at the end may take all of the time there is.
        Within(Soon, () => ExpectNoMsg());
    }

    [Fact]
    public async Task Watching_through_the_test_actor()
    {
        var one = Sys.ActorOf(BlackHoleActor.Props, "one");
        Watch(one);
        Sys.Stop(one);
        Assert.Equal(one, ExpectTerminated(one).ActorRef);
        var two = Sys.ActorOf(BlackHoleActor.Props, "two");
        Assert.Equal(two, await WatchAsync(two));
        await UnwatchAsync(two);
        Sys.Stop(two);
        var three = Sys.ActorOf(BlackHoleActor.Props);
        await WatchAsync(three);
        three.Tell(PoisonPill.Instance);
        await ExpectTerminatedAsync(three);
        Assert.True(await three.WatchAsync());
        ExpectNoMsg(Soon);
    }

    [Fact]
    public void Ignored_messages_do_not_arrive()
    {
        IgnoreMessages(message => message is "noise");
        TestActor.Tell("noise");
        TestActor.Tell("signal");
        ExpectMsg("signal");
        IgnoreMessages<int>();
        TestActor.Tell(1);
        IgnoreMessages<int>(number => number > 5);
        TestActor.Tell(6);
        TestActor.Tell(5);
        ExpectMsg(5);
        IgnoreNoMessages();
        TestActor.Tell(6);
        ExpectMsg(6);
    }

    [Fact]
    public void A_probe_sends_replies_forwards_and_flies_by_itself()
    {
        var probe = CreateTestProbe();
        probe.Ref.Tell("question", TestActor);
        probe.ExpectMsg("question");
        probe.Reply("answer");
        ExpectMsgFrom(probe.Ref, "answer");
        probe.Ref.Tell("pass on", TestActor);
        probe.ExpectMsg("pass on");
        probe.Forward(TestActor);
        ExpectMsgFrom(TestActor, "pass on");
        Assert.Equal(TestActor, probe.Sender);
        var rounds = 0;
        probe.SetAutoPilot(new DelegateAutoPilot((sender, message) =>
        {
            sender.Tell("auto " + message, ActorRefs.NoSender);
            return ++rounds == 1 ? AutoPilot.KeepRunning : AutoPilot.NoAutoPilot;
        }));
        probe.Ref.Tell(1, TestActor);
        probe.Ref.Tell(2, TestActor);
        probe.Ref.Tell(3, TestActor);
        ExpectMsg("auto 1");
        ExpectMsg("auto 2");
        probe.ExpectMsgAllOf(1, 2, 3);
        ExpectNoMsg(Soon);
        Watch(probe.Ref);
        Sys.Stop(probe);
        ExpectTerminated(probe.Ref);
        Assert.True(probe.Equals(probe.Ref));
        Assert.True(probe.Ref.Equals(probe.Ref));
    }

    private sealed class Failing : ReceiveActor
    {
        public Failing(IActorRef probe)
        {
            ReceiveAny(_ => throw new InvalidOperationException("asked to"));
            _probe = probe;
        }

        private readonly IActorRef _probe;

        protected override void PostRestart(Exception reason)
        {
            base.PostRestart(reason);
            _probe.Tell("restarted");
        }
    }

    [Fact]
    public void Children_of_the_test_actor_have_a_strategy_each()
    {
        var stopped = ChildActorOf(Props.Create(() => new Failing(TestActor)), "stopped", SupervisorStrategy.StoppingStrategy);
        Assert.Equal(TestActor.Path / "stopped", stopped.Path);
        var restarted = ChildActorOf(Props.Create(() => new Failing(TestActor)));
        Watch(stopped);
        stopped.Tell("fail");
        ExpectTerminated(stopped);
        restarted.Tell("fail");
        ExpectMsg("restarted");
        var probe = CreateTestProbe();
        Assert.Equal(probe.Ref.Path, probe.ChildActorOf<BlackHoleActor>("below").Path.Parent);
    }

    [Fact]
    public void Event_filters_count_what_they_fit()
    {
        var log = Sys.Log;
        EventFilter.Info("exact").ExpectOne(() => log.Info("exact"));
        EventFilter.Warning(start: "starts").ExpectOne(() => log.Warning("starts so"));
        EventFilter.Debug(contains: "middle").Expect(2, () =>
        {
            log.Debug("in the middle of {0}", "it");
            log.Debug("the middle");
            log.Debug("elsewhere");
        });
        EventFilter.Error(new System.Text.RegularExpressions.Regex("^e.*r$")).ExpectOne(() => log.Error("error"));
        EventFilter.Error("of the cause").ExpectOne(() => log.Error(new InvalidOperationException("of the cause"), "of the event"));
        EventFilter.Exception<InvalidOperationException>().And.Warning("either").Expect(2, () =>
        {
            log.Error(new InvalidOperationException("any"), "text");
            log.Warning("either");
        });
        EventFilter.Exception(typeof(NotSupportedException), checkInnerExceptions: true)
            .ExpectOne(() => log.Error(new InvalidOperationException("outer", new NotSupportedException("inner")), "text"));
        EventFilter.ForLogLevel(LogLevel.InfoLevel, "by level").ExpectOne(() => log.Info("by level"));
        EventFilter.Custom<Info>(info => info.LogSource.Contains("here")).ExpectOne(() => Logging.GetLogger(Sys, "here").Info("x"));
        EventFilter.Info("nothing").Expect(0, Soon, () => log.Info("something"));
        Assert.Equal(5, EventFilter.Info("value").ExpectOne(() =>
        {
            log.Info("value");
            return 5;
        }));
        Fails(() => EventFilter.Info("never").ExpectOne(Soon, () => { }));
        Fails(() => EventFilter.Info("never").Expect(0, Soon, () => log.Info("never")));
        Fails(() => EventFilter.Info("once").Expect(1, Soon, () =>
        {
            log.Info("once");
            log.Info("once");
            log.Info("once");
        }));
    }

    [Fact]
    public async Task Event_filters_know_dead_letters_unhandled_messages_and_sources_and_wait_for_tasks()
    {
        var gone = Sys.ActorOf(BlackHoleActor.Props, "gone");
        Watch(gone);
        Sys.Stop(gone);
        ExpectTerminated(gone);
        EventFilter.DeadLetter().ExpectOne(() => gone.Tell("x"));
        EventFilter.DeadLetter<string>(source: "/user/gone").ExpectOne(() => gone.Tell("x"));
        EventFilter.DeadLetter<string>(source: gone.Path.ToString()).ExpectOne(() => gone.Tell("x"));
        EventFilter.DeadLetter<int>(number => number > 1).ExpectOne(() =>
        {
            gone.Tell(1);
            gone.Tell(2);
        });
        EventFilter.DeadLetter(typeof(int), message => message is 3).ExpectOne(() => gone.Tell(3));
        var deaf = Sys.ActorOf(Props.Create<UnhandledMessageActor>(), "deaf");
        EventFilter.Warning(start: "Unhandled message from").ExpectOne(() => deaf.Tell("what"));
        EventFilter.Warning(source: "/user/deaf").ExpectOne(() => deaf.Tell("what"));
        await EventFilter.DeadLetter<string>().ExpectOneAsync(async () =>
        {
            await Task.Yield();
            gone.Tell("later");
        });
        Assert.Equal(3, await EventFilter.Info("async").ExpectOneAsync(async () =>
        {
            await Task.Yield();
            Sys.Log.Info("async");
            return 3;
        }));
        await EventFilter.Info("twice").ExpectAsync(2, TimeSpan.FromSeconds(3), () =>
        {
            Sys.Log.Info("twice");
            Sys.Log.Info("twice");
            return Task.CompletedTask;
        });
        EventFilter.Error().Mute(() => Sys.Log.Error("quiet"));
        using (EventFilter.Error().Mute())
        {
            Sys.Log.Error("quiet");
        }
    }

    private sealed class Counter : UntypedActor
    {
        public int Count { get; private set; }

        protected override void OnReceive(object message)
        {
            switch (message)
            {
                case "fail":
                    throw new InvalidOperationException("asked to");
                case "self":
                    Sender.Tell(Self);
                    break;
                default:
                    Count++;
                    break;
            }
        }
    }

    [Fact]
    public void A_test_actor_ref_runs_on_the_thread_of_the_test()
    {
        var counter = ActorOfAsTestActorRef<Counter>("counter");
        counter.Tell("a");
        counter.Tell("b", TestActor);
        counter.Receive("c");
        Assert.Equal(3, counter.UnderlyingActor.Count);
        Assert.Throws<InvalidOperationException>(() => counter.Receive("fail"));
        counter.Tell("self");
        Assert.Equal(counter.Ref, ExpectMsg<IActorRef>());
        Assert.True(counter == counter.Ref);
        Assert.Equal(Sys.ActorSelection("/user/counter").ResolveOne(TimeSpan.FromSeconds(3)).Result, counter.Ref);
        var child = ActorOfAsTestActorRef<Counter>(Props.Create<Counter>(), counter, "child");
        Assert.Equal(counter.Path / "child", child.Path);
        Watch(counter);
        counter.Tell(PoisonPill.Instance);
        ExpectTerminated(counter);
    }

    private sealed class Door : FSM<string, int>
    {
        public Door()
        {
            StartWith("closed", 0);
            When("closed", e => e.FsmEvent is "open" ? GoTo("open").Using(e.StateData + 1) : null!);
            When("open", e => e.FsmEvent is StateTimeout or "close" ? GoTo("closed") : null!, TimeSpan.FromHours(1));
            Initialize();
        }
    }

    [Fact]
    public void A_test_state_machine_shows_and_takes_states()
    {
        var door = ActorOfAsTestFSMRef<Door, string, int>("door");
        Assert.Equal("closed", door.StateName);
        Assert.False(door.IsStateTimerActive());
        door.Tell("open");
        Assert.Equal(("open", 1), (door.StateName, door.StateData));
        Assert.True(door.IsStateTimerActive());
        door.SetState("closed", 7);
        Assert.Equal(("closed", 7), (door.StateName, door.StateData));
        door.SetTimer("t", "open", TimeSpan.FromHours(1));
        Assert.True(door.IsTimerActive("t"));
        door.CancelTimer("t");
        Assert.False(door.IsTimerActive("t"));
        door.SetStateData(8);
        Assert.Equal(8, door.StateData);
    }

    [Fact]
    public void Actors_of_lambdas()
    {
        var actor = ActorOf(dsl =>
        {
            dsl.OnPreStart = _ => TestActor.Tell("started");
            dsl.OnPostStop = _ => TestActor.Tell("stopped");
            dsl.Receive<string>((text, context) => context.Sender.Tell(text.ToUpperInvariant()), text => text.Length < 3);
            dsl.Receive<string>((text, context) => context.Become(message =>
            {
                context.Sender.Tell("other");
                return true;
            }));
            dsl.ReceiveAny((message, context) => context.Sender.Tell(("any", message)));
        }, "lambdas");
        ExpectMsg("started");
        actor.Tell("ab");
        ExpectMsg("AB");
        actor.Tell(5);
        ExpectMsg(("any", (object)5));
        actor.Tell("long");
        actor.Tell("ab");
        ExpectMsg("other");
        Sys.Stop(actor);
        ExpectMsg("stopped");
    }

    [Fact]
    public void Helpers_of_the_kit()
    {
        var echo = Sys.ActorOf(EchoActor.Props(this, false));
        echo.Tell("x");
        ExpectMsg("x");
        var forwarder = Sys.ActorOf(ForwardActor.Props(TestActor));
        forwarder.Tell("y");
        ExpectMsg("y");
        var latch = CreateTestLatch(2);
        latch.CountDown();
        Assert.False(latch.IsOpen);
        latch.CountDown();
        latch.Ready();
        latch.Reset();
        Assert.Throws<TimeoutException>(() => latch.Ready(Soon));
        latch.Open();
        var barrier = CreateTestBarrier(2);
        var other = Task.Run(barrier.Await);
        barrier.Await();
        Assert.True(other.Wait(TimeSpan.FromSeconds(10)));
        Assert.Equal(TimeSpan.FromSeconds(1), Dilated(TimeSpan.FromSeconds(1)));
        Assert.Equal(TimeSpan.FromSeconds(3), TestKitSettings.SingleExpectDefault);
        Assert.NotNull(Log);
        Assert.Equal(Sys.ActorSelection("/user"), ActorSelection("/user"));
    }
}

internal static class AsyncEnumerables
{
    public static async Task<List<T>> ToListAsync<T>(this IAsyncEnumerable<T> source)
    {
        var list = new List<T>();
        await foreach (var each in source)
        {
            list.Add(each);
        }

        return list;
    }
}
