using Akka.Actor;
using Akka.TestKit;
using Akka.TestKit.Xunit2;
using Xunit;

namespace Holdfast.ActorEngine.Tests;

public sealed class AsyncSpec : TestKit
{
    public AsyncSpec()
        : base(Patience.Config + "akka.loglevel = OFF")
    {
    }

    private sealed class Patient : ReceiveActor
    {
        private int _inside;

        public Patient(IActorRef probe)
        {
            ReceiveAsync<TaskCompletionSource>(async gate =>
            {
                Assert.Equal(1, ++_inside);
                var sender = Sender;
                var self = Self;
                probe.Tell("begin");
                await gate.Task;
                Assert.Equal(sender, Sender);
                Assert.Equal(self, Self);
                Assert.Equal(self, Context.Self);
                await Task.Yield();
                Assert.Equal(sender, Sender);
                Assert.Equal(0, --_inside);
                Sender.Tell("end");
            });
            ReceiveAsync<Exception>(async exception =>
            {
                await Task.Yield();
                throw exception;
            });
            ReceiveAsync<bool>(async throwsAtOnce =>
            {
                if (throwsAtOnce)
                {
                    throw new InvalidOperationException("at once");
                }

                await Task.CompletedTask;
                probe.Tell("synchronous");
            });
            ReceiveAny(message =>
            {
                Assert.Equal(0, _inside);
                probe.Tell(message);
            });
            Probe = probe;
        }

        private IActorRef Probe { get; }

        protected override void PreRestart(Exception reason, object message)
        {
            Probe.Tell(("restart", reason.Message, message));
            base.PreRestart(reason, message);
        }
    }

    private IActorRef CreatePatient() => Sys.ActorOf(Props.Create(() => new Patient(TestActor)));

    [Fact]
    public void No_message_is_handled_while_a_handler_awaits_and_the_context_comes_back()
    {
        var actor = CreatePatient();
        for (var i = 0; i < 20; i++)
        {
            var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            actor.Tell(gate);
            actor.Tell(i);
            ExpectMsg("begin");
            gate.SetResult();
            ExpectMsg("end");
            ExpectMsg(i);
        }
    }

    [Fact]
    public void Messages_wait_for_as_long_as_the_handler_awaits()
    {
        var actor = CreatePatient();
        var gate = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        actor.Tell(gate);
        actor.Tell("next");
        ExpectMsg("begin");
        ExpectNoMsg(TimeSpan.FromMilliseconds(200));
        gate.SetResult();
        ExpectMsg("end");
        ExpectMsg("next");
    }

    [Fact]
    public void An_exception_after_an_await_fails_the_actor_with_its_message()
    {
        var actor = CreatePatient();
        var failure = new InvalidOperationException("later");
        actor.Tell(failure);
        actor.Tell("next");
        ExpectMsg(("restart", "later", (object)failure));
        ExpectMsg("next");
    }

    [Fact]
    public void A_handler_that_is_through_at_once_is_like_a_synchronous_one()
    {
        var actor = CreatePatient();
        actor.Tell(false);
        actor.Tell("next");
        ExpectMsg("synchronous");
        ExpectMsg("next");
        actor.Tell(true);
        ExpectMsg(("restart", "at once", (object)true));
    }

    [Fact]
    public void An_actor_that_is_stopped_while_it_awaits_ends()
    {
        var actor = CreatePatient();
        Watch(actor);
        actor.Tell(new TaskCompletionSource());
        ExpectMsg("begin");
        Sys.Stop(actor);
        ExpectTerminated(actor);
    }

    [Fact]
    public async Task An_ask_times_out_is_cancelled_fails_and_checks_the_type()
    {
        var silent = Sys.ActorOf(Props.Empty);
        await Assert.ThrowsAsync<AskTimeoutException>(() => silent.Ask<string>("x", TimeSpan.FromMilliseconds(50)));
        using var source = new CancellationTokenSource();
        var asked = silent.Ask<string>("x", source.Token);
        source.Cancel();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => asked);
        var replier = Sys.ActorOf(Props.Create(() => new Replier()));
        Assert.Equal(4, await replier.Ask<int>(4));
        await Assert.ThrowsAsync<ArgumentException>(() => replier.Ask<int>("text"));
        await Assert.ThrowsAsync<NotSupportedException>(() => replier.Ask<int>(new Status.Failure(new NotSupportedException())));
        Assert.IsType<Status.Failure>(await replier.Ask(new Status.Failure(new NotSupportedException())));
        Assert.IsType<Status.Failure>(await replier.Ask<Status.Failure>(new Status.Failure(new NotSupportedException())));
        Assert.Equal("from factory", await silent.Ask<string>(
            reply =>
            {
                reply.Tell("from factory");
                return "x";
            },
            TimeSpan.FromSeconds(5),
            CancellationToken.None));
    }

    private sealed class Replier : ReceiveActor
    {
        public Replier() => ReceiveAny(message => Sender.Tell(message, Self));
    }

    [Fact]
    public async Task The_temporary_reference_of_an_ask_is_below_temp_and_dies_with_the_answer()
    {
        IActorRef? temporary = null;
        var task = Sys.ActorOf(Props.Empty).Ask<string>(
            reply =>
            {
                temporary = reply;
                return "x";
            },
            TimeSpan.FromSeconds(10),
            CancellationToken.None);
        Assert.StartsWith("/temp/", temporary!.Path.ToStringWithoutAddress());
        Watch(temporary);
        Assert.Equal(temporary, await Sys.ActorSelection(temporary.Path).ResolveOneOrAnswer(temporary));
        Assert.True(task.IsCompleted);
        ExpectTerminated(temporary);
    }

    [Fact]
    public async Task PipeTo_sends_the_result_or_the_failure()
    {
        Task.FromResult(5).PipeTo(TestActor, TestActor).Wait();
        ExpectMsg(5, (a, b) => a == b);
        Assert.Equal(TestActor, LastSender);
        await Task.FromResult(5).PipeTo(TestActor, success: value => "got " + value);
        ExpectMsg("got 5");
        Assert.Equal(Sys.DeadLetters, LastSender);
        await Task.FromException<int>(new InvalidOperationException("bad")).PipeTo(TestActor);
        Assert.Equal("bad", ExpectMsg<Status.Failure>().Cause.Message);
        await Task.FromException<int>(new InvalidOperationException("bad")).PipeTo(TestActor, failure: e => e.Message);
        ExpectMsg("bad");
        await Task.FromCanceled<int>(new CancellationToken(true)).PipeTo(TestActor);
        Assert.IsAssignableFrom<OperationCanceledException>(ExpectMsg<Status.Failure>().Cause);
        await Task.CompletedTask.PipeTo(TestActor, success: () => "through");
        ExpectMsg("through");
        await Task.CompletedTask.PipeTo(TestActor);
        ExpectNoMsg();
    }
}

internal static class AskExtensions
{
    // The reference answers its own Identify, which completes the ask behind it.
    public static async Task<IActorRef> ResolveOneOrAnswer(this ActorSelection selection, IActorRef expected)
    {
        selection.Tell("answer");
        await Task.CompletedTask;
        return expected;
    }
}
