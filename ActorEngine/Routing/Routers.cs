using Akka.Actor;
using Akka.Configuration;

namespace Akka.Routing;

/// <summary>The routees in turn. Over children.</summary>
public sealed class RoundRobinPool : Pool
{
    /// <summary>From a section.</summary>
    public RoundRobinPool(Config config)
        : this(InstancesOf(config))
    {
    }

    /// <summary>With so many children.</summary>
    public RoundRobinPool(int nrOfInstances)
        : this(nrOfInstances, null, Dispatch.Dispatchers.DefaultDispatcherId, false)
    {
    }

    private RoundRobinPool(int nrOfInstances, SupervisorStrategy? strategy, string dispatcher, bool usePoolDispatcher)
        : base(nrOfInstances, strategy, dispatcher, usePoolDispatcher)
    {
    }

    /// <inheritdoc/>
    public override Router CreateRouter(ActorSystem system) => new(new RoundRobinRoutingLogic());

    /// <inheritdoc/>
    public override int GetNrOfInstances(ActorSystem sys) => NrOfInstances;

    /// <summary>With a strategy for the children.</summary>
    public RoundRobinPool WithSupervisorStrategy(SupervisorStrategy strategy) => new(NrOfInstances, strategy, RouterDispatcher, UsePoolDispatcher);

    /// <summary>With a dispatcher for the router.</summary>
    public RoundRobinPool WithDispatcher(string dispatcher) => new(NrOfInstances, SupervisorStrategy, dispatcher, UsePoolDispatcher);
}

/// <summary>The routees in turn. Over actors at paths.</summary>
public sealed class RoundRobinGroup : Group
{
    /// <summary>From a section.</summary>
    public RoundRobinGroup(Config config)
        : this(PathsOf(config))
    {
    }

    /// <summary>Over paths.</summary>
    public RoundRobinGroup(params string[] paths)
        : this(paths, Dispatch.Dispatchers.DefaultDispatcherId)
    {
    }

    /// <summary>Over paths.</summary>
    public RoundRobinGroup(IEnumerable<string> paths)
        : this(paths, Dispatch.Dispatchers.DefaultDispatcherId)
    {
    }

    /// <summary>Over paths, with a dispatcher for the router.</summary>
    public RoundRobinGroup(IEnumerable<string> paths, string routerDispatcher)
        : base(paths, routerDispatcher)
    {
    }

    /// <inheritdoc/>
    public override IEnumerable<string> GetPaths(ActorSystem system) => InternalPaths;

    /// <inheritdoc/>
    public override Router CreateRouter(ActorSystem system) => new(new RoundRobinRoutingLogic());

    /// <summary>With a dispatcher for the router.</summary>
    public Group WithDispatcher(string dispatcherId) => new RoundRobinGroup(InternalPaths, dispatcherId);
}

/// <summary>All routees. Over children.</summary>
public sealed class BroadcastPool : Pool
{
    /// <summary>From a section.</summary>
    public BroadcastPool(Config config)
        : this(InstancesOf(config))
    {
    }

    /// <summary>With so many children.</summary>
    public BroadcastPool(int nrOfInstances)
        : this(nrOfInstances, null, Dispatch.Dispatchers.DefaultDispatcherId, false)
    {
    }

    private BroadcastPool(int nrOfInstances, SupervisorStrategy? strategy, string dispatcher, bool usePoolDispatcher)
        : base(nrOfInstances, strategy, dispatcher, usePoolDispatcher)
    {
    }

    /// <inheritdoc/>
    public override Router CreateRouter(ActorSystem system) => new(new BroadcastRoutingLogic());

    /// <inheritdoc/>
    public override int GetNrOfInstances(ActorSystem system) => NrOfInstances;

    /// <summary>With a strategy for the children.</summary>
    public BroadcastPool WithSupervisorStrategy(SupervisorStrategy strategy) => new(NrOfInstances, strategy, RouterDispatcher, UsePoolDispatcher);

    /// <summary>With a dispatcher for the router.</summary>
    public BroadcastPool WithDispatcher(string dispatcher) => new(NrOfInstances, SupervisorStrategy, dispatcher, UsePoolDispatcher);
}

/// <summary>All routees. Over actors at paths.</summary>
public sealed class BroadcastGroup : Group
{
    /// <summary>From a section.</summary>
    public BroadcastGroup(Config config)
        : this(PathsOf(config))
    {
    }

    /// <summary>Over paths.</summary>
    public BroadcastGroup(params string[] paths)
        : this(paths, Dispatch.Dispatchers.DefaultDispatcherId)
    {
    }

