using Akka.Actor;

namespace Holdfast.Actors;

/// <summary>Props from a factory, without the cost of compiling an expression tree at start-up.</summary>
internal static class ActorProps
{
    /// <summary>The dispatcher that gives an actor a thread of its own: ptrace binds a tracee to its tracer's thread.</summary>
    public const string PinnedDispatcher = "holdfast.pinned-dispatcher";

    public static Props Of<T>(Func<T> create)
        where T : ActorBase => Props.CreateBy(new Producer<T>(create));

    private sealed class Producer<T>(Func<T> create) : IIndirectActorProducer
        where T : ActorBase
    {
        public Type ActorType => typeof(T);

        public ActorBase Produce() => create();

        public void Release(ActorBase actor)
        {
        }
    }
}
