using NodaTime;

namespace Holdfast.Policies;

/// <summary>Plans, retention and merges as tables.</summary>
public static class PlanTables
{
    /// <summary>The checkpoints of a plan: when, why, what, where.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="zone">The zone in which times are shown.</param>
    public static TextTable Points(Plan plan, DateTimeZone zone)
    {
        ArgumentNullException.ThrowIfNull(plan);
        var rows = plan.Points.Select(p => (ValueList<string>)
        [
            Local(p.At, zone),
            p.Terms.Consistency.ToString().ToLowerInvariant(),
            Where(p.Terms.Copies),
            string.Join("; ", p.Serves.Select(s => Why(s, p.At, zone))),
        ]).ToList();
        return new TextTable(["TIME", "CONSISTENCY", "COPIES", "ASKED FOR BY"], rows);
    }

    /// <summary>The conflicts and broken promises of a plan.</summary>
    public static TextTable Trouble(Plan plan, DateTimeZone zone)
    {
        ArgumentNullException.ThrowIfNull(plan);
        var rows = plan.Conflicts.Select(c => (ValueList<string>)[c.Rule.Title, "conflict", string.Join(", ", c.Limits.Select(l => l.Title)), $"{c.What} ({c.Times} times)"])
            .Concat(plan.Missed.Select(m => (ValueList<string>)[m.Rule.Title, "missed", "", $"nothing was taken for {Local(m.Occurrence, zone)}, due {Local(m.Due, zone)}"]))
            .ToList();
        return new TextTable(["RULE", "WHAT", "LIMITS", "WHY"], rows);
    }

    /// <summary>What stays and what goes.</summary>
    public static TextTable Retention(RetentionDecision decision, DateTimeZone zone)
    {
        ArgumentNullException.ThrowIfNull(decision);
        var kept = decision.Keep.Select(k => (k.Snapshot, Row: (ValueList<string>)[k.Snapshot.Id, Local(k.Snapshot.Taken, zone), "keep", k.Until is { } u ? Local(u, zone) : "", string.Join("; ", k.Reasons.Select(r => r.What))]));
        var removed = decision.Remove.Select(r => (r.Snapshot, Row: (ValueList<string>)[r.Snapshot.Id, Local(r.Snapshot.Taken, zone), "remove", "", string.Join("; ", r.Why)]));
        return new TextTable(["SNAPSHOT", "TAKEN", "", "UNTIL", "BECAUSE"], kept.Concat(removed).OrderBy(r => r.Snapshot.Taken).Select(r => r.Row).ToList());
    }

    /// <summary>Each policy's cost, their sum, and the merged policy's.</summary>
    public static TextTable Costs(MergeReport report)
    {
        ArgumentNullException.ThrowIfNull(report);
        var rows = report.Alone.Select(a => Row(a.Policy + " alone", a.Cost)).ToList();
        rows.Add(Row("side by side", report.SideBySide));
        rows.Add(Row("merged", report.Cost));
        rows.Add(["saved", .. Cost.Dimensions.Select(d => report.SideBySide[d] > 0 ? $"{(1 - report.Cost[d] / report.SideBySide[d]) * 100:0.#}%" : "")]);
        return new TextTable(["POLICY", .. Cost.Dimensions.Select(d => d.ToString().ToUpperInvariant())], rows);
    }

    /// <summary>What became of every rule.</summary>
    public static TextTable Fates(MergeReport report)
    {
        ArgumentNullException.ThrowIfNull(report);
        return new TextTable(["RULE", "IN THE MERGED POLICY"], report.Fates.Select(f => (ValueList<string>)[f.Rule.ToString(), f.What]).ToList());
    }

    /// <summary>Predicted beside measured.</summary>
    public static TextTable Comparison(ValueList<CostComparison> comparison)
    {
        ArgumentNullException.ThrowIfNull(comparison);
        return new TextTable(["COST", "PREDICTED", "MEASURED", "OFF BY"], comparison.Select(c => (ValueList<string>)
        [
            c.Dimension.ToString().ToLowerInvariant(),
            Cost.Format(c.Dimension, c.Predicted),
            c.Measured is { } m ? Cost.Format(c.Dimension, m) : "",
            c.Error is { } e ? $"{e * 100:+0;-0;0}%" : "",
        ]).ToList());
    }

    private static ValueList<string> Row(string name, Cost cost) => [name, .. Cost.Dimensions.Select(d => Cost.Format(d, cost[d]))];

    private static string Where(Copies copies)
    {
        var named = copies.To.Select(c => c.Lag < Quantity.Forever ? $"{c.Device} within {Quantity.Format(c.Lag)}" : c.Device);
        return string.Join(", ", copies.AtLeast > copies.To.Count ? named.Append($"at least {copies.AtLeast}") : named);
    }

    private static string Why(Service service, Instant at, DateTimeZone zone)
    {
        var late = service.Late ? ", late" : "";
        return service.Rule.Clause.Demand switch
        {
            EveryDemand every => $"{service.Rule.Title} (every {Quantity.Format(every.Interval)}{late})",
            CalendarDemand => $"{service.Rule.Title} (for {Local(service.Occurrence, zone)}{late})",
            TriggerDemand trigger => $"{service.Rule.Title} ({trigger.Condition.Kind} at {Local(service.Occurrence, zone)}{late})",
            _ => $"{service.Rule.Title} (every point)",
        };
    }

    internal static string Local(Instant at, DateTimeZone zone) => at.InZone(zone).ToString("yyyy-MM-dd HH:mm:sso<m>", System.Globalization.CultureInfo.InvariantCulture);
}
