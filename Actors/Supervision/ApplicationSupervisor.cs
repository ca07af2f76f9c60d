using Akka.Actor;
using Akka.Event;
using Holdfast.Actors.Checkpoint;
using Holdfast.Actors.Restore;
using Holdfast.KernelBridge;

namespace Holdfast.Actors.Supervision;

/// <summary>
/// Supervises one application: starts, restores or adopts it, takes its checkpoints one after the other, passes signals on, ends it,
/// and knows when it has ended. When this actor stops, the application goes on.
/// </summary>
public sealed partial class ApplicationSupervisor : ReceiveActor, IWithTimers, IWithStash
{
    private const int TerminationSignal = 15;

    private readonly ApplicationServices _services;
    private readonly TimeSpan? _every;
    private readonly HashSet<IActorRef> _awaitingExit = [];
    private readonly HashSet<IActorRef> _ending = [];
    private readonly List<(IActorRef Asker, object Answer)> _answersOfEnd = [];
    private IActorRef _starter = ActorRefs.Nobody;
    private CheckpointUnderWay? _checkpoint;
    private OperationFailure? _crash;
    private IRunningApplication? _application;
    private int? _status;
    private bool _killing;
    private Action? _beforeKill;
    private int _coordinatorNumber;

    /// <summary>Makes one that waits for a <see cref="StartApplication"/>.</summary>
    /// <param name="services">What it works with.</param>
    /// <param name="every">How often it takes a checkpoint by itself; null for never.</param>
    public ApplicationSupervisor(ApplicationServices services, TimeSpan? every)
    {
        _services = services;
        _every = every;
        Become(Idle);
    }

    /// <inheritdoc/>
    public ITimerScheduler Timers { get; set; } = null!;

    /// <inheritdoc/>
    public IStash Stash { get; set; } = null!;

    /// <summary>Makes its props.</summary>
    /// <param name="services">What it works with.</param>
    /// <param name="every">How often it takes a checkpoint by itself; null for never.</param>
    public static Props Props(ApplicationServices services, TimeSpan? every = null) =>
        ActorProps.Of(() => new ApplicationSupervisor(services, every));

    /// <inheritdoc/>
    protected override void PostStop() => _application?.Dispose();

    /// <summary>A coordinator that crashes is stopped: its children stop with it, which lets the application go on. Nothing is restarted.</summary>
    protected override SupervisorStrategy SupervisorStrategy() => new OneForOneStrategy(cause =>
    {
        _crash = OperationFailure.From(_application is null ? "Restore" : "Checkpoint", cause);
        return Directive.Stop;
    });

    private void Idle()
    {
        Receive<LaunchApplication>(m => Start(() => new ApplicationFound(_services.Bridge.Launch(m.Request))));
        Receive<AdoptApplication>(m => Start(() => Find(_services.Bridge, m)));
        Receive<RestoreApplication>(Restore);
        Receive<GetStatus>(_ => Sender.Tell(new ApplicationStatus("starting", 0)));
        ReceiveAny(_ => Stash.Stash());
    }

    private void Start(Func<ApplicationFound> start)
    {
        _starter = Sender;
        Attempt(start, cause => new StartRefused(cause));
        Become(() => Starting(ActorRefs.Nobody));
    }

    private static ApplicationFound Find(IKernelBridge bridge, AdoptApplication message)
    {
        IRunningApplication? application = bridge.Find(message.Target);
        if (application is null || message.Pages is null)
        {
            return new ApplicationFound(application);
        }

        try
        {
            return new ApplicationFound(application) { Loading = bridge.ContinueLoading(message.Target, message.Pages) };
        }
        catch (Exception e)
        {
            // It goes on to wait for its pages, and can be ended.
            return new ApplicationFound(application) { Held = OperationFailure.From("Loading", e) };
        }
    }

    private void Restore(RestoreApplication message)
    {
        _starter = Sender;
        RestoreOrder order = new(_services.Bridge, message.Request, message.PutVolumesBack, _services.Restores, _services.Time);
        IActorRef coordinator = Context.Watch(Context.ActorOf(
            ActorProps.Of(() => new RestoreCoordinator(order)), $"restore-{++_coordinatorNumber}"));
        Become(() => Starting(coordinator));
    }

