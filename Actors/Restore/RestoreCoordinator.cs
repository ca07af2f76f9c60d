using Akka.Actor;
using Holdfast.KernelBridge;

namespace Holdfast.Actors.Restore;

/// <summary>What the coordinator of a restore knows; immutable.</summary>
internal sealed record RestoreData
{
    public int Processes { get; init; }

    public int Threads { get; init; }

    public TimeSpan ResumeTime { get; init; }

    /// <summary>TCP sockets that are what they were.</summary>
    public int ConnectionsKept { get; init; }

    public IRunningApplication? Application { get; init; }

    public OperationFailure? Failure { get; init; }

    /// <summary>It began to run although it was given up, and is being killed.</summary>
    public bool Killing { get; init; }

    /// <summary>The thread has ended.</summary>
    public bool Ended { get; init; }
}

/// <summary>What a <see cref="RestoreCoordinator"/> is made for.</summary>
internal sealed record RestoreOrder(
    IKernelBridge Bridge, RestoreRequest Request, Action<CancellationToken>? PutVolumesBack, RestoreSettings Settings, TimeProvider Time);

/// <summary>
/// Restores one application and stops: an FSM whose states are the steps. It never blocks; the steps are taken by its one child, on a
/// thread of its own. It tells its parent <see cref="ApplicationRestored"/> or <see cref="RestoreFailed"/>, after what was built is
/// removed again in the latter case.
/// </summary>
internal sealed class RestoreCoordinator : FSM<RestoreStep, RestoreData>
{
    // What a restore without much memory takes.
    private static readonly TimeSpan awakeFor = TimeSpan.FromSeconds(1);

    private readonly RestoreOrder _order;
    private readonly CountingSource _source;
    private readonly CancellationTokenSource _volumes = new();
    private readonly long _started;
    private IActorRef _thread = ActorRefs.Nobody;
    private IDisposable? _awake;

    public RestoreCoordinator(RestoreOrder order)
    {
        _order = order;
        _source = new CountingSource(order.Request.Pages);
        _started = order.Time.GetTimestamp();

        StartWith(RestoreStep.Check, new RestoreData());
        foreach (RestoreStep step in Enum.GetValues<RestoreStep>().Where(s => s != RestoreStep.Finish))
        {
            When(step, TakeSteps);
        }

        When(RestoreStep.Finish, Finish);
        Initialize();
    }

    private TimeSpan Elapsed => _order.Time.GetElapsedTime(_started);

    protected override void PreStart()
    {
        base.PreStart();
        RestoreRequest request = _order.Request with { Pages = _source };
        IKernelBridge bridge = _order.Bridge;
        Action putBack = () => _order.PutVolumesBack!(_volumes.Token);
        _thread = Context.Watch(Context.ActorOf(
            ActorProps.Of(() => new RestoreThread(() => bridge.BeginRestore(request), putBack)).WithDispatcher(ActorProps.PinnedDispatcher), "thread"));
        Ask(RestoreStep.Check);

        // Last: its thread has begun meanwhile.
        _awake = _order.Bridge.KeepProcessorsAwake();
        SetTimer("awake", new AwakeLongEnough(), awakeFor);
    }

    protected override void PostStop()
    {
        // Here after a crash of this actor only.
        _awake?.Dispose();
        base.PostStop();
    }

    /// <summary>A crash of the thread removes what was built and is reported; nothing is tried twice.</summary>
    protected override SupervisorStrategy SupervisorStrategy() => new OneForOneStrategy(cause =>
    {
        Self.Tell(new RestoreCrashed(cause));
        return Directive.Stop;
    });

    private void Ask(RestoreStep step)
    {
        _thread.Tell(new TakeRestoreStep(step));
        SetTimer("step", new RestoreTimedOut(step), _order.Settings.Deadline(step));
        Context.System.EventStream.Publish(new RestoreProgress(step, _source.BytesRead, Elapsed));
    }

