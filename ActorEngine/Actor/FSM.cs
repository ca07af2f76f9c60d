using Akka.Event;
using Akka.Routing;

namespace Akka.Actor;

/// <summary>A state machine: states with a handler each, data that goes along, time-outs per state, and timers by name.</summary>
/// <typeparam name="TState">The states.</typeparam>
/// <typeparam name="TData">The data.</typeparam>
public abstract class FSM<TState, TData> : FSMBase, IListeners
    where TState : notnull
{
    private readonly Dictionary<TState, StateFunction> _states = [];
    private readonly Dictionary<TState, TimeSpan?> _timeouts = [];
    private readonly List<TransitionHandler> _onTransition = [];
    private readonly Dictionary<string, FsmTimer> _timers = [];
    private readonly ILoggingAdapter _log = Context.GetLogger();
    private Action<StopEvent<TState, TData>>? _onTermination;
    private StateFunction? _unhandled;
    private State<TState, TData>? _current;
    private State<TState, TData>? _next;
    private ICancelable? _stateTimer;
    private long _generation;
    private long _stateGeneration;
    private IActorRef? _lostListener;

    /// <summary>Whether events are logged; from <c>akka.actor.debug.fsm</c>.</summary>
    protected bool DebugEvent;

    /// <summary>States and their handlers are set up in the constructor of the subclass.</summary>
    protected FSM()
    {
        DebugEvent = Context.System.Settings.FsmDebugEvent;
    }

    /// <summary>The handler of a state; null for an event that it does not handle.</summary>
#nullable disable annotations
    public delegate State<TState, TData> StateFunction(Event<TData> fsmEvent);
#nullable restore annotations

    /// <summary>Called between two states.</summary>
    public delegate void TransitionHandler(TState initialState, TState nextState);

    /// <summary>Who gets the transitions.</summary>
    public ListenerSupport Listeners { get; } = new();

    /// <summary>The state at hand.</summary>
    public TState StateName => Current.StateName;

    /// <summary>The data at hand.</summary>
    public TData StateData => Current.StateData;

    /// <summary>The data of the state to come; only in a transition's handler.</summary>
    /// <exception cref="InvalidOperationException">There is no transition.</exception>
    public TData NextStateData => _next is null ? throw new InvalidOperationException("NextStateData is only available during OnTransition") : _next.StateData;

    private State<TState, TData> Current => _current ?? throw new IllegalActorStateException("You must call StartWith before calling Initialize.");

    /// <summary>Adds a handler to a state; those that are there are asked first.</summary>
    public void When(TState stateName, StateFunction func, TimeSpan? timeout = null)
    {
        if (_states.TryGetValue(stateName, out var former))
        {
            _states[stateName] = @event => former(@event) ?? func(@event);
            _timeouts[stateName] = timeout ?? _timeouts.GetValueOrDefault(stateName);
        }
        else
        {
            _states[stateName] = func;
            _timeouts[stateName] = timeout;
        }
    }

    /// <summary>Sets the first state.</summary>
    public void StartWith(TState stateName, TData stateData, TimeSpan? timeout = null) => _current = new State<TState, TData>(stateName, stateData, timeout);

    /// <summary>Enters the first state. The last call in the constructor.</summary>
    public void Initialize()
    {
        if (_current is null)
        {
            throw new IllegalActorStateException("You must call StartWith before calling Initialize.");
        }

        MakeTransition(_current);
    }

    /// <summary>To a state. To the state at hand, too, is a transition and starts its time-out anew.</summary>
    public State<TState, TData> GoTo(TState nextStateName) => new(nextStateName, Current.StateData);

    /// <summary>No transition. The time-out of the state starts anew all the same, as with every event.</summary>
    public State<TState, TData> Stay() => GoTo(Current.StateName).WithNotification(false);

    /// <summary>Stops.</summary>
    public State<TState, TData> Stop() => Stop(Normal.Instance);

    /// <summary>Stops for a reason.</summary>
    public State<TState, TData> Stop(Reason reason) => Stop(reason, Current.StateData);

    /// <summary>Stops for a reason, with data.</summary>
    public State<TState, TData> Stop(Reason reason, TData stateData) => Stay().Using(stateData).WithStopReason(reason);

    /// <summary>Changes what a handler yields.</summary>
    public TransformHelper Transform(StateFunction func) => new(func);

    /// <summary>Starts a timer by name, in place of one of the same name. A message of a former one that waits in the mailbox is not delivered.</summary>
    public void SetTimer(string name, object msg, TimeSpan timeout, bool repeat = false)
    {
        CancelTimer(name);
        var timer = new FsmTimer(this, name, msg, repeat, ++_generation);
        var scheduler = Context.System.Scheduler;
        timer.Task = repeat
            ? scheduler.ScheduleTellRepeatedlyCancelable(timeout, timeout, Self, timer, Context.Self)
            : scheduler.ScheduleTellOnceCancelable(timeout, Self, timer, Context.Self);
        _timers[name] = timer;
    }

    /// <summary>Cancels a timer.</summary>
    public void CancelTimer(string name)
    {
        if (_timers.Remove(name, out var timer))
        {
            timer.Task!.Cancel();
        }
    }

    /// <summary>Whether a timer runs.</summary>
    public bool IsTimerActive(string name) => _timers.ContainsKey(name);

    /// <summary>Sets the time-out of a state; null for none.</summary>
    public void SetStateTimeout(TState state, TimeSpan? timeout) => _timeouts[state] = timeout;

    /// <summary>Adds a handler of transitions; all are called, in order.</summary>
    public void OnTransition(TransitionHandler transitionHandler) => _onTransition.Add(transitionHandler);

    /// <summary>Sets the handler of the end.</summary>
    public void OnTermination(Action<StopEvent<TState, TData>> terminationHandler) => _onTermination = terminationHandler;

    /// <summary>Sets the handler of what no state handles.</summary>
    public void WhenUnhandled(StateFunction stateFunction)
    {
        var former = _unhandled;
        _unhandled = former is null ? stateFunction : @event => former(@event) ?? stateFunction(@event);
    }

#nullable disable annotations
    /// <inheritdoc/>
    protected override bool Receive(object message)
    {
        switch (message)
        {
            case StateTimeoutMark mark:
                if (ReferenceEquals(mark.Owner, this) && mark.Generation == _stateGeneration)
                {
                    ProcessMessage(StateTimeout.Instance, "state timeout");
                }

                return true;
            case FsmTimer timer:
                if (ReferenceEquals(timer.Owner, this) && _timers.TryGetValue(timer.Name, out var active) && active.Generation == timer.Generation)
                {
                    CancelStateTimer();
                    if (!timer.Repeats)
                    {
                        _timers.Remove(timer.Name);
                    }

                    ProcessMessage(timer.Message, timer);
                }

                return true;
            case SubscribeTransitionCallBack subscribe:
                Context.Watch(subscribe.ActorRef);
                Listeners.Add(subscribe.ActorRef);
                subscribe.ActorRef.Tell(new CurrentState<TState>(Self, Current.StateName), Self);
                return true;
            case Listen listen:
                Context.Watch(listen.Listener);
                Listeners.Add(listen.Listener);
                listen.Listener.Tell(new CurrentState<TState>(Self, Current.StateName), Self);
                return true;
            case UnsubscribeTransitionCallBack unsubscribe:
                Context.Unwatch(unsubscribe.ActorRef);
                Listeners.Remove(unsubscribe.ActorRef);
                return true;
            case Deafen deafen:
                Context.Unwatch(deafen.Listener);
                Listeners.Remove(deafen.Listener);
                return true;
            default:
                if (message is Terminated terminated)
                {
                    _lostListener = terminated.ActorRef;
                    Listeners.Remove(terminated.ActorRef);
                }
                else
                {
                    _lostListener = null;
                }

                CancelStateTimer();
                ProcessMessage(message, Sender);
                return true;
        }
    }

    /// <inheritdoc/>
    protected override void PostStop()
    {
        // A stop from outside is a shutdown; one of the machine's own was reported already.
        Terminate(Stay().WithStopReason(Shutdown.Instance));
        base.PostStop();
    }
#nullable restore annotations

    /// <summary>Logs why the machine stops, when it is a failure.</summary>
    protected virtual void LogTermination(Reason reason)
    {
        if (reason is Failure failure)
        {
            if (failure.Cause is Exception cause)
            {
                _log.Error(cause, "terminating due to Failure");
            }
            else
            {
                _log.Error("terminating due to Failure: {0}", failure.Cause);
            }
        }
    }

    private void ProcessMessage(object message, object source)
    {
        if (DebugEvent)
        {
            _log.Debug("processing {0} from {1} in state {2}", message, source, Current.StateName);
        }

        var @event = new Event<TData>(message, Current.StateData);
        var next = _states.TryGetValue(Current.StateName, out var handler) ? handler(@event) : null;
        next ??= _unhandled?.Invoke(@event) ?? Default(@event);
        ApplyState(next);
    }

    private State<TState, TData> Default(Event<TData> @event)
    {
        if (@event.FsmEvent is Terminated terminated && terminated.ActorRef.Equals(_lostListener))
        {
            return Stay();
        }

        _log.Warning("unhandled event {0} in state {1}", @event.FsmEvent, Current.StateName);
        return Stay();
    }

    internal bool IsStateTimerActive => _stateTimer is not null;

    internal void LogEvents() => DebugEvent = true;

    internal void ApplyState(State<TState, TData> next)
    {
        if (next.StopReason is null)
        {
            MakeTransition(next);
            return;
        }

        foreach (var reply in next.Replies)
        {
            Sender.Tell(reply);
        }

        Terminate(next);
        Context.Stop(Self);
    }

    private void MakeTransition(State<TState, TData> next)
    {
        if (!_states.ContainsKey(next.StateName))
        {
            Terminate(Stay().WithStopReason(new Failure($"Next state {next.StateName} does not exist")));
            Context.Stop(Self);
            return;
        }

        foreach (var reply in next.Replies)
        {
            Sender.Tell(reply);
        }

        if (!EqualityComparer<TState>.Default.Equals(Current.StateName, next.StateName) || next.Notifies)
        {
            _next = next;
            if (!ReferenceEquals(_current, next))
            {
                foreach (var handler in _onTransition)
                {
                    handler(Current.StateName, next.StateName);
                }

                Listeners.Gossip(new Transition<TState>(Self, Current.StateName, next.StateName));
            }

            _next = null;
        }

        _current = next.WithoutReplies();
        var timeout = next.Timeout ?? _timeouts.GetValueOrDefault(next.StateName);
        if (timeout is { } span && span < TimeSpan.MaxValue && span >= TimeSpan.Zero)
        {
            _stateTimer = Context.System.Scheduler.ScheduleTellOnceCancelable(span, Self, new StateTimeoutMark(this, ++_stateGeneration), Context.Self);
        }
    }

    private void CancelStateTimer()
    {
        _stateTimer?.Cancel();
        _stateTimer = null;
        _stateGeneration++;
    }

    private void Terminate(State<TState, TData> last)
    {
        if (Current.StopReason is not null)
        {
            return;
        }

        CancelStateTimer();
        foreach (var timer in _timers.Values)
        {
            timer.Task!.Cancel();
        }

        _timers.Clear();
        LogTermination(last.StopReason);
        _current = last;
        _onTermination?.Invoke(new StopEvent<TState, TData>(last.StopReason, last.StateName, last.StateData));
    }

    private sealed record StateTimeoutMark(FSM<TState, TData> Owner, long Generation) : IDeadLetterSuppression;

    private sealed class FsmTimer(FSM<TState, TData> owner, string name, object message, bool repeats, long generation) : INoSerializationVerificationNeeded, IDeadLetterSuppression
    {
        public FSM<TState, TData> Owner { get; } = owner;

        public string Name { get; } = name;

        public object Message { get; } = message;

        public bool Repeats { get; } = repeats;

        public long Generation { get; } = generation;

        public ICancelable? Task { get; set; }
    }

    /// <summary>Changes what a handler yields.</summary>
    public sealed class TransformHelper
    {
        /// <summary>Creates one.</summary>
        public TransformHelper(StateFunction func) => Func = func;

        /// <summary>The handler.</summary>
        public StateFunction Func { get; }

        /// <summary>The handler, followed by a change of what it yields.</summary>
        public StateFunction Using(Func<State<TState, TData>, State<TState, TData>> andThen) => @event => Func(@event) is { } state ? andThen(state) : null!;
    }
}
