using System.Collections.Immutable;
using Akka.Actor;
using Holdfast.KernelBridge;
using Holdfast.Policies;

namespace Holdfast.Actors.Checkpoint;

/// <summary>
/// Takes one checkpoint and stops: an FSM whose states are the phases. It never blocks; whatever blocks is done by its children on
/// threads of their own. It tells its parent <see cref="CheckpointTaken"/> or <see cref="CheckpointFailed"/>, after every process
/// that was stopped has been let go.
/// </summary>
/// <remarks>
/// Phases are in <c>CheckpointCoordinator.Quiesce.cs</c> and <c>CheckpointCoordinator.Phases.cs</c>, the end, good or bad, in <c>CheckpointCoordinator.Finish.cs</c>.
/// </remarks>
internal sealed partial class CheckpointCoordinator : FSM<CheckpointPhase, CheckpointData>
{
    // The bridge is told less than the phase has, so that its answer, which names the culprit, comes before the phase's own time-out.
    private const double ShareOfBridge = 0.8;

    // Half of those who look at a process wait for what it answers. All at once, hundreds of them would keep each other from the processors, and the processes from answering.
    private static readonly int atOnce = 4 * Environment.ProcessorCount;

    // What a small checkpoint takes in all; of a longer one, the freeze is what processors are kept awake for, unless it is long itself.
    private static readonly TimeSpan awakeInAll = TimeSpan.FromMilliseconds(100);

    private static readonly TimeSpan awakeInFreeze = TimeSpan.FromSeconds(1);

    private static readonly TimeSpan holdLonger = TimeSpan.FromSeconds(5);

    private readonly CheckpointRequest _request;
    private readonly CheckpointSettings _settings;
    private readonly AbortableSink _sink;
    private readonly SharedCheckpoint _checkpoint;
    private readonly CancellationTokenSource _calledOff = new();
    private readonly long _started;
    private IActorRef _application = ActorRefs.Nobody;
    private int _processNumber;
    private TimeSpan _quiesceBegan;
    private CollectionPause? _pause;
    private IDisposable? _awake;

    public CheckpointCoordinator(CheckpointRequest request)
    {
        _request = request;
        _settings = request.Settings;
        _sink = new AbortableSink(request.Message.Full);
        _checkpoint = new SharedCheckpoint(() => request.Bridge.BeginCheckpoint(request.Target, request.Settings.TrackWrites));
        _started = request.Time.GetTimestamp();

        StartWith(CheckpointPhase.Prepare, CheckpointData.Initial);
        When(CheckpointPhase.Prepare, Prepare);
        When(CheckpointPhase.Hooks, Hooks);
        When(CheckpointPhase.Volumes, Volumes);
        When(CheckpointPhase.Rendezvous, Rendezvous);
        When(CheckpointPhase.Quiesce, Quiesce);
        When(CheckpointPhase.Locate, Locate);
        When(CheckpointPhase.Capture, Capture);
        When(CheckpointPhase.Drain, Drain);
        When(CheckpointPhase.Release, Release);
        When(CheckpointPhase.Commit, Commit);
        When(CheckpointPhase.End, End);
        When(CheckpointPhase.Finish, Finish);
        WhenUnhandled(InAnyPhase);
        Initialize();
    }

    private TimeSpan Limit => _request.Message.Timeout ?? _settings.Timeout;

    private TimeSpan Elapsed => _request.Time.GetElapsedTime(_started);

    protected override void PreStart()
    {
        base.PreStart();
        KeepAwake(awakeInAll);
        Context.System.EventStream.Publish(new CheckpointProgress(CheckpointPhase.Prepare, 0, TimeSpan.Zero));
        SetTimer("phase", new PhaseTimedOut(CheckpointPhase.Prepare), _settings.Deadline(CheckpointPhase.Prepare));
        SetTimer("limit", new CheckpointTimedOut(), Limit);
        SetTimer("progress", new ReportProgress(), _settings.ProgressInterval, true);
        _application = Context.Watch(Context.ActorOf(
            ActorProps.Of(() => new ApplicationThread(_checkpoint)).WithDispatcher(ActorProps.PinnedDispatcher), "application"));
        ISnapshotStore store = _request.Store;
        (bool live, Compression compression) = (_request.Message.Live, _request.Message.Compression);
        Attempt(() => new SnapshotBegun(store.Begin(live, compression)), cause => new SnapshotRefused(cause));
        (IKernelBridge bridge, ApplicationTarget target, bool isRound) = (_request.Bridge, _request.Target, _request.Message.IsRound);
        Attempt(() => new RendezvousOpened(isRound ? null : bridge.BeginRendezvous(target)), cause => new RendezvousDone(null, cause));
        _application.Tell(new FindProcesses());
    }

    protected override void PostStop()
    {
        // Reached with all children gone. Only a crash of this actor leaves a writer here: Finish takes it out of the data.
        _calledOff.Cancel();
        EndPause();
        _awake?.Dispose();
        StateData.Writer?.Dispose();
        StateData.Rendezvous?.Dispose();
        base.PostStop();
    }

