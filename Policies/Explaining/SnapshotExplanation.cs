using System.Text;

namespace Holdfast.Policies;

/// <summary>Why a snapshot exists, and why it is still kept or not.</summary>
/// <param name="Snapshot">The snapshot.</param>
/// <param name="Exists">Why it was taken, a line per rule.</param>
/// <param name="Kept">Why it is kept, a line per reason; empty when it is not.</param>
/// <param name="Removed">Why it may go, a line per rule that it served; empty when it is kept.</param>
public sealed record SnapshotExplanation(SnapshotRecord Snapshot, ValueList<string> Exists, ValueList<string> Kept, ValueList<string> Removed)
{
    /// <summary>Explains a snapshot.</summary>
    /// <param name="id">Its name.</param>
    /// <param name="decision">The decision of retention that it is part of.</param>
    /// <param name="policy">The policy of the object, merged or not.</param>
    /// <returns>The explanation, or null when the decision knows no such snapshot.</returns>
    public static SnapshotExplanation? Of(string id, RetentionDecision decision, Policy policy)
    {
        ArgumentNullException.ThrowIfNull(decision);
        ArgumentNullException.ThrowIfNull(policy);
        if (decision.Keep.FirstOrDefault(k => k.Snapshot.Id == id) is { } kept)
        {
            var lines = kept.Reasons.Select(r => r.Until is { } until ? $"{r.What}, until {until}" : r.What).ToValueList();
            return new SnapshotExplanation(kept.Snapshot, WhyTaken(kept.Snapshot, policy), lines, []);
        }

        return decision.Remove.FirstOrDefault(r => r.Snapshot.Id == id) is { } removed
            ? new SnapshotExplanation(removed.Snapshot, WhyTaken(removed.Snapshot, policy), [], removed.Why)
            : null;
    }

    /// <summary>The explanation as text, a few lines.</summary>
    public string ToText()
    {
        var text = new StringBuilder();
        text.Append(Snapshot.Id).Append(" of ").Append(Snapshot.Taken).Append('\n');
        foreach (var line in Exists)
        {
            text.Append("  exists because ").Append(line).Append('\n');
        }

        foreach (var line in Kept)
        {
            text.Append("  is kept because ").Append(line).Append('\n');
        }

        foreach (var line in Removed)
        {
            text.Append("  may go because ").Append(line).Append('\n');
        }

        return text.ToString();
    }

    private static ValueList<string> WhyTaken(SnapshotRecord snapshot, Policy policy)
    {
        if (snapshot.Serves.Count == 0)
        {
            return [snapshot.Origin == SnapshotOrigin.Hand ? "somebody asked for it by hand" : "an earlier policy asked for it, and it recorded no rule"];
        }

        return snapshot.Serves.Select(served => policy.Find(served.Rule) is { } rule
            ? $"{served.Rule} asked for it ({PolicyWriter.OneLine(rule.Clause with { Keep = Keep.Nothing, Terms = PointTerms.Least })}){Occurrence(served, snapshot)}"
            : $"{served.Rule} asked for it, which is no longer a rule of the object").ToValueList();
    }

    private static string Occurrence(ServedRule served, SnapshotRecord snapshot) => served.Occurrence == snapshot.Taken ? "" : $", for {served.Occurrence}";
}
