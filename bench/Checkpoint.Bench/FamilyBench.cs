using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace Holdfast.Checkpoint.Bench;

/// <summary>A checkpoint and a restore of a process that holds memory, alone or with children that share all of it.</summary>
/// <param name="CheckpointMs">From request to committed.</param>
/// <param name="FreezeMs">For how long it stood in that.</param>
/// <param name="Stored">Bytes that the snapshot added to the store.</param>
/// <param name="RestoreMs">From request until all run.</param>
/// <param name="Before">Bytes of memory of all its processes, a page of several counted once (Pss), before the checkpoint.</param>
/// <param name="After">The same after the restore.</param>
internal sealed record FamilySample(double CheckpointMs, double FreezeMs, double Stored, double RestoreMs, double Before, double After);

/// <summary>One process, then the same memory shared copy-on-write by many.</summary>
internal sealed record FamilyPair(FamilySample Alone, FamilySample Family);

/// <summary>What memory that processes share copy-on-write costs.</summary>
internal sealed class FamilyBench : IDisposable
{
    private const string Name = "family";

    // Arguments: MiB, processes, directory. Each child writes to one page.
    private const string Source = """
        #define _GNU_SOURCE
        #include <stdint.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <sys/mman.h>
        #include <unistd.h>

        int main(int argc, char **argv)
        {
            if (argc < 4) return 1;
            uint64_t words = strtoull(argv[1], 0, 10) << 17, state = 88172645463325252ull;
            uint64_t *memory = mmap(0, words * 8, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            if (memory == MAP_FAILED) return 1;
            for (uint64_t i = 0; i < words; i++) { state ^= state << 13; state ^= state >> 7; memory[i] = state ^= state << 17; }
            int ready[2];
            if (pipe(ready)) return 1;
            for (int i = 1; i < atoi(argv[2]); i++) {
                char byte = 0;
                if (fork() == 0) {
                    memory[i * 512] = i;
                    if (write(ready[1], &byte, 1) != 1) return 1;
                    for (;;) pause();
                }
                if (read(ready[0], &byte, 1) != 1) return 1;
            }
            char path[4096];
            snprintf(path, sizeof path, "%s/ready", argv[3]);
            fclose(fopen(path, "w"));
            for (;;) pause();
        }
        """;

    private readonly BenchOptions _options;
    private readonly string _directory;
    private readonly string _program;

    public FamilyBench(BenchOptions options)
    {
        _options = options;
        _directory = Path.Combine(options.Place, $"holdfast-family-bench-{Environment.ProcessId}");
        Directory.CreateDirectory(_directory);
        _program = CCompiler.Compile(_directory, "holdfast-family", Source);
    }

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    public IReadOnlyList<FamilyPair> Run()
    {
        List<FamilyPair> pairs = [];
        for (int i = 0; i < _options.Pairs; i++)
        {
            pairs.Add(new FamilyPair(Measure(1), Measure(_options.Processes)));
        }

        return pairs;
    }

    public static void Print(TextWriter to, BenchOptions options, IReadOnlyList<FamilyPair> pairs)
    {
        to.WriteLine($"{options.FamilyOf} MiB, alone and shared copy-on-write by {options.Processes} processes, in {options.Place}: median (quartiles) of {pairs.Count} pairs; times in milliseconds.");
        Line(to, "checkpoint alone", pairs, pair => pair.Alone.CheckpointMs, "F0");
        Line(to, "checkpoint of all", pairs, pair => pair.Family.CheckpointMs, "F0");
        Line(to, "times that of one", pairs, pair => pair.Family.CheckpointMs / pair.Alone.CheckpointMs, "F2");
        Line(to, "freeze alone", pairs, pair => pair.Alone.FreezeMs, "F0");
        Line(to, "freeze of all", pairs, pair => pair.Family.FreezeMs, "F0");
        Line(to, "stored alone", pairs, pair => pair.Alone.Stored, "N0");
        Line(to, "stored of all", pairs, pair => pair.Family.Stored, "N0");
        Line(to, "restore alone", pairs, pair => pair.Alone.RestoreMs, "F0");
        Line(to, "restore of all", pairs, pair => pair.Family.RestoreMs, "F0");
        Line(to, "times that of one", pairs, pair => pair.Family.RestoreMs / pair.Alone.RestoreMs, "F2");
        Line(to, "sum of Pss before", pairs, pair => pair.Family.Before, "N0");
        Line(to, "sum of Pss restored", pairs, pair => pair.Family.After, "N0");
        Line(to, "restored, of before", pairs, pair => pair.Family.After / pair.Family.Before, "P2");
    }

    private static void Line(TextWriter to, string what, IReadOnlyList<FamilyPair> samples, Func<FamilyPair, double> value, string format) =>
        to.WriteLine($"  {what,-22} {Spread.Text(samples, value, format)}");

    private FamilySample Measure(int processes)
    {
        string ready = Path.Combine(_directory, "ready");
        File.Delete(ready);
        HoldfastCommand holdfast = new(_options.Holdfast, _directory, string.Empty);
        int pid = holdfast.Run(
            "run", "--detach", "--name", Name, "--isolate", "pid,mount,uts,ipc,time", "--", _program, $"{_options.FamilyOf}", $"{processes}", _directory).Answer.GetProperty("pid").GetInt32();
        try
        {
            for (long end = Environment.TickCount64 + 180_000; !File.Exists(ready); Thread.Sleep(5))
            {
                if (Environment.TickCount64 > end)
                {
                    throw new BenchException("the processes are not ready within 3 minutes");
                }
            }

            double before = ProportionalBytes(pid, processes);
            JsonElement taken = holdfast.Run("checkpoint", Name).Answer;
            holdfast.Run("kill", Name);
            JsonElement restored = holdfast.Run("restore", Name, "--detach").Answer;
            double after = ProportionalBytes(restored.GetProperty("pid").GetInt32(), processes);
            return new FamilySample(
                Number(taken, "totalMs"), Number(taken, "freezeMs"), Number(taken, "bytesStored"), Number(restored, "resumeMs"), before, after);
        }
        finally
        {
            holdfast.Run("kill", Name);
            Directory.Delete(Path.Combine(_directory, "store"), recursive: true);
        }
    }

    /// <summary>Pss of smaps_rollup, of a process and its children; see proc(5).</summary>
    private static double ProportionalBytes(int root, int processes)
    {
        int[] pids = [root, .. File.ReadAllText($"/proc/{root}/task/{root}/children").Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(pid => int.Parse(pid, CultureInfo.InvariantCulture))];
        if (pids.Length != processes)
        {
            throw new BenchException($"there are {pids.Length} processes where {processes} are expected");
        }

        return pids.Sum(pid => double.Parse(
            File.ReadLines($"/proc/{pid}/smaps_rollup").Single(line => line.StartsWith("Pss:", StringComparison.Ordinal)).Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], CultureInfo.InvariantCulture) * 1024);
    }

    private static double Number(JsonElement answer, string field) => answer.GetProperty(field).GetDouble();
}
