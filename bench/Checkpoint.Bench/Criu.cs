using System.Buffers.Binary;
using System.Diagnostics;

namespace Holdfast.Checkpoint.Bench;

/// <summary>What CRIU took for the same program, in milliseconds.</summary>
/// <param name="DumpMs">The command <c>criu dump --leave-running</c>, from its start to its end.</param>
/// <param name="FrozenMs">How long the program stood, as CRIU says: freezing it and what follows.</param>
/// <param name="RestoreMs">The command <c>criu restore --restore-detached</c>.</param>
internal sealed record CriuSample(double DumpMs, double FrozenMs, double RestoreMs);

/// <summary>
/// CRIU beside it, where there is one in PATH that runs on this kernel: the program that is measured by itself, in a session of its own, dumped into and restored from the same
/// place. Disposing it ends the program.
/// </summary>
internal sealed class Criu : IDisposable
{
    private static readonly Lazy<string?> Obstacle = new(() =>
    {
        try
        {
            (int status, string said) = Run("check");
            return status == 0 ? null : $"criu check: {said.Split('\n', StringSplitOptions.RemoveEmptyEntries).FirstOrDefault() ?? $"status {status}"}";
        }
        catch (BenchException e)
        {
            return e.Message;
        }
    });

    private readonly string _directory;
    private readonly int _pid;

    private Criu(string directory, int pid)
    {
        _directory = directory;
        _pid = pid;
    }

    /// <summary>Why there is none; null where there is.</summary>
    public static string? WhyNot => Obstacle.Value;

    /// <summary>Starts the program.</summary>
    /// <param name="measured">What it is to be.</param>
    /// <param name="directory">Where images go.</param>
    public static Criu Start(BenchCase measured, string directory)
    {
        string ready = Directory.CreateDirectory(Path.Combine(directory, "criu-ready")).FullName;
        ProcessStartInfo start = new("/bin/sh") { ArgumentList = { "-c", "setsid \"$@\" </dev/null >/dev/null 2>&1 & echo $!", "sh" }, RedirectStandardOutput = true };
        foreach (string word in Target.Command(measured, ready, Path.Combine(directory, "criu-forked")))
        {
            start.ArgumentList.Add(word);
        }

        using Process shell = Process.Start(start) ?? throw new BenchException("/bin/sh did not start");
        string said = shell.StandardOutput.ReadToEnd();
        shell.WaitForExit();
        Criu criu = new(directory, int.Parse(said, System.Globalization.CultureInfo.InvariantCulture));
        for (int i = 0; Directory.EnumerateFiles(ready).Count() < measured.Processes; i++)
        {
            if (i > 10_000)
            {
                criu.Dispose();
                throw new BenchException($"the application of {measured.Name} was not ready for criu");
            }

            Thread.Sleep(20);
        }

        Directory.Delete(ready, recursive: true);
        return criu;
    }

    /// <summary>Dumps it while it runs on; dumps it and restores it.</summary>
    public CriuSample Measure()
    {
        string images = Path.Combine(_directory, "criu-images");
        double dump = Timed(images, "dump", "-t", $"{_pid}", "--leave-running");
        double frozen = Frozen(Path.Combine(images, "stats-dump"));
        _ = Timed(images, "dump", "-t", $"{_pid}");
        double restore = Timed(images, "restore", "--restore-detached");
        Directory.Delete(images, recursive: true);
        return new CriuSample(dump, frozen, restore);
    }

    public void Dispose()
    {
        // With all whom it forked: they are in its session.
        using Process kill = Process.Start("/bin/sh", ["-c", $"kill -9 -{_pid}; while kill -0 {_pid} 2>/dev/null; do sleep 0.05; done"]);
        kill.WaitForExit();
    }

    private static double Timed(string images, string action, params string[] options)
    {
        if (action == "dump" && Directory.Exists(images))
        {
            Directory.Delete(images, recursive: true);
        }

        Directory.CreateDirectory(images);
        long begun = Stopwatch.GetTimestamp();
        (int status, string said) = Run([action, "-D", images, "-o", $"{action}.log", "-v1", .. options]);
        double took = Stopwatch.GetElapsedTime(begun).TotalMilliseconds;
        string log = Path.Combine(images, $"{action}.log");
        return status == 0 ? took : throw new BenchException($"criu {action} failed: {said.Trim()} {(File.Exists(log) ? File.ReadAllText(log).Trim() : string.Empty)}");
    }

    /// <summary>Freezing time and frozen time out of <c>stats-dump</c>: two magic numbers, a length, and a message of protobuf (images/stats.proto of CRIU: dump = 1, and in it 1 and 2, microseconds).</summary>
    internal static double Frozen(string file)
    {
        ReadOnlySpan<byte> message = File.ReadAllBytes(file).AsSpan(8);
        message = message.Slice(4, BinaryPrimitives.ReadInt32LittleEndian(message));
        double microseconds = 0;
        const ulong OfDump = (1 << 3) | 2, FreezingTime = 1 << 3, FrozenTime = 2 << 3;
        if (Number(ref message) != OfDump)
        {
            throw new BenchException($"{file} is no statistics of a dump");
        }

        message = message[..(int)Number(ref message)];
        while (message.Length > 0 && Number(ref message) is FreezingTime or FrozenTime)
        {
            microseconds += Number(ref message);
        }

        return microseconds / 1000;
    }

    private static ulong Number(ref ReadOnlySpan<byte> from)
    {
        ulong number = 0;
        for (int shift = 0; ; shift += 7)
        {
            byte next = from[0];
            from = from[1..];
            number |= (ulong)(next & 0x7f) << shift;
            if (next < 0x80)
            {
                return number;
            }
        }
    }

    private static (int Status, string Said) Run(params string[] arguments)
    {
        ProcessStartInfo start = new("/bin/sh") { ArgumentList = { "-c", "exec criu \"$@\" 2>&1", "sh" }, RedirectStandardOutput = true };
        foreach (string argument in arguments)
        {
            start.ArgumentList.Add(argument);
        }

        using Process process = Process.Start(start) ?? throw new BenchException("/bin/sh did not start");
        string said = process.StandardOutput.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 127 ? throw new BenchException("criu is not in PATH") : (process.ExitCode, said);
    }
}
