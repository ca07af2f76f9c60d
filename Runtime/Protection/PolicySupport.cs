using Holdfast.Policies;
using Holdfast.Runtime.Configuration;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Protection;

/// <summary>What policies can say and this version cannot do: refused when such a policy is assigned, never ignored.</summary>
internal static class PolicySupport
{
    /// <summary>Returns the policies as text, or throws with every rule that cannot be carried out.</summary>
    /// <param name="policies">The policies.</param>
    /// <param name="store">The store; null when there is none yet.</param>
    /// <param name="tls">The node's certificates.</param>
    /// <param name="hasVolumes">Whether the application has volumes; those of a group need not.</param>
    /// <exception cref="HoldfastException">A rule cannot be carried out here (<c>policy.unsupported</c>).</exception>
    public static IReadOnlyList<Holdfast.Actors.Protection.PolicyText> Supported(IEnumerable<Policy> policies, SnapshotStore? store, TlsFiles tls, bool hasVolumes)
    {
        List<Policy> all = [.. policies];
        string[] refusals = [.. all.SelectMany(p => Refusals(p, store, tls, hasVolumes)).Select(r => r.ToString())];
        return refusals.Length == 0
            ? [.. all.Select(p => new Holdfast.Actors.Protection.PolicyText(p.Name, PolicyWriter.Write(p)))]
            : throw new HoldfastException("policy.unsupported", string.Join('\n', refusals));
    }

    private static IEnumerable<PolicyProblem> Refusals(Policy policy, SnapshotStore? store, TlsFiles tls, bool hasVolumes)
    {
        foreach (PointRule rule in policy.Rules)
        {
            PointTerms terms = rule.Clause.Terms;
            foreach (string why in Copies(rule, store, tls))
            {
                yield return Refusal(policy, rule.Position, rule.Id.Rule, why);
            }

            if (terms.Consistency == Consistency.Volumes && !hasVolumes)
            {
                yield return Refusal(policy, rule.Position, rule.Id.Rule, "there are no volumes that it could ask for; assign it to an application that runs with --volume, or ask for consistency = application");
            }

            if (terms.Storage.Encrypted && store?.IsEncrypted != true)
            {
                yield return Refusal(policy, rule.Position, rule.Id.Rule, "encryption is required, and the store is not encrypted");
            }
        }
    }

    private static IEnumerable<string> Copies(PointRule rule, SnapshotStore? store, TlsFiles tls)
    {
        Copies copies = rule.Clause.Terms.Copies;
        if (copies.AtLeast > copies.To.Count)
        {
            yield return $"at least {copies.AtLeast} copies are wanted and {copies.To.Count} devices are named: a copy goes only where a device is named; name as many";
        }

        if (copies.Count > 0 && rule.Clause.Demand is AnyPointDemand)
        {
            yield return "copies of every point, whoever asks for it, are made by no policy; write copies in the rules that ask for points";
        }

        foreach (string device in copies.To.Select(c => c.Device))
        {
            if (device.StartsWith("https://", StringComparison.Ordinal))
            {
                if (tls.Certificate is null || tls.PrivateKey is null || tls.Authority is null)
                {
                    yield return $"copies go to {device}, and nodes know each other by certificates; set holdfast.tls.certificate, private-key and authority";
                }

                if (rule.Clause.Terms.Storage.Encrypted)
                {
                    yield return $"encryption is required, and whether the store of {device} is encrypted cannot be told from here; copy to a directory or a bucket";
                }
            }
            else if (device.StartsWith('/'))
            {
                if (store is not null && Path.GetFullPath(device).TrimEnd('/') == Path.GetFullPath(store.Directory).TrimEnd('/'))
                {
                    yield return $"{device} is the store itself; name another place for the copies";
                }
            }
            else if (!device.StartsWith("s3://", StringComparison.Ordinal))
            {
                yield return $"{device} is no device; copies go to a directory with its whole path, https://HOST:PORT or s3://BUCKET/PREFIX, in quotes";
            }
        }
    }

    private static PolicyProblem Refusal(Policy policy, SourcePosition position, string rule, string what) =>
        new(ProblemSeverity.Error, position, policy.Name, rule, what);
}
