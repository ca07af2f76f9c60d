using Akka.Actor;
using Akka.Actor.Setup;
using Akka.Configuration;
using Akka.Event;
using Akka.Util.Internal;

namespace Akka.TestKit;

/// <summary>What test classes and probes share: a system, a test actor, and waiting for what it gets.</summary>
public abstract partial class TestKitBase : IActorRefFactory
{
    private static readonly AtomicCounter TestActorId = new(0);

    private readonly ITestKitAssertions _assertions;
    private readonly EnvelopeQueue _queue = new();
    private ActorSystem _system = null!;
    private IActorRef _testActor = null!;
    private TestKitSettings _settings = null!;
    private ILoggingAdapter _log = null!;
    private MessageEnvelope _last = NullMessageEnvelope.Instance;
    private TimeSpan? _end;
    private bool _lastWasNoMsg;

    protected TestKitBase(ITestKitAssertions assertions, ActorSystem? system = null, string? testActorName = null)
        : this(assertions, system, ActorSystemSetup.Empty, null, testActorName)
    {
    }

    protected TestKitBase(ITestKitAssertions assertions, ActorSystemSetup setup, string? actorSystemName = null, string? testActorName = null)
        : this(assertions, null, setup, actorSystemName, testActorName)
    {
    }

    protected TestKitBase(ITestKitAssertions assertions, Config config, string? actorSystemName = null, string? testActorName = null)
        : this(assertions, null, ActorSystemSetup.Empty.And(BootstrapSetup.Create().WithConfig(config)), actorSystemName, testActorName)
    {
    }

    protected TestKitBase(ITestKitAssertions assertions, ActorSystem? system, ActorSystemSetup config, string? actorSystemName, string? testActorName)
    {
        _assertions = assertions;
        InitializeTest(system, config, actorSystemName, testActorName);
    }

    public static Config DefaultConfig => TestKitDefaults.Config;

    public static Config FullDebugConfig { get; } = ConfigurationFactory.ParseString(
        """
        akka.log-dead-letters-during-shutdown = true
        akka.actor.debug { receive = true, autoreceive = true, lifecycle = true, event-stream = true, unhandled = true, fsm = true, router-misconfiguration = true }
        akka.stdout-loglevel = DEBUG
        akka.loglevel = DEBUG
        """);

    public ActorSystem Sys => _system;

    public IActorRef TestActor => _testActor;

    public TestKitSettings TestKitSettings => _settings;

    public ILoggingAdapter Log => _log;

    public object LastMessage => _last.Message;

    public IActorRef LastSender => _last.Sender;

    public bool HasMessages => _queue.Count > 0;

    public EventFilterFactory EventFilter => new(this);

    internal ITestKitAssertions Asserts => _assertions;

    public EventFilterFactory CreateEventFilter(ActorSystem system) => new(this, system);

    protected void InitializeTest(ActorSystem? system, Config config, string? actorSystemName, string? testActorName) =>
        InitializeTest(system, ActorSystemSetup.Empty.And(BootstrapSetup.Create().WithConfig(config)), actorSystemName, testActorName);

    protected virtual void InitializeTest(ActorSystem? system, ActorSystemSetup config, string? actorSystemName, string? testActorName)
    {
        if (system is null)
        {
            var bootstrap = config.Get<BootstrapSetup>();
            var withDefaults = (bootstrap.HasValue ? bootstrap.Value : BootstrapSetup.Create()).WithConfigFallback(DefaultConfig);
            system = ActorSystem.Create(actorSystemName ?? "test", config.WithSetup(withDefaults));
        }
        else
        {
            system.Settings.InjectTopLevelFallback(DefaultConfig);
        }

        _system = system;
        _log = Logging.GetLogger(system, GetType());
        _settings = TestKitExtension.For(system);
        _testActor = CreateTestActor(system, testActorName ?? "testActor" + TestActorId.IncrementAndGet());
        if (this is not INoImplicitSender)
        {
            var cell = ((LocalActorRef)_testActor).Cell;
            ActorCell.Current = cell;
            SynchronizationContext.SetSynchronizationContext(new CellKeepingSynchronizationContext(cell));
        }
        else if (this is not TestProbe)
        {
            // A test before this one, on the same thread, may have left its own.
            ActorCell.Current = null;
            SynchronizationContext.SetSynchronizationContext(null);
        }
    }

    public IActorRef CreateTestActor(string name) => CreateTestActor(_system, name);

    private LocalActorRef CreateTestActor(ActorSystem system, string name)
    {
        var queue = _queue;
        return (LocalActorRef)((ExtendedActorSystem)system).SystemActorOf(
            Props.CreateBy(new ActorRefProvider.Producer<InternalTestActor>(() => new InternalTestActor(queue))).WithDispatcher("akka.test.test-actor.dispatcher"), name);
    }

    public TimeSpan Remaining
    {
        get
        {
            if (_end is not { } end)
            {
                throw new InvalidOperationException("Remaining may not be called outside of \"within\"");
            }

            return end - Now;
        }
    }

