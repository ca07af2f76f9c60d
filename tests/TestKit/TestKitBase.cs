using Akka.Actor;
using Akka.Actor.Setup;
using Akka.Configuration;
using Akka.Event;
using Akka.Util.Internal;

namespace Akka.TestKit;

/// <summary>What test classes and probes share: a system, a test actor, and waiting for what it gets.</summary>
public abstract partial class TestKitBase
{
    private static readonly AtomicCounter TestActorId = new(0);

    private readonly ITestKitAssertions _assertions;
    private readonly EnvelopeQueue _queue = new();
    private ActorSystem _system = null!;
    private IActorRef _testActor = null!;
    private TestKitSettings _settings = null!;
    private MessageEnvelope _last = NullMessageEnvelope.Instance;
    private TimeSpan? _end;
    private bool _lastWasNoMsg;

    protected TestKitBase(ITestKitAssertions assertions, ActorSystem? system = null, string? testActorName = null)
    {
        _assertions = assertions;
        InitializeTest(system, (ActorSystemSetup?)null, null, testActorName);
    }

    protected TestKitBase(ITestKitAssertions assertions, ActorSystemSetup setup, string? actorSystemName = null, string? testActorName = null)
    {
        _assertions = assertions;
        InitializeTest(null, setup, actorSystemName, testActorName);
    }