    private void Starting(IActorRef coordinator)
    {
        Receive<ApplicationFound>(m => m.Application is null, _ => StartFails(new OperationFailure("Start", "application.gone", "the application no longer runs")));
        Receive<ApplicationFound>(m =>
        {
            _held = m.Held;
            if (m.Loading is not null)
            {
                BeginLoading(m.Loading);
            }

            Started(m.Application!, null);
        });
        Receive<LoadingBegan>(m => BeginLoading(m.Loading));
        Receive<LoadingDone>(_ => LoadingIsDone());
        Receive<LoadingBroke>(m => coordinator.Tell(new CancelRestore(OperationFailure.From("Loading", m.Cause))));
        Receive<StartRefused>(m => StartFails(OperationFailure.From("Start", m.Cause)));
        Receive<ApplicationRestored>(m => Started(m.Application, m.Report));
        Receive<RestoreFailed>(m => StartFails(m.Failure));
        Receive<Terminated>(_ => StartFails(_crash ?? new OperationFailure("Restore", OperationFailure.InternalCode, "the restore stopped without an outcome")));
        Receive<CancelStart>(_ => coordinator.Tell(new CancelRestore()));
        Receive<GetStatus>(_ => Sender.Tell(new ApplicationStatus("starting", 0)));
        ReceiveAny(_ => Stash.Stash());
    }

    private void StartFails(OperationFailure failure)
    {
        StopLoading();
        _starter.Tell(new StartFailed(failure));
        End(-1);
    }

    private void Started(IRunningApplication application, RestoreReport? report)
    {
        _application = application;
        try
        {
            _services.Host.Started(application);
            // Only now: what a dying supervisor leaves can be found.
            application.Keep();
        }
        catch (Exception e)
        {
            // Nobody could find it again: it must not run on unknown.
            Attempt(Kill, cause => new KillFailed(cause));
            StartFails(OperationFailure.From("Start", e));
            return;
        }

        application.Exited.PipeTo(Self, success: status => new ApplicationExited(status), failure: _ => new ApplicationExited(-1));
        _starter.Tell(new ApplicationStarted(application.Target, application.MainPid, report) { Loading = _loading?.Progress, Held = _held });
        if (report is not null && _loading is null)
        {
            // A lazy restore that was complete before it ran.
            _services.Host.MemoryLoaded();
        }

        if (_every is { } every)
        {
            Timers.StartPeriodicTimer("every", new TakePeriodicCheckpoint(), every);
        }

        Become(Running);
        Stash.UnstashAll();
    }

    private void Running()
    {
        Receive<TakeCheckpoint>(AwaitMemory);
        Receive<TakeCheckpoint>(m => WhenFree(() => BeginCheckpoint(m, Sender, false)));
        Receive<LoadingDone>(_ => LoadingIsDone());
        Receive<LoadingBroke>(m => LoseMemory(m.Cause));
        Receive<MemoryTookTooLong>(_ => MemoryTakesTooLong());
        Receive<TakePeriodicCheckpoint>(_ => _checkpoint is null && !_killing && _loading is null && _held is null, _ => BeginCheckpoint(new TakeCheckpoint(), ActorRefs.Nobody, true));
        Receive<TakePeriodicCheckpoint>(_ => { });
        Receive<CheckpointTaken>(Conclude);
        Receive<CheckpointFailed>(Conclude);
        // The next one may begin only when every thread of this one is gone: a process has one tracer.
        Receive<Terminated>(m => _checkpoint?.Coordinator?.Equals(m.ActorRef) == true, _ => EndCheckpoint());
        Receive<Terminated>(_ => { });
        Receive<TryCheckpointAgain>(_ => TryAgain());
        Receive<MemoryMeasured>(BeginPreCopy);
        Receive<RoundsRemoved>(_ => { });
        Receive<CancelCheckpoint>(_ =>
        {
            CallOff();
            RefuseWaiting(new OperationFailure("Loading", OperationFailure.CancelledCode, "the checkpoint was called off"));
        });
        Receive<AwaitNoCheckpoint>(_ => WhenFree(() => Sender.Tell(new NoCheckpointUnderWay())));
        Receive<CancelStart>(_ => { });

        Receive<SendSignal>(m => Signal(m.Signal));
        // A snapshot must not hold the signal that is to end the application.
        Receive<StopApplication>(m => WhenFree(() => StopGently(m.Grace)));
        Receive<GraceOver>(_ => BeginKill());
        Receive<KillApplication>(_ =>
        {
            _ending.Add(Sender);
            CallOff();
            BeginKill();
        });
        Receive<KillDone>(_ => KillIsOver(null));
        Receive<KillFailed>(m => KillIsOver(m.Cause));

        Receive<ApplicationExited>(m =>
        {
            _status = m.Status;
            EndIfAllIsOver();
        });
        Receive<WaitForExit>(_ => _awaitingExit.Add(Sender));
        Receive<GetStatus>(_ => Sender.Tell(new ApplicationStatus(_checkpoint is null ? "running" : "checkpointing", _application!.MainPid) { Loading = _loading?.Progress, Held = _held }));
        Receive<StartApplication>(_ => Sender.Tell(new StartFailed(new OperationFailure("Start", "application.running", "the application runs already"))));
    }

