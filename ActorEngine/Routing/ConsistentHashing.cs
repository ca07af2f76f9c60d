using System.Globalization;
using System.Text;
using Akka.Actor;
using Akka.Configuration;
using Akka.Event;

namespace Akka.Routing;

/// <summary>A message that knows the key by which it is routed.</summary>
public interface IConsistentHashable
{
    /// <summary>The key.</summary>
    object ConsistentHashKey { get; }
}

/// <summary>The key of a message; null when it has none.</summary>
public delegate object ConsistentHashMapping(object msg);

/// <summary>A message with a key around it.</summary>
public sealed class ConsistentHashableEnvelope : RouterEnvelope, IConsistentHashable
{
    /// <summary>Creates one.</summary>
    public ConsistentHashableEnvelope(object message, object hashKey)
        : base(message) => HashKey = hashKey;

    /// <summary>The key.</summary>
    public object HashKey { get; }

    /// <inheritdoc/>
    public object ConsistentHashKey => HashKey;
}

/// <summary>The routee that the key's place on a ring belongs to: the same one for the same key, as long as the routees stay the same.</summary>
public sealed class ConsistentHashingRoutingLogic : RoutingLogic
{
    private readonly ActorSystem _system;
    private readonly int _virtualNodes;
    private readonly ConsistentHashMapping? _mapping;
    private Ring? _ring;

    /// <summary>Creates one.</summary>
    public ConsistentHashingRoutingLogic(ActorSystem system)
        : this(system, 0, null!)
    {
    }

    /// <summary>Creates one with so many points per routee (0 for the default) and a mapping.</summary>
    public ConsistentHashingRoutingLogic(ActorSystem system, int virtualNodesFactor, ConsistentHashMapping hashMapping)
    {
        _system = system;
        _virtualNodes = virtualNodesFactor > 0 ? virtualNodesFactor : system.Settings.DefaultVirtualNodesFactor;
        _mapping = hashMapping;
    }

    /// <summary>With another mapping.</summary>
    public ConsistentHashingRoutingLogic WithHashMapping(ConsistentHashMapping mapping) => new(_system, _virtualNodes, mapping ?? throw new ArgumentNullException(nameof(mapping)));

    /// <inheritdoc/>
    public override Routee Select(object message, Routee[] routees)
    {
        if (routees.Length == 0)
        {
            return Routee.NoRoutee;
        }

        var key = _mapping?.Invoke(message) ?? (message as IConsistentHashable)?.ConsistentHashKey;
        if (key is null)
        {
            _system.EventStream.Publish(new Warning(
                nameof(ConsistentHashingRoutingLogic), GetType(), $"Message [{message.GetType().Name}] must be handled by hashMapping, or implement [IConsistentHashable] or be wrapped in [ConsistentHashableEnvelope]"));
            return Routee.NoRoutee;
        }

        var ring = Volatile.Read(ref _ring);
        if (ring is null || !ReferenceEquals(ring.Routees, routees))
        {
            ring = new Ring(routees, _virtualNodes);
            Volatile.Write(ref _ring, ring);
        }

        return ring.At(KeyBytes(key));
    }

    private static byte[] KeyBytes(object key) => key switch
    {
        byte[] bytes => bytes,
        IFormattable value => Encoding.UTF8.GetBytes(value.ToString(null, CultureInfo.InvariantCulture)),
        _ => Encoding.UTF8.GetBytes(key.ToString() ?? ""),
    };

    private sealed class Ring
    {
        private readonly uint[] _points;
        private readonly Routee[] _owners;

        public Ring(Routee[] routees, int virtualNodes)
        {
            Routees = routees;
            var nodes = new List<(uint Point, Routee Owner)>();
            foreach (var routee in routees)
            {
                var name = routee switch
                {
                    ActorRefRoutee actor => actor.Actor.Path.ToStringWithoutAddress(),
                    ActorSelectionRoutee selection => selection.Selection.PathString,
                    _ => routee.ToString() ?? "",
                };
                for (var i = 0; i < virtualNodes; i++)
                {
                    nodes.Add((Hash(Encoding.UTF8.GetBytes(string.Create(CultureInfo.InvariantCulture, $"{name}/{i}"))), routee));
                }
            }

            nodes.Sort(static (a, b) => a.Point.CompareTo(b.Point));
            _points = [.. nodes.Select(node => node.Point)];
            _owners = [.. nodes.Select(node => node.Owner)];
        }

        public Routee[] Routees { get; }

        public Routee At(byte[] key)
        {
            var index = Array.BinarySearch(_points, Hash(key));
            index = index < 0 ? ~index : index;
            return _owners[index == _owners.Length ? 0 : index];
        }

        // FNV-1a with a final mix, so that keys that differ in their end lie far apart.
        private static uint Hash(ReadOnlySpan<byte> bytes)
        {
            var hash = 2166136261u;
            foreach (var each in bytes)
            {
                hash = (hash ^ each) * 16777619u;
            }

            hash ^= hash >> 16;
            hash *= 0x85ebca6b;
            hash ^= hash >> 13;
            hash *= 0xc2b2ae35;
            return hash ^ (hash >> 16);
        }
    }
}

/// <summary>By the key of the message. Over children.</summary>
public sealed class ConsistentHashingPool : Pool
{
    private readonly ConsistentHashMapping? _mapping;

