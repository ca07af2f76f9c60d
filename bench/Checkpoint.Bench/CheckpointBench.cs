using System.Diagnostics;
using System.Globalization;
using System.Text.Json;

namespace Holdfast.Checkpoint.Bench;

/// <summary>
/// Measures checkpoints and restores as a user has them: an application under <c>holdfast run --detach</c>, <c>holdfast checkpoint</c> to its
/// running supervisor, and <c>holdfast restore --detach</c>, which is a new supervisor each time. Disposing it removes all that it made.
/// </summary>
internal sealed class CheckpointBench : IDisposable
{
    private const string Name = "bench";
    private static readonly TimeSpan ReadyBound = TimeSpan.FromMinutes(3);

    private readonly BenchOptions _options;
    private readonly string _directory;
    private readonly HoldfastCommand _holdfast;
    private volatile bool _cancelled;
    private int _pid;
    private Standstill? _standstill;

    public CheckpointBench(BenchOptions options)
    {
        _options = options;
        _directory = Path.Combine(options.Place, $"holdfast-checkpoint-bench-{Environment.ProcessId}");
        Directory.CreateDirectory(_directory);
        try
        {
            // Every checkpoint stores everything: what did not change since the one before would make the comparison too easy.
            _holdfast = new HoldfastCommand(options.Holdfast, _directory, "holdfast.checkpoint.incremental = off\n");
        }
        catch
        {
            Dispose();
            throw;
        }
    }

    /// <summary>Ends the run at the next step.</summary>
    public void Cancel() => _cancelled = true;

    public IReadOnlyList<CaseResult> Run()
    {
        List<CaseResult> results = [];
        foreach (BenchCase measured in _options.Cases)
        {
            results.Add(Run(measured));
        }

        return results;
    }

    public void Dispose()
    {
        if (Directory.Exists(_directory))
        {
            Directory.Delete(_directory, recursive: true);
        }
    }

    private CaseResult Run(BenchCase measured)
    {
        using Yardstick yardstick = new(measured.Bytes, Path.Combine(_directory, "plain"));
        Start(measured);
        try
        {
            (Sample first, long stored) = Checkpoint(measured, yardstick);
            List<Sample> checkpoints = [];
            List<Sample> restores = [];
            List<Sample> lazyRestores = [];
            for (int i = 0; i < _options.Pairs; i++)
            {
                DropSnapshots();
                checkpoints.Add(Checkpoint(measured, yardstick).Sample);
            }

            long peak = SupervisorPeak();

            for (int i = 0; i < _options.Pairs; i++)
            {
                _holdfast.Run("kill", Name);
                restores.Add(Restore(measured, yardstick));
                _holdfast.Run("kill", Name);
                lazyRestores.Add(RestoreLazily(measured, yardstick));
            }

            return new CaseResult(measured, stored, first, checkpoints, restores, lazyRestores) { SupervisorPeak = peak, Criu = Beside(measured) };
        }
        finally
        {
            End();
        }
    }

    /// <summary>The same by CRIU, where there is one.</summary>
    private List<CriuSample> Beside(BenchCase measured)
    {
        List<CriuSample> samples = [];
        if (Criu.WhyNot is null)
        {
            DropSnapshots();
            using Criu criu = Criu.Start(measured, _directory);
            while (samples.Count < _options.Pairs)
            {
                Check();
                Yardstick.Warm(2 * measured.Bytes + (64 << 20));
                samples.Add(criu.Measure());
            }
        }

        return samples;
    }

    private void Start(BenchCase measured)
    {
        string ready = Path.Combine(_directory, "ready");
        Directory.CreateDirectory(ready);
        _pid = _holdfast.Run("run", ["--detach", "--name", Name, .. _options.Intercept ? (string[])["--intercept"] : [], "--isolate", _options.Intercept ? "pid,mount,uts,ipc,time,shm" : "pid,mount,uts,ipc,time", "--", .. Target.Command(measured, ready, Forked)])
            .Answer.GetProperty("pid").GetInt32();
        long deadline = Environment.TickCount64 + (long)ReadyBound.TotalMilliseconds;
        while (Directory.EnumerateFiles(ready).Count() < measured.Processes)
        {
            if (Environment.TickCount64 > deadline)
            {
                End();
                throw new BenchException($"the application of {measured.Name} was not ready within {ReadyBound.TotalMinutes} minutes");
            }

            Thread.Sleep(20);
        }

        Directory.Delete(ready, recursive: true);
        _standstill = new Standstill(_pid, _directory);
    }

    /// <summary>Peak resident memory of who takes the checkpoints.</summary>
    private long SupervisorPeak()
    {
        int supervisor = _holdfast.Run("show", Name).Answer.GetProperty("supervisorPid").GetInt32();
        string line = File.ReadLines($"/proc/{supervisor}/status").First(line => line.StartsWith("VmHWM:", StringComparison.Ordinal));
        return long.Parse(line.AsSpan(6).Trim()[..^3], CultureInfo.InvariantCulture) << 10;
    }

