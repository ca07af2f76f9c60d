using System.Diagnostics;
using System.Text.Json;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Tests.Spaces;
using Xunit.Abstractions;

namespace Holdfast.KernelBridge.Tests.Conformance;

/// <summary>The supervisor is killed at any moment: the application goes on unharmed, and nothing half-built is left.</summary>
public sealed class SupervisorDeathTests(ITestOutputHelper output) : IDisposable
{
    private readonly Bench bench = new(new PtraceBridge());

    [Fact]
    public void An_application_survives_its_supervisor_at_any_moment_of_a_checkpoint()
    {
        Random random = new(Tools.Seed(output));
        IRunningApplication application = bench.Shell(BridgeConformance.CountingPipeline);
        IRunningApplication threads = Threads();
        // Its memory is copied by clone(2).
        IRunningApplication watcher = bench.Launch("env", $"OUT={Directory.CreateDirectory(bench.PathOf("watcher")).FullName}", bench.Compile(FrozenCopyTests.Watcher)!, "3000");
        IRunningApplication[] victims = [application, threads, watcher];
        string[] logs = ["log", "sums", "watcher/log"];
        bench.ExpectLines("log", 5);
        int deaths = Tools.Count(30, 500);
        int taken = 0;
        for (int death = 0; death < deaths; death++)
        {
            IRunningApplication victim = victims[death % 3];
            using var supervisor = new HelperProcess("checkpoint-forever", JsonSerializer.Serialize(victim.Target));
            Assert.Equal("ready", supervisor.ReadLine());

            // The first checkpoint compiles its code; later ones are short, so both kinds of moment are hit.
            for (int i = death % 4; i > 0; i--)
            {
                Assert.Equal("taken", supervisor.ReadLine());
                taken++;
            }

            Linger(random.Next(death % 4 == 0 ? 400_000 : 30_000));
            supervisor.Kill();
            Assert.All(bench.Lines("watcher/log"), line => Assert.StartsWith("round ", line, StringComparison.Ordinal));
            foreach (int pid in Alive(victim))
            {
                Health.AssertRuns(pid, mayBlock: 1ul << 16);
            }

            bench.ExpectLines(logs[death % 3], 2);
        }

        output.WriteLine($"{deaths} supervisors killed, {taken} checkpoints completed before");
        BridgeConformance.AssertSquares(bench.Lines("log"));
        string[] sums = bench.Lines("sums");
        Assert.Equal(Enumerable.Range(1, sums.Length).Select(n => $"{n}"), sums);

        Assert.All(bench.Lines("watcher/log"), line => Assert.StartsWith("round ", line, StringComparison.Ordinal));

        // And the next supervisor can take one.
        bench.Restore(bench.Checkpoint(application, kill: true));
        bench.ExpectLines("log", 5);
        BridgeConformance.AssertSquares(bench.Lines("log"));
    }

    [Fact]
    public void A_process_goes_on_whichever_ptrace_call_of_its_copying_and_tracking_was_the_last()
    {
        Random random = new(Tools.Seed(output));
        IRunningApplication application = bench.Launch(bench.Compile(FrozenCopyTests.Watcher)!, "1000");
        string target = JsonSerializer.Serialize(application.Target);
        int every = Tools.Count(6, 1);
        int moment = 1 + random.Next(every);
        for (; HelperProcess.RunTracer(moment, "checkpoint-once", target) != 0; moment += every)
        {
            bench.ExpectLines("log", 2);
            string last = bench.Lines("log")[^1];
            Assert.True(last.StartsWith("round ", StringComparison.Ordinal), $"after a death at call {moment}: {last}");
            Assert.DoesNotContain(ProcFs.Numbers($"/proc/{application.MainPid}/fd"), number => ProcFs.TryLink($"/proc/{application.MainPid}/fd/{number}")?.Contains("userfaultfd", StringComparison.Ordinal) == true);
        }

        output.WriteLine($"{moment} calls");
        Assert.True(moment > 60);
    }

