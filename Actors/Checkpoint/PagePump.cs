using Akka.Actor;

namespace Holdfast.Actors.Checkpoint;

/// <summary>
/// Sends the pages of one process to the store. The bytes go from the bridge straight into the sink, never through a mailbox:
/// only the order to pump and its counts are messages. While memory is copied inside the freeze, the tracer's thread must do it.
/// </summary>
internal sealed class PagePump : ReceiveActor
{
    public PagePump(IActorRef thread)
    {
        Receive<PumpPages>(m => thread.Forward(m));
    }
}
