using Holdfast.Actors.Protection;
using Holdfast.Policies;
using NodaTime;

namespace Holdfast.Runtime.Protection;

/// <summary>What is assigned to an object, as one policy, and how far it is served.</summary>
internal static class AssignedPolicy
{
    /// <summary>The policies of an object as one.</summary>
    public static Policy Of(ProtectionState state) =>
        PolicyMerge.Join(state.Object, state.Assignments.SelectMany(a => PolicyReader.ReadText(a.Text, a.Policy).Policies));

    /// <summary>What a plan must know: what is recorded with the snapshots and in the journal; rules that were never assigned count from now.</summary>
    public static PlanState StateOf(ProtectionState state, Policy policy, IReadOnlyList<SnapshotRecord> snapshots, Instant now)
    {
        Dictionary<RuleId, Instant> served = policy.Rules.SelectMany(r => r.Sources).Distinct().ToDictionary(id => id, _ => Instant.MinValue);
        foreach (ServedRule tag in state.Since.Concat(state.Served).Select(s => new ServedRule(RuleId.Parse(s.Rule), Instant.FromDateTimeOffset(s.Occurrence)))
            .Concat(snapshots.SelectMany(s => s.Serves)))
        {
            if (served.TryGetValue(tag.Rule, out Instant known) && tag.Occurrence > known)
            {
                served[tag.Rule] = tag.Occurrence;
            }
        }

        PlanState result = PlanState.After(now, served.Select(s => new ServedRule(s.Key, s.Value == Instant.MinValue ? now : s.Value)));
        return state.Pending.Aggregate(result, (r, e) => r.Fired(RuleId.Parse(e.Rule), Instant.FromDateTimeOffset(e.At)));
    }
}
