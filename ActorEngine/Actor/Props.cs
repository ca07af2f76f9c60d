using System.Diagnostics.CodeAnalysis;
using System.Linq.Expressions;
using System.Reflection;
using Akka.Routing;
using Akka.Util;

namespace Akka.Actor;

/// <summary>Makes actors by other means than their constructor.</summary>
public interface IIndirectActorProducer
{
    /// <summary>The type of what it makes.</summary>
    Type ActorType { get; }

    /// <summary>Makes an actor. Called for every incarnation.</summary>
    ActorBase Produce();

    /// <summary>Takes an instance back that is no longer used.</summary>
    void Release(ActorBase actor);
}

/// <summary>How to create an actor. Immutable; may be shared and used many times.</summary>
public class Props : IEquatable<Props>, ISurrogated
{
    internal const DynamicallyAccessedMemberTypes Constructors = DynamicallyAccessedMemberTypes.PublicConstructors | DynamicallyAccessedMemberTypes.NonPublicConstructors;

    /// <summary>No actor: a reference created from it is never started.</summary>
    public static readonly Props None = new(new ConstructorProducer(typeof(EmptyActor), []), Deploy.Local, null);

    private readonly IIndirectActorProducer _producer;
    private readonly object[] _arguments;

    private Props(IIndirectActorProducer producer, Deploy deploy, SupervisorStrategy? strategy, object[]? arguments = null)
    {
        _producer = producer;
        _arguments = arguments ?? (producer as ConstructorProducer)?.Arguments ?? [];
        Deploy = deploy;
        SupervisorStrategy = strategy!;
    }

    /// <summary>For an actor type by its constructor without parameters.</summary>
    public Props([DynamicallyAccessedMembers(Constructors)] Type type)
        : this(type, [])
    {
    }

    /// <summary>For an actor type by the constructor that fits the arguments.</summary>
    public Props([DynamicallyAccessedMembers(Constructors)] Type type, object[] args)
        : this(new ConstructorProducer(type, args), Deploy.Local, null)
    {
    }

    /// <summary>An actor that handles nothing.</summary>
    public static Props Empty => None;

    /// <summary>The actor's type.</summary>
    public Type Type => _producer.ActorType;

    /// <summary>The name of the actor's type.</summary>
    public string TypeName => Type.AssemblyQualifiedName!;

    /// <summary>The constructor's arguments.</summary>
    public object[] Arguments => _arguments;

    /// <summary>Where and on what the actor runs.</summary>
    public Deploy Deploy { get; protected set; }

    /// <summary>Overrides the actor's own strategy; null when it does not.</summary>
    public SupervisorStrategy SupervisorStrategy { get; protected set; }

    /// <summary>The dispatcher's section; the default one when none was given.</summary>
    public string Dispatcher => Deploy.Dispatcher == Deploy.NoDispatcherGiven ? Dispatch.Dispatchers.DefaultDispatcherId : Deploy.Dispatcher;

    /// <summary>The mailbox's section; the default one when none was given.</summary>
    public string Mailbox => Deploy.Mailbox == Deploy.NoMailboxGiven ? Dispatch.Mailboxes.DefaultMailboxId : Deploy.Mailbox;

    /// <summary>The router in front of the actor; <see cref="NoRouter"/> when there is none.</summary>
    public RouterConfig RouterConfig => Deploy.RouterConfig;

    /// <summary>By an expression of the form <c>() =&gt; new TActor(...)</c>. The arguments are evaluated now, once.</summary>
    /// <exception cref="ArgumentException">The expression is not of that form.</exception>
    public static Props Create<[DynamicallyAccessedMembers(Constructors)] TActor>(Expression<Func<TActor>> factory, SupervisorStrategy? supervisorStrategy = null)
        where TActor : ActorBase
    {
        if (factory.Body is not NewExpression creation)
        {
            throw new ArgumentException("The create function must be a 'new T (args)' expression", nameof(factory));
        }

        var arguments = creation.Arguments.Select(ExpressionValue.Of).ToArray();
        return new Props(new ConstructorProducer(typeof(TActor), arguments!, creation.Constructor), Deploy.Local, supervisorStrategy);
    }

    /// <summary>By the constructor that fits the arguments.</summary>
    public static Props Create<[DynamicallyAccessedMembers(Constructors)] TActor>(params object[] args)
        where TActor : ActorBase =>
        new(new ConstructorProducer(typeof(TActor), args), Deploy.Local, null);

    /// <summary>By the constructor without parameters, with a strategy.</summary>
    public static Props Create<[DynamicallyAccessedMembers(Constructors)] TActor>(SupervisorStrategy supervisorStrategy)
        where TActor : ActorBase, new() =>
        new(new ConstructorProducer(typeof(TActor), []), Deploy.Local, supervisorStrategy);

    /// <summary>By the constructor that fits the arguments.</summary>
    public static Props Create([DynamicallyAccessedMembers(Constructors)] Type type, params object[] args) => new(type, args);

    /// <summary>By a producer.</summary>
    public static Props CreateBy(IIndirectActorProducer producer, params object[] args) => new(producer, Deploy.Local, null, args);