    /// <summary>Whatever crashes below is stopped, which resumes its process; the cause calls off the checkpoint.</summary>
    protected override SupervisorStrategy SupervisorStrategy() => new OneForOneStrategy(cause =>
    {
        Self.Tell(new ChildCrashed(cause));
        return Directive.Stop;
    });

    private State<CheckpointPhase, CheckpointData> Enter(CheckpointPhase phase, CheckpointData data)
    {
        bool isLeftOut = phase switch
        {
            CheckpointPhase.Volumes => data.Writer?.Volumes is null,
            CheckpointPhase.Hooks => _request.Host.Hooks is null || _request.Message.IsRound,
            CheckpointPhase.Rendezvous => data.Rendezvous is null,
            _ => false,
        };
        if (isLeftOut)
        {
            return Enter(_settings.Next(phase, _request.Message.EndAfterwards), data);
        }

        SetTimer("phase", new PhaseTimedOut(phase), DeadlineOf(phase, data).Time);
        if (phase == CheckpointPhase.Quiesce)
        {
            _pause ??= CollectionPause.Begin(_request.Bridge, data.Processes.Count);
            KeepAwake(awakeInFreeze);
            _quiesceBegan = Elapsed;
        }
        else if (phase is not (CheckpointPhase.Locate or CheckpointPhase.Capture or CheckpointPhase.Release))
        {
            EndPause();
            KeepAwake(awakeInAll - Elapsed);
        }

        Context.System.EventStream.Publish(new CheckpointProgress(phase, _sink.BytesWritten, Elapsed));
        CheckpointData entered = phase switch
        {
            CheckpointPhase.Hooks => StartHooks(data),
            CheckpointPhase.Volumes => StartVolumes(data),
            CheckpointPhase.Rendezvous => StartRendezvous(data),
            CheckpointPhase.Quiesce => AskApplication(new FreezeApplication(ShareOfAttempt), data with { Attempt = 1 }),
            CheckpointPhase.Locate => AskInTurns(new FlushResources(phase), atOnce, data),
            CheckpointPhase.Capture => AskInTurns(new CaptureState(), atOnce, StartVolumeChanges(data)),
            CheckpointPhase.Drain => StartPumps(data),
            CheckpointPhase.Release => AskInTurns(new LeaveBarrier(_settings.Mode == CaptureMode.FrozenCopy && !_request.Message.EndAfterwards ? _sink : null), atOnce, data),
            CheckpointPhase.Commit => StartCommit(data),
            CheckpointPhase.End => StartEnd(data),
            CheckpointPhase.Finish => StartFinish(data),
            _ => throw new InvalidOperationException($"{phase} cannot be entered"),
        };
        return GoTo(phase).Using(entered);
    }

    private State<CheckpointPhase, CheckpointData> EnterNext(CheckpointData data) =>
        Enter(_settings.Next(StateName, _request.Message.EndAfterwards), data);

    private void EndPause()
    {
        _pause?.Dispose();
        _pause = null;
    }

    /// <summary>Processors wait without halting.</summary>
    /// <param name="most">From now on, for as long at most; 0 or less ends it.</param>
    private void KeepAwake(TimeSpan most)
    {
        if (most > TimeSpan.Zero)
        {
            _awake ??= _request.Bridge.KeepProcessorsAwake();
            SetTimer("awake", new AwakeLongEnough(), most);
        }
        else if (_awake is not null)
        {
            CancelTimer("awake");
            _awake.Dispose();
            _awake = null;
        }
    }

    private State<CheckpointPhase, CheckpointData> LetSleep()
    {
        KeepAwake(TimeSpan.Zero);
        return Stay();
    }

    private CheckpointData AskAll(object message, CheckpointData data)
    {
        foreach (ProcessEntry process in data.Processes.Values)
        {
            process.Supervisor.Tell(message);
        }

        return data.AwaitAll();
    }

    /// <summary>Asks some of the processes, and the others one by one as these answer (<see cref="AskNext"/>).</summary>
    private static CheckpointData AskInTurns(object question, int atOnce, CheckpointData data)
    {
        data = data with { Question = question, ToAsk = ImmutableQueue.CreateRange(data.Processes.Keys) };
        for (int i = 0; i < atOnce; i++)
        {
            data = AskNext(data);
        }

        return data;
    }

    private static CheckpointData AskNext(CheckpointData data)
    {
        if (data.ToAsk.IsEmpty)
        {
            return data;
        }

        CheckpointData rest = data with { ToAsk = data.ToAsk.Dequeue(out int pid) };
        rest.Processes[pid].Supervisor.Tell(rest.Question);
        return rest.Await(pid);
    }

    private CheckpointData AskApplication(object message, CheckpointData data)
    {
        _application.Tell(message);
        return data.Await(0);
    }

