using Akka.Actor;
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
        OperationFailure? lost = null;
        Receive<LoadingBroke>(m => coordinator.Tell(new CancelRestore(lost = OperationFailure.From("Loading", m.Cause))));
        Receive<StartRefused>(m => StartFails(OperationFailure.From("Start", m.Cause)));
        Receive<ApplicationRestored>(_ => lost is not null, m =>
        {
            // The word that calls it off came too late.
            _application = m.Application;
            Attempt(Kill, cause => new KillFailed(cause));
            StartFails(lost!);
        });
        Receive<ApplicationRestored>(m => Started(m.Application, m.Report));
        Receive<RestoreFailed>(m => StartFails(lost ?? m.Failure));
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
}
