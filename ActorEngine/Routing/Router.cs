using Akka.Actor;
using Akka.Event;

namespace Akka.Routing;

/// <summary>A message about a router itself.</summary>
public abstract class RouterManagementMessage
{
    private protected RouterManagementMessage()
    {
    }
}

/// <summary>Asks for the routees.</summary>
public sealed class GetRoutees : RouterManagementMessage
{
    /// <summary>The usual instance.</summary>
    public static GetRoutees Instance { get; } = new();
}

/// <summary>The answer to <see cref="GetRoutees"/>.</summary>
public sealed class Routees
{
    /// <summary>Creates one.</summary>
    public Routees(IEnumerable<Routee> routees) => Members = [.. routees];

    /// <summary>The routees.</summary>
    public IEnumerable<Routee> Members { get; }
}

/// <summary>Adds a routee.</summary>
public sealed class AddRoutee : RouterManagementMessage
{
    /// <summary>Creates one.</summary>
    public AddRoutee(Routee routee) => Routee = routee;

    /// <summary>The routee.</summary>
    public Routee Routee { get; }
}

/// <summary>Removes a routee; one of a pool is stopped.</summary>
public sealed class RemoveRoutee : RouterManagementMessage
{
    /// <summary>Creates one.</summary>
    public RemoveRoutee(Routee routee) => Routee = routee;

    /// <summary>The routee.</summary>
    public Routee Routee { get; }
}

/// <summary>Adds children to a pool, or takes some away.</summary>
public sealed class AdjustPoolSize : RouterManagementMessage
{
    /// <summary>Creates one.</summary>
    public AdjustPoolSize(int change) => Change = change;

    /// <summary>How many; negative to take away.</summary>
    public int Change { get; }
}

/// <summary>A message for routees in a wrapper for the router.</summary>
public class RouterEnvelope
{
    /// <summary>Creates one.</summary>
    public RouterEnvelope(object message) => Message = message;

    /// <summary>The message.</summary>
    public object Message { get; }
}

/// <summary>A message for all routees, whatever the router.</summary>
public class Broadcast : RouterEnvelope
{
    /// <summary>Creates one.</summary>
    public Broadcast(object message)
        : base(message)
    {
    }
}

/// <summary>Someone that a router sends to.</summary>
public class Routee
{
    /// <summary>Nobody.</summary>
    public static readonly Routee NoRoutee = new();

    /// <summary>Sends.</summary>
    public virtual void Send(object message, IActorRef sender)
    {
    }

    /// <summary>An actor as a routee.</summary>
    public static Routee FromActorRef(IActorRef actorRef) => new ActorRefRoutee(actorRef);
}

/// <summary>An actor.</summary>
public class ActorRefRoutee : Routee
{
    /// <summary>Creates one.</summary>
    public ActorRefRoutee(IActorRef actor) => Actor = actor;

    /// <summary>The actor.</summary>
    public IActorRef Actor { get; }

    /// <inheritdoc/>
    public override void Send(object message, IActorRef sender) => Actor.Tell(message, sender);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is ActorRefRoutee other && Equals(Actor, other.Actor);

    /// <inheritdoc/>
    public override int GetHashCode() => Actor.GetHashCode();
}

/// <summary>The actors at a path.</summary>
public class ActorSelectionRoutee : Routee
{
    /// <summary>Creates one.</summary>
    public ActorSelectionRoutee(ActorSelection actor) => Selection = actor;

    /// <summary>The selection.</summary>
    public ActorSelection Selection { get; }

    /// <inheritdoc/>
    public override void Send(object message, IActorRef sender) => Selection.Tell(message, sender);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is ActorSelectionRoutee other && Equals(Selection, other.Selection);

    /// <inheritdoc/>
    public override int GetHashCode() => Selection.GetHashCode();
}

/// <summary>Several at once.</summary>
public class SeveralRoutees : Routee
{
    private readonly Routee[] _routees;

    /// <summary>Creates one.</summary>
    public SeveralRoutees(Routee[] routees) => _routees = routees;

    /// <inheritdoc/>
    public override void Send(object message, IActorRef sender)
    {
        foreach (var routee in _routees)
        {
            routee.Send(message, sender);
        }
    }
}

/// <summary>Chooses among routees. Called from many threads.</summary>
public abstract class RoutingLogic : INoSerializationVerificationNeeded
{
    /// <summary>The choice for a message.</summary>
    public abstract Routee Select(object message, Routee[] routees);
}

/// <summary>A choice and what it chooses from. Immutable.</summary>
public class Router
{
    private readonly Routee[] _routees;

    /// <summary>Creates one.</summary>
    public Router(RoutingLogic logic, params Routee[] routees)
    {
        RoutingLogic = logic;
        _routees = routees;
    }

    /// <summary>The choice.</summary>
    public RoutingLogic RoutingLogic { get; }

    /// <summary>What it chooses from.</summary>
    public IEnumerable<Routee> Routees => _routees;

    /// <summary>Sends a message on.</summary>
    public virtual void Route(object message, IActorRef sender)
    {
        if (message is Broadcast broadcast)
        {
            new SeveralRoutees(_routees).Send(broadcast.Message, sender);
        }
        else
        {
            Send(RoutingLogic.Select(message, _routees) ?? Routee.NoRoutee, message, sender);
        }
    }

