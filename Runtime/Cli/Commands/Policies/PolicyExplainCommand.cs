using System.CommandLine;
using Holdfast.Actors.Protection;
using Holdfast.Policies;
using Holdfast.Runtime.Protection;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Cli.Commands;

/// <summary><c>holdfast policy explain</c>: why a snapshot exists, and why it is still kept.</summary>
internal static class PolicyExplainCommand
{
    public static Command Build(Executor executor)
    {
        Argument<string> address = new("NAME@SNAPSHOT") { Description = "A snapshot; without @SNAPSHOT the latest" };
        DocumentedCommand command = new("explain", "Says why a snapshot exists, and why it is still kept or may go.")
        {
            Examples = [("holdfast policy explain web@1st", "the oldest that there is"), ("holdfast -o json policy explain web@06ajkpgryfj", "for a script")],
        };
        command.Arguments.Add(address);
        command.SetAction(parsed => executor.Execute(parsed, false, session => ExplainAsync(session, parsed.GetRequiredValue(address))));
        return command;
    }

    private static async Task<int> ExplainAsync(Session session, string address)
    {
        SnapshotInfo snapshot = session.Store.Snapshot(address);
        if (snapshot.Damage is { } damage)
        {
            throw new HoldfastException("snapshot.damaged", $"{snapshot.Address} cannot be read: {damage}");
        }

        // Without a record of the application there is nobody to ask for assignments: only the snapshots are left.
        ProtectionState state = session.Store.Application(snapshot.Object).Exists
            ? await PolicyAccess.StateAsync(session, snapshot.Object).ConfigureAwait(false)
            : new ProtectionState { Object = snapshot.Object };
        Policy policy = AssignedPolicy.Of(state);
        NodaTime.Instant now = SystemInstant.Now;
        SnapshotStore store = session.Store.Snapshots();
        // It may have been removed a moment ago; why it was is as good an answer.
        IEnumerable<StoredSnapshot> all = ProtectedApplication.Of(store, snapshot.Object).Where(s => s.Id != snapshot.Id).Append(ProtectedApplication.Of(store, snapshot));
        RetentionDecision decision = Retention.Decide(all.Select(SnapshotPolicyTag.RecordOf), policy, new TrustedTime(now, null, ClockEvidence.First(now)));
        SnapshotExplanation explanation = SnapshotExplanation.Of(snapshot.Id, decision, policy)!;

        if (policy.Rules.Count == 0 && explanation.Kept.Count == 0)
        {
            explanation = explanation with { Kept = [$"no policy is assigned to {snapshot.Object}, so that nothing is removed by rule"], Removed = [] };
        }

        session.Output.Text(session.Output.Json ? PolicyJson.Line(explanation) : $"{snapshot.Object}@{explanation.ToText()}");
        return ExitStatus.Done;
    }
}
