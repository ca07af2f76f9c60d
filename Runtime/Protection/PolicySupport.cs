using Holdfast.Policies;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Protection;

/// <summary>What policies can say and this version cannot do: refused when such a policy is assigned, never ignored.</summary>
internal static class PolicySupport
{
    /// <summary>Returns the policies as text, or throws with every rule that cannot be carried out.</summary>
    /// <exception cref="HoldfastException">A rule cannot be carried out here (<c>policy.unsupported</c>).</exception>
    public static IReadOnlyList<Holdfast.Actors.Protection.PolicyText> Supported(IEnumerable<Policy> policies, SnapshotStore? store)
    {
        List<Policy> all = [.. policies];
        string[] refusals = [.. all.SelectMany(p => Refusals(p, store)).Select(r => r.ToString())];
        return refusals.Length == 0
            ? [.. all.Select(p => new Holdfast.Actors.Protection.PolicyText(p.Name, PolicyWriter.Write(p)))]
            : throw new HoldfastException("policy.unsupported", string.Join('\n', refusals));
    }

    private static IEnumerable<PolicyProblem> Refusals(Policy policy, SnapshotStore? store)
    {
        foreach (PointRule rule in policy.Rules)
        {
            PointTerms terms = rule.Clause.Terms;
            if (terms.Copies.Count > 0)
            {
                yield return Refusal(policy, rule.Position, rule.Id.Rule, "copies on other devices are made by no policy in this version; take copies out of it");
            }

            if (terms.Consistency == Consistency.Volumes)
            {
                yield return Refusal(policy, rule.Position, rule.Id.Rule, "volumes are not part of a checkpoint in this version; ask for consistency = application");
            }

            if (terms.Storage.Encrypted && store?.IsEncrypted != true)
            {
                yield return Refusal(policy, rule.Position, rule.Id.Rule, "encryption is required, and the store is not encrypted");
            }
        }

        foreach (LimitRule rule in policy.Limits.Where(l => l.Limit is BandwidthLimit))
        {
            yield return Refusal(
                policy, rule.Position, rule.Sources[0].Rule, "a bandwidth limit would lengthen the freeze, because memory is copied while the application stands; take it out");
        }
    }

    private static PolicyProblem Refusal(Policy policy, SourcePosition position, string rule, string what) =>
        new(ProblemSeverity.Error, position, policy.Name, rule, what);
}