    /// <summary>Sends a message to a routee.</summary>
    protected virtual void Send(Routee routee, object message, IActorRef sender) => routee.Send(UnWrap(message), sender);

    /// <summary>The message in its wrapper.</summary>
    protected object UnWrap(object message) => message is RouterEnvelope envelope ? envelope.Message : message;

    /// <summary>With other routees.</summary>
    public virtual Router WithRoutees(params Routee[] routees) => new(RoutingLogic, routees);

    /// <summary>With a routee more.</summary>
    public virtual Router AddRoutee(Routee routee) => new(RoutingLogic, [.. _routees, routee]);

    /// <summary>With a routee more.</summary>
    public Router AddRoutee(IActorRef routee) => AddRoutee(new ActorRefRoutee(routee));

    /// <summary>With a routee less.</summary>
    public virtual Router RemoveRoutee(Routee routee) => new(RoutingLogic, [.. _routees.Where(other => !other.Equals(routee))]);

    /// <summary>With a routee less.</summary>
    public Router RemoveRoutee(IActorRef routee) => RemoveRoutee(new ActorRefRoutee(routee));
}

/// <summary>The reference of a router: messages are sent on by the thread of the sender, only what is about the router itself goes to its mailbox.</summary>
internal sealed class RoutedActorRef(
    ActorSystemImpl system, Props routerProps, Props routeeProps, RouterConfig config, Dispatch.MessageDispatcher dispatcher, Dispatch.MailboxType mailbox, IInternalActorRef parent, ActorPath path)
    : LocalActorRef(system, routerProps, dispatcher, mailbox, parent, path)
{
    private readonly ActorSystemImpl _system = system;
    private Router? _router;

    public Router Router
    {
        get => Volatile.Read(ref _router)!;
        set => Volatile.Write(ref _router, value);
    }

    public RouterConfig Config => config;

    /// <summary>Creates the routees, before anybody can send.</summary>
    public void Initialize()
    {
        var router = config.CreateRouter(_system);
        Router = config switch
        {
            Pool pool => router.WithRoutees([.. Enumerable.Range(0, pool.GetNrOfInstances(_system)).Select(_ => NewRoutee())]),
            Group group => router.WithRoutees([.. group.GetPaths(_system).Select(each => (Routee)new ActorSelectionRoutee(ActorSelectionFactory.FromString(each, _system, this)))]),
            _ => router,
        };
    }

    public Routee NewRoutee() => new ActorRefRoutee(Cell.CreateChild(routeeProps, null, systemService: false));

    protected override void TellInternal(object message, IActorRef? sender)
    {
        if (config.IsManagementMessage(message) || IsTerminated)
        {
            base.TellInternal(message, sender);
        }
        else
        {
            Router.Route(message, sender!);
        }
    }
}

/// <summary>The actor behind a router: keeps the list of routees.</summary>
internal sealed class RouterActor : UntypedActor
{
    private readonly RoutedActorRef _self = (RoutedActorRef)Context.Self;

    protected override SupervisorStrategy SupervisorStrategy() => _self.Config is Pool pool ? pool.SupervisorStrategy : base.SupervisorStrategy();

    protected override void PreStart() => WatchAll();

    protected override void PreRestart(Exception reason, object message)
    {
        // The routees stay; the engine restarts them with their router.
    }

    protected override void PostRestart(Exception reason) => WatchAll();

    protected override void OnReceive(object message)
    {
        switch (message)
        {
            case GetRoutees:
                Sender.Tell(new Routees(_self.Router.Routees));
                break;
            case AddRoutee add:
                Add(add.Routee);
                break;
            case RemoveRoutee remove:
                Remove(remove.Routee, stop: true);
                break;
            case AdjustPoolSize { Change: > 0 } grow when _self.Config is Pool:
                for (var i = 0; i < grow.Change; i++)
                {
                    Add(_self.NewRoutee());
                }

                break;
            case AdjustPoolSize { Change: < 0 } shrink when _self.Config is Pool:
                foreach (var routee in _self.Router.Routees.TakeLast(-shrink.Change).ToArray())
                {
                    Remove(routee, stop: true);
                }

                break;
            case Terminated terminated:
                Remove(new ActorRefRoutee(terminated.ActorRef), stop: false);
                break;
            case AdjustPoolSize:
                break;
            default:
                Unhandled(message);
                break;
        }
    }

    private void WatchAll()
    {
        foreach (var routee in _self.Router.Routees.OfType<ActorRefRoutee>())
        {
            Context.Watch(routee.Actor);
        }
    }

    private void Add(Routee routee)
    {
        if (routee is ActorRefRoutee actor)
        {
            Context.Watch(actor.Actor);
        }

        _self.Router = _self.Router.AddRoutee(routee);
    }

    private void Remove(Routee routee, bool stop)
    {
        _self.Router = _self.Router.RemoveRoutee(routee);
        if (routee is ActorRefRoutee actor && stop)
        {
            Context.Unwatch(actor.Actor);
            if (_self.Config is Pool)
            {
                // What it has in its mailbox is handled first.
                actor.Actor.Tell(PoisonPill.Instance);
            }
        }

        if (_self.Config.StopRouterWhenAllRouteesRemoved && !_self.Router.Routees.Any())
        {
            Context.Stop(Self);
        }
    }
}
