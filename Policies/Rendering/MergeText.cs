using System.Text;

namespace Holdfast.Policies;

/// <summary>A merge as text: what became of the rules, what it costs, conflicts, and if it is refused why and what would fit.</summary>
public static class MergeText
{
    /// <summary>Writes the report, without the merged policy itself (<see cref="PolicyWriter.Write"/>).</summary>
    public static string Write(MergeReport report)
    {
        ArgumentNullException.ThrowIfNull(report);
        var text = new StringBuilder();
        text.Append(PlanTables.Fates(report).ToText()).Append('\n').Append(PlanTables.Costs(report).ToText());
        if (report.Full.Sharing != Sharing.FewestPoints)
        {
            text.Append("\nThe fewest points would cost more than side by side in another way, so ")
                .Append(report.Full.Sharing == Sharing.LongestKeptFirst ? "the rules that keep their points longest choose first.\n" : "each policy keeps its own points.\n");
        }

        foreach (var weakened in report.Weakened)
        {
            text.Append("weakened: ").Append(weakened.What).Append('\n');
        }

        foreach (var conflict in report.Conflicts)
        {
            text.Append("conflict: ").Append(conflict.Rule.Title).Append(" with ").AppendJoin(" and ", conflict.Limits.Select(l => l.Title)).Append(": ").Append(conflict.What);
            text.Append(conflict.Times > 1 ? $" ({conflict.Times} times)\n" : "\n");
        }

        if (report.Refusal is { } refusal)
        {
            Refusal(text, refusal);
        }

        return text.ToString();
    }

    private static void Refusal(StringBuilder text, MergeRefusal refusal)
    {
        text.Append("\nrefused: ").AppendJoin("; ", refusal.Breaches).Append("\n\n");
        var costly = refusal.Costly.Select(c => (ValueList<string>)[c.Rule.Title, Savings(c.Saving)]).ToList();
        text.Append(new TextTable(["RULE", "COSTS, BEYOND WHAT THE OTHERS COST ANYWAY"], costly).ToText()).Append('\n');
        var relaxations = refusal.Relaxations.Select(r => (ValueList<string>)[r.What, Savings(r.Saving)]).ToList();
        text.Append(new TextTable(["RELAXATION", "SAVES"], relaxations).ToText()).Append('\n');
        if (refusal.Nearest is { } nearest)
        {
            text.Append("nearest policy that fits (").Append(refusal.Search).Append("):\n");
            foreach (var step in nearest.Steps)
            {
                text.Append("  ").Append(step).Append('\n');
            }

            text.Append(PolicyWriter.Write(nearest.Policy));
        }
        else
        {
            text.Append("no policy fits: ").Append(refusal.Search).Append('\n');
        }
    }

    private static string Savings(Cost saving)
    {
        var parts = Cost.Dimensions.Where(d => Math.Abs(saving[d]) > 1e-9).Select(d => $"{(saving[d] < 0 ? "-" : "")}{Cost.Format(d, Math.Abs(saving[d]))} {d.ToString().ToLowerInvariant()}").ToList();
        return parts.Count == 0 ? "nothing" : string.Join(", ", parts);
    }
}
