using Akka.Actor;
using Holdfast.KernelBridge;

namespace Holdfast.Actors.Restore;

/// <summary>
/// The one thread that loads the memory of an application that runs already; it runs on a pinned dispatcher. Each message is a bounded part of the work, so that it
/// stops soon when it is told to. However it ends, <see cref="PostStop"/> lets go: what is missing is then waited for.
/// </summary>
internal sealed class LoadingThread : ReceiveActor
{
    private static readonly TimeSpan patience = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan reportInterval = TimeSpan.FromMilliseconds(200);

    private readonly IMemoryLoading _loading;
    private readonly TimeProvider _time;
    private long _reported;

    public LoadingThread(IMemoryLoading loading, TimeProvider time)
    {
        _loading = loading;
        _time = time;
        _reported = time.GetTimestamp();
        Receive<StepLoading>(_ => Step());
    }

    protected override void PreStart() => Self.Tell(new StepLoading());

    protected override void PostStop() => _loading.Dispose();

    private void Step()
    {
        bool complete;
        try
        {
            complete = _loading.Step(patience);
        }
        catch (Exception e)
        {
            Context.Parent.Tell(new LoadingBroke(e));
            Context.Stop(Self);
            return;
        }

        if (complete || _time.GetElapsedTime(_reported) >= reportInterval)
        {
            _reported = _time.GetTimestamp();
            Context.System.EventStream.Publish(new LoadingReported(_loading.Progress, complete));
        }

        if (complete)
        {
            Context.Parent.Tell(new LoadingDone());
            Context.Stop(Self);
        }
        else
        {
            Self.Tell(new StepLoading());
        }
    }
}
