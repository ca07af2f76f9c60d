using Akka.Persistence;

namespace Holdfast.Actors.Protection;

/// <summary>A policy was assigned to a group.</summary>
/// <param name="Group">The group.</param>
/// <param name="Policy">The policy's name.</param>
/// <param name="Text">HOCON with this one policy.</param>
/// <param name="At">When.</param>
public sealed record GroupPolicyAssigned(string Group, string Policy, string Text, DateTimeOffset At) : IProtectionEvent;

/// <summary>A policy was taken away from a group.</summary>
/// <param name="Group">The group.</param>
/// <param name="Policy">The policy's name.</param>
/// <param name="At">When.</param>
public sealed record GroupPolicyUnassigned(string Group, string Policy, DateTimeOffset At) : IProtectionEvent;

/// <summary>Assigns policies to a group. Answered by <see cref="GroupsListed"/>.</summary>
/// <param name="Group">The group.</param>
/// <param name="Policies">At least one; one of the same name is replaced.</param>
public sealed record AssignToGroup(string Group, IReadOnlyList<PolicyText> Policies);

/// <summary>Takes a policy away from a group. Answered by <see cref="GroupsListed"/> or <see cref="ProtectionRefused"/>.</summary>
/// <param name="Group">The group.</param>
/// <param name="Policy">The policy's name.</param>
public sealed record UnassignFromGroup(string Group, string Policy);

/// <summary>Asks for <see cref="GroupsListed"/>.</summary>
public sealed record GetGroups;

/// <summary>The policies of all groups.</summary>
/// <param name="Policies">Each with its group, in the order of groups and policies.</param>
public sealed record GroupsListed(IReadOnlyList<InheritedPolicy> Policies);

/// <summary>Keeps which policies are assigned to which groups. One writes at a time; who hosts it sees to that.</summary>
public sealed class GroupPolicies : ReceivePersistentActor
{
    private readonly SortedDictionary<(string Group, string Policy), PolicyText> _policies = [];
    private readonly TimeProvider _time;

    /// <summary>Makes one.</summary>
    /// <param name="time">The clock.</param>
    public GroupPolicies(TimeProvider time)
    {
        _time = time;
        Recover<GroupPolicyAssigned>(Apply);
        Recover<GroupPolicyUnassigned>(Apply);
        Command<GetGroups>(_ => Answer());
        Command<AssignToGroup>(Assign);
        Command<UnassignFromGroup>(Unassign);
    }

    /// <inheritdoc/>
    public override string PersistenceId => "policy-groups";

    /// <summary>Makes its props.</summary>
    /// <param name="time">The clock.</param>
    public static Akka.Actor.Props Props(TimeProvider time) => ActorProps.Of(() => new GroupPolicies(time));

    private void Assign(AssignToGroup message)
    {
        DateTimeOffset now = _time.GetUtcNow();
        List<GroupPolicyAssigned> events = [.. message.Policies
            .Where(p => !_policies.TryGetValue((message.Group, p.Name), out PolicyText? known) || known.Text != p.Text)
            .Select(p => new GroupPolicyAssigned(message.Group, p.Name, p.Text, now))];
        int left = events.Count;
        if (left == 0)
        {
            Answer();
            return;
        }

        PersistAll(events, e =>
        {
            Apply(e);
            if (--left == 0)
            {
                Answer();
            }
        });
    }

    private void Unassign(UnassignFromGroup message)
    {
        if (!_policies.ContainsKey((message.Group, message.Policy)))
        {
            Sender.Tell(new ProtectionRefused("policy.not-assigned", $"{message.Policy} is not assigned to {message.Group}"), Self);
            return;
        }

        Persist(new GroupPolicyUnassigned(message.Group, message.Policy, _time.GetUtcNow()), e =>
        {
            Apply(e);
            Answer();
        });
    }

    private void Apply(GroupPolicyAssigned e) => _policies[(e.Group, e.Policy)] = new PolicyText(e.Policy, e.Text);

    private void Apply(GroupPolicyUnassigned e) => _policies.Remove((e.Group, e.Policy));

    private void Answer() => Sender.Tell(new GroupsListed([.. _policies.Select(p => new InheritedPolicy(p.Key.Group, p.Value))]), Self);
}
