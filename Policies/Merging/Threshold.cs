using System.Globalization;
using NodaTime;

namespace Holdfast.Policies;

/// <summary>One line of a threshold.</summary>
/// <param name="Dimension">What is bounded, or null for every dimension.</param>
/// <param name="Relative">Whether the bound is a share of the policies side by side, or a value in the unit of the dimension.</param>
/// <param name="Bound">The bound: 0.8 for 80 %, or the value.</param>
/// <param name="Strict">Whether the bound itself is already too much.</param>
public sealed record ThresholdLine(CostDimension? Dimension, bool Relative, double Bound, bool Strict)
{
    /// <inheritdoc/>
    public override string ToString()
    {
        var bound = Relative ? (Bound * 100).ToString("0.##", CultureInfo.InvariantCulture) + "% of side by side" : Cost.Format(Dimension!.Value, Bound);
        return $"{Dimension?.ToString().ToLowerInvariant() ?? "all"} {(Strict ? "<" : "<=")} {bound}";
    }
}

/// <summary>A cost that is not below the threshold.</summary>
/// <param name="Line">The line that it breaks; null for the default threshold.</param>
/// <param name="Dimension">In which dimension.</param>
/// <param name="Value">The merged policy's cost.</param>
/// <param name="Bound">What it would have to be at most.</param>
public sealed record Breach(ThresholdLine? Line, CostDimension Dimension, double Value, double Bound)
{
    /// <inheritdoc/>
    public override string ToString() =>
        $"{Dimension.ToString().ToLowerInvariant()} is {Cost.Format(Dimension, Value)}, the threshold is {Cost.Format(Dimension, Bound)}";
}

/// <summary>
/// What a merged policy may cost. It is asked about the result of a merge and never changes it. Without lines: nowhere more than the
/// policies side by side, and less somewhere if they can share points at all.
/// </summary>
/// <param name="Lines">All must hold.</param>
public sealed record Threshold(ValueList<ThresholdLine> Lines)
{
    /// <summary>Below the policies side by side.</summary>
    public static Threshold Default { get; } = new([]);

    /// <summary>
    /// Reads <c>checkpoints&lt;=24/d, freeze&lt;5s/d, written&lt;=1GiB/d, stored&lt;=80%, all&lt;100%</c>: shares of the policies side by
    /// side in percent, or values with their units.
    /// </summary>
    /// <exception cref="FormatException">A part is not of that form.</exception>
    public static Threshold Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        var lines = text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).Select(ParseLine).ToValueList();
        return lines.Count > 0 ? new Threshold(lines) : throw Wrong(text);
    }

    /// <summary>Where a cost is not below the threshold; empty when it is accepted.</summary>
    /// <param name="merged">The merged policy's cost.</param>
    /// <param name="sideBySide">The cost of the policies side by side.</param>
    /// <param name="overlaps">Whether the policies can share points.</param>
    public ValueList<Breach> Check(Cost merged, Cost sideBySide, bool overlaps)
    {
        ArgumentNullException.ThrowIfNull(merged);
        ArgumentNullException.ThrowIfNull(sideBySide);
        var breaches = new List<Breach>();
        if (Lines.Count == 0)
        {
            breaches.AddRange(Cost.Dimensions.Where(d => merged[d] > sideBySide[d] * (1 + 1e-9) + 1e-9).Select(d => new Breach(null, d, merged[d], sideBySide[d])));
            if (breaches.Count == 0 && overlaps && !merged.SomewhereBelow(sideBySide))
            {
                breaches.Add(new Breach(null, CostDimension.Checkpoints, merged.Checkpoints, sideBySide.Checkpoints));
            }
        }

        foreach (var line in Lines)
        {
            foreach (var dimension in line.Dimension is { } one ? [one] : Cost.Dimensions)
            {
                var bound = line.Relative ? sideBySide[dimension] * line.Bound : line.Bound;
                var value = merged[dimension];
                // Nothing is never too much, so that "sent < 100%" accepts policies without copies.
                if (value > 0 && (line.Strict ? value >= bound * (1 - 1e-12) : value > bound * (1 + 1e-9)))
                {
                    breaches.Add(new Breach(line, dimension, value, bound));
                }
            }
        }

        return breaches.ToValueList();
    }

    private static ThresholdLine ParseLine(string text)
    {
        var at = text.IndexOf('<');
        if (at <= 0)
        {
            throw Wrong(text);
        }

        var name = text[..at].Trim();
        var strict = at + 1 >= text.Length || text[at + 1] != '=';
        var value = text[(at + (strict ? 1 : 2))..].Trim();
        CostDimension? dimension = name switch
        {
            "checkpoints" => CostDimension.Checkpoints,
            "freeze" => CostDimension.Freeze,
            "written" => CostDimension.Written,
            "stored" => CostDimension.Stored,
            "sent" => CostDimension.Sent,
            "all" => null,
            _ => throw Wrong(text),
        };
        if (value.EndsWith('%'))
        {
            return double.TryParse(value.AsSpan(0, value.Length - 1), NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out var percent)
                ? new ThresholdLine(dimension, true, percent / 100, strict) : throw Wrong(text);
        }

        var plain = value.EndsWith("/d", StringComparison.Ordinal) ? value[..^2] : value;
        double bound;
        switch (dimension)
        {
            case CostDimension.Checkpoints when double.TryParse(plain, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out bound):
                break;
            case CostDimension.Freeze when Quantity.TryParseDuration(plain, out var freeze):
                bound = freeze.TotalSeconds;
                break;
            case CostDimension.Written or CostDimension.Stored or CostDimension.Sent when Quantity.TryParseSize(plain, out var size):
                bound = size;
                break;
            default:
                throw Wrong(text);
        }

        return new ThresholdLine(dimension, false, bound, strict);
    }

    private static FormatException Wrong(string text) =>
        new($"'{text}' is not a threshold; write for example checkpoints<=24/d, freeze<5s/d, written<=1GiB/d, stored<=80% or all<100%");
}
