using Akka.Actor;
using Akka.Configuration;

namespace Holdfast.Runtime.Hosting;

/// <summary>The actor system of this process: the one place that knows how the engine is started and ended.</summary>
internal sealed class ActorNode : IAsyncDisposable
{
    // An actor that hangs in the kernel must not keep a command from ending; its threads are background threads.
    private static readonly TimeSpan TerminationLimit = TimeSpan.FromSeconds(5);

    public ActorNode(Config config)
    {
        System = ActorSystem.Create("holdfast", config);
    }

    public ActorSystem System { get; }

    /// <summary>Calls back, on an actor of its own, for every event of a type.</summary>
    public void Subscribe<T>(Action<T> handler)
        where T : class
    {
        IActorRef listener = System.ActorOf(Props.CreateBy(new ListenerProducer<T>(handler)));
        System.EventStream.Subscribe(listener, typeof(T));
    }

    public async ValueTask DisposeAsync()
    {
        Task terminated = System.Terminate();
        await Task.WhenAny(terminated, Task.Delay(TerminationLimit)).ConfigureAwait(false);
    }

    private sealed class Listener<T> : ReceiveActor
        where T : class
    {
        public Listener(Action<T> handler)
        {
            Receive<T>(handler);
        }
    }

    private sealed class ListenerProducer<T>(Action<T> handler) : IIndirectActorProducer
        where T : class
    {
        public Type ActorType => typeof(Listener<T>);

        public ActorBase Produce() => new Listener<T>(handler);

        public void Release(ActorBase actor)
        {
        }
    }
}
