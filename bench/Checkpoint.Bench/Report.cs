using System.Globalization;
using System.Text.Json;

namespace Holdfast.Checkpoint.Bench;

/// <summary>Prints the results, and writes them as JSON.</summary>
internal static class Report
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true, PropertyNamingPolicy = JsonNamingPolicy.CamelCase };

    public static void Print(TextWriter to, BenchOptions options, IReadOnlyList<CaseResult> results)
    {
        to.WriteLine($"Through the holdfast command, in {options.Place}, {options.Pairs} interleaved pairs: median (least - most), milliseconds.");
        to.WriteLine("total: from request to committed, or to running, in the supervisor. wall: the whole command. ratio: total / plain write or read before it.");
        to.WriteLine("restore --lazy: resume is when it runs, total when all its memory is loaded, from the start of the command.");
        to.WriteLine("fork: one fork(2) by the application itself just before; freeze ratio: freeze / fork.");
        to.WriteLine($"Load average now: {Load()}; above the number of processors ({Environment.ProcessorCount}), all of it is slower and less even.");
        foreach (CaseResult result in results)
        {
            to.WriteLine();
            to.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{result.Case.Name} ({result.BytesStored / 1048576.0:F1} MiB stored)"));
            Sample first = result.FirstCheckpoint;
            Line(to, "first checkpoint", result.Case, [first], "freeze", "write");
            Line(to, "checkpoint", result.Case, result.Checkpoints, "freeze", "write");
            Line(to, "restore", result.Case, result.Restores, "resume", "read");
            Line(to, "restore --lazy", result.Case, result.LazyRestores, "resume", "read");
            if (result.IsDefect)
            {
                to.WriteLine($"  DEFECT: more than {BenchCase.DefectRatio} times its yardstick");
            }
        }
    }

    public static void PrintRedis(TextWriter to, int mib, IReadOnlyList<RedisBench.RedisSample> samples)
    {
        to.WriteLine();
        to.WriteLine($"redis with {mib} MiB, from the start of the command to its first answer, milliseconds");
        foreach ((string what, Func<RedisBench.RedisSample, double> value) in ((string, Func<RedisBench.RedisSample, double>)[])
            [("restore", s => s.EagerMs), ("restore --lazy", s => s.LazyMs), ("  all loaded", s => s.LoadedMs)])
        {
            double[] sorted = [.. samples.Select(value).Order()];
            to.WriteLine(string.Create(CultureInfo.InvariantCulture, $"  {what,-17} {sorted[sorted.Length / 2],9:F1} ({sorted[0]:F1} - {sorted[^1]:F1})"));
        }
    }

    public static void WriteJson(string file, BenchOptions options, IReadOnlyList<CaseResult> results) => File.WriteAllText(file, JsonSerializer.Serialize(
        new
        {
            options.Place,
            options.Pairs,
            Kernel = Environment.OSVersion.Version.ToString(),
            Processors = Environment.ProcessorCount,
            LoadAverage = Load(),
            Cases = results.Select(result => new
            {
                result.Case.Processes,
                MiBEach = result.Case.MiB,
                result.BytesStored,
                result.IsDefect,
                FirstCheckpoint = Row(result.FirstCheckpoint, "freezeMs"),
                Checkpoints = result.Checkpoints.Select(sample => new Dictionary<string, double>(Row(sample, "freezeMs")) { ["forkMs"] = sample.ForkMs }),
                Restores = result.Restores.Select(sample => Row(sample, "resumeMs")),
                LazyRestores = result.LazyRestores.Select(sample => Row(sample, "resumeMs")),
                CheckpointRatio = result.Case.HasRatio ? Spread.Of(result.Checkpoints, sample => sample.Ratio) : (Spread?)null,
                RestoreRatio = result.Case.HasRatio ? Spread.Of(result.Restores, sample => sample.Ratio) : (Spread?)null,
            }),
        },
        Indented));

    public static void WriteJson(string file, BenchOptions options, IReadOnlyList<ChangePair> pairs, IReadOnlyList<WriteRates> rates) => File.WriteAllText(file, JsonSerializer.Serialize(
        new
        {
            options.Place,
            MiB = options.ChangesOf,
            WindowSeconds = options.Seconds,
            Kernel = Environment.OSVersion.Version.ToString(),
            Processors = Environment.ProcessorCount,
            LoadAverage = Load(),
            Pairs = pairs,
            WriteRates = rates,
        },
        Indented));

    private static string Load() => string.Join(' ', File.ReadAllText("/proc/loadavg").Split(' ').Take(3));

    private static Dictionary<string, double> Row(Sample sample, string freeze) => new()
    {
        ["yardstickMs"] = sample.YardstickMs,
        ["totalMs"] = sample.WholeMs,
        [freeze] = sample.FreezeMs,
        ["wallMs"] = sample.WallMs,
    };

    private static void Line(TextWriter to, string what, BenchCase measured, IReadOnlyList<Sample> samples, string freeze, string plain)
    {
        string line = $"  {what,-17} {freeze} {Text(samples, s => s.FreezeMs)}  total {Text(samples, s => s.WholeMs)}  wall {Text(samples, s => s.WallMs)}";
        line += measured.Processes > 1 || freeze != "freeze" ? string.Empty : $"  fork {Text(samples, s => s.ForkMs)} freeze ratio {Text(samples, s => s.FreezeRatio)}";
        to.WriteLine(measured.HasRatio
            ? line + string.Create(CultureInfo.InvariantCulture, $"  plain {plain,-5} {Text(samples, s => s.YardstickMs)}  ratio {Text(samples, s => s.Ratio, "F2")}")
            : line);
    }

    private static string Text(IReadOnlyList<Sample> samples, Func<Sample, double> value, string format = "F1")
    {
        Spread spread = Spread.Of(samples, value);
        string median = spread.Median.ToString(format, CultureInfo.InvariantCulture);
        return samples.Count == 1
            ? $"{median,7}"
            : $"{median,7} ({spread.Least.ToString(format, CultureInfo.InvariantCulture)} - {spread.Most.ToString(format, CultureInfo.InvariantCulture)})";
    }
}
