namespace Akka.Actor;

/// <summary>Something that an actor system is extended by, once per system.</summary>
public interface IExtension
{
}

/// <summary>Makes an extension.</summary>
public interface IExtensionId
{
    /// <summary>The extension's type.</summary>
    Type ExtensionType { get; }

    /// <summary>The extension of a system; made if need be.</summary>
    object Apply(ActorSystem system);

    /// <summary>The extension of a system; made if need be.</summary>
    object Get(ActorSystem system);

    /// <summary>Makes it. Called by the engine.</summary>
    object CreateExtension(ExtendedActorSystem system);
}

/// <summary>Makes an extension.</summary>
/// <typeparam name="T">Its type.</typeparam>
public interface IExtensionId<out T> : IExtensionId
    where T : IExtension
{
    /// <summary>The extension of a system; made if need be.</summary>
    new T Apply(ActorSystem system);

    /// <summary>The extension of a system; made if need be.</summary>
    new T Get(ActorSystem system);

    /// <summary>Makes it. Called by the engine.</summary>
    new T CreateExtension(ExtendedActorSystem system);
}

/// <summary>Base of what makes extensions.</summary>
/// <typeparam name="T">The extension's type.</typeparam>
public abstract class ExtensionIdProvider<T> : IExtensionId<T>
    where T : IExtension
{
    /// <inheritdoc/>
    public Type ExtensionType => typeof(T);

    /// <inheritdoc/>
    public T Apply(ActorSystem system) => (T)system.RegisterExtension(this);

    /// <inheritdoc/>
    public T Get(ActorSystem system) => (T)system.GetExtension(this);

    /// <inheritdoc/>
    public abstract T CreateExtension(ExtendedActorSystem system);

    object IExtensionId.Apply(ActorSystem system) => Apply(system);

    object IExtensionId.Get(ActorSystem system) => Get(system);

    object IExtensionId.CreateExtension(ExtendedActorSystem system) => CreateExtension(system);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is ExtensionIdProvider<T>;

    /// <inheritdoc/>
    public override int GetHashCode() => typeof(T).GetHashCode();
}

/// <summary>Access to extensions by type.</summary>
public static class ActorSystemWithExtensions
{
    /// <summary>The extension that was registered.</summary>
    public static T WithExtension<T>(this ActorSystem system)
        where T : class, IExtension => system.GetExtension<T>();

    /// <summary>The extension, made by <typeparamref name="TI"/> if need be.</summary>
    public static T WithExtension<T, [global::System.Diagnostics.CodeAnalysis.DynamicallyAccessedMembers(global::System.Diagnostics.CodeAnalysis.DynamicallyAccessedMemberTypes.PublicParameterlessConstructor)] TI>(this ActorSystem system)
        where T : class, IExtension
        where TI : IExtensionId => (T)system.RegisterExtension(Activator.CreateInstance<TI>());
}
