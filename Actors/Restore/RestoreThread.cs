using Akka.Actor;
using Akka.Event;
using Holdfast.Actors.Checkpoint;
using Holdfast.KernelBridge;

namespace Holdfast.Actors.Restore;

/// <summary>
/// The one thread that touches an <see cref="IRestore"/>, from its begin to its dispose: it runs on a pinned dispatcher.
/// However it ends, <see cref="PostStop"/> removes what was built unless it runs.
/// </summary>
internal sealed class RestoreThread : ReceiveActor
{
    private readonly Func<IRestore> _begin;
    private readonly Action _putVolumesBack;
    private IRestore? _restore;

    public RestoreThread(Func<IRestore> begin, Action putVolumesBack)
    {
        _begin = begin;
        _putVolumesBack = putVolumesBack;
        Receive<TakeRestoreStep>(m => Sender.Tell(Take(m.Step)));
    }

    protected override void PostStop()
    {
        try
        {
            _restore?.Dispose();
        }
        catch (Exception e)
        {
            Context.GetLogger().Error(e, "what a restore had built could not be removed");
        }
    }

    private object Take(RestoreStep step)
    {
        object answer = StepRunner.Run(0, $"restore step {step}", () => new RestoreStepTaken(step, Call(step)));
        return answer is StepFailed failed ? new RestoreStepFailed(step, failed.Cause) : answer;
    }

    private object? Call(RestoreStep step)
    {
        IRestore restore = _restore ??= _begin();
        switch (step)
        {
            case RestoreStep.Check:
                return new Checked(restore.Image, restore.Check(), restore.ConnectionsKept);
            case RestoreStep.Volumes:
                _putVolumesBack();
                return new Checked(restore.Image, restore.CheckVolumes(), restore.ConnectionsKept);
            case RestoreStep.Processes:
                restore.BuildProcesses();
                return null;
            case RestoreStep.Resources:
                restore.BuildResources();
                return null;
            case RestoreStep.Memory:
                restore.FillMemory();
                return restore.Loading;
            case RestoreStep.Threads:
                restore.BuildThreads();
                return null;
            case RestoreStep.Verify:
                restore.Verify();
                return null;
            case RestoreStep.Run:
                return restore.Run();
            default:
                throw new ArgumentOutOfRangeException(nameof(step), step, "no step of the bridge");
        }
    }

    internal sealed record Checked(ApplicationImage Image, IReadOnlyList<Refusal> Refusals, int ConnectionsKept);
}
