using System.CommandLine;
using System.Globalization;
using Holdfast.Actors.Protection;
using Holdfast.Policies;
using Holdfast.Runtime.Protection;
using NodaTime;
using NodaTime.Text;
using NodaDuration = NodaTime.Duration;

namespace Holdfast.Runtime.Cli.Commands;

/// <summary><c>holdfast policy plan</c>: the next checkpoints and why, and which snapshots stay and why.</summary>
internal static class PolicyPlanCommand
{
    private const int UsualCount = 20;

    public static Command Build(Executor executor)
    {
        Argument<string[]> files = PolicyCommand.Files(optional: true);
        Option<int?> next = new("--next") { Description = $"So many checkpoints (default: {UsualCount}, or all within --horizon)", HelpName = "N" };
        Option<string?> horizon = Options.Text("--horizon", "TIME", "Plans this far, such as 90d");
        Option<string?> from = Options.Text("--from", "INSTANT", "When the plan begins, such as 2026-01-31T00:00:00Z (default: now)");
        Option<string?> zone = Options.Text("--zone", "ZONE", "The time zone in which times are shown (default: UTC)");
        Option<string?> reserve = Options.Text("--reserve", "TIME", "How long before each deadline (default: 0; with --object as configured)");
        Option<string?> ofObject = Options.Text("--object", "NAME", "An application: plans on from what it has, and says which of its snapshots stay; without FILE, by the policies it is assigned");
        Option<string?> svg = Options.Text("--svg", "FILE", "Draws a timeline");
        DocumentedCommand command = new("plan", "Plans the next checkpoints of policies together, and says why each.")
        {
            Examples =
            [
                ("holdfast policy plan gold.conf --next 20", "the next 20"),
                ("holdfast policy plan gold.conf daily.conf --horizon 90d --svg plan.svg", "three months, as a table and as a drawing, with what is kept in the end"),
                ("holdfast policy plan --object web", "what comes next for web, and which of its snapshots stay until when and why"),
            ],
        };
        command.Arguments.Add(files);
        foreach (Option option in (Option[])[next, horizon, from, zone, reserve, ofObject, svg])
        {
            command.Options.Add(option);
        }

        command.Validators.Add(result =>
        {
            if ((result.GetValue(files) ?? []).Length == 0 && result.GetValue(ofObject) is null)
            {
                result.AddError("either files with policies, or --object NAME");
            }
        });
        command.SetAction(parsed => executor.Execute(parsed, false, session => PlanAsync(session, new PlanOrder(
            parsed.GetValue(files) ?? [], parsed.GetValue(next), parsed.GetValue(horizon), parsed.GetValue(from), parsed.GetValue(zone),
            parsed.GetValue(reserve), parsed.GetValue(ofObject), parsed.GetValue(svg)))));
        return command;
    }

    private static async Task<int> PlanAsync(Session session, PlanOrder order)
    {
        Instant from = order.From is { } text ? Instant(text) : SystemInstant.Now;
        DateTimeZone zone = order.Zone is { } id ? Zones.Find(id) ?? throw Wrong($"--zone: there is no time zone '{id}'; use an IANA name such as Europe/Berlin") : DateTimeZone.Utc;
        if (order.Next is < 1 or > 1_000_000)
        {
            throw Wrong($"--next {order.Next} is not from 1 to 1000000");
        }

        NodaDuration? horizon = order.Horizon is { } length ? Time("--horizon", length) : null;
        NodaDuration reserve = order.Reserve is { } r ? Time("--reserve", r) : order.Object is null ? NodaDuration.Zero : NodaDuration.FromTimeSpan(session.Settings.Protection.Reserve);
        Situation situation = order.Object is null
            ? new Situation(PolicyMerge.Join("plan", PolicyFiles.ReadValid(order.Files)), PlanState.StartingAt(from), null)
            : await OfObjectAsync(session, order, from).ConfigureAwait(false);

        Plan plan = Planned(situation, from, horizon, order.Next, new PlanOptions(reserve));
        RetentionDecision? decision = situation.Snapshots is { } snapshots
            ? Retention.Decide(snapshots, situation.Policy, new TrustedTime(from, null, ClockEvidence.First(from)))
            : horizon is null && order.Svg is null ? null : InTheEnd(plan);
        if (order.Svg is { } file)
        {
            Write(file, PlanSvg.Draw(plan, zone, decision));
        }

        Show(session, plan, decision, zone, situation.Snapshots is not null);
        return ExitStatus.Done;
    }

