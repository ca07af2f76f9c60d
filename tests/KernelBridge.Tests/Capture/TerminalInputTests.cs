using Holdfast.KernelBridge.Tests.Conformance;
using Holdfast.KernelBridge.Tests.Spaces;
using Xunit.Abstractions;

namespace Holdfast.KernelBridge.Tests.Capture;

/// <summary>A tracer that dies between any two of its ptrace calls, while a process takes its terminal's input out and puts it back, takes nothing away and adds no echo.</summary>
public sealed class TerminalInputTests(ITestOutputHelper output)
{
    private const string Found = "one\n|two||three\n + half";

    private const string Program =
        """
        import fcntl, os, struct, sys, termios, time
        out = sys.argv[1]
        master, slave = os.openpty()
        os.write(master, b"one\ntwo\x04\x04three\rhalf")
        echo = b""
        while not echo.endswith(b"half"): echo += os.read(master, 100)
        def count(fd): return struct.unpack("i", fcntl.ioctl(fd, termios.FIONREAD, bytes(4)))[0]
        def state():
            with open("/proc/self/maps") as maps: lines = [line for line in maps if "[heap]" not in line]
            return sorted(os.listdir("/proc/self/fd")), termios.tcgetattr(slave), count(master), count(slave), lines
        state()
        before = state()
        open(out + "/ready", "w").close()
        while not os.path.exists(out + "/go"): time.sleep(0.005)
        after = state()
        os.write(master, b"!\n")
        while count(slave) < 13 + 6: time.sleep(0.001)
        with open(out + "/end", "w") as end:
            end.write(repr([os.read(slave, 100) for _ in range(5)] + [os.read(master, 100)]) if after == before else f"{before} became {after}")
        os.rename(out + "/end", out + "/result")
        """;

    [Fact]
    public void Input_stays_where_it_is_whenever_the_tracer_dies()
    {
        using var bench = new Bench(new PtraceBridge());
        using WatchedProgram? target = WatchedProgram.TryStart(bench, output, Program);
        if (target is null)
        {
            return;
        }

        Random random = new(Tools.Seed(output));
        int every = Tools.Count(7, 1);
        int moment = 1 + random.Next(every);
        for (; Copy(bench, target.Pid, moment) != 0; moment += every)
        {
            Health.AssertRuns(target.Pid);
            Assert.Equal(0, Copy(bench, target.Pid, null));
            Assert.Equal(Found, File.ReadAllText(bench.PathOf("copy")));
        }

        output.WriteLine($"{moment} calls");
        Assert.True(moment > 60);
        string result = target.Result();
        Assert.True(result == @"[b'one\n', b'two', b'', b'three\n', b'half!\n', b'!\r\n']", result);
    }

    /// <summary>Runs the tracer; killed at the given one of its ptrace calls.</summary>
    private static int Copy(Bench bench, int pid, int? moment) =>
        HelperProcess.RunTracer(moment, "copy-terminal-input", $"{pid}", bench.PathOf("copy"));
}
