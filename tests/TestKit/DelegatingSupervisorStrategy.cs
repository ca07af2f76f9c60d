using Akka.Actor;

namespace Akka.TestKit;

/// <summary>Treats each child by a strategy of its own; one that has none by the default.</summary>
public class DelegatingSupervisorStrategy : SupervisorStrategy
{
    private readonly Dictionary<IActorRef, SupervisorStrategy> _strategies = [];

    public override IDecider Decider { get; } = DefaultDecider;

    public void Update(IActorRef child, SupervisorStrategy supervisorStrategy) => _strategies[child] = supervisorStrategy;

    protected override Directive Handle(IActorRef child, Exception exception) => Of(child).Decide(child, exception);

    internal override void ProcessFailureInternal(ActorCell cell, bool restart, IActorRef child, Exception cause, ChildRestartStats stats, ChildrenContainer children) =>
        Of(child).ProcessFailureInternal(cell, restart, child, cause, stats, children);

    private SupervisorStrategy Of(IActorRef child) => _strategies.GetValueOrDefault(child, DefaultStrategy);
}
