namespace Holdfast.Checkpoint.Bench;

/// <summary>One operation beside its yardstick, all in milliseconds.</summary>
/// <param name="YardstickMs">The plain write or read just before.</param>
/// <param name="WholeMs">Checkpoint: from request to committed. Restore: from request to running. As the supervisor says.</param>
/// <param name="FreezeMs">Checkpoint: how long the application stood. Restore: how long the building took until it ran.</param>
/// <param name="WallMs">The command, from its start to its end.</param>
/// <param name="ForkMs">Checkpoint: one fork(2) by the application's first process just before.</param>
internal sealed record Sample(double YardstickMs, double WholeMs, double FreezeMs, double WallMs, double ForkMs = double.NaN)
{
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
    public bool IsDefect => Case.HasLimit
        && (Spread.Of(Checkpoints, sample => sample.Ratio).Median > BenchCase.DefectRatio || Spread.Of(Restores, sample => sample.Ratio).Median > BenchCase.DefectRatio);
}

/// <summary>Median and extremes.</summary>
internal readonly record struct Spread(double Median, double Least, double Most)
{
    public static Spread Of(IReadOnlyList<Sample> samples, Func<Sample, double> value)
    {
        double[] sorted = [.. samples.Select(value).Order()];
        int middle = sorted.Length / 2;
        return new Spread(sorted.Length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2, sorted[0], sorted[^1]);
    }
}
