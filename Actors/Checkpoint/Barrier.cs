using Akka.Actor;
using Holdfast.KernelBridge;

namespace Holdfast.Actors.Checkpoint;

/// <summary>
/// Brings one process to a halt and lets it go. It does not block itself, so that it can say which process did not stop
/// while the thread that stops it is stuck in the kernel.
/// </summary>
internal sealed class Barrier : ReceiveActor, IWithTimers
{
    // The bridge's own deadline comes first, since its error names the thread that did not stop.
    private static readonly TimeSpan Slack = TimeSpan.FromMilliseconds(500);

    private readonly int _pid;
    private readonly IActorRef _thread;

    // The thread answers in the order in which it was asked. All answers go through here: one that took another way could overtake
    // the one before it, and a process that was let go would count as standing.
    private readonly Queue<IActorRef> _askers = new();

    public Barrier(int pid, IActorRef thread)
    {
        _pid = pid;
        _thread = thread;
        Receive<EnterBarrier>(Enter);
        Receive<LeaveBarrier>(Ask);
        Receive<BarrierReached>(Answer);
        Receive<Resumed>(Answer);
        Receive<ProcessGone>(Answer);
        Receive<StepFailed>(Answer);
        Receive<Stuck>(GiveUp);
    }

    public ITimerScheduler Timers { get; set; } = null!;

    private void Enter(EnterBarrier message)
    {
        Timers.StartSingleTimer("stuck", new Stuck(message.Deadline), message.Deadline + Slack);
        Ask(message);
    }

    private void Ask(object message)
    {
        _askers.Enqueue(Sender);
        _thread.Tell(message);
    }

    private void Answer(object answer)
    {
        Timers.Cancel("stuck");
        _askers.Dequeue().Tell(answer);
    }

    private void GiveUp(Stuck message)
    {
        IActorRef asker = _askers.Dequeue();
        asker.Tell(new StepFailed(_pid, new BridgeException(
            "freeze.timeout", $"stopping process {_pid}", $"it did not stop within {message.Deadline.TotalSeconds:0.###} s",
            "see /proc/PID/wchan and /proc/PID/stack for what it waits for in the kernel")));

        // What the thread says to it later is no answer to anything, but it will say it, and first.
        IActorRef[] others = [.. _askers];
        _askers.Clear();
        _askers.Enqueue(ActorRefs.Nobody);
        foreach (IActorRef other in others)
        {
            _askers.Enqueue(other);
        }
    }

    private sealed record Stuck(TimeSpan Deadline);
}