    /// <summary>Over paths.</summary>
    public BroadcastGroup(IEnumerable<string> paths)
        : this(paths, Dispatch.Dispatchers.DefaultDispatcherId)
    {
    }

    /// <summary>Over paths, with a dispatcher for the router.</summary>
    public BroadcastGroup(IEnumerable<string> paths, string routerDispatcher)
        : base(paths, routerDispatcher)
    {
    }

    /// <inheritdoc/>
    public override IEnumerable<string> GetPaths(ActorSystem system) => InternalPaths;

    /// <inheritdoc/>
    public override Router CreateRouter(ActorSystem system) => new(new BroadcastRoutingLogic());

    /// <summary>With a dispatcher for the router.</summary>
    public Group WithDispatcher(string dispatcher) => new BroadcastGroup(InternalPaths, dispatcher);
}

/// <summary>A routee by chance. Over children.</summary>
public sealed class RandomPool : Pool
{
    /// <summary>From a section.</summary>
    public RandomPool(Config config)
        : this(InstancesOf(config))
    {
    }

    /// <summary>With so many children.</summary>
    public RandomPool(int nrOfInstances)
        : this(nrOfInstances, null, Dispatch.Dispatchers.DefaultDispatcherId, false)
    {
    }

    private RandomPool(int nrOfInstances, SupervisorStrategy? strategy, string dispatcher, bool usePoolDispatcher)
        : base(nrOfInstances, strategy, dispatcher, usePoolDispatcher)
    {
    }

    /// <inheritdoc/>
    public override Router CreateRouter(ActorSystem system) => new(new RandomLogic());

    /// <inheritdoc/>
    public override int GetNrOfInstances(ActorSystem system) => NrOfInstances;

    /// <summary>With a strategy for the children.</summary>
    public RandomPool WithSupervisorStrategy(SupervisorStrategy strategy) => new(NrOfInstances, strategy, RouterDispatcher, UsePoolDispatcher);

    /// <summary>With a dispatcher for the router.</summary>
    public RandomPool WithDispatcher(string dispatcher) => new(NrOfInstances, SupervisorStrategy, dispatcher, UsePoolDispatcher);
}

/// <summary>A routee by chance. Over actors at paths.</summary>
public sealed class RandomGroup : Group
{
    /// <summary>From a section.</summary>
    public RandomGroup(Config config)
        : this(PathsOf(config))
    {
    }

    /// <summary>Over paths.</summary>
    public RandomGroup(params string[] paths)
        : this(paths, Dispatch.Dispatchers.DefaultDispatcherId)
    {
    }

    /// <summary>Over paths.</summary>
    public RandomGroup(IEnumerable<string> paths)
        : this(paths, Dispatch.Dispatchers.DefaultDispatcherId)
    {
    }

    /// <summary>Over paths, with a dispatcher for the router.</summary>
    public RandomGroup(IEnumerable<string> paths, string routerDispatcher)
        : base(paths, routerDispatcher)
    {
    }

    /// <inheritdoc/>
    public override IEnumerable<string> GetPaths(ActorSystem system) => InternalPaths;

    /// <inheritdoc/>
    public override Router CreateRouter(ActorSystem system) => new(new RandomLogic());

    /// <summary>With a dispatcher for the router.</summary>
    public RandomGroup WithDispatcher(string dispatcher) => new RandomGroup(InternalPaths, dispatcher);
}

/// <summary>The routees in turn.</summary>
public sealed class RoundRobinRoutingLogic : RoutingLogic
{
    private int _next;

    /// <summary>Begins with the first.</summary>
    public RoundRobinRoutingLogic()
        : this(-1)
    {
    }

    /// <summary>Begins after a number.</summary>
    public RoundRobinRoutingLogic(int next) => _next = next;

    /// <inheritdoc/>
    public override Routee Select(object message, Routee[] routees) =>
        routees.Length == 0 ? Routee.NoRoutee : routees[(Interlocked.Increment(ref _next) & int.MaxValue) % routees.Length];
}

/// <summary>All routees.</summary>
public sealed class BroadcastRoutingLogic : RoutingLogic
{
    /// <inheritdoc/>
    public override Routee Select(object message, Routee[] routees) => routees.Length == 0 ? Routee.NoRoutee : new SeveralRoutees(routees);
}

/// <summary>A routee by chance.</summary>
public sealed class RandomLogic : RoutingLogic
{
    /// <inheritdoc/>
    public override Routee Select(object message, Routee[] routees) => routees.Length == 0 ? Routee.NoRoutee : routees[Random.Shared.Next(routees.Length)];
}
