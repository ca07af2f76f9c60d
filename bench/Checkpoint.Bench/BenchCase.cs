namespace Holdfast.Checkpoint.Bench;

/// <summary>One application that is measured.</summary>
/// <param name="Processes">How many processes.</param>
/// <param name="MiB">Random bytes in each of them.</param>
/// <param name="Threads">Threads of each of them; all but the first sleep.</param>
internal sealed record BenchCase(int Processes, int MiB, int Threads = 1)
{
    /// <summary>Smaller ones are dominated by what does not depend on size, and have no ratio.</summary>
    private const long RatioFrom = 64L << 20;

    /// <summary>From here on, more than <see cref="DefectRatio"/> times the yardstick is a defect.</summary>
    private const long DefectFrom = 256L << 20;

    public const double DefectRatio = 3;

    public long Bytes => (long)Processes * MiB << 20;

    public bool HasRatio => Processes == 1 && Bytes >= RatioFrom;

    public bool HasLimit => Processes == 1 && Bytes >= DefectFrom;

    public string Name => (Processes == 1 ? $"1 process, {MiB} MiB" : $"{Processes} processes, {MiB} MiB each") + (Threads == 1 ? "" : $", {Threads} threads");

    public static IReadOnlyList<BenchCase> All { get; } = [new(1, 1), new(16, 1), new(128, 1), new(1, 1, 64), new(1, 1, 1000), new(1, 64), new(1, 256), new(1, 1024)];
}
