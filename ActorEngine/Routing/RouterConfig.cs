using Akka.Actor;

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
    public override RouterConfig WithFallback(RouterConfig routerConfig) => routerConfig;
}
