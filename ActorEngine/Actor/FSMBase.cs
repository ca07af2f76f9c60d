namespace Akka.Actor;

/// <summary>The types that state machines of all kinds share.</summary>
public abstract class FSMBase : ActorBase
{
    private protected FSMBase()
    {
    }

    /// <summary>Sent to who subscribes to transitions: the state at that moment.</summary>
    /// <typeparam name="TS">The states.</typeparam>
    public sealed class CurrentState<TS>
    {
        /// <summary>Creates one.</summary>
        public CurrentState(IActorRef fsmRef, TS state)
        {
            FsmRef = fsmRef;
            State = state;
        }

        /// <summary>The machine.</summary>
        public IActorRef FsmRef { get; }

        /// <summary>Its state.</summary>
        public TS State { get; }

        /// <inheritdoc/>
        public override bool Equals(object? obj) => obj is CurrentState<TS> other && Equals(FsmRef, other.FsmRef) && EqualityComparer<TS>.Default.Equals(State, other.State);

        /// <inheritdoc/>
        public override int GetHashCode() => HashCode.Combine(FsmRef, State);

        /// <inheritdoc/>
        public override string ToString() => $"CurrentState <{State}>";
    }

    /// <summary>Sent to who subscribes to transitions.</summary>
    /// <typeparam name="TS">The states.</typeparam>
    public sealed class Transition<TS>
    {
        /// <summary>Creates one.</summary>
        public Transition(IActorRef fsmRef, TS from, TS to)
        {
            FsmRef = fsmRef;
            From = from;
            To = to;
        }

        /// <summary>The machine.</summary>
        public IActorRef FsmRef { get; }

        /// <summary>The state before.</summary>
        public TS From { get; }

        /// <summary>The state after.</summary>
        public TS To { get; }

        /// <inheritdoc/>
        public override bool Equals(object? obj) =>
            obj is Transition<TS> other && Equals(FsmRef, other.FsmRef) && EqualityComparer<TS>.Default.Equals(From, other.From) && EqualityComparer<TS>.Default.Equals(To, other.To);

        /// <inheritdoc/>
        public override int GetHashCode() => HashCode.Combine(FsmRef, From, To);

        /// <inheritdoc/>
        public override string ToString() => $"Transition({From}, {To})";
    }

    /// <summary>Subscribes an actor to transitions; it gets a <see cref="CurrentState{TS}"/> first.</summary>
    public sealed class SubscribeTransitionCallBack
    {
        /// <summary>Creates one.</summary>
        public SubscribeTransitionCallBack(IActorRef actorRef) => ActorRef = actorRef;

        /// <summary>The actor.</summary>
        public IActorRef ActorRef { get; }
    }

    /// <summary>Ends a subscription.</summary>
    public sealed class UnsubscribeTransitionCallBack
    {
        /// <summary>Creates one.</summary>
        public UnsubscribeTransitionCallBack(IActorRef actorRef) => ActorRef = actorRef;

        /// <summary>The actor.</summary>
        public IActorRef ActorRef { get; }
    }

    /// <summary>Why a machine stops.</summary>
    public abstract class Reason
    {
    }

    /// <summary>It stops by itself.</summary>
    public sealed class Normal : Reason
    {
        private Normal()
        {
        }

        /// <summary>The only instance.</summary>
        public static Normal Instance { get; } = new();
    }

    /// <summary>It was stopped from outside.</summary>
    public sealed class Shutdown : Reason
    {
        private Shutdown()
        {
        }

        /// <summary>The only instance.</summary>
        public static Shutdown Instance { get; } = new();
    }

    /// <summary>It stops because of something.</summary>
    public sealed class Failure : Reason
    {
        /// <summary>Creates one.</summary>
        public Failure(object cause) => Cause = cause;

        /// <summary>Because of what.</summary>
        public object Cause { get; }

        /// <inheritdoc/>
        public override string ToString() => $"Failure({Cause})";
    }

    /// <summary>The event that nothing came for as long as the state allows.</summary>
    public sealed class StateTimeout
    {
        private StateTimeout()
        {
        }

        /// <summary>The only instance.</summary>
        public static StateTimeout Instance { get; } = new();
    }

