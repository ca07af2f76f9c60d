using System.Collections.Concurrent;
using System.Runtime.Serialization;
using Akka.Actor;
using Akka.Util;

namespace Akka.Serialization;

/// <summary>The serializers of a system, by the types they are bound to in <c>akka.actor.serialization-bindings</c>. What is bound to none is refused.</summary>
public class Serialization
{
    private readonly Dictionary<string, Serializer> _byName = [];
    private readonly ConcurrentDictionary<int, Serializer> _byId = new();
    private readonly ConcurrentDictionary<Type, Serializer> _bindings = new();
    private readonly ConcurrentDictionary<Type, Serializer> _found = new();
    private readonly NullSerializer _null;

    /// <summary>Reads the bindings.</summary>
    /// <exception cref="Configuration.ConfigurationException">A type or a serializer does not exist.</exception>
    public Serialization(ExtendedActorSystem system)
    {
        System = system;
        _null = new NullSerializer(system);
        _byId[_null.Identifier] = _null;
        var primitives = new PrimitiveSerializer(system);
        _byId[primitives.Identifier] = primitives;
        foreach (var type in new[] { typeof(string), typeof(int), typeof(long), typeof(bool) })
        {
            _bindings[type] = primitives;
        }

        var config = system.Settings.Config;
        foreach (var (name, value) in config.GetConfig("akka.actor.serializers")?.AsEnumerable() ?? [])
        {
            var type = value.GetString()!;
            AddSerializer(name, type.Split(',')[0] == "Akka.Serialization.ByteArraySerializer"
                ? new ByteArraySerializer(system)
                : TypeResolver.Create<Serializer>(type, $"akka.actor.serializers.{name}", system));
        }

        foreach (var (typeName, value) in config.GetConfig("akka.actor.serialization-bindings")?.AsEnumerable() ?? [])
        {
            var path = $"akka.actor.serialization-bindings.\"{typeName}\"";
            var serializer = _byName.GetValueOrDefault(value.GetString()!) ??
                throw new Configuration.ConfigurationException($"{path}: there is no serializer '{value.GetString()}'");
            AddSerializationMap(typeName == "System.Byte[]" ? typeof(byte[]) : TypeResolver.Resolve(typeName, path), serializer);
        }
    }

    /// <summary>The system.</summary>
    public ExtendedActorSystem System { get; }

    /// <summary>Adds a serializer.</summary>
    public void AddSerializer(string name, Serializer serializer)
    {
        _byName[name] = serializer;
        if (!_byId.TryAdd(serializer.Identifier, serializer) && _byId[serializer.Identifier].GetType() != serializer.GetType())
        {
            throw new Configuration.ConfigurationException($"{serializer.GetType()} and {_byId[serializer.Identifier].GetType()} have the same identifier {serializer.Identifier}");
        }
    }

    /// <summary>Binds a type, and all that is assignable to it, to a serializer.</summary>
    public void AddSerializationMap(Type type, Serializer serializer)
    {
        _bindings[type] = serializer;
        _found.Clear();
    }

    /// <summary>Turns an object into bytes.</summary>
    public byte[] Serialize(object o) => FindSerializerFor(o).ToBinary(o);

    /// <summary>Turns bytes into an object.</summary>
    /// <exception cref="SerializationException">There is no such serializer.</exception>
    public object Deserialize(byte[] bytes, int serializerId, Type type) => ById(serializerId).FromBinary(bytes, type);

    /// <summary>Turns bytes into an object.</summary>
    /// <exception cref="SerializationException">There is no such serializer.</exception>
    public object Deserialize(byte[] bytes, int serializerId, string manifest)
    {
        var serializer = ById(serializerId);
        return serializer is SerializerWithStringManifest byManifest
            ? byManifest.FromBinary(bytes, manifest)
            : serializer.FromBinary(bytes, string.IsNullOrEmpty(manifest) ? null! : TypeOf(manifest, serializerId));
    }

    /// <summary>The serializer for an object.</summary>
    /// <exception cref="SerializationException">Its type is bound to none.</exception>
    public Serializer FindSerializerFor(object obj, string? defaultSerializerName = null) => obj is null ? _null : FindSerializerForType(obj.GetType(), defaultSerializerName);

    /// <summary>The serializer for a type: that of the binding that fits it best.</summary>
    /// <exception cref="SerializationException">It is bound to none.</exception>
    public Serializer FindSerializerForType(Type objectType, string? defaultSerializerName = null)
    {
        if (_found.TryGetValue(objectType, out var known))
        {
            return known;
        }

        var type = objectType;
        Serializer? best = null;
        Type? bestType = null;
        foreach (var (bound, serializer) in _bindings)
        {
            if (bound.IsAssignableFrom(type) && (bestType is null || bestType.IsAssignableFrom(bound)))
            {
                best = serializer;
                bestType = bound;
            }
        }

        best ??= defaultSerializerName is null ? null : _byName.GetValueOrDefault(defaultSerializerName);
        return best is null
            ? throw new SerializationException($"Serializer not found for type {objectType}: bind it in akka.actor.serialization-bindings")
            : _found[objectType] = best;
    }

    /// <summary>What a serializer says of an object; empty when it says nothing.</summary>
    public static string ManifestFor(Serializer s, object msg) => s is SerializerWithStringManifest byManifest
        ? byManifest.Manifest(msg)
        : s.IncludeManifest ? $"{msg.GetType().FullName}, {msg.GetType().Assembly.GetName().Name}" : string.Empty;

    /// <summary>The reference of a path that was serialised.</summary>
    public IActorRef DeserializeActorRef(string path) => System.Provider.ResolveActorRef(path);

    /// <summary>The path of a reference as it is serialised.</summary>
    public static string SerializedActorPath(IActorRef actorRef) => actorRef is null ? string.Empty : actorRef.Path.ToSerializationFormat();

    private Serializer ById(int id) =>
        _byId.GetValueOrDefault(id) ?? throw new SerializationException($"Cannot find serializer with id [{id}]. The most probable reason is that the configuration entry 'akka.actor.serializers' is not in sync.");

    // Only bound types are ever made from what is read.
    private Type TypeOf(string manifest, int serializerId)
    {
        var bare = manifest.Split(',')[0].Trim();
        return _bindings.Keys.FirstOrDefault(type => type.FullName == bare) ??
            throw new SerializationException($"Cannot find manifest class [{manifest}] for serializer with id [{serializerId}]: it is not bound in akka.actor.serialization-bindings");
    }
}
