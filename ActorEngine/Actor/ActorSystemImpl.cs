using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Globalization;
using System.Text;
using Akka.Configuration;
using Akka.Dispatch;
using Akka.Dispatch.SysMsg;
using Akka.Event;
using Akka.Util;

namespace Akka.Actor;

/// <summary>The one implementation of a system.</summary>
internal sealed class ActorSystemImpl : ExtendedActorSystem, ISystemBound
{
    // Made when they are needed: a start would wait for the loading of their assembly.
    private ConcurrentDictionary<Type, Lazy<object>>? _extensions;
    private ConcurrentStack<Action>? _onTermination;
    private readonly TaskCompletionSource _down = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Lazy<Serialization.Serialization> _serialization;
    private int _terminating;
    private bool _loggersStopped;

    public ActorSystemImpl(string name, Config config, Setup.ActorSystemSetup? setup = null)
    {
        if (!IsValidName(name))
        {
            throw new ArgumentException(
                $"Invalid ActorSystem name [{name}], must contain only word characters (i.e. [a-zA-Z0-9] plus non-leading '-' or '_')", nameof(name));
        }

        ArgumentNullException.ThrowIfNull(config);
        WorkerSlot.Prepare();
        Name = name;
        Settings = new Settings(this, config, setup ?? Setup.ActorSystemSetup.Empty);
        EventStream = new EventStream(Settings.DebugEventStream);
        EventStream.SetLogLevel(Logging.LogLevelFor(Settings.StdoutLogLevel));
        EventStream.SubscribeLogger(StandardOut, Logging.LogLevelFor(Settings.StdoutLogLevel));
        Log = new BusLogging(EventStream, $"ActorSystem({name})", typeof(ActorSystem), DefaultLogMessageFormatter.Instance);
        Scheduler = TypeResolver.BareName(Settings.SchedulerClass) switch
        {
            "Akka.Actor.HashedWheelTimerScheduler" => new ThreadScheduler(Settings.Config, Log, name + "-scheduler"),
            _ => TypeResolver.Create<IScheduler>(Settings.SchedulerClass, "akka.scheduler.implementation", Settings.Config, Log),
        };
        Mailboxes = new Mailboxes(this);
        Dispatchers = new Dispatchers(this);
        Provider = new ActorRefProvider(this);
        _serialization = new Lazy<Serialization.Serialization>(() => new Serialization.Serialization(this));
    }

    private StandardOutRef StandardOut { get; } = new();

    public override Settings Settings { get; }

    public override string Name { get; }

    public override Serialization.Serialization Serialization => _serialization.Value;

    public override EventStream EventStream { get; }

    public override IActorRef DeadLetters => Provider.DeadLetters;

    public override IActorRef IgnoreRef => Provider.IgnoreRef;

    public override Dispatchers Dispatchers { get; }

    public override Mailboxes Mailboxes { get; }

    public override IScheduler Scheduler { get; }

    public override ILoggingAdapter Log { get; }

    public override Task WhenTerminated => _down.Task;

    public override ActorRefProvider Provider { get; }

    ActorSystemImpl ISystemBound.System => this;

    public void Start()
    {
        Provider.Start();
        StartLoggers();
        if (Settings.LogDeadLetters > 0)
        {
            SystemActorOf(Props.CreateBy(new ActorRefProvider.Producer<DeadLetterListener>(static () => new DeadLetterListener())), "deadLetterListener");
        }

        foreach (var name in Settings.Config.GetStringList("akka.extensions"))
        {
            RegisterExtension(TypeResolver.Create<IExtensionId>(name, "akka.extensions"));
        }

        if (Settings.LogConfigOnStart)
        {
            Log.Log(LogLevel.InfoLevel, null, Settings.ToString());
        }
    }

    /// <summary>Creates the reference and the cell of an actor; does not start it.</summary>
    public LocalActorRef CreateRef(Props props, LocalActorRef parent, ActorPath path)
    {
        props = Deployed(props, path);
        MessageDispatcher dispatcher;
        try
        {
            dispatcher = Dispatchers.Lookup(props.Dispatcher);
        }
        catch (ConfigurationException e)
        {
            throw new ConfigurationException($"Configuration problem while creating [{path}] with router dispatcher [{props.Dispatcher}]: {e.Message}", e);
        }

        if (props.RouterConfig is not Routing.NoRouter)
        {
            var router = Props.CreateBy(new ActorRefProvider.Producer<Routing.RouterActor>(static () => new Routing.RouterActor()));
            return new Routing.RoutedActorRef(
                this,
                router,
                props.WithoutRouter(),
                props.RouterConfig,
                Dispatchers.Lookup(props.RouterConfig.RouterDispatcher),
                Mailboxes.Lookup(Dispatch.Mailboxes.DefaultMailboxId),
                parent,
                path);
        }

        return new LocalActorRef(this, props, dispatcher, Mailboxes.For(props), parent, path);
    }