    /// <summary>From a section.</summary>
    public ConsistentHashingPool(Config config)
        : this(InstancesOf(config), null, Dispatch.Dispatchers.DefaultDispatcherId, false, config.GetInt("virtual-nodes-factor"), null)
    {
    }

    /// <summary>With so many children.</summary>
    public ConsistentHashingPool(int nrOfInstances)
        : this(nrOfInstances, null, Dispatch.Dispatchers.DefaultDispatcherId, false, 0, null)
    {
    }

    /// <summary>With so many children and a mapping.</summary>
    public ConsistentHashingPool(int nrOfInstances, ConsistentHashMapping hashMapping)
        : this(nrOfInstances, null, Dispatch.Dispatchers.DefaultDispatcherId, false, 0, hashMapping)
    {
    }

    private ConsistentHashingPool(int nrOfInstances, SupervisorStrategy? strategy, string dispatcher, bool usePoolDispatcher, int virtualNodes, ConsistentHashMapping? mapping)
        : base(nrOfInstances, strategy, dispatcher, usePoolDispatcher)
    {
        VirtualNodesFactor = virtualNodes;
        _mapping = mapping;
    }

    /// <summary>How many points a routee has on the ring; 0 for the default.</summary>
    public int VirtualNodesFactor { get; }

    /// <inheritdoc/>
    public override Router CreateRouter(ActorSystem system) => new(new ConsistentHashingRoutingLogic(system, VirtualNodesFactor, _mapping!));

    /// <inheritdoc/>
    public override int GetNrOfInstances(ActorSystem system) => NrOfInstances;

    /// <summary>With another number of points.</summary>
    public ConsistentHashingPool WithVirtualNodesFactor(int vnodes) => new(NrOfInstances, SupervisorStrategy, RouterDispatcher, UsePoolDispatcher, vnodes, _mapping);

    /// <summary>With a mapping.</summary>
    public ConsistentHashingPool WithHashMapping(ConsistentHashMapping mapping) => new(NrOfInstances, SupervisorStrategy, RouterDispatcher, UsePoolDispatcher, VirtualNodesFactor, mapping);

    /// <summary>With a strategy for the children.</summary>
    public ConsistentHashingPool WithSupervisorStrategy(SupervisorStrategy strategy) => new(NrOfInstances, strategy, RouterDispatcher, UsePoolDispatcher, VirtualNodesFactor, _mapping);

    /// <summary>With a dispatcher for the router.</summary>
    public ConsistentHashingPool WithDispatcher(string dispatcher) => new(NrOfInstances, SupervisorStrategy, dispatcher, UsePoolDispatcher, VirtualNodesFactor, _mapping);
}

/// <summary>By the key of the message. Over actors at paths.</summary>
public sealed class ConsistentHashingGroup : Group
{
    private readonly ConsistentHashMapping? _mapping;

    /// <summary>From a section.</summary>
    public ConsistentHashingGroup(Config config)
        : this(PathsOf(config), config.GetInt("virtual-nodes-factor"), null!, Dispatch.Dispatchers.DefaultDispatcherId)
    {
    }

    /// <summary>Over paths.</summary>
    public ConsistentHashingGroup(params string[] paths)
        : this(paths, 0, null!, Dispatch.Dispatchers.DefaultDispatcherId)
    {
    }

    /// <summary>Over paths.</summary>
    public ConsistentHashingGroup(IEnumerable<string> paths)
        : this(paths, 0, null!, Dispatch.Dispatchers.DefaultDispatcherId)
    {
    }

    /// <summary>Over paths, with a mapping.</summary>
    public ConsistentHashingGroup(IEnumerable<string> paths, ConsistentHashMapping hashMapping)
        : this(paths, 0, hashMapping, Dispatch.Dispatchers.DefaultDispatcherId)
    {
    }

    /// <summary>Over paths, with all there is.</summary>
    public ConsistentHashingGroup(IEnumerable<string> paths, int virtualNodesFactor, ConsistentHashMapping hashMapping, string routerDispatcher)
        : base(paths, routerDispatcher)
    {
        VirtualNodesFactor = virtualNodesFactor;
        _mapping = hashMapping;
    }

    /// <summary>How many points a routee has on the ring; 0 for the default.</summary>
    public int VirtualNodesFactor { get; }

    /// <inheritdoc/>
    public override IEnumerable<string> GetPaths(ActorSystem system) => InternalPaths;

    /// <inheritdoc/>
    public override Router CreateRouter(ActorSystem system) => new(new ConsistentHashingRoutingLogic(system, VirtualNodesFactor, _mapping!));

    /// <summary>With another number of points.</summary>
    public ConsistentHashingGroup WithVirtualNodesFactor(int vnodes) => new(InternalPaths, vnodes, _mapping!, RouterDispatcher);

    /// <summary>With a mapping.</summary>
    public ConsistentHashingGroup WithHashMapping(ConsistentHashMapping mapping) => new(InternalPaths, VirtualNodesFactor, mapping, RouterDispatcher);

    /// <summary>With a dispatcher for the router.</summary>
    public ConsistentHashingGroup WithDispatcher(string dispatcher) => new(InternalPaths, VirtualNodesFactor, _mapping!, dispatcher);
}
