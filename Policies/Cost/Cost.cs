using System.Globalization;

namespace Holdfast.Policies;

/// <summary>What a policy consumes, one by one.</summary>
public enum CostDimension
{
    /// <summary>Checkpoints per day.</summary>
    Checkpoints,

    /// <summary>Seconds per day for which the application is frozen.</summary>
    Freeze,

    /// <summary>Bytes per day written where the object runs.</summary>
    Written,

    /// <summary>Bytes stored at all places in the long run (byte-days per day).</summary>
    Stored,

    /// <summary>Bytes per day sent to other devices.</summary>
    Sent,
}

/// <summary>The consumption of a policy for one object.</summary>
/// <param name="Checkpoints">Checkpoints per day.</param>
/// <param name="Freeze">Freeze time, seconds per day.</param>
/// <param name="Written">Bytes per day.</param>
/// <param name="Stored">Bytes in the long run, base included.</param>
/// <param name="Sent">Bytes per day.</param>
/// <param name="Base">The part of <paramref name="Stored"/> that one full snapshot at each place takes.</param>
public sealed record Cost(double Checkpoints, double Freeze, double Written, double Stored, double Sent, double Base)
{
    /// <summary>Nothing.</summary>
    public static Cost Zero { get; } = new(0, 0, 0, 0, 0, 0);

    /// <summary>Every dimension.</summary>
    public static ValueList<CostDimension> Dimensions { get; } =
        [CostDimension.Checkpoints, CostDimension.Freeze, CostDimension.Written, CostDimension.Stored, CostDimension.Sent];

    /// <summary>The consumption in one dimension, in its unit.</summary>
    public double this[CostDimension dimension] => dimension switch
    {
        CostDimension.Checkpoints => Checkpoints,
        CostDimension.Freeze => Freeze,
        CostDimension.Written => Written,
        CostDimension.Stored => Stored,
        _ => Sent,
    };

    /// <summary>
    /// Policies side by side on one object: the sum, with the full snapshot at each place counted once, since they share
    /// the store.
    /// </summary>
    /// <param name="alone">What each consumes on its own.</param>
    /// <param name="shared">The base of all places together.</param>
    public static Cost SideBySide(IEnumerable<Cost> alone, double shared)
    {
        ArgumentNullException.ThrowIfNull(alone);
        var sum = Zero;
        foreach (var cost in alone)
        {
            sum = new Cost(sum.Checkpoints + cost.Checkpoints, sum.Freeze + cost.Freeze, sum.Written + cost.Written, sum.Stored + cost.Stored - cost.Base, sum.Sent + cost.Sent, 0);
        }

        return sum with { Stored = sum.Stored + shared, Base = shared };
    }

    /// <summary>A value of a dimension with its unit, for people.</summary>
    public static string Format(CostDimension dimension, double value) => dimension switch
    {
        CostDimension.Checkpoints => value.ToString(value < 10 ? "0.##" : "0.#", CultureInfo.InvariantCulture) + "/d",
        CostDimension.Freeze => value.ToString(value < 10 ? "0.###" : "0.#", CultureInfo.InvariantCulture) + " s/d",
        CostDimension.Stored => Quantity.FormatSize(value),
        _ => Quantity.FormatSize(value) + "/d",
    };

    /// <summary>Whether this is nowhere more than the other, by more than rounding.</summary>
    public bool NowhereAbove(Cost other) => Dimensions.All(d => this[d] <= other[d] * (1 + 1e-9) + 1e-9);

    /// <summary>Whether this is less than the other anywhere, by more than rounding.</summary>
    public bool SomewhereBelow(Cost other) => Dimensions.Any(d => this[d] < other[d] * (1 - 1e-9));
}
