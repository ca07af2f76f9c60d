using Akka.Dispatch.SysMsg;

namespace Akka.Actor;

internal sealed partial class ActorCell
{
    // Whom this actor watches, with the message of WatchWith; who watches it; whose Terminated lies in its mailbox.
    private Dictionary<IActorRef, object?>? _watching;
    private HashSet<IActorRef>? _watchedBy;
    private Dictionary<IActorRef, object?>? _terminatedQueued;

    public IActorRef Watch(IActorRef subject)
    {
        WatchWithMessage(subject, null);
        return subject;
    }

    public IActorRef WatchWith(IActorRef subject, object message)
    {
        WatchWithMessage(subject, message ?? throw new ArgumentNullException(nameof(message)));
        return subject;
    }

    private void WatchWithMessage(IActorRef subject, object? message)
    {
        if (subject.Equals(_self))
        {
            return;
        }

        _watching ??= [];
        if (_watching.TryGetValue(subject, out var former))
        {
            if (!Equals(former, message))
            {
                throw new InvalidOperationException(
                    $"Watch({_self}, {subject}) termination message was not overwritten from [{former ?? "Terminated"}] to [{message ?? "Terminated"}]. If this was intended, unwatch first before using `Watch` / `WatchWith` with another message.");
            }

            return;
        }

        _watching[subject] = message;
        ((IInternalActorRef)subject).SendSystemMessage(new Watch((IInternalActorRef)subject, _self));
    }

    public IActorRef Unwatch(IActorRef subject)
    {
        if (!subject.Equals(_self) && _watching?.Remove(subject) == true)
        {
            ((IInternalActorRef)subject).SendSystemMessage(new Unwatch((IInternalActorRef)subject, _self));
        }

        _terminatedQueued?.Remove(subject);
        return subject;
    }

    private void ReceivedTerminated(Terminated terminated)
    {
        if (_terminatedQueued?.Remove(terminated.ActorRef, out var message) == true)
        {
            if (message is not null)
            {
                _message = message;
            }

            ReceiveMessage(message ?? terminated);
        }
    }

    private void WatchedActorTerminated(IActorRef actor, bool existenceConfirmed, bool addressTerminated)
    {
        if (_watching?.Remove(actor, out var message) == true && !IsTerminating)
        {
            (_terminatedQueued ??= [])[actor] = message;
            _self.Tell(new Terminated(actor, existenceConfirmed, addressTerminated), actor);
        }

        if (_children?.Find(actor) is not null)
        {
            HandleChildTerminated(actor);
        }
    }

    private void AddWatcher(IActorRef watchee, IActorRef watcher)
    {
        if (watchee.Equals(_self) && !watcher.Equals(_self))
        {
            (_watchedBy ??= []).Add(watcher);
        }
    }

    private void RemoveWatcher(IActorRef watchee, IActorRef watcher)
    {
        if (watchee.Equals(_self))
        {
            _watchedBy?.Remove(watcher);
        }
    }

    private void TellWatchersWeDied()
    {
        foreach (var watcher in _watchedBy ?? [])
        {
            // The parent was told already.
            if (!watcher.Equals(_parent))
            {
                ((IInternalActorRef)watcher).SendSystemMessage(new DeathWatchNotification(_self, existenceConfirmed: true, addressTerminated: false));
            }
        }

        _watchedBy = null;
    }

    private void UnwatchAll()
    {
        foreach (var watchee in _watching?.Keys ?? Enumerable.Empty<IActorRef>())
        {
            ((IInternalActorRef)watchee).SendSystemMessage(new Unwatch((IInternalActorRef)watchee, _self));
        }

        _watching = null;
        _terminatedQueued = null;
    }
}
