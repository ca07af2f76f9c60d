using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Holdfast.Checkpoint.Bench;

/// <summary>Prints the results, and writes them as JSON.</summary>
internal static class Report
{
    private static readonly JsonSerializerOptions Indented = new() { WriteIndented = true, PropertyNamingPolicy = JsonNamingPolicy.CamelCase, NumberHandling = JsonNumberHandling.AllowNamedFloatingPointLiterals };

    public static void Print(TextWriter to, BenchOptions options, IReadOnlyList<CaseResult> results)
    {
        to.WriteLine($"Through the holdfast command, in {options.Place}, {options.Pairs} interleaved pairs: median (quartiles), milliseconds.");
        to.WriteLine("total: from request to committed, or to running, in the supervisor. wall: the whole command. ratio: total / plain write or read before it.");
        to.WriteLine("restore --lazy: resume is when it runs, total when all its memory is loaded, from the start of the command.");
        to.WriteLine("fork: one fork(2) by the application's first process itself just before; freeze ratio: freeze / fork.");
        to.WriteLine("loop: C code that stops each thread by ptrace, reads its registers, has it make one system call, and lets it go; freezer: the control group's by itself.");
        to.WriteLine($"Load average now: {Load()}; above the number of processors ({Environment.ProcessorCount}), all of it is slower and less even.");
        to.WriteLine(Criu.WhyNot is { } reason ? $"criu is not beside it: {reason}" : "criu: the same program by itself; stood: as criu says; wall: its commands.");
        foreach (CaseResult result in results)
        {
            to.WriteLine();
            to.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{result.Case.Name} ({result.BytesStored / 1048576.0:F1} MiB stored)"));
            Sample first = result.FirstCheckpoint;
            Line(to, "first checkpoint", result.Case, [first], "freeze", "write");
            Line(to, "checkpoint", result.Case, result.Checkpoints, "freeze", "write");
            to.WriteLine($"    loop {Spread.Text(result.Checkpoints, s => s.LoopMs)}  freezer {Spread.Text(result.Checkpoints, s => s.FreezerMs)}  "
                + $"freeze / (loop + {result.Case.Processes} x fork) {Spread.Text(result.Checkpoints, s => s.FreezeMs / (s.LoopMs + (result.Case.Processes * s.ForkMs)), "F2")}  "
                + $"peak memory of the supervisor {result.SupervisorPeak >> 20} MiB");
            if (options.Intercept)
            {
                to.WriteLine($"    barrier: all {result.Case.Processes} processes arrived after {Spread.Text(result.Checkpoints, s => s.BarrierMs)} ms, and left together with the end of the freeze");
            }

            Line(to, "restore", result.Case, result.Restores, "resume", "read");
            Line(to, "restore --lazy", result.Case, result.LazyRestores, "resume", "read");
            if (result.Criu.Count > 0)
            {
                to.WriteLine($"  criu dump         stood  {Spread.Text(result.Criu, s => s.FrozenMs)}  wall {Spread.Text(result.Criu, s => s.DumpMs)}");
                to.WriteLine($"  criu restore      wall   {Spread.Text(result.Criu, s => s.RestoreMs)}");
            }

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
        to.WriteLine($"  restore           {Spread.Text(samples, s => s.EagerMs)}");
        to.WriteLine($"  restore --lazy    {Spread.Text(samples, s => s.LazyMs)}");
        to.WriteLine($"    all loaded      {Spread.Text(samples, s => s.LoadedMs)}");
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
                result.Case.Threads,
                result.SupervisorPeak,
                result.BytesStored,
                result.IsDefect,
                FirstCheckpoint = Row(result.FirstCheckpoint, "freezeMs"),
                Checkpoints = result.Checkpoints.Select(sample => new Dictionary<string, double>(Row(sample, "freezeMs"))
                {
                    ["forkMs"] = sample.ForkMs, ["loopMs"] = sample.LoopMs, ["freezerMs"] = sample.FreezerMs,
                }),
                Restores = result.Restores.Select(sample => Row(sample, "resumeMs")),
                LazyRestores = result.LazyRestores.Select(sample => Row(sample, "resumeMs")),
                result.Criu,
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

    public static void WriteJson(string file, BenchOptions options, IReadOnlyList<FamilyPair> pairs) => File.WriteAllText(file, JsonSerializer.Serialize(
        new
        {
            options.Place,
            MiB = options.FamilyOf,
            options.Processes,
            Kernel = Environment.OSVersion.Version.ToString(),
            Processors = Environment.ProcessorCount,
            LoadAverage = Load(),
            Pairs = pairs,
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
        string line = $"  {what,-17} {freeze} {Spread.Text(samples, s => s.FreezeMs)}  total {Spread.Text(samples, s => s.WholeMs)}  wall {Spread.Text(samples, s => s.WallMs)}";
        line += measured.Processes > 1 || freeze != "freeze" ? string.Empty : $"  fork {Spread.Text(samples, s => s.ForkMs)} freeze ratio {Spread.Text(samples, s => s.FreezeRatio)}";
        to.WriteLine(measured.HasRatio
            ? line + string.Create(CultureInfo.InvariantCulture, $"  plain {plain,-5} {Spread.Text(samples, s => s.YardstickMs)}  ratio {Spread.Text(samples, s => s.Ratio, "F2")}")
            : line);
    }
}
