using System.Diagnostics;
using Holdfast.KernelBridge.Tests.Conformance;
using Holdfast.KernelBridge.Tests.Spaces;
using Xunit.Abstractions;

namespace Holdfast.KernelBridge.Tests.Capture;

/// <summary>A tracer that dies between any two of its ptrace calls, while a process takes its terminal's output out and puts it back, takes nothing away.</summary>
public sealed class TerminalOutputTests(ITestOutputHelper output)
{
    // What ptrace calls a copy makes beside those that begin and end it: four for each of seven system calls.
    private const int Moments = 48;

    private const string Program =
        """
        import os, sys, termios, time
        out = sys.argv[1]
        master, slave = os.openpty()
        os.write(slave, b"first\nsecond\n")
        def state(): return sorted(os.listdir("/proc/self/fd")), termios.tcgetattr(slave)[:4]
        before = state()
        open(out + "/ready", "w").close()
        while not os.path.exists(out + "/go"): time.sleep(0.005)
        after = state()
        with open(out + "/end", "w") as end:
            end.write(repr(os.read(master, 100)) if after == before else f"{before} became {after}")
        os.rename(out + "/end", out + "/result")
        """;

    [Fact]
    public void Output_stays_where_it_is_whenever_the_tracer_dies()
    {
        using var bench = new Bench(new PtraceBridge());
        using WatchedProgram? target = WatchedProgram.TryStart(bench, output, Program);
        if (target is null)
        {
            return;
        }

        Random random = new(Tools.Seed(output));
        int[] moments = [.. Enumerable.Range(1, Moments)];
        random.Shuffle(moments);
        int killed = 0;
        foreach (int moment in moments[..Tools.Count(16, Moments)])
        {
            killed += Copy(bench, target.Pid, moment) != 0 ? 1 : 0;
            Health.AssertRuns(target.Pid);
            Assert.Equal(0, Copy(bench, target.Pid, null));
            Assert.Equal("first\r\nsecond\r\n", File.ReadAllText(bench.PathOf("copy")));
        }

        output.WriteLine($"{killed} tracers killed");
        Assert.True(killed >= 8, $"only {killed} tracers were killed");
        string result = target.Result();
        Assert.True(result == @"b'first\r\nsecond\r\n'", result);
    }

    /// <summary>Runs the tracer; killed at the given one of its ptrace calls.</summary>
    private static int Copy(Bench bench, int pid, int? moment) =>
        HelperProcess.RunTracer(moment, "copy-terminal-output", $"{pid}", bench.PathOf("copy"));
}
