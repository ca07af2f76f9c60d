using Akka.Actor;
using Akka.Configuration;
using Holdfast.Actors.Checkpoint;
using Holdfast.Actors.Restore;
using Holdfast.Actors.Supervision;
using Holdfast.KernelBridge;

namespace Holdfast.Actors.Tests;

/// <summary>An actor system with one supervisor over the fakes.</summary>
internal sealed class Harness : IApplicationHost, IAsyncDisposable
{
    /// <summary>Longer than anything takes; a test that waits for it has failed.</summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    private readonly ActorSystem _system;
    private readonly TaskCompletionSource _loaded = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public Harness(FakeBridge bridge, CaptureMode mode = CaptureMode.CopyInsideFreeze, int pumps = 2, TimeSpan? every = null,
        Dictionary<CheckpointPhase, TimeSpan>? deadlines = null, Dictionary<RestoreStep, TimeSpan>? restoreDeadlines = null, TimeSpan retryFor = default, int preCopyRounds = 0, TimeProvider? time = null)
    {
        Bridge = bridge;
        _system = ActorSystem.Create("test", ConfigurationFactory.ParseString(
            "holdfast.pinned-dispatcher { type = PinnedDispatcher }\nakka { loglevel = OFF\n stdout-loglevel = OFF }"));
        CheckpointSettings checkpoints = new()
        {
            Mode = mode,
            ParallelPumps = pumps,
            Timeout = TimeSpan.FromMinutes(5),
            RetryFor = retryFor,
            TrackWrites = preCopyRounds > 0 ? WriteTracking.On : WriteTracking.Off,
            PreCopyRounds = preCopyRounds,
            PreCopyFrom = 1000,
            ProgressInterval = TimeSpan.FromSeconds(1),
            Deadlines = Enum.GetValues<CheckpointPhase>().ToDictionary(p => p, p => deadlines?.GetValueOrDefault(p, Patience) ?? Patience),
        };
        RestoreSettings restores = new()
        {
            Deadlines = Enum.GetValues<RestoreStep>().ToDictionary(s => s, s => restoreDeadlines?.GetValueOrDefault(s, Patience) ?? Patience),
        };
        Supervisor = _system.ActorOf(ApplicationSupervisor.Props(
            new ApplicationServices(bridge, Store, this, checkpoints, restores, time ?? TimeProvider.System), every));
        IActorRef listener = _system.ActorOf(Props.CreateBy(new ListenerProducer(this)));
        _system.EventStream.Subscribe(listener, typeof(CheckpointProgress));
        _system.EventStream.Subscribe(listener, typeof(RestoreProgress));
        _system.EventStream.Subscribe(listener, typeof(PeriodicCheckpointDone));
    }

    public FakeBridge Bridge { get; }

    /// <summary>What is run around the freeze.</summary>
    public IApplicationHooks? Hooks { get; set; }

    public FakeStore Store { get; } = new();

    public IActorRef Supervisor { get; }

    public IRunningApplication? StartedApplication { get; private set; }

    /// <summary>Called when a checkpoint enters a phase.</summary>
    public Action<CheckpointPhase> OnPhase { get; set; } = _ => { };

    /// <summary>Called when a checkpoint that nobody waits for is over.</summary>
    public Action<object> OnPeriodic { get; set; } = _ => { };

    /// <summary>Completes when the host is told that all memory is in place.</summary>
    public Task Loaded => _loaded.Task;

    /// <summary>Why memory that was missing could not be had.</summary>
    public OperationFailure? Lost { get; private set; }

    public Action OnStarted { get; set; } = () => { };

    public async Task<Harness> StartedAsync()
    {
        await AskAsync<ApplicationStarted>(new AdoptApplication(Bridge.Application.Target));
        return this;
    }

    public async Task<T> AskAsync<T>(object message) => Assert.IsType<T>(await Ask(message));

    public async Task<object> Ask(object message) => await Supervisor.Ask<object>(message, Patience);

    public async Task<OperationFailure> FailureAsync(TakeCheckpoint? message = null) =>
        (await AskAsync<CheckpointFailed>(message ?? new TakeCheckpoint())).Failure;

    /// <summary>What must hold after every checkpoint, however it ended.</summary>
    public void AssertEverythingLetGo()
    {
        Assert.Empty(Bridge.Violations);
        Assert.False(Bridge.Frozen);
        Assert.Equal(0, Bridge.OpenCheckpoints);
        Assert.Equal(0, Bridge.Awake);
        Assert.Equal(0, Store.Open);
        Assert.All(Bridge.Processes, p =>
        {
            Assert.False(p.Stands, $"{p.Pid} still stands");
            Assert.Equal(p.Stops, p.Resumes);
        });
    }

    public void AssertNoSnapshot()
    {
        Assert.Empty(Store.Committed);
        Assert.Equal(Store.Begun, Store.Dropped);
    }

    public Task TerminateAsync() => _system.Terminate().WaitAsync(Patience);

    void IApplicationHost.Started(IRunningApplication application)
    {
        StartedApplication = application;
        OnStarted();
    }

    void IApplicationHost.MemoryLoaded() => _loaded.TrySetResult();

    void IApplicationHost.MemoryLost(OperationFailure failure) => Lost = failure;

    void IApplicationHost.KillStanding(IReadOnlyList<int> pids)
    {
        foreach (int pid in pids)
        {
            Bridge.Call("Kill", pid);
            Bridge.Process(pid).Kill();
        }
    }

    public async ValueTask DisposeAsync() => await TerminateAsync();

    private sealed class Listener : ReceiveActor
    {
        public Listener(Harness harness)
        {
            Receive<CheckpointProgress>(m => harness.OnPhase(m.Phase));
            Receive<PeriodicCheckpointDone>(m => harness.OnPeriodic(m.Outcome));
            ReceiveAny(_ => { });
        }
    }

    private sealed class ListenerProducer(Harness harness) : IIndirectActorProducer
    {
        public Type ActorType => typeof(Listener);

        public ActorBase Produce() => new Listener(harness);

        public void Release(ActorBase actor)
        {
        }
    }
}