    /// <summary>Does what may block away from this actor, and sends it the outcome.</summary>
    private void Attempt(Func<object> call, Func<Exception, object> failed)
    {
        Task.Run(() =>
        {
            try
            {
                return call();
            }
            catch (Exception e)
            {
                return failed(e);
            }
        }).PipeTo(Self);
    }

    private State<CheckpointPhase, CheckpointData> InAnyPhase(Event<CheckpointData> e) => e.FsmEvent switch
    {
        StepFailed m => Abort(e.StateData, OperationFailure.From(StateName.ToString(), m.Cause)),
        VolumesFailed m => Abort(e.StateData with { VolumesPending = false }, OperationFailure.From(StateName.ToString(), m.Cause)),
        RendezvousDone { Report: null } m => Abort(e.StateData with { RendezvousPending = false }, OperationFailure.From(StateName.ToString(), m.Cause!)),
        RendezvousOver m => Stay().Using((e.StateData with { RendezvousPending = false }).Warned(m.Cause?.Message)),
        HooksDone m => Stay().Using((e.StateData with { HooksPending = false }).Warned(m.Cause?.Message)),
        ProcessGone m => Abort(e.StateData, new OperationFailure(
            StateName.ToString(), StepRunner.ProcessGoneCode, $"process {m.Pid} ended during the checkpoint: {m.Message}; try again")),
        ChildCrashed m => Abort(e.StateData, OperationFailure.From(StateName.ToString(), m.Cause)),
        Terminated m => OnTerminated(e.StateData, m),
        PhaseTimedOut m when m.Phase == StateName => Abort(e.StateData, PhaseFailure(e.StateData)),
        PhaseTimedOut => Stay(),
        CheckpointTimedOut => Abort(e.StateData, new OperationFailure(
            StateName.ToString(), OperationFailure.TimeoutCode, $"the checkpoint was not done within {Limit.TotalSeconds:0.###} s; give it more with --timeout")),
        CancelCheckpoint => Abort(e.StateData, new OperationFailure(StateName.ToString(), OperationFailure.CancelledCode, "the checkpoint was called off")),
        ReportProgress => Report(),
        AwakeLongEnough => LetSleep(),
        _ => throw new InvalidOperationException($"{e.FsmEvent.GetType().Name} in phase {StateName}"),
    };

    private State<CheckpointPhase, CheckpointData> Report()
    {
        Context.System.EventStream.Publish(new CheckpointProgress(StateName, _sink.BytesWritten, Elapsed));
        return Stay();
    }

    private OperationFailure PhaseFailure(CheckpointData data)
    {
        string who = data.Waiting.IsEmpty ? "" : data.Waiting.SetEquals([0])
            ? " (waiting for the application as a whole)"
            : $" (waiting for process {string.Join(", ", data.Waiting.Where(p => p != 0).Order())})";
        (TimeSpan time, CheckpointPhase named) = DeadlineOf(StateName, data);
        return new OperationFailure(StateName.ToString(), OperationFailure.TimeoutCode,
            $"{StateName} was not done within {time.TotalSeconds:0.###} s{who}; " +
            $"see holdfast.checkpoint.deadlines.{named.ToString().ToLowerInvariant()}");
    }

    /// <summary>What a phase may take, and whose deadline that is: where volumes are read or hooks are waited for, theirs when it is the longer one.</summary>
    private (TimeSpan Time, CheckpointPhase Named) DeadlineOf(CheckpointPhase phase, CheckpointData data)
    {
        (TimeSpan own, TimeSpan volumes) = (_settings.Deadline(phase), _settings.Deadline(CheckpointPhase.Volumes));
        if (phase == CheckpointPhase.Finish && _request.Host.Hooks is not null && _settings.Deadline(CheckpointPhase.Hooks) > own)
        {
            return (_settings.Deadline(CheckpointPhase.Hooks), CheckpointPhase.Hooks);
        }

        return phase is CheckpointPhase.Capture or CheckpointPhase.Commit && data.Writer?.Volumes is not null && volumes > own
            ? (volumes, CheckpointPhase.Volumes)
            : (own, phase);
    }

    private State<CheckpointPhase, CheckpointData> OnTerminated(CheckpointData data, Terminated message)
    {
        ProcessEntry? process = data.Processes.Values.FirstOrDefault(p => p.Supervisor.Equals(message.ActorRef));
        bool isApplication = _application.Equals(message.ActorRef);
        if (process is null && !isApplication)
        {
            return Stay();
        }

        data = isApplication ? data with { ApplicationLetGo = true } : data with { Processes = data.Processes.Remove(process!.Pid) };
        return Abort(data, new OperationFailure(
            StateName.ToString(), OperationFailure.InternalCode, $"{message.ActorRef.Path.Name} stopped during the checkpoint"));
    }

    private State<CheckpointPhase, CheckpointData> Abort(CheckpointData data, OperationFailure failure) =>
        Enter(CheckpointPhase.Finish, data with { Failure = failure });
}
