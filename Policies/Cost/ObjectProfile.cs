using NodaTime;

namespace Holdfast.Policies;

/// <summary>What one checkpoint really cost.</summary>
/// <param name="Taken">When.</param>
/// <param name="Interval">The time since the checkpoint before it.</param>
/// <param name="ChangedBytes">The bytes that had changed.</param>
/// <param name="StoredBytes">The bytes that were written after compression and sharing.</param>
/// <param name="Freeze">For how long the application was stopped.</param>
/// <param name="Total">From the request until the snapshot was committed.</param>
public sealed record MeasuredCheckpoint(Instant Taken, Duration Interval, long ChangedBytes, long StoredBytes, Duration Freeze, Duration Total);

/// <summary>
/// How an object behaves when it is checkpointed: how much changes in how long, how long it is stopped for that. Changed
/// bytes grow with the interval as <c>c·t^e</c>, 0 &lt; e ≤ 1, and never beyond the whole object: the longer one waits, the more of
/// what changes had changed already.
/// </summary>
/// <param name="FullBytes">The size of the whole object.</param>
/// <param name="ChangeCoefficient">c: bytes changed in the first second.</param>
/// <param name="ChangeExponent">e: 1 for an object that never writes the same place twice.</param>
/// <param name="FreezeBase">Freeze time without any change, seconds.</param>
/// <param name="FreezePerGiB">Freeze time per changed GiB, seconds.</param>
/// <param name="StoredRatio">Written bytes per changed byte.</param>
/// <param name="Total">The time of a whole checkpoint, seconds.</param>
/// <param name="Samples">How many measured checkpoints this comes from; 0 for the defaults.</param>
public sealed record ObjectProfile(
    double FullBytes, double ChangeCoefficient, double ChangeExponent, double FreezeBase, double FreezePerGiB, double StoredRatio, double Total, int Samples)
{
    private const double GiB = 1L << 30;

    /// <summary>
    /// An object that nothing is known of: 1 GiB, of which about 1 MiB changes in the first second and 100 MiB in half an hour; 20 ms of freeze and
    /// 200 ms per changed GiB; half of it stored after compression. Assumptions, to be replaced by what is measured.
    /// </summary>
    public static ObjectProfile Default { get; } = new(GiB, 1 << 20, 0.6, 0.02, 0.2, 0.5, 2, 0);

    /// <summary>The bytes that change in an interval.</summary>
    public double Changed(double seconds) => seconds <= 0 ? 0 : Math.Min(FullBytes, ChangeCoefficient * Math.Pow(seconds, ChangeExponent));

    /// <summary>The bytes that a checkpoint after an interval writes.</summary>
    public double Written(double seconds) => Changed(seconds) * StoredRatio;

    /// <summary>For how long a checkpoint after an interval stops the application, in seconds.</summary>
    public double Freeze(double seconds) => FreezeBase + FreezePerGiB * Changed(seconds) / GiB;

    /// <summary>Learns from history; what the history does not tell stays as it is assumed.</summary>
    /// <param name="fullBytes">The size of the whole object, bytes.</param>
    /// <param name="history">Measured checkpoints; those without an interval or a change say nothing about change.</param>
    public static ObjectProfile Learn(long fullBytes, IReadOnlyCollection<MeasuredCheckpoint> history)
    {
        ArgumentNullException.ThrowIfNull(history);
        var profile = Default with { FullBytes = Math.Max(1, fullBytes) };
        if (history.Count == 0)
        {
            return profile;
        }

        var (coefficient, exponent) = FitChange(history, profile.ChangeExponent) ?? (profile.ChangeCoefficient, profile.ChangeExponent);
        var changed = history.Sum(h => (double)h.ChangedBytes);
        var (freezeBase, freezePerGiB) = FitFreeze(history, profile.FreezePerGiB);
        return new ObjectProfile(
            profile.FullBytes,
            coefficient,
            exponent,
            freezeBase,
            freezePerGiB,
            changed > 0 ? history.Sum(h => (double)h.StoredBytes) / changed : profile.StoredRatio,
            history.Average(h => h.Total.TotalSeconds),
            history.Count);
    }

    // Least squares through log(bytes) over log(seconds); with one interval only, the exponent stays as assumed.
    private static (double Coefficient, double Exponent)? FitChange(IReadOnlyCollection<MeasuredCheckpoint> history, double assumed)
    {
        var samples = history.Where(h => h.Interval > Duration.Zero && h.ChangedBytes > 0)
            .Select(h => (X: Math.Log(h.Interval.TotalSeconds), Y: Math.Log(h.ChangedBytes))).ToList();
        if (samples.Count == 0)
        {
            return null;
        }

        var meanX = samples.Average(s => s.X);
        var meanY = samples.Average(s => s.Y);
        var spread = samples.Sum(s => (s.X - meanX) * (s.X - meanX));
        var exponent = spread / samples.Count > 0.01 ? Math.Clamp(samples.Sum(s => (s.X - meanX) * (s.Y - meanY)) / spread, 0.05, 1) : assumed;
        return (Math.Exp(meanY - exponent * meanX), exponent);
    }

    private static (double Base, double PerGiB) FitFreeze(IReadOnlyCollection<MeasuredCheckpoint> history, double assumed)
    {
        var meanX = history.Average(h => h.ChangedBytes / GiB);
        var meanY = history.Average(h => h.Freeze.TotalSeconds);
        var spread = history.Sum(h => Math.Pow(h.ChangedBytes / GiB - meanX, 2));
        // Without a spread, the whole of what was measured is put down to the base, but never less than nothing.
        var slope = spread > 1e-12 ? Math.Max(0, history.Sum(h => (h.ChangedBytes / GiB - meanX) * (h.Freeze.TotalSeconds - meanY)) / spread) : Math.Min(assumed, meanX > 0 ? meanY / meanX : 0);
        var intercept = meanY - slope * meanX;
        return intercept >= 0 ? (intercept, slope) : (0, meanX > 0 ? meanY / meanX : 0);
    }
}