    public TimeSpan RemainingOrDefault => RemainingOr(Dilated(_settings.SingleExpectDefault));

    public static TimeSpan Now => System.Diagnostics.Stopwatch.GetElapsedTime(0);

    public TimeSpan NoMessageRemainingOrDefault => RemainingOr(Dilated(_settings.ExpectNoMessageDefault));

    protected TimeSpan RemainingOr(TimeSpan duration) => _end is { } end ? end - Now : duration;

    public TimeSpan RemainingOrDilated(TimeSpan? duration)
    {
        if (duration is null)
        {
            return RemainingOrDefault;
        }

        return duration.Value < TimeSpan.Zero ? throw new ArgumentException("max duration cannot be infinite", nameof(duration)) : Dilated(duration.Value);
    }

    /// <summary>The time as it is, not dilated; null for the default.</summary>
    public TimeSpan GetTimeoutOrDefault(TimeSpan? timeout) => timeout ?? _settings.SingleExpectDefault;

    public TimeSpan Dilated(TimeSpan duration) => duration > TimeSpan.Zero ? duration * _settings.TestTimeFactor : duration;

    public void IgnoreMessages(Func<object, bool> shouldIgnoreMessage) => Command(new TestActor.SetIgnore(message => shouldIgnoreMessage(message)));

    public void IgnoreMessages<TMsg>() => IgnoreMessages(static message => message is TMsg);

    public void IgnoreMessages<TMsg>(Func<TMsg, bool> shouldIgnoreMessage) => IgnoreMessages(message => message is TMsg typed && shouldIgnoreMessage(typed));

    public void IgnoreNoMessages() => Command(new TestActor.SetIgnore(null!));

    public IActorRef Watch(IActorRef actorToWatch)
    {
        Command(new TestActor.Watch(actorToWatch));
        return actorToWatch;
    }

    public async Task<IActorRef> WatchAsync(IActorRef actorToWatch)
    {
        await _testActor.Ask<InternalTestActor.Ack>(new TestActor.Watch(actorToWatch), RemainingOrDefault);
        return actorToWatch;
    }

    public IActorRef Unwatch(IActorRef actorToUnwatch)
    {
        Command(new TestActor.Unwatch(actorToUnwatch));
        return actorToUnwatch;
    }

    public async Task<IActorRef> UnwatchAsync(IActorRef actorToUnwatch)
    {
        await _testActor.Ask<InternalTestActor.Ack>(new TestActor.Unwatch(actorToUnwatch), RemainingOrDefault);
        return actorToUnwatch;
    }

    public void SetAutoPilot(AutoPilot pilot) => Command(new TestActor.SetAutoPilot(pilot));

    // The test actor runs on this thread, so that it is done on return unless another thread keeps the actor busy.
    private void Command(object command) => _testActor.Tell(command, ActorRefs.NoSender!);

    public virtual TestProbe CreateTestProbe(string? name = null) => CreateTestProbe(Sys, name);

    public virtual TestProbe CreateTestProbe(ActorSystem system, string? name = null) => new(system, _assertions, name);

    public TestBarrier CreateTestBarrier(int count) => new(this, count);

    public virtual TestLatch CreateTestLatch(int count = 1) => TestLatch.Create(Dilated, _settings.DefaultTimeout, count);

    public virtual void Shutdown(TimeSpan? duration = null, bool verifySystemShutdown = false) => Shutdown(_system, duration, verifySystemShutdown);

    protected virtual void Shutdown(ActorSystem system, TimeSpan? duration = null, bool verifySystemShutdown = false)
    {
        system ??= _system;
        var limit = duration ?? Dilated(TimeSpan.FromSeconds(10));
        if (!system.Terminate().Wait(limit))
        {
            var tree = ((ExtendedActorSystem)system).PrintTree();
            if (verifySystemShutdown)
            {
                throw new TimeoutException($"Failed to stop [{system.Name}] within [{limit}] \n{tree}");
            }

            system.Log.Warning("Failed to stop [{0}] within [{1}] \n{2}", system.Name, limit, tree);
        }

        if (this is not INoImplicitSender)
        {
            ActorCell.Current = null;
        }
    }
}

/// <summary>Keeps the implicit sender of a test across its awaits.</summary>
internal sealed class CellKeepingSynchronizationContext(ActorCell cell) : SynchronizationContext
{
    public override SynchronizationContext CreateCopy() => new CellKeepingSynchronizationContext(cell);

    public override void Post(SendOrPostCallback d, object? state) =>
        ThreadPool.QueueUserWorkItem(_ => Run(d, state));

    public override void Send(SendOrPostCallback d, object? state) => Run(d, state);

    private void Run(SendOrPostCallback d, object? state)
    {
        var outer = ActorCell.Current;
        var outerContext = Current;
        ActorCell.Current = cell;
        SetSynchronizationContext(this);
        try
        {
            d(state);
        }
        finally
        {
            ActorCell.Current = outer;
            SetSynchronizationContext(outerContext);
        }
    }
}