    private static Plan Planned(Situation situation, Instant from, NodaDuration? horizon, int? next, PlanOptions options)
    {
        try
        {
            if (horizon is not { } length)
            {
                return Planner.Next(situation.Policy, situation.State, from, next ?? UsualCount, options);
            }

            Plan plan = Planner.Until(situation.Policy, situation.State, from, from + length, options);
            return next is { } count && plan.Points.Count > count
                ? plan with { Points = [.. plan.Points.Take(count)], Until = plan.Points[count - 1].At }
                : plan;
        }
        catch (ArgumentOutOfRangeException)
        {
            throw Wrong($"--horizon {Quantity.Format(horizon!.Value)} is not above 0 and within 40 years");
        }
    }

    private static async Task<Situation> OfObjectAsync(Session session, PlanOrder order, Instant from)
    {
        ObjectHistory history = ObjectHistory.Of(session, order.Object!);
        ProtectionState state = await PolicyAccess.StateAsync(session, order.Object!).ConfigureAwait(false);
        Policy policy = order.Files.Length > 0
            ? PolicyMerge.Join(order.Object!, PolicyFiles.ReadValid(order.Files))
            : AssignedPolicy.Of(state) is { IsEmpty: false } assigned
                ? assigned
                : throw new HoldfastException("policy.none", $"{order.Object} has no policy; name a file, or assign one with 'holdfast policy assign'");
        List<SnapshotRecord> records = [.. history.Snapshots.Select(SnapshotPolicyTag.RecordOf)];
        return new Situation(policy, AssignedPolicy.StateOf(state, policy, records, from), records);
    }

    // What would be there at the end if every point were taken.
    private static RetentionDecision InTheEnd(Plan plan)
    {
        List<SnapshotRecord> records = [.. plan.Points.Select((p, i) => new SnapshotRecord(
            $"#{i + 1}", p.At, true, p.Terms, p.Tags,
            ImmutableUntil: p.Terms.Storage.ImmutableFor > NodaDuration.Zero ? p.At + p.Terms.Storage.ImmutableFor : null))];
        return Retention.Decide(records, plan.Policy, new TrustedTime(plan.Until, null, ClockEvidence.First(plan.Until)));
    }

    private static void Show(Session session, Plan plan, RetentionDecision? decision, DateTimeZone zone, bool hasSnapshots)
    {
        if (session.Output.Json)
        {
            PolicyCheckCommand.WriteLines(session, PolicyJson.Lines(plan) + (decision is null ? "" : PolicyJson.Lines(decision)));
            return;
        }

        session.Output.Text(PlanTables.Points(plan, zone).ToText());
        if (plan.Conflicts.Count + plan.Missed.Count > 0)
        {
            session.Output.Text("\n" + PlanTables.Trouble(plan, zone).ToText());
        }

        if (decision is not null)
        {
            string heading = hasSnapshots
                ? ""
                : string.Create(CultureInfo.InvariantCulture, $"in the end, {decision.Keep.Count} of {plan.Points.Count} points are kept; what went before is not shown:\n");
            session.Output.Text("\n" + heading + PlanTables.Retention(hasSnapshots ? decision : decision with { Remove = [] }, zone).ToText());
        }
    }

    private static void Write(string file, string text)
    {
        try
        {
            File.WriteAllText(file, text);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            throw new HoldfastException("io", $"{file} cannot be written: {e.Message}", inner: e);
        }
    }

    private static Instant Instant(string text) => InstantPattern.ExtendedIso.Parse(text) is { Success: true } parsed
        ? parsed.Value
        : throw Wrong($"--from '{text}' is no instant; write for example 2026-01-31T00:00:00Z");

    private static NodaDuration Time(string option, string text) => Quantity.TryParseDuration(text, out NodaDuration value)
        ? value
        : throw Wrong($"{option} '{text}' is no duration; write for example 90d, 2 weeks or 1h30m");

    private static HoldfastException Wrong(string message) => new("usage", $"policy plan: {message}", ExitStatus.Usage);

    private sealed record PlanOrder(string[] Files, int? Next, string? Horizon, string? From, string? Zone, string? Reserve, string? Object, string? Svg);

    private sealed record Situation(Policy Policy, PlanState State, IReadOnlyList<SnapshotRecord>? Snapshots);
}