    [Fact]
    public void A_restore_that_dies_leaves_nothing_and_can_be_repeated()
    {
        Random random = new(Tools.Seed(output));
        IRunningApplication application = bench.Shell("echo $$ >$OUT/pid; for n in 1 2 3 4; do (exec -a holdfast-mark-$$ sleep 100000 | cat) & done; touch $OUT/ready; while :; do sleep 0.01; done");
        bench.Expect("ready");
        Taken taken = bench.Checkpoint(application, kill: true);
        File.WriteAllBytes(bench.PathOf("image"), taken.Image);
        taken.Pages.Save(bench.PathOf("pages"));
        string states = Directory.CreateDirectory(bench.PathOf("states")).FullName;
        int deaths = Tools.Count(30, 500);
        int restored = 0;
        for (int death = 0; death < deaths; death++)
        {
            using var supervisor = new HelperProcess("restore-forever", bench.PathOf("image"), bench.PathOf("pages"), states);
            Assert.Equal("ready", supervisor.ReadLine());
            ApplicationTarget? last = null;
            for (int i = death % 3; i > 0; i--)
            {
                last = JsonSerializer.Deserialize<ApplicationTarget>(supervisor.ReadLine())!;
                restored++;
            }

            Linger(random.Next(death % 3 == 0 ? 600_000 : 150_000));
            supervisor.Kill();

            // What was committed may run on; what was not must vanish. So every process that runs from this image belongs to a space that can be found.
            SpaceFixture.Until(() => Marked().All(IsWhole), $"nothing half-built is left after {death} deaths (the last whole one was {last})");
            foreach (int init in Marked().Select(InitOf).Distinct().ToList())
            {
                _ = Libc.kill(init, Libc.SIGKILL);
            }

            SpaceFixture.Until(() => !Marked().Any(), "the end of those that were committed");
        }

        output.WriteLine($"{deaths} supervisors killed, {restored} restores completed before");
        bench.Restore(taken);
        Assert.NotEmpty(Marked());
    }

    public void Dispose() => bench.Dispose();

    private static void Linger(int microseconds)
    {
        long start = Stopwatch.GetTimestamp();
        while (Stopwatch.GetElapsedTime(start).TotalMicroseconds < microseconds)
        {
            Libc.usleep(50);
        }
    }

    /// <summary>Processes whose working directory is this test's: all that the application consists of, half-built or whole.</summary>
    private IEnumerable<int> Marked() => ProcFs.Numbers("/proc").Where(pid =>
        ProcFs.TryLink($"/proc/{pid}/cwd") == bench.Root && ProcessStat.TryRead(pid) is { State: not 'Z' } && pid != Environment.ProcessId);

    private static int InitOf(int pid)
    {
        // The init of its pid namespace: the ancestor whose innermost number is 1.
        for (int at = pid; at > 1; at = ProcessStat.TryRead(at)?.ParentPid ?? 0)
        {
            if (ProcessStatus.TryRead(at)?.Innermost("NSpid") == 1)
            {
                return at;
            }
        }

        return 0;
    }

    /// <summary>Untraced, in a space with all of its nine processes.</summary>
    private bool IsWhole(int pid) =>
        ProcessStatus.TryRead(pid) is not { } status || (status.Number("TracerPid") == 0 && InitOf(pid) is > 1 and int init
        && Marked().Count(other => InitOf(other) == init) >= 9);

    private List<int> Alive(IRunningApplication application)
    {
        using ICheckpoint checkpoint = bench.Bridge.BeginCheckpoint(application.Target);
        return [.. checkpoint.FindProcesses()];
    }

    private IRunningApplication Threads() => bench.Python(
        """
        import os, threading, time, queue
        inbox, outbox = queue.Queue(), queue.Queue()
        def work():
            while True: outbox.put(inbox.get()); time.sleep(0.0005)
        for _ in range(6): threading.Thread(target=work, daemon=True).start()
        n = 0
        with open(os.environ['OUT'] + '/sums', 'a') as log:
            while True:
                for i in range(6): inbox.put(i)
                assert sum(outbox.get() for _ in range(6)) == 15
                n += 1
                print(n, file=log, flush=True)
        """);
}
