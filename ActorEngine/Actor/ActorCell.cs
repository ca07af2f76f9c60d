using System.Runtime.CompilerServices;
using Akka.Dispatch;
using Akka.Dispatch.SysMsg;
using Akka.Event;

namespace Akka.Actor;

/// <summary>
/// The engine's side of an actor: its mailbox, behaviours, children, watches and its state of failure. Everything here runs as the actor,
/// one thread at a time, except what says otherwise.
/// </summary>
internal sealed partial class ActorCell : IUntypedActorContext
{
    [ThreadStatic]
    private static ActorCell? _current;

    private readonly LocalActorRef _self;
    private readonly IInternalActorRef _parent;
    private readonly MessageDispatcher _dispatcher;
    private readonly ActorSystemImpl _system;
    private readonly Props _props;
    private readonly Mailbox _mailbox;
    private ActorBase? _actor;
    private Receive? _behavior;
    private Stack<Receive>? _below;
    private object? _message;
    private IActorRef? _sender;

    public ActorCell(ActorSystemImpl system, LocalActorRef self, Props props, MessageDispatcher dispatcher, IInternalActorRef parent, MailboxType mailboxType)
    {
        _system = system;
        _self = self;
        _props = props;
        _dispatcher = dispatcher;
        _parent = parent;
        _mailbox = new Mailbox(this, dispatcher, mailboxType.Create(self, system));
    }

    /// <summary>The cell that runs on this thread.</summary>
    public static ActorCell? Current
    {
        get => _current;
        set => _current = value;
    }

    public IActorRef Self => _self;

    public IInternalActorRef Parent => _parent;

    IActorRef IActorContext.Parent => _parent;

    public Props Props => _props;

    public ActorSystem System => _system;

    public ActorSystemImpl SystemImpl => _system;

    public MessageDispatcher Dispatcher => _dispatcher;

    public Mailbox Mailbox => _mailbox;

    public ActorBase? Actor => _actor;

    public object? CurrentMessage => _message;

    public IActorRef Sender => _sender ?? _system.DeadLetters;

    public IActorRef? CurrentSenderOrNull => _sender;

    public Envelope CurrentEnvelope => new(_message!, _sender!);

    public bool IsTerminated => _mailbox.IsClosed;

    /// <summary>Whether the message at hand was stashed.</summary>
    public bool IsStashed { get; set; }

    /// <summary>Creates the mailbox's first work and lets the dispatcher at it. Called once, by the thread that creates the actor.</summary>
    public void Start()
    {
        _dispatcher.Attach(this);
        _mailbox.TryEnqueueSystem(new Create(null));
    }

    /// <summary>From any thread.</summary>
    public void SendMessage(object message, IActorRef? sender) => _mailbox.Enqueue(message, sender);

    /// <summary>From any thread.</summary>
    public void SendSystemMessage(SystemMessage message)
    {
        if (!_mailbox.TryEnqueueSystem(message))
        {
            _system.DeadLetterSystemMessage(_self, message);
        }
    }

    public IActorRef ActorOf(Props props, string? name = null) => CreateChild(props, name, systemService: false);

    public ActorSelection ActorSelection(ActorPath path) => ActorSelectionFactory.FromPath(path, _system);

    public ActorSelection ActorSelection(string path) => ActorSelectionFactory.FromString(path, _system, _self);

    public void Become(Receive receive)
    {
        _behavior = receive;
    }

    public void BecomeStacked(Receive receive)
    {
        if (_behavior is not null)
        {
            (_below ??= new Stack<Receive>()).Push(_behavior);
        }

        _behavior = receive;
    }

    public void UnbecomeStacked()
    {
        if (_below is { Count: > 0 })
        {
            _behavior = _below.Pop();
        }
    }

    void IUntypedActorContext.Become(UntypedReceive receive) => Become(Adapt(receive));

    void IUntypedActorContext.BecomeStacked(UntypedReceive receive) => BecomeStacked(Adapt(receive));

    internal static Receive Adapt(UntypedReceive receive) => message =>
    {
        receive(message);
        return true;
    };

    public void Invoke(in Envelope envelope)
    {
        var message = envelope.Message;
        _message = message;
        _sender = envelope.Sender;
        IsStashed = false;
        var influences = _receiveTimeout is not null && InfluencesTimeout(message);
        if (influences)
        {
            CancelReceiveTimeout();
        }

        try
        {
            if (message is IAutoReceivedMessage)
            {
                AutoReceive(message);
            }
            else
            {
                ReceiveMessage(message);
            }

            if (!_mailbox.IsAwaiting)
            {
                _message = null;
                _sender = null;
            }
        }
        catch (Exception e)
        {
            HandleInvokeFailure(e);
        }

        if (_receiveTimeout is not null && (influences || _receiveTimeoutTask is null))
        {
            CheckReceiveTimeout();
        }
    }

    /// <summary>Handles a message on this thread; what the handler throws comes through.</summary>
    internal void InvokeForTest(object message, IActorRef? sender)
    {
        var outerMessage = _message;
        var outerSender = _sender;
        _message = message;
        _sender = sender;
        try
        {
            if (message is IAutoReceivedMessage)
            {
                AutoReceive(message);
            }
            else
            {
                ReceiveMessage(message);
            }
        }
        finally
        {
            _message = outerMessage;
            _sender = outerSender;
        }
    }

