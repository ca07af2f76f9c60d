using System.Globalization;

namespace Holdfast.Checkpoint.Bench;

/// <summary>One operation beside its yardsticks, all in milliseconds.</summary>
/// <param name="YardstickMs">The plain write or read just before.</param>
/// <param name="WholeMs">Checkpoint: from request to committed. Restore: from request to running. As the supervisor says.</param>
/// <param name="FreezeMs">Checkpoint: how long the application stood. Restore: how long the building took until it ran.</param>
/// <param name="WallMs">The command, from its start to its end.</param>
internal sealed record Sample(double YardstickMs, double WholeMs, double FreezeMs, double WallMs)
{
    /// <summary>Checkpoint: one fork(2) by the application's first process just before.</summary>
    public double ForkMs { get; init; } = double.NaN;

    /// <summary>Checkpoint: the loop of <see cref="Standstill"/> over all threads just before.</summary>
    public double LoopMs { get; init; } = double.NaN;

    /// <summary>Checkpoint: the control group freezer just before.</summary>
    public double FreezerMs { get; init; } = double.NaN;

    /// <summary>Checkpoint with the interceptor: until all processes had arrived at the barrier; not a number without.</summary>
    public double BarrierMs { get; init; } = double.NaN;

    /// <summary>How much longer the application stood than it does in a fork of its own.</summary>
    public double FreezeRatio => FreezeMs / ForkMs;

    public double Ratio => WholeMs / YardstickMs;
}

/// <summary>What was measured of one case.</summary>
/// <param name="Case">The case.</param>
/// <param name="BytesStored">What a snapshot of it takes: the random bytes and the interpreter's own memory.</param>
/// <param name="FirstCheckpoint">The first one that the supervisor took, whose code is not compiled yet; it is no part of the others.</param>
/// <param name="Checkpoints">The pairs.</param>
/// <param name="Restores">The pairs.</param>
/// <param name="LazyRestores">The pairs; total is until all memory is loaded, as the command line sees it.</param>
internal sealed record CaseResult(
    BenchCase Case, long BytesStored, Sample FirstCheckpoint, IReadOnlyList<Sample> Checkpoints, IReadOnlyList<Sample> Restores, IReadOnlyList<Sample> LazyRestores)
{
    /// <summary>Peak resident memory of the supervisor that took the checkpoints, in bytes.</summary>
    public long SupervisorPeak { get; init; }

    /// <summary>The same by CRIU; empty where it does not run.</summary>
    public IReadOnlyList<CriuSample> Criu { get; init; } = [];

    public bool IsDefect => Case.HasLimit
        && (Spread.Of(Checkpoints, sample => sample.Ratio).Median > BenchCase.DefectRatio || Spread.Of(Restores, sample => sample.Ratio).Median > BenchCase.DefectRatio);
}

/// <summary>Median and quartiles.</summary>
internal readonly record struct Spread(double Median, double Lower, double Upper)
{
    public static Spread Of<T>(IReadOnlyList<T> samples, Func<T, double> value)
    {
        double[] sorted = [.. samples.Select(value).Order()];
        double At(double share)
        {
            double place = share * (sorted.Length - 1);
            int below = (int)place;
            return sorted[below] + ((place - below) * (sorted[Math.Min(below + 1, sorted.Length - 1)] - sorted[below]));
        }

        return new Spread(At(0.5), At(0.25), At(0.75));
    }

    /// <summary>As "median (quartile - quartile)", or just the only value.</summary>
    public static string Text<T>(IReadOnlyList<T> samples, Func<T, double> value, string format = "F1")
    {
        Spread spread = Of(samples, value);
        string Number(double number) => number.ToString(format, CultureInfo.InvariantCulture);
        return samples.Count == 1 ? $"{Number(spread.Median),7}" : $"{Number(spread.Median),7} ({Number(spread.Lower)} - {Number(spread.Upper)})";
    }
}
