using Akka.Actor;
using Akka.Configuration;

namespace Akka.Routing;

/// <summary>Routers from the configuration.</summary>
internal static class RouterFactory
{
    public static Props Apply(Config section, Props props)
    {
        RouterConfig? router = section.GetString("router", "from-code") switch
        {
            "from-code" or "" => null,
            "round-robin-pool" => new RoundRobinPool(section),
            "round-robin-group" => new RoundRobinGroup(section),
            "broadcast-pool" => new BroadcastPool(section),
            "broadcast-group" => new BroadcastGroup(section),
            "random-pool" => new RandomPool(section),
            "random-group" => new RandomGroup(section),
            "consistent-hashing-pool" => new ConsistentHashingPool(section),
            "consistent-hashing-group" => new ConsistentHashingGroup(section),
            var name => throw new ConfigurationException($"router '{name}' is not known"),
        };
        return router is null || props.RouterConfig is NoRouter ? props : props.WithRouter(router);
    }
}
