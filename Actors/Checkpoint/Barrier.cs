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
    private IActorRef _asker = ActorRefs.Nobody;

    public Barrier(int pid, IActorRef thread)
    {
        _pid = pid;
        _thread = thread;
        Receive<EnterBarrier>(Enter);
        Receive<LeaveBarrier>(_ => _thread.Forward(new LeaveBarrier()));
        Receive<BarrierReached>(Answer);
        Receive<ProcessGone>(Answer);
        Receive<StepFailed>(Answer);
        Receive<Stuck>(m => Answer(new StepFailed(_pid, new BridgeException(
            "freeze.timeout", $"stopping process {_pid}", $"it did not stop within {m.Deadline.TotalSeconds:0.###} s",
            "see /proc/PID/wchan and /proc/PID/stack for what it waits for in the kernel"))));
    }

    public ITimerScheduler Timers { get; set; } = null!;

    private void Enter(EnterBarrier message)
    {
        _asker = Sender;
        Timers.StartSingleTimer("stuck", new Stuck(message.Deadline), message.Deadline + Slack);
        _thread.Tell(message);
    }

    private void Answer(object answer)
    {
        Timers.Cancel("stuck");
        _asker.Tell(answer);
        // What the thread says after it was given up on is no answer to anything.
        _asker = ActorRefs.Nobody;
    }

    private sealed record Stuck(TimeSpan Deadline);
}
