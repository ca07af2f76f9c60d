using Akka.Configuration;
using Akka.Dispatch;
using Akka.Event;

namespace Akka.Actor;

/// <summary>A tree of actors and what they share: dispatchers, scheduler, event stream, configuration.</summary>
public abstract class ActorSystem : IActorRefFactory, IDisposable
{
    private protected ActorSystem()
    {
    }

    /// <summary>The settings.</summary>
    public abstract Settings Settings { get; }

    /// <summary>The name.</summary>
    public abstract string Name { get; }

    /// <summary>Turns objects into bytes and back.</summary>
    public abstract Serialization.Serialization Serialization { get; }

    /// <summary>The bus for events.</summary>
    public abstract EventStream EventStream { get; }

    /// <summary>Gets what reaches nobody.</summary>
    public abstract IActorRef DeadLetters { get; }

    /// <summary>Takes messages without a trace.</summary>
    public abstract IActorRef IgnoreRef { get; }

    /// <summary>The dispatchers.</summary>
    public abstract Dispatchers Dispatchers { get; }

    /// <summary>The mailboxes.</summary>
    public abstract Mailboxes Mailboxes { get; }

    /// <summary>Does things later.</summary>
    public abstract IScheduler Scheduler { get; }

    /// <summary>The system's own log.</summary>
    public abstract ILoggingAdapter Log { get; }

    /// <summary>Ends when the system is down.</summary>
    public abstract Task WhenTerminated { get; }

    /// <summary>When the system was created, on the monotonic clock.</summary>
    public TimeSpan StartTime { get; } = global::System.Diagnostics.Stopwatch.GetElapsedTime(0);

    /// <summary>For how long the system has been up.</summary>
    public TimeSpan Uptime => global::System.Diagnostics.Stopwatch.GetElapsedTime(0) - StartTime;

    /// <summary>Creates a system with the defaults.</summary>
    public static ActorSystem Create(string name) => Create(name, Config.Empty);

    /// <summary>Creates a system.</summary>
    /// <param name="name">Letters, digits, - and _, not beginning with the last two.</param>
    /// <param name="config">Completed from the engine's defaults.</param>
    /// <exception cref="ArgumentException">The name is not allowed.</exception>
    public static ActorSystem Create(string name, Config config)
    {
        var system = new ActorSystemImpl(name, config);
        system.Start();
        return system;
    }

    /// <summary>Creates a system.</summary>
    public static ActorSystem Create(string name, BootstrapSetup setup) => Create(name, setup.Config.GetOrElse(Config.Empty));

    /// <summary>Creates a system.</summary>
    public static ActorSystem Create(string name, Setup.ActorSystemSetup setup)
    {
        var system = new ActorSystemImpl(name, setup.Get<BootstrapSetup>().Select(bootstrap => bootstrap.Config.GetOrElse(Config.Empty)).GetOrElse(Config.Empty), setup);
        system.Start();
        return system;
    }

    /// <inheritdoc/>
    public abstract IActorRef ActorOf(Props props, string? name = null);

    /// <inheritdoc/>
    public abstract ActorSelection ActorSelection(ActorPath actorPath);

    /// <inheritdoc/>
    public abstract ActorSelection ActorSelection(string actorPath);

    /// <summary>The extension; made if need be.</summary>
    public abstract object GetExtension(IExtensionId extensionId);

    /// <summary>The extension of a type; null when it was not registered.</summary>
    public abstract T GetExtension<T>()
        where T : class, IExtension;

    /// <summary>Whether an extension of a type was registered.</summary>
    public abstract bool HasExtension(Type type);

    /// <summary>Whether an extension of a type was registered.</summary>
    public abstract bool HasExtension<T>()
        where T : class, IExtension;

    /// <summary>The extension of a type; false when it was not registered.</summary>
    public abstract bool TryGetExtension(Type extensionType, out object extension);

    /// <summary>The extension of a type; false when it was not registered.</summary>
    public abstract bool TryGetExtension<T>(out T extension)
        where T : class, IExtension;

    /// <summary>Registers an extension; the one that is there already comes back.</summary>
    public abstract object RegisterExtension(IExtensionId extension);

    /// <summary>Has a delegate run when the system is down; the last registered first.</summary>
    public abstract void RegisterOnTermination(Action code);

    /// <summary>Stops the system: all its actors, then all the rest. The task ends when it is down.</summary>
    public abstract Task Terminate();

    /// <summary>Stops an actor after the message it is handling.</summary>
    public abstract void Stop(IActorRef actor);

    /// <summary>Stops the system and waits for its end.</summary>
    public void Dispose()
    {
        if (!WhenTerminated.IsCompleted)
        {
            Terminate().GetAwaiter().GetResult();
        }

        GC.SuppressFinalize(this);
    }
}

/// <summary>What extensions see of a system.</summary>
public abstract class ExtendedActorSystem : ActorSystem
{
    private protected ExtendedActorSystem()
    {
    }

    /// <summary>Finds and names references.</summary>
    public abstract IActorRefProvider Provider { get; }

    /// <summary>Creates an actor below /system.</summary>
    public abstract IActorRef SystemActorOf(Props props, string? name = null);

    /// <summary>Creates an actor below /system.</summary>
    public abstract IActorRef SystemActorOf<[global::System.Diagnostics.CodeAnalysis.DynamicallyAccessedMembers(Props.Constructors)] TActor>(string? name = null)
        where TActor : ActorBase, new();

    /// <summary>Stops at once, without regard for coordinated shutdown.</summary>
    public abstract void Abort();

    /// <summary>The tree of actors as text, for who looks for a defect.</summary>
    public abstract string PrintTree();
}
