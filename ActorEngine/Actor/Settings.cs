using Akka.Configuration;

namespace Akka.Actor;

/// <summary>The settings of a system, read from its configuration.</summary>
public class Settings
{
    private Config _config;

    internal Settings(ActorSystem system, Config config, Setup.ActorSystemSetup setup)
    {
        System = system;
        Setup = setup;
        _config = config.SafeWithFallback(ConfigurationFactory.Default());
        var read = _config;
        LogLevel = read.GetString("akka.loglevel");
        StdoutLogLevel = read.GetString("akka.stdout-loglevel");
        Loggers = read.GetStringList("akka.loggers");
        LoggersDispatcher = read.GetString("akka.loggers-dispatcher");
        LoggerStartTimeout = read.GetTimeSpan("akka.logger-startup-timeout");
        LogConfigOnStart = read.GetBoolean("akka.log-config-on-start");
        LogDeadLetters = read.GetString("akka.log-dead-letters") switch
        {
            "on" or "true" or "yes" => int.MaxValue,
            "off" or "false" or "no" => 0,
            _ => read.GetInt("akka.log-dead-letters"),
        };
        LogDeadLettersDuringShutdown = read.GetBoolean("akka.log-dead-letters-during-shutdown");
        LogDeadLettersSuspendDuration = read.GetTimeSpan("akka.log-dead-letters-suspend-duration");
        AskTimeout = read.GetTimeSpan("akka.actor.ask-timeout", Timeout.InfiniteTimeSpan);
        CreationTimeout = read.GetTimeSpan("akka.actor.creation-timeout");
        UnstartedPushTimeout = read.GetTimeSpan("akka.actor.unstarted-push-timeout");
        SupervisorStrategyClass = read.GetString("akka.actor.guardian-supervisor-strategy");
        SerializeAllMessages = read.GetBoolean("akka.actor.serialize-messages");
        SchedulerClass = read.GetString("akka.scheduler.implementation");
        SchedulerShutdownTimeout = read.GetTimeSpan("akka.scheduler.shutdown-timeout");
        CoordinatedShutdownTerminateActorSystem = read.GetBoolean("akka.coordinated-shutdown.terminate-actor-system");
        CoordinatedShutdownRunByActorSystemTerminate = read.GetBoolean("akka.coordinated-shutdown.run-by-actor-system-terminate");
        DefaultVirtualNodesFactor = read.GetInt("akka.actor.deployment.default.virtual-nodes-factor");
        Home = read.GetString("akka.home", "");
        var debug = read.GetConfig("akka.actor.debug");
        AddLoggingReceive = debug.GetBoolean("receive");
        DebugAutoReceive = debug.GetBoolean("autoreceive");
        DebugLifecycle = debug.GetBoolean("lifecycle");
        FsmDebugEvent = debug.GetBoolean("fsm");
        DebugEventStream = debug.GetBoolean("event-stream");
        DebugUnhandledMessage = debug.GetBoolean("unhandled");
        DebugRouterMisconfiguration = debug.GetBoolean("router-misconfiguration");
    }

    /// <summary>The system.</summary>
    public ActorSystem System { get; }

    /// <summary>The whole configuration.</summary>
    public Config Config => _config;

    /// <summary>The set-up that the system was created from.</summary>
    public Setup.ActorSystemSetup Setup { get; }

    /// <summary>The lowest level that is logged.</summary>
    public string LogLevel { get; }

    /// <summary>The lowest level that is logged before the loggers are there.</summary>
    public string StdoutLogLevel { get; }

    /// <summary>The types of the loggers.</summary>
    public IList<string> Loggers { get; }

    /// <summary>Who runs the loggers.</summary>
    public string LoggersDispatcher { get; }

    /// <summary>How long a logger may take to start.</summary>
    public TimeSpan LoggerStartTimeout { get; }

    /// <summary>Whether the configuration is logged at the start.</summary>
    public bool LogConfigOnStart { get; }

    /// <summary>How many dead letters are logged.</summary>
    public int LogDeadLetters { get; }

    /// <summary>Whether dead letters are logged while the system stops.</summary>
    public bool LogDeadLettersDuringShutdown { get; }

    /// <summary>For how long dead letters are not logged once the number is reached.</summary>
    public TimeSpan LogDeadLettersSuspendDuration { get; }

    /// <summary>How long an ask without a time-out waits.</summary>
    public TimeSpan AskTimeout { get; }

    /// <summary>How long a creation may take.</summary>
    public TimeSpan CreationTimeout { get; }

    /// <summary>How long a send to an actor that is not started may take.</summary>
    public TimeSpan UnstartedPushTimeout { get; }

    /// <summary>What makes the strategy of the user guardian.</summary>
    public string SupervisorStrategyClass { get; }

    /// <summary>Whether every message is serialised and back, for checking.</summary>
    public bool SerializeAllMessages { get; }

    /// <summary>The type of the scheduler.</summary>
    public string SchedulerClass { get; }

    /// <summary>How long the scheduler may take to stop.</summary>
    public TimeSpan SchedulerShutdownTimeout { get; }

    /// <summary>Whether coordinated shutdown ends with the system's end.</summary>
    public bool CoordinatedShutdownTerminateActorSystem { get; }

    /// <summary>Whether the system's end runs coordinated shutdown.</summary>
    public bool CoordinatedShutdownRunByActorSystemTerminate { get; }

    /// <summary>How many points a routee has on the ring of consistent hashing.</summary>
    public int DefaultVirtualNodesFactor { get; }

    /// <summary>The home directory, if any.</summary>
    public string Home { get; }

    /// <summary>Whether <see cref="ILogReceive"/> has effect.</summary>
    public bool AddLoggingReceive { get; }

    /// <summary>Whether messages are logged that the engine handles.</summary>
    public bool DebugAutoReceive { get; }

    /// <summary>Whether the steps of actors' lives are logged.</summary>
    public bool DebugLifecycle { get; }

    /// <summary>Whether the steps of state machines are logged.</summary>
    public bool FsmDebugEvent { get; }

    /// <summary>Whether subscriptions are logged.</summary>
    public bool DebugEventStream { get; }

    /// <summary>Whether unhandled messages are logged.</summary>
    public bool DebugUnhandledMessage { get; }

    /// <summary>Whether routers that make no sense are logged.</summary>
    public bool DebugRouterMisconfiguration { get; }

    /// <summary>Completes the configuration further.</summary>
    public void InjectTopLevelFallback(Config config) => _config = _config.WithFallback(config);

    /// <inheritdoc/>
    public override string ToString() => _config.ToString(true);
}
