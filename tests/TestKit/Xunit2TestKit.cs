using Akka.Actor;
using Akka.Actor.Setup;
using Akka.Configuration;
using Akka.Event;
using Xunit.Abstractions;

namespace Akka.TestKit.Xunit2;

/// <summary>Base of a test class: a system per test, with a test actor as the implicit sender.</summary>
public class TestKit : TestKitBase, IDisposable
{
    private static readonly ITestKitAssertions SharedAssertions = new XunitAssertions();
    private bool _disposed;

    public TestKit(ActorSystem? system = null, ITestOutputHelper? output = null)
        : base(SharedAssertions, system)
    {
        Output = output!;
        InitializeLogger(Sys);
    }

    public TestKit(ITestOutputHelper output)
        : this((ActorSystem?)null, output)
    {
    }

    public TestKit(ActorSystemSetup config, string? actorSystemName = null, ITestOutputHelper? output = null)
        : base(SharedAssertions, config, actorSystemName)
    {
        Output = output!;
        InitializeLogger(Sys);
    }

    public TestKit(Config config, string? actorSystemName = null, ITestOutputHelper? output = null)
        : base(SharedAssertions, config, actorSystemName)
    {
        Output = output!;
        InitializeLogger(Sys);
    }

    public TestKit(string config, ITestOutputHelper? output = null)
        : this(ConfigurationFactory.ParseString(config), null, output)
    {
    }

    public static new Config DefaultConfig => TestKitBase.DefaultConfig;

    public static new Config FullDebugConfig => TestKitBase.FullDebugConfig;

    protected static XunitAssertions Assertions { get; } = new();

    protected ITestOutputHelper Output { get; }

    protected void InitializeLogger(ActorSystem system)
    {
        if (Output is null)
        {
            return;
        }

        var logger = ((ExtendedActorSystem)system).SystemActorOf(Props.Create(() => new Internals.TestOutputLogger(Output)), "log-test");
        logger.Ask<LoggerInitialized>(new InitializeLogger(system.EventStream), TestKitSettings.TestEventFilterLeeway).GetAwaiter().GetResult();
    }

    protected virtual void AfterAll() => Shutdown();

    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    protected virtual void Dispose(bool disposing)
    {
        if (!_disposed)
        {
            _disposed = true;
            AfterAll();
        }
    }
}
