using Akka.Dispatch;

namespace Akka.Actor;

/// <summary>Messages put aside until the actor can handle them.</summary>
public interface IStash
{
    /// <summary>How many messages it can hold; negative for no limit.</summary>
    int Capacity { get; }

    /// <summary>How many it holds.</summary>
    int Count { get; }

    /// <summary>Whether it holds none.</summary>
    bool IsEmpty { get; }

    /// <summary>Whether it can hold no more.</summary>
    bool IsFull { get; }

    /// <summary>Whether it holds any.</summary>
    bool NonEmpty { get; }

    /// <summary>Puts the message at hand aside.</summary>
    /// <exception cref="StashOverflowException">There is no room.</exception>
    /// <exception cref="IllegalActorStateException">The message was put aside already.</exception>
    void Stash();

    /// <summary>Puts the oldest message back at the front of the mailbox.</summary>
    void Unstash();

    /// <summary>Puts all messages back at the front of the mailbox, in the order in which they came.</summary>
    void UnstashAll();

    /// <summary>Puts the messages back for which the predicate holds, and forgets the others.</summary>
    void UnstashAll(Func<Envelope, bool> predicate);

    /// <summary>Takes all messages out.</summary>
    IEnumerable<Envelope> ClearStash();

    /// <summary>Puts messages before the others in the stash.</summary>
    void Prepend(IEnumerable<Envelope> envelopes);
}

/// <summary>An actor with a stash, which the engine sets before the first message.</summary>
public interface IActorStash
{
    /// <summary>The stash.</summary>
    IStash Stash { get; set; }
}

/// <summary>An actor with a stash, whatever its mailbox.</summary>
public interface IWithUnrestrictedStash : IActorStash
{
}

/// <summary>An actor with a stash without a limit.</summary>
public interface IWithUnboundedStash : IWithUnrestrictedStash, IRequiresMessageQueue<IUnboundedDequeBasedMessageQueueSemantics>
{
}

/// <summary>An actor with a stash, limited by <see cref="Props.WithStashCapacity"/> or the mailbox's <c>stash-capacity</c>.</summary>
public interface IWithStash : IWithUnrestrictedStash, IRequiresMessageQueue<IDequeBasedMessageQueueSemantics>
{
}

/// <summary>An actor with a stash that is limited by its mailbox.</summary>
[Obsolete("Use `IWithStash` with a configured BoundedDeque-based mailbox instead.")]
public interface IWithBoundedStash : IWithUnrestrictedStash, IRequiresMessageQueue<IBoundedDequeBasedMessageQueueSemantics>
{
}

/// <summary>An <see cref="UntypedActor"/> with a stash.</summary>
public abstract class UntypedActorWithStash : UntypedActor, IWithStash
{
    /// <inheritdoc/>
    public IStash Stash { get; set; } = null!;
}

/// <summary>An <see cref="UntypedActor"/> with a stash without a limit.</summary>
public abstract class UntypedActorWithUnboundedStash : UntypedActor, IWithUnboundedStash
{
    /// <inheritdoc/>
    public IStash Stash { get; set; } = null!;
}

/// <summary>Makes stashes.</summary>
public static class StashFactory
{
    /// <summary>A stash for an actor.</summary>
    public static IStash CreateStash(this IActorContext context, IActorStash actorInstance) => Create((ActorCell)context);

    /// <summary>A stash for an actor of a type.</summary>
    public static IStash CreateStash<T>(this IActorContext context)
        where T : ActorBase => Create((ActorCell)context);

    /// <summary>A stash for an actor of a type.</summary>
    public static IStash CreateStash(this IActorContext context, Type actorType) => Create((ActorCell)context);

    /// <summary>The stash of a persistent actor for the time in which it stores; limited by <c>stash-capacity</c> of its mailbox or dispatcher.</summary>
    internal static IStash CreateInternal(ActorCell cell)
    {
        var capacity = cell.Props.Deploy.StashCapacity;
        return new CellStash(cell, capacity != Deploy.NoStashSize ? capacity : cell.SystemImpl.Mailboxes.StashCapacity(cell.Props.Dispatcher, cell.Props.Mailbox));
    }

    internal static IStash Create(ActorCell cell)
    {
        var capacity = cell.Props.Deploy.StashCapacity;
        if (capacity == Deploy.NoStashSize)
        {
            capacity = typeof(IWithUnboundedStash).IsAssignableFrom(cell.Props.Type) ? -1 : cell.SystemImpl.Mailboxes.StashCapacity(cell.Props.Dispatcher, cell.Props.Mailbox);
        }

        return new CellStash(cell, capacity);
    }
}

internal sealed class CellStash(ActorCell cell, int capacity) : IStash
{
    private readonly LinkedList<Envelope> _messages = [];

    public int Capacity => capacity;

    public int Count => _messages.Count;

    public bool IsEmpty => _messages.Count == 0;

    public bool IsFull => capacity >= 0 && _messages.Count >= capacity;

    public bool NonEmpty => !IsEmpty;

    public void Stash()
    {
        var envelope = cell.CurrentEnvelope;
        if (_messages.Last is { } last && ReferenceEquals(last.Value.Message, envelope.Message) && Equals(last.Value.Sender, envelope.Sender) && cell.IsStashed)
        {
            throw new IllegalActorStateException($"Can't stash the same message {envelope.Message} more than once");
        }

        if (IsFull)
        {
            throw new StashOverflowException($"Couldn't enqueue message {envelope.Message} from {envelope.Sender} to stash of {cell.Self}");
        }

        cell.IsStashed = true;
        _messages.AddLast(envelope);
    }

    public void Unstash()
    {
        if (_messages.First is { } first)
        {
            _messages.RemoveFirst();
            cell.Mailbox.Prepend([first.Value]);
        }
    }

    public void UnstashAll() => UnstashAll(static _ => true);

    public void UnstashAll(Func<Envelope, bool> predicate)
    {
        if (_messages.Count > 0)
        {
            cell.Mailbox.Prepend([.. _messages.Where(predicate)]);
            _messages.Clear();
        }
    }

    public IEnumerable<Envelope> ClearStash()
    {
        Envelope[] all = [.. _messages];
        _messages.Clear();
        return all;
    }

    public void Prepend(IEnumerable<Envelope> envelopes)
    {
        foreach (var envelope in envelopes.Distinct().Reverse())
        {
            _messages.AddFirst(envelope);
        }
    }
}
