using Akka.Actor;

namespace Holdfast.Actors.Checkpoint;

/// <summary>
/// The resources of one process: prepared while it runs, located once it stands. With this bridge both are work of the tracer's thread;
/// what can be flushed without it (hooks, stdio, dirty file data) belongs here, where it does not keep that thread from stopping the process.
/// </summary>
internal sealed class Flush : ReceiveActor
{
    public Flush(IActorRef thread)
    {
        Receive<FlushResources>(m => thread.Forward(m));
    }
}
