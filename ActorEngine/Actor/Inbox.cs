using Akka.Dispatch.SysMsg;

namespace Akka.Actor;

/// <summary>A mailbox for code outside of actors.</summary>
public interface IInboxable : ICanWatch
{
    /// <summary>Where messages are to be sent.</summary>
    IActorRef Receiver { get; }

    /// <summary>Takes the next message, within the default time-out.</summary>
    object Receive();

    /// <summary>Takes the next message; a <see cref="Status.Failure"/> with <see cref="TimeoutException"/> when none comes in time.</summary>
    object Receive(TimeSpan timeout);

    /// <summary>Takes the next message, within the default time-out.</summary>
    Task<object> ReceiveAsync();

    /// <summary>Takes the next message, within a time-out.</summary>
    Task<object> ReceiveAsync(TimeSpan timeout);

    /// <summary>Takes the next message that fits and leaves the others, within the default time-out.</summary>
    object ReceiveWhere(Predicate<object> predicate);

    /// <summary>Takes the next message that fits and leaves the others, within a time-out.</summary>
    object ReceiveWhere(Predicate<object> predicate, TimeSpan timeout);

    /// <summary>Sends in this inbox's name.</summary>
    void Send(IActorRef target, object message);
}

/// <summary>A mailbox for code outside of actors. Holds at most <c>akka.actor.inbox.inbox-size</c> messages; what comes beyond that is dropped with a warning.</summary>
public class Inbox : IInboxable, IDisposable
{
    private readonly ActorSystemImpl _system;
    private readonly TimeSpan _defaultTimeout;
    private readonly IActorRef _receiver;

    private Inbox(ActorSystemImpl system)
    {
        _system = system;
        var config = system.Settings.Config;
        _defaultTimeout = config.GetTimeSpan("akka.actor.inbox.default-timeout", TimeSpan.FromSeconds(5));
        var size = config.GetInt("akka.actor.inbox.inbox-size", 1000);
        _receiver = system.SystemActorOf(Props.CreateBy(new ActorRefProvider.Producer<InboxActor>(() => new InboxActor(size))), "inbox-" + ActorCell.NewUid());
    }

    /// <inheritdoc/>
    public IActorRef Receiver => _receiver;

    /// <summary>Creates one.</summary>
    public static Inbox Create(ActorSystem system) => new((ActorSystemImpl)system);

    /// <inheritdoc/>
    public object Receive() => Receive(_defaultTimeout);

    /// <inheritdoc/>
    /// <exception cref="TimeoutException">None came in time.</exception>
    public object Receive(TimeSpan timeout) => Await(Get(null, timeout));

    /// <inheritdoc/>
    public Task<object> ReceiveAsync() => ReceiveAsync(_defaultTimeout);

    /// <inheritdoc/>
    public async Task<object> ReceiveAsync(TimeSpan timeout)
    {
        try
        {
            return await Get(null, timeout).ConfigureAwait(false);
        }
        catch (TimeoutException e)
        {
            return new Status.Failure(e);
        }
    }

    /// <inheritdoc/>
    /// <exception cref="TimeoutException">None came in time.</exception>
    public object ReceiveWhere(Predicate<object> predicate) => ReceiveWhere(predicate, _defaultTimeout);

    /// <inheritdoc/>
    /// <exception cref="TimeoutException">None came in time.</exception>
    public object ReceiveWhere(Predicate<object> predicate, TimeSpan timeout) => Await(Get(predicate, timeout));

    /// <inheritdoc/>
    public void Send(IActorRef actorRef, object message) => actorRef.Tell(message, _receiver);

    /// <inheritdoc/>
    public IActorRef Watch(IActorRef subject)
    {
        _receiver.Tell(new WatchIt(subject, null), ActorRefs.NoSender!);
        return subject;
    }

    /// <inheritdoc/>
    public IActorRef WatchWith(IActorRef subject, object message)
    {
        _receiver.Tell(new WatchIt(subject, message), ActorRefs.NoSender!);
        return subject;
    }

    /// <inheritdoc/>
    public IActorRef Unwatch(IActorRef subject)
    {
        _receiver.Tell(new UnwatchIt(subject), ActorRefs.NoSender!);
        return subject;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Dispose(true);
        GC.SuppressFinalize(this);
    }

    /// <summary>Ends the inbox.</summary>
    protected virtual void Dispose(bool disposing) => _system.Stop(_receiver);

    private static object Await(Task<object> task) => task.GetAwaiter().GetResult();

    private async Task<object> Get(Predicate<object>? predicate, TimeSpan timeout)
    {
        var request = new Request(predicate);
        _receiver.Tell(request, ActorRefs.NoSender!);
        try
        {
            return await request.Result.Task.WaitAsync(timeout).ConfigureAwait(false);
        }
        catch (TimeoutException)
        {
            if (request.Result.TrySetCanceled())
            {
                throw new TimeoutException($"Inbox {_receiver.Path} didn't receive a response message in specified timeout {timeout}");
            }

            return await request.Result.Task.ConfigureAwait(false);
        }
    }

    private sealed record WatchIt(IActorRef Subject, object? Message);

    private sealed record UnwatchIt(IActorRef Subject);

    private sealed class Request(Predicate<object>? predicate)
    {
        public Predicate<object>? Predicate { get; } = predicate;

        public TaskCompletionSource<object> Result { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    private sealed class InboxActor(int size) : UntypedActor
    {
        private readonly LinkedList<object> _messages = [];
        private readonly LinkedList<Request> _waiting = [];
        private bool _warned;

        protected override void OnReceive(object message)
        {
            switch (message)
            {
                case WatchIt { Message: null } watch:
                    Context.Watch(watch.Subject);
                    break;
                case WatchIt watch:
                    Context.WatchWith(watch.Subject, watch.Message);
                    break;
                case UnwatchIt unwatch:
                    Context.Unwatch(unwatch.Subject);
                    break;
                case Request request:
                    Take(request);
                    break;
                default:
                    Add(message);
                    break;
            }
        }

        private void Take(Request request)
        {
            for (var node = _messages.First; node is not null; node = node.Next)
            {
                if (request.Predicate?.Invoke(node.Value) != false)
                {
                    if (request.Result.TrySetResult(node.Value))
                    {
                        _messages.Remove(node);
                    }

                    return;
                }
            }

            _waiting.AddLast(request);
        }

        private void Add(object message)
        {
            for (var node = _waiting.First; node is not null;)
            {
                var next = node.Next;
                if (node.Value.Result.Task.IsCompleted)
                {
                    _waiting.Remove(node);
                }
                else if (node.Value.Predicate?.Invoke(message) != false)
                {
                    _waiting.Remove(node);
                    if (node.Value.Result.TrySetResult(message))
                    {
                        return;
                    }
                }

                node = next;
            }

            if (_messages.Count < size)
            {
                _messages.AddLast(message);
                _warned = false;
            }
            else if (!_warned)
            {
                _warned = true;
                Context.System.EventStream.Publish(new Event.Warning(
                    Self.Path.ToString(), typeof(Inbox), "Dropping message: Inbox size has been exceeded, use akka.actor.inbox.inbox-size to increase maximum allowed inbox size."));
            }
        }
    }
}
