using NodaTime;

namespace Holdfast.Policies;

/// <summary>A prediction beside what was measured.</summary>
/// <param name="Dimension">Of what.</param>
/// <param name="Predicted">In the unit of the dimension.</param>
/// <param name="Measured">In the unit of the dimension, or null where the history does not tell.</param>
public sealed record CostComparison(CostDimension Dimension, double Predicted, double? Measured)
{
    /// <summary>How much of the measured value the prediction misses it by; null when nothing was measured.</summary>
    public double? Error => Measured is { } m && m > 0 ? (Predicted - m) / m : null;

    /// <summary>Compares a prediction with the checkpoints of a period.</summary>
    /// <param name="predicted">What was predicted.</param>
    /// <param name="history">The checkpoints that were taken in the period.</param>
    /// <param name="period">The length of the period, more than zero.</param>
    /// <param name="storedBytes">The bytes stored now, or null.</param>
    /// <param name="sentBytes">The bytes sent in the period, or null.</param>
    public static ValueList<CostComparison> Compare(
        Cost predicted, IReadOnlyCollection<MeasuredCheckpoint> history, Duration period, double? storedBytes = null, double? sentBytes = null)
    {
        ArgumentNullException.ThrowIfNull(predicted);
        ArgumentNullException.ThrowIfNull(history);
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(period.TotalSeconds, 0, nameof(period));
        var days = period.TotalDays;
        return
        [
            new CostComparison(CostDimension.Checkpoints, predicted.Checkpoints, history.Count / days),
            new CostComparison(CostDimension.Freeze, predicted.Freeze, history.Sum(h => h.Freeze.TotalSeconds) / days),
            new CostComparison(CostDimension.Written, predicted.Written, history.Sum(h => (double)h.StoredBytes) / days),
            new CostComparison(CostDimension.Stored, predicted.Stored, storedBytes),
            new CostComparison(CostDimension.Sent, predicted.Sent, sentBytes / days),
        ];
    }
}
