using System.Diagnostics;
using Holdfast.KernelBridge.Tests.Conformance;
using Holdfast.KernelBridge.Tests.Spaces;
using Xunit.Abstractions;

namespace Holdfast.KernelBridge.Tests.Capture;

/// <summary>What kernels before 6.5 do not say of an eventfd is found out, and it counts as before whenever the tracer dies.</summary>
public sealed class EventSemaphoresTests(ITestOutputHelper output)
{
    private const string Program =
        """
        import os, re, sys, time
        out = sys.argv[1]
        kinds = [(count, flags) for count in (0, 1, 2, 5, 2**64 - 2) for flags in (0, os.EFD_SEMAPHORE, os.EFD_NONBLOCK, os.EFD_SEMAPHORE | os.EFD_NONBLOCK)]
        fds = []
        for count, flags in kinds:
            fd = os.eventfd(0, flags); fds.append(fd)
            if count: os.eventfd_write(fd, count)
        def counts(): return [int(re.search(r"eventfd-count:\s*(\w+)", open(f"/proc/self/fdinfo/{fd}").read())[1], 16) for fd in fds]
        with open(out + "/expected", "w") as file:
            for fd, (count, flags) in zip(fds, kinds): print(fd, flags & os.EFD_SEMAPHORE, file=file)
        before = counts()
        open(out + "/ready", "w").close()
        while not os.path.exists(out + "/go"):
            if counts() != before: break
            time.sleep(0.005)
        with open(out + "/end", "w") as end: end.write("same" if counts() == before else f"{counts()}, was {before}")
        os.rename(out + "/end", out + "/result")
        """;

    [Fact]
    public void Semaphores_are_told_from_counters_and_count_as_before_whenever_the_tracer_dies()
    {
        using var bench = new Bench(new PtraceBridge());
        using WatchedProgram? target = WatchedProgram.TryStart(bench, output, Program);
        if (target is null)
        {
            return;
        }

        Random random = new(Tools.Seed(output));
        int every = Tools.Count(23, 1);
        int moment = 1 + random.Next(every);
        for (; Ask(bench, target.Pid, moment) != 0; moment += every)
        {
            Health.AssertRuns(target.Pid);
        }

        output.WriteLine($"{moment} calls");
        Assert.True(moment > 200);
        Assert.Equal(File.ReadAllText(bench.PathOf("expected")), File.ReadAllText(bench.PathOf("found")));
        Assert.Equal("same", target.Result());
    }

    /// <summary>Runs the tracer; killed at the given one of its ptrace calls.</summary>
    private static int Ask(Bench bench, int pid, int moment) => HelperProcess.RunTracer(moment, "ask-eventfds", $"{pid}", bench.PathOf("found"));
}