    private State<RestoreStep, RestoreData> TakeSteps(Event<RestoreData> e) => e.FsmEvent switch
    {
        RestoreStepTaken m when m.Step == StateName => Taken(e.StateData, m.Answer),
        RestoreStepFailed m => Abort(e.StateData, OperationFailure.From(StateName.ToString(), m.Cause)),
        RestoreCrashed m => Abort(e.StateData, OperationFailure.From(StateName.ToString(), m.Cause)),
        RestoreTimedOut m when m.Step == StateName => Abort(e.StateData, new OperationFailure(
            StateName.ToString(), OperationFailure.TimeoutCode,
            $"{StateName} was not done within {_order.Settings.Deadline(StateName).TotalSeconds:0.###} s; " +
            $"see holdfast.restore.deadlines.{StateName.ToString().ToLowerInvariant()}")),
        CancelRestore { Failure: { } cause } => Abort(e.StateData, cause),
        CancelRestore => Abort(e.StateData, new OperationFailure(StateName.ToString(), OperationFailure.CancelledCode, "the restore was called off")),
        AwakeLongEnough => LetSleep(),
        Terminated => Abort(e.StateData, new OperationFailure(StateName.ToString(), OperationFailure.InternalCode, "the restore's thread stopped")),
        _ => Stay(),
    };

    private State<RestoreStep, RestoreData> Taken(RestoreData data, object? answer)
    {
        switch (answer)
        {
            case RestoreThread.Checked { Refusals.Count: > 0 } m:
                return Abort(data, OperationFailure.Refused(StateName.ToString(), m.Refusals));

            case RestoreThread.Checked m:
                data = data with { Processes = m.Image.Processes.Count, Threads = m.Image.Processes.Sum(p => p.ThreadCount), ConnectionsKept = m.ConnectionsKept };
                break;

            case IMemoryLoading loading:
                Context.Parent.Tell(new LoadingBegan(loading));
                break;

            case IRunningApplication application:
                return LetGo(data with { Application = application, ResumeTime = Elapsed });
        }

        RestoreStep next = StateName + 1;
        next = next == RestoreStep.Volumes && _order.PutVolumesBack is null ? next + 1 : next;
        Ask(next);
        return GoTo(next).Using(data);
    }

    private State<RestoreStep, RestoreData> LetSleep()
    {
        _awake?.Dispose();
        return Stay();
    }

    private State<RestoreStep, RestoreData> Abort(RestoreData data, OperationFailure failure)
    {
        _source.Abort();
        _volumes.Cancel();
        return LetGo(data with { Failure = failure });
    }

    private State<RestoreStep, RestoreData> LetGo(RestoreData data)
    {
        SetTimer("step", new RestoreTimedOut(RestoreStep.Finish), _order.Settings.Deadline(RestoreStep.Finish));
        // Watched anew: after a crash its Terminated may be behind us already, and a watch of the dead is answered.
        Context.Unwatch(_thread);
        Context.Watch(_thread);
        Context.Stop(_thread);
        return GoTo(RestoreStep.Finish).Using(data);
    }

    private State<RestoreStep, RestoreData> Finish(Event<RestoreData> e)
    {
        RestoreData data = e.StateData;
        switch (e.FsmEvent)
        {
            case Terminated:
                return data.Killing ? Stay().Using(data with { Ended = true }) : Answer(data);

            // It began to run although it was given up: it must not run beside another restore of the same snapshot.
            case RestoreStepTaken { Answer: IRunningApplication late }:
                Task.Run(() =>
                {
                    using (late)
                    {
                        late.Kill();
                    }
                }).PipeTo(Self, success: () => new LateOneKilled(), failure: _ => new LateOneKilled());
                return Stay().Using(data with { Killing = true });

            case AwakeLongEnough:
                return LetSleep();

            case LateOneKilled:
                return data.Ended ? Answer(data) : Stay().Using(data with { Killing = false });

            case RestoreTimedOut { Step: RestoreStep.Finish }:
                return Answer(data.Failure is null ? data : data with
                {
                    Failure = data.Failure with { Message = $"{data.Failure.Message} (what was built is still being removed)" },
                });

            default:
                return Stay();
        }
    }

    private State<RestoreStep, RestoreData> Answer(RestoreData data)
    {
        _awake?.Dispose();
        Context.Parent.Tell(data.Application is not null && data.Failure is null
            ? new ApplicationRestored(
                data.Application, new RestoreReport(data.Processes, data.Threads, data.ResumeTime, Elapsed, _source.BytesRead) { ConnectionsKept = data.ConnectionsKept })
            : new RestoreFailed(data.Failure!));
        return Stop(Normal.Instance, data);
    }

    private sealed record LateOneKilled;

    /// <summary>For as long as processors were to be kept awake at most.</summary>
    private sealed record AwakeLongEnough;
}
