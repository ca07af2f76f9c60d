using Akka.Dispatch;
using Akka.Util;

namespace Akka.Actor;

/// <summary>The tree of one system's references: the root, /user, /system, /temp and the dead letters.</summary>
internal sealed class ActorRefProvider : IActorRefProvider
{
    private readonly ActorSystemImpl _system;
    private readonly TaskCompletionSource _terminated = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _temp;

    public ActorRefProvider(ActorSystemImpl system)
    {
        _system = system;
        RootPath = new RootActorPath(new Address("akka", system.Name));
        DeadLetters = new EmptyLocalActorRef(system, RootPath / "deadLetters");
        IgnoreRef = new IgnoreActorRef(RootPath / "ignore");
    }

    public ActorPath RootPath { get; }

    public EmptyLocalActorRef DeadLetters { get; }

    public IgnoreActorRef IgnoreRef { get; }

    public RootRef Root { get; private set; } = null!;

    public LocalActorRef Guardian { get; private set; } = null!;

    public LocalActorRef SystemGuardian { get; private set; } = null!;

    public VirtualPathContainer TempContainer { get; private set; } = null!;

    public Task TerminationTask => _terminated.Task;

    public Settings Settings => _system.Settings;

    public Address DefaultAddress => RootPath.Address;

    IActorRef IActorRefProvider.DeadLetters => DeadLetters;

    IActorRef IActorRefProvider.IgnoreRef => IgnoreRef;

    public IActorRef RootGuardianAt(Address address) => address.Equals(RootPath.Address) ? Root : DeadLetters;

    public Address? GetExternalAddressFor(Address address) => address.Equals(RootPath.Address) ? address : null;

    public void Start()
    {
        var dispatcher = _system.Dispatchers.DefaultGlobalDispatcher;
        var mailbox = new UnboundedMailbox();
        var supervisor = new RootSupervisor(RootPath / "_bubble-walker", _terminated, _system);
        Root = new RootRef(_system, Props.CreateBy(new Producer<RootGuardian>(static () => new RootGuardian())), dispatcher, mailbox, supervisor, RootPath);
        TempContainer = new VirtualPathContainer(RootPath / "temp", Root);
        Root.Temp = TempContainer;
        Root.Start();
        var strategy = TypeResolver.BareName(_system.Settings.SupervisorStrategyClass) switch
        {
            "Akka.Actor.DefaultSupervisorStrategy" => SupervisorStrategy.DefaultStrategy,
            "Akka.Actor.StoppingSupervisorStrategy" => SupervisorStrategy.StoppingStrategy,
            var name => TypeResolver.Create<SupervisorStrategyConfigurator>(name, "akka.actor.guardian-supervisor-strategy").Create(),
        };
        Guardian = Root.Cell.CreateChild(Props.CreateBy(new Producer<UserGuardian>(static () => new UserGuardian())).WithSupervisorStrategy(strategy), "user", systemService: true);
        var guardian = Guardian;
        SystemGuardian = Root.Cell.CreateChild(Props.CreateBy(new Producer<SystemGuardianActor>(() => new SystemGuardianActor(guardian))), "system", systemService: true);
        Root.Tell(new WatchGuardians(Guardian, SystemGuardian), ActorRefs.NoSender!);
    }

    public ActorPath TempPath() => TempContainer.Path / ActorCell.RandomName(Interlocked.Increment(ref _temp) - 1);

    public IActorRef ResolveActorRef(string path) =>
        ActorPath.TryParse(path, out var parsed) ? ResolveActorRef(parsed) : DeadLetters;

    public IActorRef ResolveActorRef(ActorPath actorPath)
    {
        if (!actorPath.Address.Equals(RootPath.Address))
        {
            return DeadLetters;
        }

        if (actorPath.Elements is ["deadLetters"])
        {
            return DeadLetters;
        }

        IInternalActorRef current = Root;
        foreach (var element in actorPath.Elements)
        {
            if (current.GetChild(element) is not { } child)
            {
                return new EmptyLocalActorRef(_system, actorPath);
            }

            current = child;
        }

        return actorPath.Uid == 0 || actorPath.Uid == current.Path.Uid ? current : new EmptyLocalActorRef(_system, actorPath);
    }

    internal sealed record WatchGuardians(LocalActorRef User, LocalActorRef System);

    internal sealed class RootRef(ActorSystemImpl system, Props props, MessageDispatcher dispatcher, MailboxType mailbox, IInternalActorRef supervisor, ActorPath path)
        : LocalActorRef(system, props, dispatcher, mailbox, supervisor, path)
    {
        public VirtualPathContainer? Temp { get; set; }

        public override IInternalActorRef Parent => this;

        public override IInternalActorRef? GetChild(string name) => name == "temp" ? Temp : base.GetChild(name);
    }

    internal sealed class Producer<T>(Func<T> create) : IIndirectActorProducer
        where T : ActorBase
    {
        public Type ActorType => typeof(T);

        public ActorBase Produce() => create();

        public void Release(ActorBase actor)
        {
        }
    }

    // The root: when a guardian has ended, for whatever reason, the system ends.
    private sealed class RootGuardian : ActorBase
    {
        private IActorRef? _system;

        protected override SupervisorStrategy SupervisorStrategy() => new OneForOneStrategy(cause =>
        {
            Context.System.Log.Log(Event.LogLevel.ErrorLevel, cause, "guardian failed, shutting down system");
            return Directive.Stop;
        });

        protected override bool Receive(object message)
        {
            switch (message)
            {
                case WatchGuardians guardians:
                    _system = guardians.System;
                    Context.Watch(guardians.System);
                    return true;
                case Terminated terminated when terminated.ActorRef.Equals(_system):
                    Context.Stop(Self);
                    return true;
                default:
                    return false;
            }
        }
    }

    private sealed class UserGuardian : ActorBase
    {
        protected override bool Receive(object message)
        {
            Context.System.DeadLetters.Tell(new Event.DeadLetter(message, Sender, Self), Sender);
            return true;
        }
    }

    // The guardian of /system outlives /user, so that loggers hear of the end.
    private sealed class SystemGuardianActor(IActorRef user) : ActorBase
    {
        protected override void PreStart() => Context.Watch(user);

        protected override bool Receive(object message)
        {
            if (message is Terminated terminated && terminated.ActorRef.Equals(user))
            {
                ((ActorSystemImpl)Context.System).StopLoggers();
                Context.Stop(Self);
                return true;
            }

            Context.System.DeadLetters.Tell(new Event.DeadLetter(message, Sender, Self), Sender);
            return true;
        }

        protected override void PreRestart(Exception reason, object message)
        {
            // The services below survive a restart of their guardian.
        }
    }
}