    /// <summary>With another dispatcher.</summary>
    public Props WithDispatcher(string dispatcher) => With(Deploy.WithDispatcher(dispatcher));

    /// <summary>With another mailbox.</summary>
    public Props WithMailbox(string mailbox) => With(Deploy.WithMailbox(mailbox));

    /// <summary>With a router in front.</summary>
    public Props WithRouter(RouterConfig routerConfig) => With(Deploy.WithRouterConfig(routerConfig));

    /// <summary>With another deployment, completed from the one at hand.</summary>
    public Props WithDeploy(Deploy deploy) => With(deploy.WithFallback(Deploy));

    /// <summary>With a limit on how many messages can be stashed.</summary>
    public Props WithStashCapacity(int stashCapacity) => With(Deploy.WithStashCapacity(stashCapacity));

    /// <summary>With a strategy in place of the actor's own.</summary>
    public Props WithSupervisorStrategy(SupervisorStrategy supervisorStrategy) => new(_producer, Deploy, supervisorStrategy, _arguments);

    internal Props WithoutRouter() => With(Deploy.WithRouterConfig(NoRouter.Instance));

    private Props With(Deploy deploy) => new(_producer, deploy, SupervisorStrategy, _arguments);

    /// <summary>Creates an instance. Only the engine can, as an actor needs a context.</summary>
    public virtual ActorBase NewActor() => _producer.Produce();

    internal void Release(ActorBase actor) => _producer.Release(actor);

    /// <inheritdoc/>
    public bool Equals(Props? other) =>
        other is not null && (ReferenceEquals(this, other) ||
            (Type == other.Type && Deploy.Equals(other.Deploy) && Equals(SupervisorStrategy, other.SupervisorStrategy) && Arguments.SequenceEqual(other.Arguments)));

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is Props other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Type, Arguments.Length);

    /// <inheritdoc/>
    public ISurrogate ToSurrogate(ActorSystem system) =>
        throw new NotSupportedException("Props are not sent between systems: create the actor where it is to run");

    private sealed class EmptyActor : UntypedActor
    {
        protected override void OnReceive(object message) => Unhandled(message);
    }
}

/// <summary>Makes actors by a constructor, which is looked up once.</summary>
internal sealed class ConstructorProducer : IIndirectActorProducer
{
    [DynamicallyAccessedMembers(Props.Constructors)]
    private readonly Type _type;
    private ConstructorInvoker? _invoker;

    public ConstructorProducer([DynamicallyAccessedMembers(Props.Constructors)] Type type, object[]? arguments, ConstructorInfo? constructor = null)
    {
        _type = type ?? throw new ArgumentNullException(nameof(type));
        if (!typeof(ActorBase).IsAssignableFrom(type))
        {
            throw new ArgumentException($"Type {type} is not an actor", nameof(type));
        }

        Arguments = arguments ?? [null!];
        if (constructor is not null)
        {
            _invoker = ConstructorInvoker.Create(constructor);
        }
    }

    public object[] Arguments { get; }

    public Type ActorType => _type;

    public ActorBase Produce()
    {
        _invoker ??= ConstructorInvoker.Create(FindConstructor());
        return (ActorBase)(Arguments.Length switch
        {
            0 => _invoker.Invoke(),
            1 => _invoker.Invoke(Arguments[0]),
            2 => _invoker.Invoke(Arguments[0], Arguments[1]),
            _ => _invoker.Invoke((Span<object?>)(object?[])[.. Arguments]),
        });
    }

    public void Release(ActorBase actor)
    {
        if (actor is IDisposable disposable)
        {
            disposable.Dispose();
        }
    }

    private ConstructorInfo FindConstructor()
    {
        foreach (var constructor in _type.GetConstructors(BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic))
        {
            var parameters = constructor.GetParameters();
            if (parameters.Length == Arguments.Length && parameters.Zip(Arguments).All(pair => Fits(pair.First.ParameterType, pair.Second)))
            {
                return constructor;
            }
        }

        throw new MissingMethodException(
            $"No constructor of {_type} takes ({string.Join(", ", Arguments.Select(argument => argument?.GetType().Name ?? "null"))})");
    }

    private static bool Fits(Type parameter, object? argument) =>
        argument is null ? !parameter.IsValueType || Nullable.GetUnderlyingType(parameter) is not null : parameter.IsInstanceOfType(argument);
}

/// <summary>The value of an argument in an expression, without a compiler where the common forms are used.</summary>
internal static class ExpressionValue
{
    [UnconditionalSuppressMessage("AOT", "IL3050", Justification = "Interpreted, not compiled.")]
    public static object? Of(Expression expression) => expression switch
    {
        ConstantExpression constant => constant.Value,
        MemberExpression { Member: FieldInfo field } member => field.GetValue(member.Expression is null ? null : Of(member.Expression)),
        MemberExpression { Member: PropertyInfo property } member => property.GetValue(member.Expression is null ? null : Of(member.Expression)),
        UnaryExpression { NodeType: ExpressionType.Convert, Method: null } convert when convert.Type.IsAssignableFrom(convert.Operand.Type) => Of(convert.Operand),
        _ => Expression.Lambda<Func<object?>>(Expression.Convert(expression, typeof(object))).Compile(preferInterpretation: true)(),
    };
}
