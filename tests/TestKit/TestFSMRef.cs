using Akka.Actor;

namespace Akka.TestKit;

/// <summary>A state machine on the thread of who sends to it, whose state the test can see and set.</summary>
public class TestFSMRef<TActor, TState, TData> : TestActorRefBase<TActor>
    where TActor : FSM<TState, TData>
    where TState : notnull
{
    public TestFSMRef(ActorSystem system, Props props, IActorRef? supervisor = null, string? name = null, bool activateLogging = false)
        : base(system, props, supervisor, name)
    {
        if (activateLogging)
        {
            UnderlyingActor.LogEvents();
        }
    }

    public TState StateName => UnderlyingActor.StateName;

    public TData StateData => UnderlyingActor.StateData;

    public void SetState(TState stateName, TimeSpan? timeout = null) => SetState(stateName, StateData, timeout);

    public void SetState(TState stateName, TData stateData, TimeSpan? timeout = null, FSMBase.Reason? stopReason = null) =>
        AsActor(fsm => fsm.ApplyState(new FSMBase.State<TState, TData>(stateName, stateData, timeout, stopReason)));

    public void SetStateData(TData stateData, TimeSpan? timeout = null) => SetState(StateName, stateData, timeout);

    public void SetStateTimeout(TimeSpan timeout) => SetState(StateName, StateData, timeout);

    public void SetTimer(string name, object msg, TimeSpan timeout, bool repeat = false) => AsActor(fsm => fsm.SetTimer(name, msg, timeout, repeat));

    public void CancelTimer(string name) => UnderlyingActor.CancelTimer(name);

    public bool IsTimerActive(string name) => UnderlyingActor.IsTimerActive(name);

    public bool IsStateTimerActive() => UnderlyingActor.IsStateTimerActive;

    private void AsActor(Action<TActor> action)
    {
        var outer = ActorCell.Current;
        ActorCell.Current = Inner.Cell;
        try
        {
            action(UnderlyingActor);
        }
        finally
        {
            ActorCell.Current = outer;
        }
    }
}
