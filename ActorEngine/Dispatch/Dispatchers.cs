using Akka.Actor;
using Akka.Configuration;
using Akka.Util;

namespace Akka.Dispatch;

/// <summary>The dispatchers of a system, by the paths of their sections.</summary>
public sealed class Dispatchers
{
    /// <summary>The default dispatcher.</summary>
    public const string DefaultDispatcherId = "akka.actor.default-dispatcher";

    /// <summary>For work that blocks.</summary>
    public const string DefaultBlockingDispatcherId = "akka.actor.default-blocking-io-dispatcher";

    // Also what guards both. Plain collections: the concurrent ones cost a start the loading of their assembly.
    private readonly Dictionary<string, Func<MessageDispatcher>> _factories = [];
    private readonly List<MessageDispatcher> _created = [];
    private readonly ActorSystemImpl _system;

    internal Dispatchers(ActorSystemImpl system)
    {
        _system = system;
        DefaultGlobalDispatcher = Lookup(DefaultDispatcherId);
    }

    /// <summary>The default dispatcher.</summary>
    public MessageDispatcher DefaultGlobalDispatcher { get; }

    /// <summary>The section of the default dispatcher.</summary>
    public Config DefaultDispatcherConfig => _system.Settings.Config.GetConfig(DefaultDispatcherId);

    /// <summary>The dispatcher of a section. A pinned one is made anew at every call.</summary>
    /// <exception cref="ConfigurationException">There is no such section, or its type is unknown.</exception>
    public MessageDispatcher Lookup(string dispatcherName)
    {
        Func<MessageDispatcher>? factory;
        lock (_factories)
        {
            if (!_factories.TryGetValue(dispatcherName, out factory))
            {
                factory = CreateFactory(dispatcherName);
                _factories[dispatcherName] = factory;
            }
        }

        return factory();
    }

    /// <summary>Whether there is a section.</summary>
    public bool HasDispatcher(string id)
    {
        lock (_factories)
        {
            if (_factories.ContainsKey(id))
            {
                return true;
            }
        }

        return _system.Settings.Config.HasPath(id);
    }

    internal void ShutDown()
    {
        MessageDispatcher[] created;
        lock (_factories)
        {
            created = [.. _created];
        }

        foreach (var dispatcher in created)
        {
            dispatcher.ShutdownThreads();
        }
    }

    private Func<MessageDispatcher> CreateFactory(string id)
    {
        var section = _system.Settings.Config.GetConfig(id) ?? throw new ConfigurationException($"Dispatcher {id} not configured");
        section = section.WithFallback(_system.Settings.Config.GetConfig(DefaultDispatcherId));
        var type = section.GetString("type", "Dispatcher");
        var throughput = section.GetInt("throughput", MessageDispatcher.DefaultThroughput);
        var deadline = section.GetTimeSpan("throughput-deadline-time", TimeSpan.Zero);
        long? deadlineTicks = deadline > TimeSpan.Zero ? deadline.Ticks : null;
        switch (type)
        {
            case "PinnedDispatcher":
                return () => Remember(new PinnedThreadDispatcher(id, throughput, deadlineTicks, _system.EventStream));
            case "Dispatcher" or "TaskDispatcher":
                return Always(new ThreadPoolDispatcher(id, throughput, deadlineTicks, _system.EventStream));
            case "ForkJoinDispatcher":
                var threads = section.GetInt("dedicated-thread-pool.thread-count", Environment.ProcessorCount);
                return Always(Remember(new DedicatedThreadsDispatcher(id, throughput, deadlineTicks, _system.EventStream, threads)));
            default:
                return TypeResolver.Resolve(type, id + ".type") is { } found && typeof(DispatcherFactory).IsAssignableFrom(found)
                    ? TypeResolver.Create<DispatcherFactory>(type, id + ".type").Start(id, throughput, deadlineTicks, _system.EventStream)
                    : throw new ConfigurationException($"{id}.type: '{type}' is no dispatcher; known are Dispatcher, ForkJoinDispatcher and PinnedDispatcher");
        }
    }

    private static Func<MessageDispatcher> Always(MessageDispatcher dispatcher) => () => dispatcher;

    private MessageDispatcher Remember(MessageDispatcher dispatcher)
    {
        if (dispatcher is not PinnedThreadDispatcher)
        {
            lock (_factories)
            {
                _created.Add(dispatcher);
            }
        }

        return dispatcher;
    }
}

/// <summary>Makes dispatchers that the engine does not know, such as the TestKit's.</summary>
internal abstract class DispatcherFactory
{
    public abstract Func<MessageDispatcher> Start(string id, int throughput, long? deadline, Event.EventStream eventStream);
}