    private void WhenFree(Action action)
    {
        if (_checkpoint is null && !_killing)
        {
            action();
        }
        else
        {
            Stash.Stash();
        }
    }

    private void BeginCheckpoint(TakeCheckpoint message, IActorRef asker, bool periodic)
    {
        _checkpoint = new CheckpointUnderWay(message, asker, periodic) { Began = _services.Time.GetTimestamp() };
        if (MayPreCopy(message))
        {
            ConsiderPreCopy();
            return;
        }

        _checkpoint.Coordinator = StartCoordinator(message);
    }

    private IActorRef StartCoordinator(TakeCheckpoint message)
    {
        CheckpointRequest request = new(
            _services.Bridge, _application!.Target, _services.Store, _services.Host, _services.Checkpoints, _services.Time, message);
        _crash = null;
        return Context.Watch(Context.ActorOf(ActorProps.Of(() => new CheckpointCoordinator(request)), $"checkpoint-{++_coordinatorNumber}"));
    }

    private void CallOff()
    {
        if (_checkpoint is not null)
        {
            _checkpoint.CalledOff = true;
            _checkpoint.Coordinator?.Tell(new CancelCheckpoint());
        }
    }

    private bool MayTryAgain(CheckpointUnderWay checkpoint) =>
        !checkpoint.CalledOff && !_killing && _status is null && _services.Time.GetElapsedTime(checkpoint.Began) < _services.Checkpoints.RetryFor;

    /// <summary>What was refused because of a moment is asked for again in another one.</summary>
    private void TryAgain()
    {
        if (_checkpoint is not { Refused: { } refused } checkpoint)
        {
            return;
        }

        checkpoint.Refused = null;
        if (MayTryAgain(checkpoint))
        {
            checkpoint.Coordinator = StartCoordinator(checkpoint.Message);
            return;
        }

        Conclude(refused);
        CheckpointIsOver();
    }

    /// <summary>Tells the outcome as soon as it is known: a thread that hangs in the kernel must not keep the asker waiting.</summary>
    private void Conclude(object outcome)
    {
        if (_checkpoint is not { Concluded: false } checkpoint || ConcludeRound(checkpoint, outcome))
        {
            return;
        }

        if (outcome is CheckpointFailed { Failure.IsOfAMoment: true } refused && MayTryAgain(checkpoint))
        {
            checkpoint.Refused = refused;
            return;
        }

        checkpoint.Concluded = true;
        if (checkpoint.PreCopy is { Snapshots: { Count: > 0 } rounds } preCopy)
        {
            ISnapshotStore store = _services.Store;
            outcome = outcome is CheckpointTaken taken ? taken with { PreCopy = preCopy.Report } : outcome;
            _beforeKill = () => RemoveRounds(store, rounds);
            if (outcome is not CheckpointTaken)
            {
                Attempt(RemoveRoundsNow(), _ => new RoundsRemoved());
            }
        }

        if (checkpoint.Message.EndAfterwards && outcome is CheckpointTaken)
        {
            // Its processes are dead already; what is left of its space goes now, and only then is the asker told.
            _answersOfEnd.Add((checkpoint.Asker, outcome));
            BeginKill();
            return;
        }

        if (checkpoint.Periodic)
        {
            Context.System.EventStream.Publish(new PeriodicCheckpointDone(outcome));
        }

        checkpoint.Asker.Tell(outcome);
    }

