using Akka.Configuration;
using Akka.Routing;

namespace Akka.Actor;

/// <summary>Where an actor lives.</summary>
public abstract class Scope : IEquatable<Scope>
{
    /// <summary>In this process.</summary>
    public static readonly LocalScope Local = LocalScope.Instance;

    /// <summary>A scope completed from another.</summary>
    public abstract Scope WithFallback(Scope other);

    /// <summary>A copy.</summary>
    public abstract Scope Copy();

    /// <inheritdoc/>
    public virtual bool Equals(Scope? other) => ReferenceEquals(this, other);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is Scope other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => GetType().GetHashCode();
}

/// <summary>In this process.</summary>
public class LocalScope : Scope
{
    private LocalScope()
    {
    }

    /// <summary>The only instance.</summary>
    public static LocalScope Instance { get; } = new();

    /// <inheritdoc/>
    public override Scope WithFallback(Scope other) => this;

    /// <inheritdoc/>
    public override Scope Copy() => this;
}

/// <summary>Where and on what an actor runs. Immutable.</summary>
public class Deploy : IEquatable<Deploy>
{
    /// <summary>Stands for no limit of the stash.</summary>
    public const int NoStashSize = -1;

    /// <summary>Stands for no dispatcher.</summary>
    public static readonly string NoDispatcherGiven = string.Empty;

    /// <summary>Stands for no mailbox.</summary>
    public static readonly string NoMailboxGiven = string.Empty;

    /// <summary>In this process, with defaults.</summary>
    public static readonly Deploy Local = new(Scope.Local);

    /// <summary>Nothing set.</summary>
    public static readonly Deploy None = new();

    /// <summary>Nothing set.</summary>
    public Deploy()
        : this(string.Empty, Config.Empty, NoRouter.Instance, Scope.Local, NoDispatcherGiven, NoMailboxGiven, NoStashSize)
    {
    }

    /// <summary>With a scope.</summary>
    public Deploy(Scope scope)
        : this(string.Empty, Config.Empty, NoRouter.Instance, scope, NoDispatcherGiven, NoMailboxGiven, NoStashSize)
    {
    }

    /// <summary>With a router.</summary>
    public Deploy(RouterConfig routerConfig)
        : this(string.Empty, Config.Empty, routerConfig, Scope.Local, NoDispatcherGiven, NoMailboxGiven, NoStashSize)
    {
    }

    /// <summary>For a path, with a scope.</summary>
    public Deploy(string path, Scope scope)
        : this(path, Config.Empty, NoRouter.Instance, scope, NoDispatcherGiven, NoMailboxGiven, NoStashSize)
    {
    }

    /// <summary>With a router and a scope.</summary>
    public Deploy(RouterConfig routerConfig, Scope scope)
        : this(string.Empty, Config.Empty, routerConfig, scope, NoDispatcherGiven, NoMailboxGiven, NoStashSize)
    {
    }

    /// <summary>With all there is but a mailbox and a limit of the stash.</summary>
    public Deploy(string path, Config config, RouterConfig routerConfig, Scope scope, string dispatcher)
        : this(path, config, routerConfig, scope, dispatcher, NoMailboxGiven, NoStashSize)
    {
    }

    /// <summary>With all there is but a limit of the stash.</summary>
    public Deploy(string path, Config config, RouterConfig routerConfig, Scope scope, string dispatcher, string mailbox)
        : this(path, config, routerConfig, scope, dispatcher, mailbox, NoStashSize)
    {
    }

    /// <summary>With all there is.</summary>
    public Deploy(string path, Config config, RouterConfig routerConfig, Scope scope, string dispatcher, string mailbox, int stashCapacity)
    {
        Path = path;
        Config = config;
        RouterConfig = routerConfig;
        Scope = scope;
        Dispatcher = dispatcher;
        Mailbox = mailbox;
        StashCapacity = stashCapacity;
    }

    /// <summary>The path that the section is for.</summary>
    public string Path { get; }

    /// <summary>The section.</summary>
    public Config Config { get; }

    /// <summary>The router.</summary>
    public RouterConfig RouterConfig { get; }

    /// <summary>The scope.</summary>
    public Scope Scope { get; }

    /// <summary>The dispatcher's section, or <see cref="NoDispatcherGiven"/>.</summary>
    public string Dispatcher { get; }

    /// <summary>The mailbox's section, or <see cref="NoMailboxGiven"/>.</summary>
    public string Mailbox { get; }

    /// <summary>How many messages can be stashed, or <see cref="NoStashSize"/>.</summary>
    public int StashCapacity { get; }

    /// <summary>A deployment completed from another.</summary>
    public virtual Deploy WithFallback(Deploy other) => new(
        Path,
        Config.Equals(other.Config) ? Config : Config.WithFallback(other.Config),
        RouterConfig.WithFallback(other.RouterConfig),
        Scope.WithFallback(other.Scope),
        Dispatcher == NoDispatcherGiven ? other.Dispatcher : Dispatcher,
        Mailbox == NoMailboxGiven ? other.Mailbox : Mailbox,
        StashCapacity == NoStashSize ? other.StashCapacity : StashCapacity);

    /// <summary>With another scope.</summary>
    public virtual Deploy WithScope(Scope scope) => new(Path, Config, RouterConfig, scope, Dispatcher, Mailbox, StashCapacity);

    /// <summary>With another dispatcher.</summary>
    public virtual Deploy WithDispatcher(string dispatcher) => new(Path, Config, RouterConfig, Scope, dispatcher, Mailbox, StashCapacity);

    /// <summary>With another mailbox.</summary>
    public virtual Deploy WithMailbox(string mailbox) => new(Path, Config, RouterConfig, Scope, Dispatcher, mailbox, StashCapacity);

    /// <summary>With another router.</summary>
    public virtual Deploy WithRouterConfig(RouterConfig routerConfig) => new(Path, Config, routerConfig, Scope, Dispatcher, Mailbox, StashCapacity);

    /// <summary>With another limit of the stash.</summary>
    public virtual Deploy WithStashCapacity(int stashSize) => new(Path, Config, RouterConfig, Scope, Dispatcher, Mailbox, stashSize);

    /// <inheritdoc/>
    public bool Equals(Deploy? other) =>
        other is not null && Path == other.Path && Dispatcher == other.Dispatcher && Mailbox == other.Mailbox && StashCapacity == other.StashCapacity &&
        RouterConfig.Equals(other.RouterConfig) && Scope.Equals(other.Scope);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is Deploy other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Path, Dispatcher, Mailbox);
}
