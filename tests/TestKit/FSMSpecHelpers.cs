using Akka.Actor;

namespace Akka.TestKit;

/// <summary>Comparers of what state machines tell their listeners.</summary>
public static class FSMSpecHelpers
{
    public static Func<object, object, bool> CurrentStateExpector<TS>() => (expected, actual) =>
        expected is FSMBase.CurrentState<TS> one && actual is FSMBase.CurrentState<TS> other && one.FsmRef.Equals(other.FsmRef) && Equals(one.State, other.State);

    public static Func<object, object, bool> TransitionStateExpector<TS>() => (expected, actual) =>
        expected is FSMBase.Transition<TS> one && actual is FSMBase.Transition<TS> other
        && one.FsmRef.Equals(other.FsmRef) && Equals(one.From, other.From) && Equals(one.To, other.To);
}