    public override IActorRef ActorOf(Props props, string? name = null) => Provider.Guardian.Cell.CreateChild(props, name, systemService: false);

    public override IActorRef SystemActorOf(Props props, string? name = null) => Provider.SystemGuardian.Cell.CreateChild(props, name, systemService: true);

    public override IActorRef SystemActorOf<[DynamicallyAccessedMembers(Props.Constructors)] TActor>(string? name = null) => SystemActorOf(Props.Create<TActor>(), name);

    public override ActorSelection ActorSelection(ActorPath actorPath) => ActorSelectionFactory.FromPath(actorPath, this);

    public override ActorSelection ActorSelection(string actorPath) => ActorSelectionFactory.FromString(actorPath, this, Provider.Guardian);

    public override void Stop(IActorRef actor)
    {
        var parent = actor.Path.Parent;
        if (parent is not null && parent.Equals(Provider.Guardian.Path))
        {
            Provider.Guardian.Cell.Stop(actor);
        }
        else
        {
            ((IInternalActorRef)actor).Stop();
        }
    }

    public override void RegisterOnTermination(Action code)
    {
        if (_down.Task.IsCompleted)
        {
            throw new InvalidOperationException("ActorSystem already terminated.");
        }

        LazyInitializer.EnsureInitialized(ref _onTermination).Push(code);
    }

    public override Task Terminate()
    {
        if (Settings.CoordinatedShutdownRunByActorSystemTerminate && Volatile.Read(ref _terminating) == 0)
        {
            CoordinatedShutdown.Get(this).Run(CoordinatedShutdown.ActorSystemTerminateReason.Instance);
        }
        else
        {
            FinalTerminate();
        }

        return WhenTerminated;
    }

    /// <summary>Stops the tree; <see cref="WhenTerminated"/> ends when all is down.</summary>
    internal Task FinalTerminate()
    {
        if (Interlocked.Exchange(ref _terminating, 1) == 0)
        {
            Log.Log(LogLevel.DebugLevel, null, "System shutdown initiated");
            if (!Settings.LogDeadLettersDuringShutdown && Provider.SystemGuardian.GetChild("deadLetterListener") is { } listener)
            {
                listener.Stop();
            }

            Provider.Guardian.Stop();
        }

        return WhenTerminated;
    }

    public override void Abort() => FinalTerminate();

    /// <summary>The tree is down, asked for or by itself, when a guardian failed.</summary>
    internal void Finish()
    {
        (Scheduler as IDisposable)?.Dispose();
        Dispatchers.ShutDown();
        foreach (var extension in _extensions?.Values ?? [])
        {
            if (extension.IsValueCreated && extension.Value is IDisposable disposable)
            {
                disposable.Dispose();
            }
        }

        while (_onTermination is not null && _onTermination.TryPop(out var code))
        {
            try
            {
                code();
            }
            catch (Exception e)
            {
                Log.Log(LogLevel.ErrorLevel, e, "termination callback failed");
            }
        }

        _down.TrySetResult();
    }

    private void StartLoggers()
    {
        var level = Logging.LogLevelFor(Settings.LogLevel);
        var loggers = new List<IActorRef>();
        foreach (var name in Settings.Loggers)
        {
            var props = TypeResolver.BareName(name) switch
            {
                "Akka.Event.DefaultLogger" => Props.CreateBy(new ActorRefProvider.Producer<DefaultLogger>(static () => new DefaultLogger())),
                _ => CreateLoggerProps(name),
            };
            var logger = SystemActorOf(props.WithDispatcher(Settings.LoggersDispatcher), LoggerName(loggers.Count + 1, props.Type.Name));
            if (props.Type == typeof(DefaultLogger))
            {
                // It has nothing to prepare, so the start need not wait for a thread to run it.
                loggers.Add(logger);
                continue;
            }

            var answer = logger.Ask<LoggerInitialized>(new InitializeLogger(EventStream), Settings.LoggerStartTimeout);
            try
            {
                answer.GetAwaiter().GetResult();
            }
            catch (AskTimeoutException e)
            {
                throw new LoggerInitializationException($"Logger [{name}] did not respond within {Settings.LoggerStartTimeout} to InitializeLogger(bus)", e);
            }

            loggers.Add(logger);
        }

        EventStream.SetLoggers([.. loggers], level);
        if (loggers.Count > 0 || Settings.StdoutLogLevel != "OFF")
        {
            EventStream.Unsubscribe(StandardOut);
        }
    }

    // What stands behind an interpolated string costs a start half a millisecond, and a number's text a sixth of one.
    private static string LoggerName(int number, string type) =>
        string.Concat("log", number == 1 ? "1" : number.ToString(CultureInfo.InvariantCulture), "-", type);

    [UnconditionalSuppressMessage("Trimming", "IL2067", Justification = "A logger that is named in the configuration only is kept by who names it.")]
    [UnconditionalSuppressMessage("Trimming", "IL2072", Justification = "A logger that is named in the configuration only is kept by who names it.")]
    private static Props CreateLoggerProps(string name) => Props.Create(TypeResolver.Resolve(name, "akka.loggers"));

