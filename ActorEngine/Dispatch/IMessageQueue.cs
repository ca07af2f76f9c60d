using Akka.Actor;

namespace Akka.Dispatch.MessageQueues;

/// <summary>The queue inside a mailbox. Any thread enqueues; one at a time dequeues.</summary>
public interface IMessageQueue
{
    /// <summary>Whether there is a message.</summary>
    bool HasMessages { get; }

    /// <summary>How many messages there are at about this moment.</summary>
    int Count { get; }

    /// <summary>Adds a message.</summary>
    void Enqueue(IActorRef receiver, Envelope envelope);

    /// <summary>Takes the first message; false when there is none.</summary>
    bool TryDequeue(out Envelope envelope);

    /// <summary>Moves what is left to the dead letters, when the actor is gone.</summary>
    void CleanUp(IActorRef owner, IMessageQueue deadletters);
}
