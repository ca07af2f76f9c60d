using Akka.Actor;

namespace Akka.Serialization;

/// <summary>Turns objects into bytes and back. One named in the configuration needs this constructor's parameter.</summary>
public abstract class Serializer
{
    /// <summary>The system.</summary>
    protected readonly ExtendedActorSystem system;

    private int? _identifier;

    /// <summary>Creates one.</summary>
    protected Serializer(ExtendedActorSystem system) => this.system = system;

    /// <summary>Tells this serializer from others in what is stored; from <c>akka.actor.serialization-identifiers</c> unless overridden.</summary>
    public virtual int Identifier => _identifier ??= SerializerIdentifiers.FromConfig(GetType(), system);

    /// <summary>Whether it needs to know what the bytes are.</summary>
    public abstract bool IncludeManifest { get; }

    /// <summary>Turns an object into bytes.</summary>
    public abstract byte[] ToBinary(object obj);

#nullable disable annotations
    /// <summary>Turns bytes into an object.</summary>
    public abstract object FromBinary(byte[] bytes, Type type);
#nullable restore annotations

    /// <summary>Turns bytes into an object of a type.</summary>
    public T FromBinary<T>(byte[] bytes) => (T)FromBinary(bytes, typeof(T));
}

/// <summary>A serializer that says by a text of its own what the bytes are, so that types can be renamed and only what it knows is ever made.</summary>
public abstract class SerializerWithStringManifest : Serializer
{
    /// <summary>Creates one.</summary>
    protected SerializerWithStringManifest(ExtendedActorSystem system)
        : base(system)
    {
    }

    /// <inheritdoc/>
    public sealed override bool IncludeManifest => true;

#nullable disable annotations
    /// <inheritdoc/>
    public sealed override object FromBinary(byte[] bytes, Type type) => FromBinary(bytes, type.AssemblyQualifiedName!);

    /// <summary>Turns bytes into an object.</summary>
    /// <param name="bytes">The bytes.</param>
    /// <param name="manifest">What <see cref="Manifest"/> said.</param>
    public abstract object FromBinary(byte[] bytes, string manifest);

    /// <summary>What the bytes of an object are.</summary>
    public abstract string Manifest(object o);
#nullable restore annotations
}

/// <summary>Bytes as they are.</summary>
public class ByteArraySerializer : Serializer
{
    /// <summary>Creates one.</summary>
    public ByteArraySerializer(ExtendedActorSystem system)
        : base(system)
    {
    }

    /// <inheritdoc/>
    public override bool IncludeManifest => false;

    /// <inheritdoc/>
    /// <exception cref="NotSupportedException">The object is no byte array.</exception>
    public override byte[] ToBinary(object obj) => obj switch
    {
        null => null!,
        byte[] bytes => bytes,
        _ => throw new NotSupportedException("The object to convert is not a byte array."),
    };

#nullable disable annotations
    /// <inheritdoc/>
    public override object FromBinary(byte[] bytes, Type type) => bytes;
#nullable restore annotations
}

/// <summary>Nothing.</summary>
public class NullSerializer : Serializer
{
    /// <summary>Creates one.</summary>
    public NullSerializer(ExtendedActorSystem system)
        : base(system)
    {
    }

    /// <inheritdoc/>
    public override int Identifier => 0;

    /// <inheritdoc/>
    public override bool IncludeManifest => false;

    /// <inheritdoc/>
    public override byte[] ToBinary(object obj) => [];

#nullable disable annotations
    /// <inheritdoc/>
    public override object FromBinary(byte[] bytes, Type type) => null!;
#nullable restore annotations
}

internal static class SerializerIdentifiers
{
    public static int FromConfig(Type type, ExtendedActorSystem system)
    {
        var bindings = system.Settings.Config.GetConfig("akka.actor.serialization-identifiers");
        foreach (var (key, value) in bindings?.AsEnumerable() ?? [])
        {
            if (key.Split(',')[0].Trim() == type.FullName)
            {
                return value.GetInt();
            }
        }

        throw new ArgumentException($"Couldn't find serializer id for [{type}] under [akka.actor.serialization-identifiers] HOCON path");
    }
}
