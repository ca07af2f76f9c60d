using Akka.Actor;

namespace Holdfast.Actors.Checkpoint;

/// <summary>
/// One process in a checkpoint, with its children. It answers for none of them: what crashes in a child is escalated to the coordinator,
/// which stops this actor and all others, and stopping them is what resumes the processes.
/// </summary>
internal sealed class ProcessSupervisor : ReceiveActor
{
    public ProcessSupervisor(int pid, SharedCheckpoint checkpoint)
    {
        IActorRef thread = Context.ActorOf(
            ActorProps.Of(() => new CheckpointThread(pid, checkpoint)).WithDispatcher(ActorProps.PinnedDispatcher), "thread");
        IActorRef barrier = Context.ActorOf(ActorProps.Of(() => new Barrier(pid, thread)), "barrier");
        IActorRef flush = Context.ActorOf(ActorProps.Of(() => new Flush(thread)), "flush");
        IActorRef pump = Context.ActorOf(ActorProps.Of(() => new PagePump(thread)), "pump");

        Receive<FlushResources>(m => flush.Forward(m));
        Receive<EnterBarrier>(m => barrier.Forward(m));
        Receive<CaptureState>(m => thread.Forward(m));
        Receive<PumpPages>(m => pump.Forward(m));
        Receive<LeaveBarrier>(m => barrier.Forward(m));
    }

    protected override SupervisorStrategy SupervisorStrategy() => new OneForOneStrategy(_ => Directive.Escalate);
}
