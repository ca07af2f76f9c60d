using System.Threading.Channels;
using Akka.Actor;

namespace Holdfast.ActorEngine.Bench;

/// <summary>The cases inside one process.</summary>
internal sealed class Cases(ActorSystem system)
{
    /// <summary>The yardstick: two threads that pass one object to and fro by channels.</summary>
    public static void ChannelPingPong(int rounds)
    {
        var there = Channel.CreateUnbounded<object>(new UnboundedChannelOptions { SingleReader = true, SingleWriter = true });
        var back = Channel.CreateUnbounded<object>(new UnboundedChannelOptions { SingleReader = true, SingleWriter = true });
        var ball = new object();
        var second = new Thread(() =>
        {
            for (var i = 0; i < rounds; i++)
            {
                back.Writer.TryWrite(Take(there.Reader));
            }
        });
        second.Start();
        for (var i = 0; i < rounds; i++)
        {
            there.Writer.TryWrite(ball);
            Take(back.Reader);
        }

        second.Join();
    }

    private static object Take(ChannelReader<object> reader)
    {
        object? item;
        while (!reader.TryRead(out item))
        {
            reader.WaitToReadAsync().AsTask().Wait();
        }

        return item;
    }

    public void PingPong(int messages, int inFlight)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var pong = system.ActorOf(Props.Create(() => new Pong()));
        var ping = system.ActorOf(Props.Create(() => new Ping(pong, messages / 2, inFlight, done)));
        ping.Tell("start");
        done.Task.Wait();
        system.Stop(ping);
        system.Stop(pong);
    }

    private sealed class Pong : UntypedActor
    {
        protected override void OnReceive(object message) => Sender.Tell(message);
    }

    private sealed class Ping(IActorRef pong, int rounds, int inFlight, TaskCompletionSource done) : UntypedActor
    {
        private static readonly object Ball = new();
        private int _left = rounds;

        protected override void OnReceive(object message)
        {
            if (message is string)
            {
                for (var i = 0; i < inFlight; i++)
                {
                    pong.Tell(Ball, Self);
                }

                return;
            }

            if (--_left == 0)
            {
                done.TrySetResult();
            }
            else if (_left >= inFlight)
            {
                pong.Tell(Ball, Self);
            }
        }
    }

    public void FanOut(int actors, int messagesEach)
    {
        using var left = new CountdownEvent(actors);
        var targets = new IActorRef[actors];
        for (var i = 0; i < actors; i++)
        {
            targets[i] = system.ActorOf(Props.CreateBy(new Maker(() => new Counting(messagesEach, left))));
        }

        var ball = new object();
        for (var i = 0; i < messagesEach; i++)
        {
            foreach (var target in targets)
            {
                target.Tell(ball, ActorRefs.NoSender!);
            }
        }

        left.Wait();
        foreach (var target in targets)
        {
            system.Stop(target);
        }
    }

    private sealed class Counting(int messages, CountdownEvent left) : UntypedActor
    {
        private int _left = messages;

        protected override void OnReceive(object message)
        {
            if (--_left == 0)
            {
                left.Signal();
            }
        }
    }

    public void Ask(int count)
    {
        var pong = system.ActorOf(Props.Create(() => new Pong()));
        AskAll(pong, count).Wait();
        system.Stop(pong);
    }

    private static async Task AskAll(IActorRef pong, int count)
    {
        var ball = new object();
        for (var i = 0; i < count; i++)
        {
            await pong.Ask<object>(ball, Timeout.InfiniteTimeSpan).ConfigureAwait(false);
        }
    }

    public void CreateAndStop(int actors)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var parent = system.ActorOf(Props.CreateBy(new Maker(() => new Parent(actors, done))));
        parent.Tell("start");
        done.Task.Wait();
        system.Stop(parent);
    }

    private sealed class Parent(int actors, TaskCompletionSource done) : UntypedActor
    {
        private int _left;

        protected override void OnReceive(object message)
        {
            if (message is Terminated)
            {
                if (--_left == 0)
                {
                    done.TrySetResult();
                }

                return;
            }

            _left = actors;
            var props = Props.CreateBy(new Maker(() => new Pong()));
            for (var i = 0; i < actors; i++)
            {
                Context.Stop(Context.Watch(Context.ActorOf(props)));
            }
        }
    }

    /// <summary>Bytes that an actor holds that has handled one message and waits.</summary>
    public double BytesPerIdleActor(int actors)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var before = GC.GetTotalMemory(forceFullCollection: true);
        var parent = system.ActorOf(Props.CreateBy(new Maker(() => new Nursery(actors, done))));
        parent.Tell("start");
        done.Task.Wait();
        var after = GC.GetTotalMemory(forceFullCollection: true);
        parent.GracefulStop(TimeSpan.FromMinutes(1)).Wait();
        return (double)(after - before) / actors;
    }

    private sealed class Nursery(int actors, TaskCompletionSource done) : UntypedActor
    {
        private int _left;

        protected override void OnReceive(object message)
        {
            if (message is string)
            {
                _left = actors;
                var props = Props.CreateBy(new Maker(() => new Pong()));
                for (var i = 0; i < actors; i++)
                {
                    Context.ActorOf(props).Tell(actors);
                }
            }
            else if (--_left == 0)
            {
                done.TrySetResult();
            }
        }
    }

    internal sealed class Maker(Func<ActorBase> make) : IIndirectActorProducer
    {
        public Type ActorType => typeof(ActorBase);

        public ActorBase Produce() => make();

        public void Release(ActorBase actor)
        {
        }
    }
}