    internal void StopLoggers()
    {
        if (!_loggersStopped)
        {
            _loggersStopped = true;
            EventStream.SubscribeLogger(StandardOut, Logging.LogLevelFor(Settings.StdoutLogLevel));
            EventStream.SetLoggers([], Logging.LogLevelFor(Settings.StdoutLogLevel));
        }
    }

    /// <summary>A user message that reached nobody.</summary>
    public void DeadLetterUserMessage(object message, IActorRef? sender, IActorRef recipient)
    {
        switch (message)
        {
            case AllDeadLetters:
                // A subscriber to dead letters that is dead itself: to publish this would begin anew for ever.
                return;
            case Identify identify:
                sender?.Tell(new ActorIdentity(identify.MessageId, null), ActorRefs.NoSender!);
                return;
            case ActorSelectionMessage selection:
                if (selection.Message is Identify inner)
                {
                    if (!selection.WildCardFanOut)
                    {
                        sender?.Tell(new ActorIdentity(inner.MessageId, null), ActorRefs.NoSender!);
                    }

                    return;
                }

                message = selection.Message;
                break;
            default:
                break;
        }

        PublishDeadLetter(message, sender, recipient);
    }

    public void PublishDeadLetter(object message, IActorRef? sender, IActorRef recipient)
    {
        sender ??= DeadLetters;
        if (message is IDeadLetterSuppression suppressed)
        {
            EventStream.Publish(new SuppressedDeadLetter(suppressed, sender, recipient));
        }
        else
        {
            EventStream.Publish(new DeadLetter(message, sender, recipient));
        }
    }

    /// <summary>A system message to an actor that is gone. Whoever wants to watch it is told at once.</summary>
    public void DeadLetterSystemMessage(IActorRef recipient, SystemMessage message)
    {
        if (message is Watch watch && watch.Watchee.Equals(recipient) && !watch.Watcher.Equals(recipient))
        {
            watch.Watcher.SendSystemMessage(new DeathWatchNotification(watch.Watchee, existenceConfirmed: false, addressTerminated: false));
        }
    }

    public override object RegisterExtension(IExtensionId extension) =>
        LazyInitializer.EnsureInitialized(ref _extensions).GetOrAdd(extension.ExtensionType, _ => new Lazy<object>(() => extension.CreateExtension(this))).Value;

    public override object GetExtension(IExtensionId extensionId) => RegisterExtension(extensionId);

    public override T GetExtension<T>() => TryGetExtension(typeof(T), out var extension) ? (T)extension : null!;

    public override bool HasExtension(Type type) => _extensions is not null && _extensions.ContainsKey(type);

    public override bool HasExtension<T>() => HasExtension(typeof(T));

    public override bool TryGetExtension(Type extensionType, out object extension)
    {
        extension = _extensions is not null && _extensions.TryGetValue(extensionType, out var found) ? found.Value : null!;
        return extension is not null;
    }

    public override bool TryGetExtension<T>(out T extension)
    {
        var found = TryGetExtension(typeof(T), out var any);
        extension = (T)any;
        return found;
    }

    public override string PrintTree()
    {
        var text = new StringBuilder();
        Print(Provider.Root, "");
        return text.ToString();

        void Print(LocalActorRef actor, string indent)
        {
            text.Append(indent).Append("-> ").Append(actor.Path.Name.Length == 0 ? "/" : actor.Path.Name).Append(' ')
                .Append(actor.Cell.Actor?.GetType().Name ?? "null").Append(' ').Append(actor.Cell.Mailbox.Count).Append(" messages\n");
            foreach (var child in actor.Cell.GetChildren().OfType<LocalActorRef>())
            {
                Print(child, indent + "    ");
            }
        }
    }

    public override string ToString() => $"akka://{Name}";

    private Props Deployed(Props props, ActorPath path)
    {
        // Deployment by configuration concerns actors below /user only.
        if (!_hasDeployments.GetValueOrDefault() && _hasDeployments is not null)
        {
            return props;
        }

        var section = Settings.Config.GetConfig("akka.actor.deployment");
        if (_hasDeployments is null)
        {
            var any = false;
            foreach (var pair in section?.AsEnumerable() ?? [])
            {
                any |= pair.Key.StartsWith('/');
            }

            _hasDeployments = any;
        }

        return _hasDeployments.Value ? Deployer.Apply(section!, props, path) : props;
    }

    private bool? _hasDeployments;

    // Written out: a regular expression costs more of the start than all the rest of it.
    private static bool IsValidName(string name)
    {
        if (name.Length == 0 || !char.IsAsciiLetterOrDigit(name[0]))
        {
            return false;
        }

        foreach (var c in name)
        {
            if (!char.IsAsciiLetterOrDigit(c) && c is not '-' and not '_')
            {
                return false;
            }
        }

        return true;
    }
}
