using Akka.Actor;
using Akka.Event;
using Holdfast.KernelBridge;

namespace Holdfast.Actors.Checkpoint;

/// <summary>
/// The one thread that touches the <see cref="IProcessCheckpoint"/> of its process, from open to dispose: it runs on a pinned dispatcher.
/// However it ends, <see cref="PostStop"/> lets the process go on, on that same thread.
/// </summary>
internal sealed class CheckpointThread : ReceiveActor
{
    private readonly int _pid;
    private readonly SharedCheckpoint _checkpoint;
    private IProcessCheckpoint? _process;
    private PageCounts? _pumped;

    public CheckpointThread(int pid, SharedCheckpoint checkpoint)
    {
        _pid = pid;
        _checkpoint = checkpoint;
        Receive<FlushResources>(m => Step(m.Phase.ToString(), () => Flush(m.Phase)));
        Receive<EnterBarrier>(m => Step("stop", () => new BarrierReached(_pid, Process.Stop(m.Deadline))));
        Receive<CaptureState>(_ => Step("capture", () => new StateCaptured(_pid, Process.CaptureState())));
        Receive<PumpPages>(m => Step("pumping pages", () => new PagesStored(_pid, _pumped ?? Process.PumpPages(m.Sink))));
        Receive<LeaveBarrier>(m => Step("resume", () => Resume(m.KeepFor)));
    }

    private IProcessCheckpoint Process => _process ??= _checkpoint.Use(c => c.Open(_pid));

    protected override void PostStop()
    {
        try
        {
            _process?.Dispose();
        }
        catch (Exception e)
        {
            Context.GetLogger().Error(e, "process {0} could not be let go", _pid);
        }
    }

    private ResourcesFlushed Flush(CheckpointPhase phase)
    {
        if (phase == CheckpointPhase.Prepare)
        {
            return new ResourcesFlushed(_pid, phase, Process.Prepare(), null);
        }

        ProcessFacts facts = Process.Locate();
        return new ResourcesFlushed(_pid, phase, facts.Refusals, facts);
    }

    private Resumed Resume(IPageSink? keepFor)
    {
        if (keepFor is not null && !Process.KeepMemory(keepFor))
        {
            _pumped = Process.PumpPages(keepFor);
        }

        Process.Resume();
        return new Resumed(_pid);
    }

    private void Step(string step, Func<object> call) => Sender.Tell(StepRunner.Run(_pid, step, call));
}
