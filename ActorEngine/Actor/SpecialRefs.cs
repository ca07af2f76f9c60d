using System.Collections.Concurrent;
using Akka.Dispatch.SysMsg;
using Akka.Event;

namespace Akka.Actor;

/// <summary>Stands for an actor that is not there: what it gets goes to the dead letters.</summary>
internal class EmptyLocalActorRef(ActorSystemImpl system, ActorPath path) : MinimalActorRef
{
    protected ActorSystemImpl System { get; } = system;

    public override ActorPath Path { get; } = path;

    public override bool IsTerminated => true;

    public override void SendSystemMessage(SystemMessage message) => System.DeadLetterSystemMessage(this, message);

    protected override void TellInternal(object message, IActorRef? sender)
    {
        if (message is AllDeadLetters letter)
        {
            System.PublishDeadLetter(letter.Message, letter.Sender, letter.Recipient);
        }
        else
        {
            System.DeadLetterUserMessage(message, sender, this);
        }
    }
}

/// <summary>Takes everything without a trace.</summary>
internal sealed class IgnoreActorRef(ActorPath path) : MinimalActorRef
{
    public override ActorPath Path { get; } = path;
}

/// <summary>The part of the tree below /temp: references without actors, such as those of asks.</summary>
internal sealed class VirtualPathContainer(ActorPath path, IInternalActorRef parent) : MinimalActorRef
{
    // Made when it is needed: a start would wait for the loading of its assembly.
    private ConcurrentDictionary<string, IInternalActorRef>? _children;

    public override ActorPath Path { get; } = path;

    public override IInternalActorRef Parent { get; } = parent;

    public void Add(string name, IInternalActorRef child) => (_children ?? LazyInitializer.EnsureInitialized(ref _children))[name] = child;

    public void Remove(string name) => _children?.TryRemove(name, out _);

    public override IInternalActorRef? GetChild(string name)
    {
        var hash = name.IndexOf('#', StringComparison.Ordinal);
        return _children?.GetValueOrDefault(hash < 0 ? name : name[..hash]);
    }
}

/// <summary>The supervisor above the root: its child's end is the system's end.</summary>
internal sealed class RootSupervisor(ActorPath path, TaskCompletionSource terminated, ActorSystemImpl system) : MinimalActorRef
{
    public override ActorPath Path { get; } = path;

    public override void SendSystemMessage(SystemMessage message)
    {
        switch (message)
        {
            case Failed failed:
                system.Log.Error(failed.Cause, "guardian {0} failed, shutting down!", failed.Child);
                ((IInternalActorRef)failed.Child).Stop();
                break;
            case DeathWatchNotification:
                if (terminated.TrySetResult())
                {
                    // Elsewhere: it waits for the threads of dispatchers, of which this may be one.
                    ThreadPool.UnsafeQueueUserWorkItem(static ended => ended.Finish(), system, preferLocal: false);
                }

                break;
            default:
                break;
        }
    }
}
