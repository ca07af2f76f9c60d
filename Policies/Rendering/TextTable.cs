using System.Text;

namespace Holdfast.Policies;

/// <summary>Rows with headings, for a terminal or for whoever draws tables better.</summary>
/// <param name="Headings">One per column.</param>
/// <param name="Rows">Each with as many cells as there are headings.</param>
public sealed record TextTable(ValueList<string> Headings, IReadOnlyList<ValueList<string>> Rows)
{
    /// <summary>The table in plain text, columns aligned, a line per row.</summary>
    public string ToText()
    {
        var widths = Headings.Select((h, i) => Rows.Select(r => r[i].Length).Append(h.Length).Max()).ToArray();
        var text = new StringBuilder();
        Line(Headings);
        foreach (var row in Rows)
        {
            Line(row);
        }

        return text.ToString();

        void Line(ValueList<string> cells)
        {
            for (var i = 0; i < cells.Count; i++)
            {
                text.Append(i == cells.Count - 1 ? cells[i] : cells[i].PadRight(widths[i] + 2));
            }

            text.Append('\n');
        }
    }
}