    /// <summary>A message with the data at hand.</summary>
    /// <typeparam name="TD">The data.</typeparam>
    public readonly struct Event<TD> : INoSerializationVerificationNeeded
    {
        /// <summary>Creates one.</summary>
        public Event(object fsmEvent, TD stateData)
        {
            FsmEvent = fsmEvent;
            StateData = stateData;
        }

        /// <summary>The message.</summary>
        public object FsmEvent { get; }

        /// <summary>The data.</summary>
        public TD StateData { get; }

        /// <inheritdoc/>
        public override string ToString() => $"Event: <{FsmEvent}>, StateData: <{StateData}>";
    }

    /// <summary>What a machine was when it stopped.</summary>
    /// <typeparam name="TS">The states.</typeparam>
    /// <typeparam name="TD">The data.</typeparam>
    public sealed class StopEvent<TS, TD> : INoSerializationVerificationNeeded
    {
        /// <summary>Creates one.</summary>
        public StopEvent(Reason reason, TS terminatedState, TD stateData)
        {
            Reason = reason;
            TerminatedState = terminatedState;
            StateData = stateData;
        }

        /// <summary>Why.</summary>
        public Reason Reason { get; }

        /// <summary>The last state.</summary>
        public TS TerminatedState { get; }

        /// <summary>The last data.</summary>
        public TD StateData { get; }

        /// <inheritdoc/>
        public override string ToString() => $"StopEvent({Reason}, {TerminatedState}, {StateData})";
    }

    /// <summary>A state with its data, its time-out and what is to be done on the way into it. Immutable.</summary>
    /// <typeparam name="TS">The states.</typeparam>
    /// <typeparam name="TD">The data.</typeparam>
    public sealed class State<TS, TD> : IEquatable<State<TS, TD>>
    {
        /// <summary>Creates one.</summary>
        public State(TS stateName, TD stateData, TimeSpan? timeout = null, Reason? stopReason = null, IReadOnlyList<object>? replies = null, bool notifies = true)
        {
            StateName = stateName;
            StateData = stateData;
            Timeout = timeout;
            StopReason = stopReason!;
            Replies = replies ?? [];
            Notifies = notifies;
        }

        /// <summary>The state.</summary>
        public TS StateName { get; }

        /// <summary>The data.</summary>
        public TD StateData { get; }

        /// <summary>How long to wait for a message; null for the state's own.</summary>
        public TimeSpan? Timeout { get; }

        /// <summary>Why to stop; null when it goes on.</summary>
        public Reason StopReason { get; }

        /// <summary>What to send to the sender.</summary>
        public IReadOnlyList<object> Replies { get; }

        internal bool Notifies { get; }

        /// <summary>With a time-out instead of the state's own. <see cref="TimeSpan.MaxValue"/> switches it off.</summary>
        public State<TS, TD> ForMax(TimeSpan timeout) => timeout <= TimeSpan.MaxValue ? new(StateName, StateData, timeout, StopReason, Replies, Notifies) : this;

        /// <summary>With a reply more, sent when the transition happens.</summary>
        public State<TS, TD> Replying(object replyValue) => new(StateName, StateData, Timeout, StopReason, [.. Replies, replyValue], Notifies);

        /// <summary>With other data.</summary>
        public State<TS, TD> Using(TD nextStateData) => new(StateName, nextStateData, Timeout, StopReason, Replies, Notifies);

        internal State<TS, TD> WithStopReason(Reason reason) => new(StateName, StateData, Timeout, reason, Replies, Notifies);

        internal State<TS, TD> WithNotification(bool notifies) => new(StateName, StateData, Timeout, StopReason, Replies, notifies);

        internal State<TS, TD> WithoutReplies() => Replies.Count == 0 ? this : new(StateName, StateData, Timeout, StopReason, [], Notifies);

        /// <inheritdoc/>
        public bool Equals(State<TS, TD>? other) =>
            other is not null && EqualityComparer<TS>.Default.Equals(StateName, other.StateName) && EqualityComparer<TD>.Default.Equals(StateData, other.StateData) &&
            Timeout == other.Timeout && Equals(StopReason, other.StopReason) && Replies.SequenceEqual(other.Replies);

        /// <inheritdoc/>
        public override bool Equals(object? obj) => obj is State<TS, TD> other && Equals(other);

        /// <inheritdoc/>
        public override int GetHashCode() => HashCode.Combine(StateName, StateData, Timeout);

        /// <inheritdoc/>
        public override string ToString() => $"{StateName}, {StateData}";
    }
}
