using Akka.Actor;
using Akka.Configuration;

namespace Akka.Routing;

/// <summary>How a router spreads messages over its routees.</summary>
public abstract class RouterConfig : IEquatable<RouterConfig>
{
    private protected RouterConfig()
    {
    }

    private protected RouterConfig(string routerDispatcher) => RouterDispatcher = routerDispatcher;

    /// <summary>Who runs the router itself.</summary>
    public virtual string RouterDispatcher { get; } = Dispatch.Dispatchers.DefaultDispatcherId;

    /// <summary>Whether the router ends with its last routee.</summary>
    public virtual bool StopRouterWhenAllRouteesRemoved => true;

    /// <summary>The router without routees.</summary>
    public abstract Router CreateRouter(ActorSystem system);

    /// <summary>Whether a message is for the router itself.</summary>
    public virtual bool IsManagementMessage(object message) => message is IAutoReceivedMessage or RouterManagementMessage;

    /// <summary>This one, completed from another.</summary>
    public virtual RouterConfig WithFallback(RouterConfig routerConfig) => this;

    /// <inheritdoc/>
    public bool Equals(RouterConfig? other) => other is not null && (ReferenceEquals(this, other) || (GetType() == other.GetType() && SameAs(other)));

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is RouterConfig other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => GetType().GetHashCode();

    private protected virtual bool SameAs(RouterConfig other) => RouterDispatcher == other.RouterDispatcher;
}

/// <summary>No router.</summary>
public class NoRouter : RouterConfig
{
    private NoRouter()
    {
    }

    /// <summary>The only instance.</summary>
    public static NoRouter Instance { get; } = new();

    /// <inheritdoc/>
    /// <exception cref="NotSupportedException">Always.</exception>
    public override Router CreateRouter(ActorSystem system) => throw new NotSupportedException("NoRouter has no Router");

    /// <inheritdoc/>
    public override RouterConfig WithFallback(RouterConfig routerConfig) => routerConfig;
}

/// <summary>A router over actors that exist already, by their paths.</summary>
public abstract class Group : RouterConfig, IEquatable<Group>
{
    /// <summary>The paths.</summary>
    protected readonly string[] InternalPaths;

    private protected Group(IEnumerable<string> paths, string routerDispatcher)
        : base(routerDispatcher) => InternalPaths = [.. paths];

    /// <summary>The paths.</summary>
    public abstract IEnumerable<string> GetPaths(ActorSystem system);

    /// <summary>Props of a router of this kind.</summary>
    public Props Props() => Actor.Props.Empty.WithRouter(this);

    /// <inheritdoc/>
    public bool Equals(Group? other) => Equals((RouterConfig?)other);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is Group other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(GetType(), InternalPaths.Length);

    private protected override bool SameAs(RouterConfig other) => base.SameAs(other) && InternalPaths.SequenceEqual(((Group)other).InternalPaths);

    internal static IEnumerable<string> PathsOf(Config config) => config.GetStringList("routees.paths");
}

/// <summary>A router over children of its own.</summary>
public abstract class Pool : RouterConfig, IEquatable<Pool>
{
    private readonly bool _usePoolDispatcher;
    private readonly SupervisorStrategy _strategy;

    private protected Pool(int nrOfInstances, SupervisorStrategy? supervisorStrategy, string routerDispatcher, bool usePoolDispatcher)
        : base(routerDispatcher)
    {
        NrOfInstances = nrOfInstances;
        _strategy = supervisorStrategy ?? DefaultSupervisorStrategy;
        _usePoolDispatcher = usePoolDispatcher;
    }

    /// <summary>Escalates: a restart of the router restarts all routees.</summary>
    public static SupervisorStrategy DefaultSupervisorStrategy { get; } = new OneForOneStrategy(static _ => Directive.Escalate);

    /// <summary>How many children.</summary>
    public int NrOfInstances { get; }

    /// <summary>How failures of the children are treated.</summary>
    public virtual SupervisorStrategy SupervisorStrategy => _strategy;

    /// <summary>Whether the children run on a dispatcher of their own.</summary>
    public virtual bool UsePoolDispatcher => _usePoolDispatcher;

    /// <summary>How many children.</summary>
    public abstract int GetNrOfInstances(ActorSystem system);

    /// <summary>Props of a router of this kind over actors of the given props.</summary>
    public Props Props(Props routeeProps) => routeeProps.WithRouter(this);

    /// <inheritdoc/>
    public bool Equals(Pool? other) => Equals((RouterConfig?)other);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is Pool other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(GetType(), NrOfInstances);

    private protected override bool SameAs(RouterConfig other) => base.SameAs(other) && NrOfInstances == ((Pool)other).NrOfInstances;

    internal static int InstancesOf(Config config) => config.GetInt("nr-of-instances", 1);
}

/// <summary>Takes the router from the section of the actor's path in <c>akka.actor.deployment</c>.</summary>
public class FromConfig : Pool
{
    /// <summary>Creates one.</summary>
    public FromConfig()
        : base(0, null, Dispatch.Dispatchers.DefaultDispatcherId, false)
    {
    }

    /// <summary>The usual instance.</summary>
    public static FromConfig Instance { get; } = new();

    /// <summary>Props of a group whose paths are in the configuration.</summary>
    public Props Props() => Actor.Props.Empty.WithRouter(Instance);

    /// <inheritdoc/>
    /// <exception cref="NotSupportedException">Always: there was no section.</exception>
    public override Router CreateRouter(ActorSystem system) => throw new ConfigurationException("the router is to come from akka.actor.deployment, which has no section for the actor's path");

    /// <inheritdoc/>
    public override int GetNrOfInstances(ActorSystem sys) => 0;
}
