using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace Holdfast.Checkpoint.Bench;

/// <summary>A full checkpoint and one after one page in a hundred has changed, of the same application one after the other.</summary>
/// <param name="FullMs">Of the full one, which stores everything: from request to committed.</param>
/// <param name="FullFreezeMs">For how long the application stood in it.</param>
/// <param name="Ms">Of the one after the change.</param>
/// <param name="FreezeMs">For how long the application stood in that.</param>
/// <param name="Changed">Bytes that the application has changed in between.</param>
/// <param name="Stored">Bytes that the second one added to the store, its tables included.</param>
internal sealed record ChangePair(double FullMs, double FullFreezeMs, double Ms, double FreezeMs, double Changed, double Stored);

/// <summary>Writes per second to random pages of all memory, in windows of the same length one after the other.</summary>
/// <param name="Alone">Without a checkpoint.</param>
/// <param name="Untracked">With one at the beginning of the window, without tracking.</param>
/// <param name="Tracked">With one at the beginning of the window, which begins to track.</param>
internal sealed record WriteRates(double Alone, double Untracked, double Tracked);

/// <summary>What a checkpoint costs that has to store little of much, and what finding that out costs the application.</summary>
internal sealed class ChangeBench : IDisposable
{
    private const string Name = "bench";

    private readonly BenchOptions _options;
    private readonly string _directory;

    public ChangeBench(BenchOptions options)
    {
        _options = options;
        _directory = Path.Combine(options.Place, $"holdfast-change-bench-{Environment.ProcessId}");
        Directory.CreateDirectory(_directory);
    }

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    /// <summary>Pairs of a full checkpoint and one of what changed.</summary>
    public IReadOnlyList<ChangePair> Pairs() => With("holdfast.checkpoint.track-writes = on\n", (holdfast, pid) =>
    {
        List<ChangePair> pairs = [];
        for (int i = 0; i <= _options.Pairs; i++)
        {
            JsonElement full = holdfast.Run("checkpoint", Name).Answer;
            double changed = Ask(pid, 10, "changed", TimeSpan.FromMinutes(1));
            JsonElement second = holdfast.Run("checkpoint", Name).Answer;
            if (full.GetProperty("kind").GetString() != "full" || second.GetProperty("kind").GetString() != "incremental")
            {
                throw new BenchException($"writes are not tracked here (see 'holdfast check'): {second.GetRawText()}");
            }

            // The first of all compiles the supervisor's code.
            if (i > 0)
            {
                pairs.Add(new ChangePair(
                    Number(full, "totalMs"), Number(full, "freezeMs"), Number(second, "totalMs"), Number(second, "freezeMs"), changed, Number(second, "bytesStored")));
            }

            holdfast.Run("forget", $"{Name}@{second.GetProperty("snapshot").GetString()}");
            holdfast.Run("forget", $"{Name}@{full.GetProperty("snapshot").GetString()}");
            holdfast.Run("gc");
        }

        return pairs;
    });

    /// <summary>How fast the application writes to its memory.</summary>
    public IReadOnlyList<WriteRates> Rates()
    {
        List<WriteRates> rates = [];
        for (int i = 0; i < _options.Windows; i++)
        {
            (double alone, double untracked) = With("holdfast.checkpoint.track-writes = off\n", (holdfast, pid) => (Window(pid, null), Window(pid, holdfast)));
            rates.Add(new WriteRates(alone, untracked, With("holdfast.checkpoint.track-writes = on\n", (holdfast, pid) => Window(pid, holdfast))));
        }

        return rates;
    }

    public static void Print(TextWriter to, BenchOptions options, IReadOnlyList<ChangePair> pairs, IReadOnlyList<WriteRates> rates)
    {
        to.WriteLine($"One process of {options.ChangesOf} MiB, in {options.Place}: median (quartiles) of {pairs.Count} pairs; times in milliseconds, from request to committed.");
        Line(to, "full checkpoint", pairs, pair => pair.FullMs, "F1");
        Line(to, "after 1 % changed", pairs, pair => pair.Ms, "F1");
        Line(to, "time, of the full one's", pairs, pair => pair.Ms / pair.FullMs, "P1");
        Line(to, "freeze of the full one", pairs, pair => pair.FullFreezeMs, "F1");
        Line(to, "freeze after 1 % changed", pairs, pair => pair.FreezeMs, "F1");
        Line(to, "bytes changed", pairs, pair => pair.Changed, "N0");
        Line(to, "bytes stored", pairs, pair => pair.Stored, "N0");
        Line(to, "stored, of those changed", pairs, pair => pair.Stored / pair.Changed, "P1");
        if (rates.Count > 0)
        {
            to.WriteLine($"It writes to all its memory at random for {options.Seconds} s; one checkpoint at the beginning of each window. {rates.Count} times.");
            Line(to, "million writes/s alone", rates, rate => rate.Alone / 1e6, "F2");
            Line(to, "checkpoint, of that", rates, rate => rate.Untracked / rate.Alone, "P1");
            Line(to, "and tracked, of that", rates, rate => rate.Tracked / rate.Alone, "P1");
        }
    }

    private static void Line<T>(TextWriter to, string what, IReadOnlyList<T> samples, Func<T, double> value, string format) =>
        to.WriteLine($"  {what,-26} {Spread.Text(samples, value, format)}");

    private static double Number(JsonElement answer, string field) => answer.GetProperty(field).GetDouble();

    private double Window(int pid, HoldfastCommand? checkpoint)
    {
        File.WriteAllText(Path.Combine(_directory, "seconds"), _options.Seconds.ToString(CultureInfo.InvariantCulture));
        Signal(pid, 12);
        checkpoint?.Run("checkpoint", Name);
        return Answer("written", TimeSpan.FromSeconds(_options.Seconds + 60)) / _options.Seconds;
    }

    private double Ask(int pid, int signal, string answer, TimeSpan bound)
    {
        Signal(pid, signal);
        return Answer(answer, bound);
    }

    private double Answer(string name, TimeSpan bound)
    {
        string file = Path.Combine(_directory, name);
        for (long end = Environment.TickCount64 + (long)bound.TotalMilliseconds; !File.Exists(file); Thread.Sleep(5))
        {
            if (Environment.TickCount64 > end)
            {
                throw new BenchException($"the application has not said '{name}' within {bound.TotalSeconds} s");
            }
        }

        double number = double.Parse(File.ReadAllText(file), CultureInfo.InvariantCulture);
        File.Delete(file);
        return number;
    }

    private static void Signal(int pid, int signal)
    {
        using Process kill = Process.Start("/bin/sh", ["-c", $"kill -{signal} {pid}"]);
        kill.WaitForExit();
    }

    private T With<T>(string configuration, Func<HoldfastCommand, int, T> body)
    {
        HoldfastCommand holdfast = new(_options.Holdfast, _directory, configuration);
        int pid = holdfast.Run("run", "--detach", "--name", Name, "--isolate", "pid,mount,uts,ipc,time", "--", Writer.Compile(_directory), $"{_options.ChangesOf}", _directory)
            .Answer.GetProperty("pid").GetInt32();
        try
        {
            Answer("ready", TimeSpan.FromMinutes(3));
            return body(holdfast, pid);
        }
        finally
        {
            holdfast.Run("kill", Name);
            Directory.Delete(Path.Combine(_directory, "store"), recursive: true);
        }
    }
}
