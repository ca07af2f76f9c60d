namespace Akka.Actor.Dsl;

/// <summary>What an actor that is made of lambdas is set up with.</summary>
public interface IActorDsl
{
    /// <summary>Runs in place of <see cref="ActorBase.PostRestart"/>.</summary>
    Action<Exception, IActorContext> OnPostRestart { get; set; }

    /// <summary>Runs in place of <see cref="ActorBase.PreRestart"/>.</summary>
    Action<Exception, object, IActorContext> OnPreRestart { get; set; }

    /// <summary>Runs in place of <see cref="ActorBase.PostStop"/>.</summary>
    Action<IActorContext> OnPostStop { get; set; }

    /// <summary>Runs in place of <see cref="ActorBase.PreStart"/>.</summary>
    Action<IActorContext> OnPreStart { get; set; }

    /// <summary>How the actor supervises; null for the default.</summary>
    SupervisorStrategy Strategy { get; set; }

    /// <summary>Adds a handler.</summary>
    void Receive<T>(Action<T, IActorContext> handler);

    /// <summary>Adds a handler of messages that <paramref name="shouldHandle"/> is true for.</summary>
    void Receive<T>(Predicate<T> shouldHandle, Action<T, IActorContext> handler);

    /// <summary>Adds a handler of messages that <paramref name="shouldHandle"/> is true for.</summary>
    void Receive<T>(Action<T, IActorContext> handler, Predicate<T> shouldHandle);

    /// <summary>Adds a handler of everything else.</summary>
    void ReceiveAny(Action<object, IActorContext> handler);

    /// <summary>Adds a handler that the actor waits for.</summary>
    void ReceiveAsync<T>(Func<T, IActorContext, Task> handler, Predicate<T>? shouldHandle = null);

    /// <summary>Adds a handler that the actor waits for.</summary>
    void ReceiveAsync<T>(Predicate<T> shouldHandle, Func<T, IActorContext, Task> handler);

    /// <summary>Adds a handler of everything else that the actor waits for.</summary>
    void ReceiveAnyAsync(Func<object, IActorContext, Task> handler);

    /// <summary>What <see cref="OnPreRestart"/> replaced.</summary>
    void DefaultPreRestart(Exception reason, object message);

    /// <summary>What <see cref="OnPostRestart"/> replaced.</summary>
    void DefaultPostRestart(Exception reason);

    /// <summary>What <see cref="OnPreStart"/> replaced.</summary>
    void DefaultPreStart();

    /// <summary>What <see cref="OnPostStop"/> replaced.</summary>
    void DefaultPostStop();

    /// <summary>Replaces the behaviour.</summary>
    void Become(Action<object, IActorContext> handler);

    /// <summary>Puts a behaviour on top of that at hand.</summary>
    void BecomeStacked(Action<object, IActorContext> handler);

    /// <summary>Goes back to the behaviour below.</summary>
    void UnbecomeStacked();

    /// <summary>Makes a child of lambdas.</summary>
    IActorRef ActorOf(Action<IActorDsl> config, string? name = null);
}

/// <summary>An actor that is made of lambdas.</summary>
public sealed class Act : ReceiveActor, IActorDsl
{
    /// <summary>Sets itself up.</summary>
    public Act(Action<IActorDsl> config) => config(this);

    /// <summary>Sets itself up.</summary>
    public Act(Action<IActorDsl, IActorContext> config) => config(this, Context);

    /// <inheritdoc/>
    public Action<Exception, IActorContext> OnPostRestart { get; set; } = null!;

    /// <inheritdoc/>
    public Action<Exception, object, IActorContext> OnPreRestart { get; set; } = null!;

    /// <inheritdoc/>
    public Action<IActorContext> OnPostStop { get; set; } = null!;

    /// <inheritdoc/>
    public Action<IActorContext> OnPreStart { get; set; } = null!;

    /// <inheritdoc/>
    public SupervisorStrategy Strategy { get; set; } = null!;

    /// <inheritdoc/>
    public void Receive<T>(Action<T, IActorContext> handler) => Receive<T>(message => handler(message, Context));