    /// <summary>Hands a message to the actor's current behaviour.</summary>
    public void ReceiveMessage(object message)
    {
        if (message is TimerMessage timer)
        {
            var unwrapped = (_actor as IWithTimers)?.Timers is TimerScheduler timers ? timers.Intercept(timer) : null;
            if (unwrapped is null)
            {
                return;
            }

            message = unwrapped;
            _message = message;
            if (message is IAutoReceivedMessage)
            {
                AutoReceive(message);
                return;
            }
        }

        var handled = _actor!.RunReceive(_behavior!, message);
        if (_system.Settings.AddLoggingReceive && _actor is ILogReceive)
        {
            Publish(new Debug(_self.Path.ToString(), _actor.GetType(), $"received {(handled ? "handled" : "unhandled")} message {message} from {Sender}"));
        }
    }

    private void AutoReceive(object message)
    {
        if (_system.Settings.DebugAutoReceive)
        {
            Publish(new Debug(_self.Path.ToString(), ActorType, "received AutoReceiveMessage " + message));
        }

        switch (message)
        {
            case Terminated terminated:
                ReceivedTerminated(terminated);
                break;
            case Kill:
                throw new ActorKilledException("Kill");
            case PoisonPill:
                _self.Stop();
                break;
            case ActorSelectionMessage selection:
                ReceiveSelection(selection);
                break;
            case Identify identify:
                Sender.Tell(new ActorIdentity(identify.MessageId, _self), _self);
                break;
            default:
                ReceiveMessage(message);
                break;
        }
    }

    private void ReceiveSelection(ActorSelectionMessage selection)
    {
        if (selection.Elements.Length == 0)
        {
            Invoke(new Envelope(selection.Message, _sender!));
            return;
        }

        Akka.Actor.ActorSelection.Deliver(_self, _sender, selection);
    }

    public void SystemInvoke(SystemMessage message)
    {
        try
        {
            switch (message)
            {
                case ActorTask task:
                    RunTaskPart(task);
                    break;
                case ActorTaskDone done:
                    FinishTask(done);
                    break;
                case DeathWatchNotification notification:
                    WatchedActorTerminated(notification.Actor, notification.ExistenceConfirmed, notification.AddressTerminated);
                    break;
                case Watch watch:
                    AddWatcher(watch.Watchee, watch.Watcher);
                    break;
                case Unwatch unwatch:
                    RemoveWatcher(unwatch.Watchee, unwatch.Watcher);
                    break;
                case Create create:
                    CreateActor(create.Failure);
                    break;
                case Failed failed:
                    HandleFailed(failed);
                    break;
                case Recreate recreate:
                    FaultRecreate(recreate.Cause);
                    break;
                case Suspend:
                    FaultSuspend();
                    break;
                case Resume resume:
                    FaultResume(resume.CausedByFailure);
                    break;
                case Akka.Dispatch.SysMsg.Terminate:
                    Terminate();
                    break;
                default:
                    throw new NotSupportedException("unknown system message " + message.GetType().Name);
            }
        }
        catch (Exception e)
        {
            HandleInvokeFailure(e);
        }
    }

    private void CreateActor(ActorInitializationException? failure)
    {
        if (failure is not null)
        {
            throw failure;
        }

        try
        {
            _actor = NewActor();
            _actor.AroundPreStart();
            CheckReceiveTimeout();
            DebugLifecycle("started (" + _actor.GetType() + ")");
        }
        catch (Exception e)
        {
            if (_actor is not null)
            {
                ClearActor(_actor, released: true);
                _actor = null;
            }

            var cause = e is global::System.Reflection.TargetInvocationException { InnerException: { } inner } ? inner : e;
            throw new ActorInitializationException(_self, "Exception during creation", cause);
        }
    }

    // The constructor reads the context of this cell, so the behaviours of a predecessor must be gone by then.
    private ActorBase NewActor()
    {
        _behavior = null;
        _below = null;
        var outer = _current;
        _current = this;
        try
        {
            var actor = _props.NewActor() ?? throw new ActorInitializationException(_self, "Props did not produce an actor");
            if (_behavior is null)
            {
                _behavior = actor.InitialReceive;
            }

            if (actor is IActorStash stashing)
            {
                stashing.Stash = StashFactory.Create(this);
            }

            if (actor is IWithTimers timed)
            {
                timed.Timers = new TimerScheduler(this);
            }

            actor.OnConstructed();
            return actor;
        }
        finally
        {
            _current = outer;
        }
    }

    /// <summary>Prepares the release of an instance: its stash goes back to the mailbox, its timers end.</summary>
    private void ClearActor(ActorBase actor, bool released)
    {
        (actor as IWithTimers)?.Timers?.CancelAll();
        if (actor is IActorStash { Stash: { } stash })
        {
            stash.UnstashAll();
        }

        actor.Clear(_self);
        _props.Release(actor);
        if (released)
        {
            _message = null;
            _sender = null;
            _behavior = null;
            _below = null;
        }
    }

    private Type ActorType => _actor?.GetType() ?? typeof(ActorCell);

    internal void Publish(LogEvent @event)
    {
        try
        {
            _system.EventStream.Publish(@event);
        }
        catch (Exception)
        {
            // A logger that fails must not fail the actor that logs.
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void DebugLifecycle(string text)
    {
        if (_system.Settings.DebugLifecycle)
        {
            Publish(new Debug(_self.Path.ToString(), ActorType, text));
        }
    }
}
