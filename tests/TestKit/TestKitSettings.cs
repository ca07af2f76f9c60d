using Akka.Actor;
using Akka.Configuration;

namespace Akka.TestKit;

/// <summary>The TestKit's settings, below <c>akka.test</c>.</summary>
public class TestKitSettings : IExtension
{
    public TestKitSettings(Config config)
    {
        DefaultTimeout = config.GetTimeSpan("akka.test.default-timeout", null, false);
        SingleExpectDefault = config.GetTimeSpan("akka.test.single-expect-default", null, false);
        ExpectNoMessageDefault = config.GetTimeSpan("akka.test.expect-no-message-default", null, false);
        TestEventFilterLeeway = config.GetTimeSpan("akka.test.filter-leeway", null, false);
        TestKitStartupTimeout = config.GetTimeSpan("akka.test.testkit.startup-timeout", null, false);
        TestTimeFactor = config.GetDouble("akka.test.timefactor");
        LogTestKitCalls = config.GetBoolean("akka.test.testkit.debug");
        if (TestTimeFactor <= 0)
        {
            throw new ConfigurationException("akka.test.timefactor must be positive");
        }
    }

    public TimeSpan DefaultTimeout { get; }

    public TimeSpan SingleExpectDefault { get; }

    public TimeSpan ExpectNoMessageDefault { get; }

    public TimeSpan TestEventFilterLeeway { get; }

    public TimeSpan TestKitStartupTimeout { get; }

    public double TestTimeFactor { get; }

    public bool LogTestKitCalls { get; }
}

/// <summary>Gives a system its <see cref="TestKitSettings"/>.</summary>
public class TestKitExtension : ExtensionIdProvider<TestKitSettings>
{
    public override TestKitSettings CreateExtension(ExtendedActorSystem system) => new(system.Settings.Config);

    public static TestKitSettings For(ActorSystem system) => system.GetExtension<TestKitSettings>() ?? (TestKitSettings)system.RegisterExtension(new TestKitExtension());
}

/// <summary>What the TestKit reads where the test sets nothing else.</summary>
internal static class TestKitDefaults
{
    public static readonly Config Config = ConfigurationFactory.ParseString(
        """
        akka {
          loggers = ["Akka.TestKit.TestEventListener, Akka.TestKit"]
          suppress-json-serializer-warning = true
          test {
            timefactor = 1.0
            filter-leeway = 3s
            single-expect-default = 3s
            expect-no-message-default = 100ms
            default-timeout = 5s
            testkit { debug = false, startup-timeout = 5s }
            calling-thread-dispatcher {
              type = "Akka.TestKit.CallingThreadDispatcherConfigurator, Akka.TestKit"
              throughput = 2147483647
            }
            test-actor.dispatcher {
              type = "Akka.TestKit.CallingThreadDispatcherConfigurator, Akka.TestKit"
              throughput = 2147483647
            }
          }
        }
        """);
}