    private void EndCheckpoint()
    {
        if (_checkpoint is { Refused: not null } refused)
        {
            Timers.StartSingleTimer("again", new TryCheckpointAgain(), TimeSpan.FromMilliseconds(Math.Min(500, 20 << Math.Min(10, refused.Attempts++))));
            return;
        }

        if (_checkpoint is { RoundIsOver: false })
        {
            Conclude(new CheckpointFailed(
                _crash ?? new OperationFailure("Checkpoint", OperationFailure.InternalCode, "the coordinator stopped without an outcome")));
        }

        if (_checkpoint is { RoundIsOver: true } round)
        {
            GoOnFrom(round);
            return;
        }

        CheckpointIsOver();
    }

    private void CheckpointIsOver()
    {
        _checkpoint = null;
        EndIfAllIsOver();
        Stash.UnstashAll();
    }

    private void Signal(int signal)
    {
        try
        {
            _application!.Signal(signal);
        }
        catch (BridgeException e)
        {
            // It ended meanwhile; Exited says so.
            Context.GetLogger().Debug("signal {0} was not sent: {1}", signal, e.Message);
        }
    }

    private void StopGently(TimeSpan grace)
    {
        _ending.Add(Sender);
        Signal(TerminationSignal);
        Timers.StartSingleTimer("grace", new GraceOver(), grace);
    }

    private void BeginKill()
    {
        if (_killing)
        {
            return;
        }

        _killing = true;
        Action? before = _beforeKill;
        _beforeKill = null;
        Attempt(
            () =>
            {
                before?.Invoke();
                return Kill();
            },
            cause => new KillFailed(cause));
    }

    private KillDone Kill()
    {
        _application!.Kill();
        return new KillDone();
    }

    private void KillIsOver(Exception? cause)
    {
        _killing = false;
        if (cause is not null)
        {
            OperationFailure failure = OperationFailure.From("End", cause);
            foreach (IActorRef asker in _ending)
            {
                asker.Tell(new EndFailed(failure));
            }

            _ending.Clear();
        }

        AnswerOfEnd();
        EndIfAllIsOver();
        Stash.UnstashAll();
    }

    private void AnswerOfEnd()
    {
        foreach ((IActorRef asker, object answer) in _answersOfEnd)
        {
            asker.Tell(answer);
        }

        _answersOfEnd.Clear();
    }

    private void EndIfAllIsOver()
    {
        if (_status is { } status && _checkpoint is null && !_killing)
        {
            End(status);
        }
    }

    private void End(int status)
    {
        Timers.CancelAll();
        StopLoading();
        RefuseWaiting(new OperationFailure("Start", "application.ended", "the application has ended"));
        AnswerOfEnd();
        foreach (IActorRef asker in _awaitingExit.Union(_ending))
        {
            asker.Tell(new ApplicationExited(status));
        }

        Become(() => Ended(status));
        Stash.UnstashAll();
    }

    private void Ended(int status)
    {
        OperationFailure ended = new("Start", "application.ended", "the application has ended");
        Receive<TakeCheckpoint>(_ => Sender.Tell(new CheckpointFailed(ended)));
        Receive<StartApplication>(_ => Sender.Tell(new StartFailed(ended)));
        Receive<GetStatus>(_ => Sender.Tell(new ApplicationStatus("ended", 0)));
        Receive<WaitForExit>(_ => Sender.Tell(new ApplicationExited(status)));
        Receive<StopApplication>(_ => Sender.Tell(new ApplicationExited(status)));
        Receive<KillApplication>(_ => Sender.Tell(new ApplicationExited(status)));
        ReceiveAny(_ => { });
    }

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

    private sealed record TryCheckpointAgain;

    private sealed record CheckpointUnderWay(TakeCheckpoint Message, IActorRef Asker, bool Periodic)
    {
        /// <summary>Since when it is tried.</summary>
        public required long Began { get; set; }

        /// <summary>The present one; each attempt has its own. Null before the first.</summary>
        public IActorRef? Coordinator { get; set; }

        /// <summary>Rounds before it; null for none.</summary>
        public PreCopy? PreCopy { get; set; }

        /// <summary>No round is under way or to come.</summary>
        public bool RoundsAreOver { get; set; }

        /// <summary>The outcome of the present round is known, and its threads are to end.</summary>
        public bool RoundIsOver { get; set; }

        public bool Concluded { get; set; }

        public bool CalledOff { get; set; }

        /// <summary>How often it was tried again.</summary>
        public int Attempts { get; set; }

        /// <summary>Why it was refused, while it is to be tried again.</summary>
        public CheckpointFailed? Refused { get; set; }
    }
}
