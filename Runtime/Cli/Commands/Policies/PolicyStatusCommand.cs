using System.CommandLine;
using System.Globalization;
using Holdfast.Actors.Protection;
using Holdfast.Policies;
using Holdfast.Runtime.Protection;
using NodaTime;
using NodaDuration = NodaTime.Duration;

namespace Holdfast.Runtime.Cli.Commands;

/// <summary><c>holdfast policy status</c>: what is assigned, what comes next, which promises were kept, what it costs.</summary>
internal static class PolicyStatusCommand
{
    private const int BreaksShown = 10;

    public static Command Build(Executor executor)
    {
        Argument<string?> name = new("NAME") { Description = "The application (default: all, and the groups)", Arity = ArgumentArity.ZeroOrOne };
        DocumentedCommand command = new("status", "Shows what is assigned, what comes next, and which promises were kept and broken.")
        {
            Examples = [("holdfast policy status", "who has which policies"), ("holdfast policy status web", "all about web"), ("holdfast -o json policy status web", "for a script")],
        };
        command.Arguments.Add(name);
        command.SetAction(parsed => executor.Execute(parsed, false, session =>
            parsed.GetValue(name) is { } one ? OneAsync(session, one) : AllAsync(session)));
        return command;
    }

    private static async Task<int> AllAsync(Session session)
    {
        List<PolicyAssignmentJson> all = [.. (await PolicyGroups.AllAsync(session).ConfigureAwait(false)).Select(g => new PolicyAssignmentJson(g.Policy.Name, g.Group, true))];
        foreach ((_, Storage.ApplicationRecord record) in session.Store.AllApplications().ToList())
        {
            ProtectionState state = await PolicyAccess.StateAsync(session, record.Name).ConfigureAwait(false);
            all.AddRange(state.Assignments.Select(a => new PolicyAssignmentJson(a.Policy, record.Name, true) { From = a.Source, Since = a.At }));
        }

        if (session.Output.Json)
        {
            all.ForEach(a => session.Output.Result(a, OutputJson.Default.PolicyAssignmentJson, _ => ""));
        }
        else if (all.Count > 0)
        {
            session.Output.Text(Output.Table(["POLICY", "ASSIGNED TO", "FROM"], all.Select(a => (string[])[a.Policy, a.Target, a.From ?? ""])));
        }
        else
        {
            session.Output.Note($"no policy is assigned in {session.Store.Root}");
        }

        return ExitStatus.Done;
    }

    private static async Task<int> OneAsync(Session session, string name)
    {
        session.Store.Existing(name);
        ProtectionState state = await PolicyAccess.StateAsync(session, name).ConfigureAwait(false);
        PolicyStatusJson status = new(
            name, state.CarriedOut,
            [.. state.Assignments.Select(a => new PolicyAssignmentJson(a.Policy, name, true) { From = a.Source, Since = a.At })],
            state.Next?.At, state.Next?.Rules ?? [], state.PointsTaken, state.SnapshotsRemoved, state.Promises, state.Breaks, state.Points, state.Watched, state.Failure, state.Troubles);
        session.Output.Result(status, OutputJson.Default.PolicyStatusJson, s => Text(session, s, state));
        return ExitStatus.Done;
    }

    private static string Text(Session session, PolicyStatusJson status, ProtectionState state)
    {
        if (status.Assignments.Count == 0)
        {
            return $"{status.Name} has no policy";
        }

        List<string> parts =
        [
            Output.Table(["POLICY", "FROM", "SINCE"], state.Assignments.Select(a => (string[])[a.Policy, a.Source, Output.Time(a.At)])),
            Output.Table(["", ""], ((string[][])[
                ["carried out", status.CarriedOut ? "yes" : "not now: it is not supervised"],
                ["next checkpoint", status.Next is { } next ? $"{Output.Time(next)} for {string.Join(", ", status.NextFor)}" : ""],
                ["taken, removed", string.Create(CultureInfo.InvariantCulture, $"{status.PointsTaken}, {status.SnapshotsRemoved}")],
                ["failing", status.Failure is { } f ? $"{f.Message} ({f.Code}; {f.Attempt} in a row)" : ""],
            ]).Where(r => r[1].Length > 0).Concat(status.Troubles.Select(t => (string[])["trouble", t])))[1..],
        ];
        if (status.Promises.Count > 0)
        {
            parts.Add(Output.Table(["RULE", "KEPT", "BROKEN"], status.Promises.Select(p => (string[])[p.Rule, $"{p.Kept}", $"{p.Broken}"])));
        }

        if (status.Broken.Count > 0)
        {
            parts.Add(Output.Table(["BROKEN", "DUE", "WHAT"], status.Broken.TakeLast(BreaksShown).Select(b => (string[])[b.Rule, Output.Time(b.Due), b.What])));
        }

        if (Comparison(session, status.Name, state) is { } comparison)
        {
            parts.Add(comparison);
        }

        return string.Join('\n', parts);
    }

    /// <summary>What the policies were predicted to cost, from how the object behaves, beside what was measured; null before there are two points.</summary>
    private static string? Comparison(Session session, string name, ProtectionState state)
    {
        if (state.Points.Count < 2)
        {
            return null;
        }

        ObjectHistory history = ObjectHistory.Of(session, name);
        Instant from = Instant.FromDateTimeOffset(state.Points[0].Asked);
        NodaDuration period = Instant.FromDateTimeOffset(state.Points[^1].Asked) - from;
        if (period <= NodaDuration.Zero)
        {
            return null;
        }

        // The first point begins the period, so that it is not one of those within it.
        List<MeasuredCheckpoint> measured = [.. state.Points.Skip(1).Select((p, i) => new MeasuredCheckpoint(
            Instant.FromDateTimeOffset(p.Asked), NodaDuration.FromTimeSpan(p.Asked - state.Points[i].Asked), p.Cost.ChangedBytes, p.Cost.StoredBytes,
            NodaDuration.FromMilliseconds(p.Cost.FreezeMs), NodaDuration.FromMilliseconds(p.Cost.TotalMs)))];
        Policy policy = AssignedPolicy.Of(state);
        Cost predicted = CostModel.Predict(
            policy, history.Profile, from, CostModel.HorizonFor([policy]), new PlanOptions(NodaDuration.FromTimeSpan(session.Settings.Protection.Reserve)));
        return PlanTables.Comparison(CostComparison.Compare(predicted, measured, period, history.Snapshots.Sum(s => (double)s.StoredBytes))).ToText();
    }
}