    /// <inheritdoc/>
    public void Receive<T>(Action<T, IActorContext> handler, Predicate<T> shouldHandle) => Receive<T>(message => handler(message, Context), shouldHandle);

    /// <inheritdoc/>
    public void Receive<T>(Predicate<T> shouldHandle, Action<T, IActorContext> handler) => Receive(shouldHandle, (T message) => handler(message, Context));

    /// <inheritdoc/>
    public void ReceiveAny(Action<object, IActorContext> handler) => ReceiveAny(message => handler(message, Context));

    /// <inheritdoc/>
    public void ReceiveAsync<T>(Func<T, IActorContext, Task> handler, Predicate<T>? shouldHandle = null) => ReceiveAsync<T>(message => handler(message, Context), shouldHandle);

    /// <inheritdoc/>
    public void ReceiveAsync<T>(Predicate<T> shouldHandle, Func<T, IActorContext, Task> handler) => ReceiveAsync(shouldHandle, (T message) => handler(message, Context));

    /// <inheritdoc/>
    public void ReceiveAnyAsync(Func<object, IActorContext, Task> handler) => ReceiveAnyAsync(message => handler(message, Context));

    /// <inheritdoc/>
    public void Become(Action<object, IActorContext> handler) => Context.Become(message => handler(message, Context));

    /// <inheritdoc/>
    public void BecomeStacked(Action<object, IActorContext> handler) => Context.BecomeStacked(message => handler(message, Context));

    void IActorDsl.UnbecomeStacked() => Context.UnbecomeStacked();

    /// <inheritdoc/>
    public IActorRef ActorOf(Action<IActorDsl> config, string? name = null) => Context.ActorOf(config, name!);

    /// <inheritdoc/>
    public void DefaultPreRestart(Exception reason, object message) => base.PreRestart(reason, message);

    /// <inheritdoc/>
    public void DefaultPostRestart(Exception reason) => base.PostRestart(reason);

    /// <inheritdoc/>
    public void DefaultPreStart() => base.PreStart();

    /// <inheritdoc/>
    public void DefaultPostStop() => base.PostStop();

    /// <inheritdoc/>
    protected override void PostRestart(Exception reason)
    {
        if (OnPostRestart is null)
        {
            base.PostRestart(reason);
        }
        else
        {
            OnPostRestart(reason, Context);
        }
    }

    /// <inheritdoc/>
#nullable disable annotations
    protected override void PreRestart(Exception reason, object message)
#nullable restore annotations
    {
        if (OnPreRestart is null)
        {
            base.PreRestart(reason, message);
        }
        else
        {
            OnPreRestart(reason, message, Context);
        }
    }

    /// <inheritdoc/>
    protected override void PostStop()
    {
        if (OnPostStop is null)
        {
            base.PostStop();
        }
        else
        {
            OnPostStop(Context);
        }
    }

    /// <inheritdoc/>
    protected override void PreStart()
    {
        if (OnPreStart is null)
        {
            base.PreStart();
        }
        else
        {
            OnPreStart(Context);
        }
    }

    /// <inheritdoc/>
    protected override SupervisorStrategy SupervisorStrategy() => Strategy ?? base.SupervisorStrategy();
}

/// <summary>Makes actors of lambdas.</summary>
public static class ActExtensions
{
    /// <summary>Makes an actor.</summary>
    public static IActorRef ActorOf(this IActorRefFactory factory, Action<IActorDsl> config, string? name = null) =>
        factory.ActorOf(Props.CreateBy(new ActProducer(() => new Act(config))), name);

    /// <summary>Makes an actor; the context is its own.</summary>
    public static IActorRef ActorOf(this IActorRefFactory factory, Action<IActorDsl, IActorContext> config, string? name = null) =>
        factory.ActorOf(Props.CreateBy(new ActProducer(() => new Act(config))), name);

    private sealed class ActProducer(Func<Act> create) : IIndirectActorProducer
    {
        public Type ActorType => typeof(Act);

        public ActorBase Produce() => create();

        public void Release(ActorBase actor)
        {
        }
    }
}
