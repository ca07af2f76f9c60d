using Holdfast.Policies;
using NodaTime;

namespace Holdfast.Actors.Protection;

/// <content>Which policies the object has.</content>
public sealed partial class PolicyEntity
{
    private void Assign(AssignPolicies message)
    {
        foreach (PolicyText policy in message.Policies)
        {
            if (Problem(policy) is { } problem)
            {
                Sender.Tell(problem, Self);
                return;
            }

            if (_ledger.Find(policy.Name) is { } known && known.Source != PolicyAssignment.Direct && known.Text != policy.Text)
            {
                Sender.Tell(
                    new ProtectionRefused("policy.name-taken", $"{_object.Name} has another policy {policy.Name} from {known.Source}; give this one another name"), Self);
                return;
            }
        }

        Change([.. message.Policies
            .Where(p => _ledger.Find(p.Name) is not { } known || known.Text != p.Text)
            .Select(p => new PolicyAssigned(p.Name, p.Text, PolicyAssignment.Direct, _clock.Now))]);
    }

    private void Unassign(UnassignPolicy message)
    {
        if (_ledger.Find(message.Policy) is not { } known)
        {
            Sender.Tell(new ProtectionRefused("policy.not-assigned", $"{message.Policy} is not assigned to {_object.Name}"), Self);
        }
        else if (known.Source != PolicyAssignment.Direct)
        {
            Sender.Tell(
                new ProtectionRefused("policy.inherited", $"{_object.Name} has {message.Policy} from {known.Source}; 'holdfast policy unassign {message.Policy} {known.Source}' takes it from all of that group"),
                Self);
        }
        else
        {
            Change([new PolicyUnassigned(message.Policy, known.Source, _clock.Now)]);
        }
    }

    /// <summary>Brings what is inherited to what the groups say now. What the object has of its own goes before a group's of the same name.</summary>
    private void Inherit(InheritPolicies message)
    {
        DateTimeOffset now = _clock.Now;
        Dictionary<string, InheritedPolicy> wanted = [];
        foreach (InheritedPolicy inherited in message.Policies)
        {
            if (Problem(inherited.Policy) is { } problem)
            {
                Sender.Tell(problem, Self);
                return;
            }

            bool isOwn = _ledger.Find(inherited.Policy.Name) is { Source: PolicyAssignment.Direct };
            if (!isOwn && !wanted.TryAdd(inherited.Policy.Name, inherited) && wanted[inherited.Policy.Name].Policy.Text != inherited.Policy.Text)
            {
                Sender.Tell(
                    new ProtectionRefused(
                        "policy.name-taken",
                        $"{_object.Name} belongs to {wanted[inherited.Policy.Name].Group} and {inherited.Group}, which have different policies with the name {inherited.Policy.Name}; give one another name"),
                    Self);
                return;
            }
        }

        List<IProtectionEvent> events = [.. _ledger.Assignments
            .Where(a => a.Source != PolicyAssignment.Direct && !wanted.ContainsKey(a.Policy))
            .Select(a => new PolicyUnassigned(a.Policy, a.Source, now))];
        events.AddRange(wanted.Values
            .Where(w => _ledger.Find(w.Policy.Name) is not { } known || known.Text != w.Policy.Text || known.Source != w.Group)
            .Select(w => new PolicyAssigned(w.Policy.Name, w.Policy.Text, w.Group, now)));
        Change(events);
    }

    private void Change(IReadOnlyList<IProtectionEvent> events) => Keep(events, () =>
    {
        Answer();
        if (events.Count == 0)
        {
            return;
        }

        NoteUnreadable();
        if (_carriesOut)
        {
            Watch();
            Evaluate();
            Copy();
            List(reconcile: false);
        }
    });

    private static ProtectionRefused? Problem(PolicyText policy)
    {
        PolicyReading reading = PolicyReader.ReadText(policy.Text, policy.Name);
        return reading.HasErrors
            ? new ProtectionRefused("policy.invalid", string.Join('\n', reading.Problems))
            : reading.Policies.Count != 1 || reading.Policies[0].Name != policy.Name
                ? new ProtectionRefused("policy.invalid", $"{policy.Name}: the text must hold this policy and no other")
                : null;
    }

    private void NoteUnreadable()
    {
        foreach (string old in _troubles.Keys.Where(k => k.StartsWith("policy:", StringComparison.Ordinal)).ToList())
        {
            _troubles.Remove(old);
        }

        foreach ((string policy, string why) in _ledger.Unreadable)
        {
            _troubles[$"policy:{policy}"] = $"the policy {policy} cannot be read and is not carried out: {why}";
        }
    }

    /// <summary>What the rules for every point want of one that a person asks for.</summary>
    private IReadOnlyDictionary<string, string> HandTags()
    {
        List<PointRule> rules = [.. _ledger.Policy.Rules.Where(r => r.Clause.Demand is AnyPointDemand)];
        if (rules.Count == 0)
        {
            return new Dictionary<string, string>();
        }

        PointTerms terms = rules.Select(r => r.Clause.Terms).Aggregate((a, b) => a.Join(b));
        return SnapshotPolicyTag.Of(new PlannedPoint(Now, [], terms), _clock.Now, byHand: true).ToTags();
    }
}