    private string Forked => Path.Combine(_directory, "forked");

    /// <summary>Milliseconds for one fork(2) that the application makes itself.</summary>
    private double Fork()
    {
        File.Delete(Forked);
        using (Process kill = Process.Start("/bin/sh", ["-c", $"kill -USR1 {_pid}"]))
        {
            kill.WaitForExit();
        }

        for (int i = 0; !File.Exists(Forked); i++)
        {
            if (i > 10_000)
            {
                throw new BenchException("the application does not fork");
            }

            Thread.Sleep(1);
        }

        return double.Parse(File.ReadAllText(Forked), CultureInfo.InvariantCulture);
    }

    private (Sample Sample, long BytesStored) Checkpoint(BenchCase measured, Yardstick yardstick)
    {
        Check();

        // The yardstick's file and the snapshot.
        Yardstick.Warm(2 * measured.Bytes + (64 << 20));
        double plain = yardstick.Write();
        double fork = Fork(), loop = _standstill!.Loop(), freezer = _standstill.Freezer();
        (JsonElement answer, double wall) = _holdfast.Run("checkpoint", Name);
        long stored = answer.GetProperty("bytesStored").GetInt64();
        if (answer.GetProperty("processes").GetInt32() != measured.Processes || stored < measured.Bytes)
        {
            throw new BenchException($"a snapshot of {measured.Name} is not all of it: {answer.GetRawText()}");
        }

        double barrier = double.NaN;
        if (_options.Intercept)
        {
            JsonElement intercepted = answer.GetProperty("intercepted");
            barrier = Milliseconds(intercepted, "ms");
            if (intercepted.GetProperty("ready").GetInt32() != measured.Processes || intercepted.GetProperty("late").GetArrayLength() > 0)
            {
                throw new BenchException($"not all processes of {measured.Name} were at the barrier: {intercepted.GetRawText()}");
            }
        }

        return (new Sample(plain, Milliseconds(answer, "totalMs"), Milliseconds(answer, "freezeMs"), wall) { ForkMs = fork, LoopMs = loop, FreezerMs = freezer, BarrierMs = barrier }, stored);
    }

    private Sample Restore(BenchCase measured, Yardstick yardstick)
    {
        Check();
        Yardstick.Warm(2 * measured.Bytes + (64 << 20));
        double plain = yardstick.Read();
        (JsonElement answer, double wall) = _holdfast.Run("restore", Name, "--detach");
        if (answer.GetProperty("processes").GetInt32() != measured.Processes || answer.GetProperty("bytesRead").GetInt64() < measured.Bytes)
        {
            throw new BenchException($"a restore of {measured.Name} was not of all of it: {answer.GetRawText()}");
        }

        return new Sample(plain, Milliseconds(answer, "totalMs"), Milliseconds(answer, "resumeMs"), wall);
    }

    /// <summary>A restore that runs before its memory is loaded, and the loading.</summary>
    private Sample RestoreLazily(BenchCase measured, Yardstick yardstick)
    {
        Check();
        Yardstick.Warm(2 * measured.Bytes + (64 << 20));
        double plain = yardstick.Read();
        long begun = Stopwatch.GetTimestamp();
        (JsonElement answer, double wall) = _holdfast.Run("restore", Name, "--detach", "--lazy");
        if (answer.GetProperty("processes").GetInt32() != measured.Processes || !answer.GetProperty("lazy").GetBoolean())
        {
            throw new BenchException($"a lazy restore of {measured.Name} was not of all of it: {answer.GetRawText()}");
        }

        _holdfast.AwaitLoaded(Name);
        return new Sample(plain, Stopwatch.GetElapsedTime(begun).TotalMilliseconds, Milliseconds(answer, "resumeMs"), wall);
    }

    /// <summary>The first answer of a redis with so many MiB in it after each kind of restore.</summary>
    public IReadOnlyList<RedisBench.RedisSample> RunRedis(int mib)
    {
        using RedisBench redis = new(_holdfast, _directory, mib);
        return redis.Run(_options.Pairs);
    }

    /// <summary>So that every checkpoint is a full one into the same room.</summary>
    private void DropSnapshots()
    {
        _holdfast.Run("forget", $"{Name}@latest");
        _holdfast.Run("gc");
    }

    private void End()
    {
        try
        {
            _holdfast.Run("kill", Name);
        }
        catch (BenchException e)
        {
            // It may have ended, or never have begun; what matters is the reason for which the run ends.
            Console.Error.WriteLine($"checkpoint bench: ending the application: {e.Message}");
        }

        Directory.Delete(Path.Combine(_directory, "store"), recursive: true);
    }

    private void Check()
    {
        if (_cancelled)
        {
            throw new BenchException("called off");
        }
    }

    private static double Milliseconds(JsonElement answer, string field) => answer.GetProperty(field).GetDouble();
}