    protected TestKitBase(ITestKitAssertions assertions, Config config, string? actorSystemName = null, string? testActorName = null)
    {
        _assertions = assertions;
        InitializeTest(null, ActorSystemSetup.Empty.And(BootstrapSetup.Create().WithConfig(config)), actorSystemName, testActorName);
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

    public object LastMessage => _last.Message;

    public IActorRef LastSender => _last.Sender;

    public bool HasMessages => _queue.Count > 0;

    public EventFilterFactory EventFilter => new(this);

    internal ITestKitAssertions Asserts => _assertions;

    public EventFilterFactory CreateEventFilter(ActorSystem system) => new(this, system);

    private void InitializeTest(ActorSystem? system, ActorSystemSetup? setup, string? name, string? testActorName)
    {
        if (system is null)
        {
            var bootstrap = setup?.Get<BootstrapSetup>();
            var config = (bootstrap is { HasValue: true } found ? found.Value.Config.GetOrElse(Config.Empty) : Config.Empty).WithFallback(DefaultConfig);
            system = ActorSystem.Create(name ?? "test", (setup ?? ActorSystemSetup.Empty).WithSetup(BootstrapSetup.Create().WithConfig(config)));
        }
        else
        {
            system.Settings.InjectTopLevelFallback(DefaultConfig);
        }

        _system = system;
        _settings = TestKitExtension.For(system);
        var queue = _queue;
        _testActor = ((ExtendedActorSystem)system).SystemActorOf(
            Props.CreateBy(new ActorRefProvider.Producer<InternalTestActor>(() => new InternalTestActor(queue))).WithDispatcher("akka.test.test-actor.dispatcher"),
            testActorName ?? "testActor" + TestActorId.IncrementAndGet());
        if (this is not INoImplicitSender)
        {
            var cell = ((LocalActorRef)_testActor).Cell;
            ActorCell.Current = cell;
            SynchronizationContext.SetSynchronizationContext(new CellKeepingSynchronizationContext(cell));
        }
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

    public TimeSpan RemainingOrDefault => RemainingOrElse(Dilated(_settings.SingleExpectDefault));

    private static TimeSpan Now => System.Diagnostics.Stopwatch.GetElapsedTime(0);

    protected TimeSpan RemainingOrElse(TimeSpan duration) => _end is { } end ? end - Now : duration;

    protected TimeSpan RemainingOrDilated(TimeSpan? duration)
    {
        if (duration is null)
        {
            return RemainingOrDefault;
        }

        if (duration.Value == Timeout.InfiniteTimeSpan)
        {
            throw new ArgumentException("max duration cannot be infinite", nameof(duration));
        }

        return duration.Value < TimeSpan.Zero ? throw new ArgumentException("duration must not be negative", nameof(duration)) : Dilated(duration.Value);
    }

    public TimeSpan GetTimeoutOrDefault(TimeSpan? timeout) => timeout.HasValue ? Dilated(timeout.Value) : Dilated(_settings.SingleExpectDefault);

    public TimeSpan Dilated(TimeSpan duration) => duration == Timeout.InfiniteTimeSpan ? duration : duration * _settings.TestTimeFactor;

    public void IgnoreMessages(Func<object, bool> shouldIgnoreMessage) => _testActor.Tell(new InternalTestActor.SetIgnore(shouldIgnoreMessage), ActorRefs.NoSender!);

    public void IgnoreMessages<TMsg>() => IgnoreMessages(static message => message is TMsg);

    public void IgnoreMessages<TMsg>(Func<TMsg, bool> shouldIgnoreMessage) => IgnoreMessages(message => message is TMsg typed && shouldIgnoreMessage(typed));

    public void IgnoreNoMessages() => _testActor.Tell(new InternalTestActor.SetIgnore(null), ActorRefs.NoSender!);

    public IActorRef Watch(IActorRef actorToWatch)
    {
        _testActor.Tell(new InternalTestActor.WatchCommand(actorToWatch), ActorRefs.NoSender!);
        return actorToWatch;
    }

    public IActorRef Unwatch(IActorRef actorToUnwatch)
    {
        _testActor.Tell(new InternalTestActor.UnwatchCommand(actorToUnwatch), ActorRefs.NoSender!);
        return actorToUnwatch;
    }

    public void SetAutoPilot(AutoPilot pilot) => _testActor.Tell(new InternalTestActor.SetAutoPilot(pilot), ActorRefs.NoSender!);

    public virtual TestProbe CreateTestProbe(string? name = null) => CreateTestProbe(Sys, name);

    public virtual TestProbe CreateTestProbe(ActorSystem system, string? name = null) => new(system, _assertions, name);

    public virtual TestBarrier CreateTestBarrier(int count) => new(this, count);

    public virtual TestLatch CreateTestLatch(int count = 1) => new(Dilated, count, _settings.DefaultTimeout);

    public virtual void Shutdown(TimeSpan? duration = null, bool verifySystemShutdown = false) => Shutdown(_system, duration, verifySystemShutdown);

    protected virtual void Shutdown(ActorSystem system, TimeSpan? duration = null, bool verifySystemShutdown = false)
    {
        system ??= _system;
        var limit = duration ?? TimeSpan.FromSeconds(10);
        if (!system.Terminate().Wait(limit) && verifySystemShutdown)
        {
            throw new TimeoutException($"Failed to stop [{system.Name}] within [{limit}]\n{((ExtendedActorSystem)system).PrintTree()}");
        }

        if (this is not INoImplicitSender)
        {
            ActorCell.Current = null;
        }
    }

    public IActorRef ActorOf(Props props) => Sys.ActorOf(props);

    public IActorRef ActorOf(Props props, string name) => Sys.ActorOf(props, name);

    public IActorRef ActorOf<TActor>()
        where TActor : ActorBase, new() => Sys.ActorOf(Props.Create<TActor>());

    public IActorRef ActorOf<TActor>(string name)
        where TActor : ActorBase, new() => Sys.ActorOf(Props.Create<TActor>(), name);

    public IActorRef ActorOf<TActor>(System.Linq.Expressions.Expression<Func<TActor>> factory)
        where TActor : ActorBase => Sys.ActorOf(Props.Create(factory));

    public IActorRef ActorOf<TActor>(System.Linq.Expressions.Expression<Func<TActor>> factory, string name)
        where TActor : ActorBase => Sys.ActorOf(Props.Create(factory), name);

    public TestActorRef<TActor> ActorOfAsTestActorRef<TActor>(Props props, string? name = null)
        where TActor : ActorBase => new(Sys, props, null, name);

    public TestActorRef<TActor> ActorOfAsTestActorRef<TActor>(Props props, IActorRef supervisor, string? name = null)
        where TActor : ActorBase => new(Sys, props, supervisor, name);

    public TestActorRef<TActor> ActorOfAsTestActorRef<TActor>(string? name = null)
        where TActor : ActorBase, new() => new(Sys, Props.Create<TActor>(), null, name);

    public TestActorRef<TActor> ActorOfAsTestActorRef<TActor>(IActorRef supervisor, string? name = null)
        where TActor : ActorBase, new() => new(Sys, Props.Create<TActor>(), supervisor, name);

    public TestActorRef<TActor> ActorOfAsTestActorRef<TActor>(System.Linq.Expressions.Expression<Func<TActor>> factory, string? name = null)
        where TActor : ActorBase => new(Sys, Props.Create(factory), null, name);

    public TestActorRef<TActor> ActorOfAsTestActorRef<TActor>(System.Linq.Expressions.Expression<Func<TActor>> factory, IActorRef supervisor, string? name = null)
        where TActor : ActorBase => new(Sys, Props.Create(factory), supervisor, name);
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
