using Akka.Actor;

namespace Akka.Routing;

/// <summary>Something that actors can listen to.</summary>
public interface IListeners
{
    /// <summary>Who listens.</summary>
    ListenerSupport Listeners { get; }
}

/// <summary>A message about listening.</summary>
public abstract class ListenerMessage
{
    private protected ListenerMessage()
    {
    }
}

/// <summary>Starts to listen.</summary>
public sealed class Listen : ListenerMessage
{
    /// <summary>Creates one.</summary>
    public Listen(IActorRef listener) => Listener = listener;

    /// <summary>Who listens.</summary>
    public IActorRef Listener { get; }
}

/// <summary>Ends to listen.</summary>
public sealed class Deafen : ListenerMessage
{
    /// <summary>Creates one.</summary>
    public Deafen(IActorRef listener) => Listener = listener;

    /// <summary>Who listened.</summary>
    public IActorRef Listener { get; }
}

/// <summary>Calls a delegate for every listener.</summary>
public sealed class WithListeners : ListenerMessage
{
    /// <summary>Creates one.</summary>
    public WithListeners(Action<IActorRef> listenerFunction) => ListenerFunction = listenerFunction;

    /// <summary>The delegate.</summary>
    public Action<IActorRef> ListenerFunction { get; }
}

/// <summary>The listeners of an actor.</summary>
public class ListenerSupport
{
    /// <summary>Who listens.</summary>
    protected readonly HashSet<IActorRef> Listeners = [];

    /// <summary>Handles the messages about listening.</summary>
    public Receive ListenerReceive => message =>
    {
        switch (message)
        {
            case Listen listen:
                Add(listen.Listener);
                return true;
            case Deafen deafen:
                Remove(deafen.Listener);
                return true;
            case WithListeners with:
                foreach (var listener in Listeners)
                {
                    with.ListenerFunction(listener);
                }

                return true;
            default:
                return false;
        }
    };

    /// <summary>Adds a listener.</summary>
    public void Add(IActorRef actor) => Listeners.Add(actor);

    /// <summary>Removes a listener.</summary>
    public void Remove(IActorRef actor) => Listeners.Remove(actor);

    /// <summary>Sends to all listeners.</summary>
    public void Gossip(object message)
    {
        foreach (var listener in Listeners)
        {
            listener.Tell(message);
        }
    }

    /// <summary>Sends to all listeners, with a sender.</summary>
    public void Gossip(object message, IActorRef sender)
    {
        foreach (var listener in Listeners)
        {
            listener.Tell(message, sender);
        }
    }
}
