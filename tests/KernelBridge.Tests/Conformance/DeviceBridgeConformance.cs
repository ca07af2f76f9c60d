using System.Diagnostics;
using System.Text.Json;
using Holdfast.KernelBridge.CharDevice;
using Holdfast.KernelBridge.Interception;
using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Tests.Conformance;

/// <summary>The bridge over the kernel module's device.</summary>
public sealed class DeviceBridgeFactory : IBridgeFactory
{
    public IKernelBridge Create() => new CharDeviceBridge(new PtraceBridge());
}

/// <summary>
/// The suite over the device, and what only that bridge can. There is a device where the module is loaded, in the guests of tests/vm: <see cref="ConformanceRunner"/> runs it
/// there, and a test of Kmod.Tests asks for that.
/// </summary>
#pragma warning disable xUnit1000 // Not to be run where there is no device.
internal sealed class DeviceBridgeConformance() : BridgeConformance(new DeviceBridgeFactory())
{
    [Fact]
    public void A_process_under_strace_is_captured_and_goes_on_without_it()
    {
        IRunningApplication application = Bench.Shell(CountingPipeline);
        Bench.ExpectLines("log", 20);
        // Those that last: others end while strace looks for them.
        int[] pids = [.. ProcFs.Children(application.MainPid).Prepend(application.MainPid)];
        using Process strace = Process.Start(new ProcessStartInfo("strace", ["-f", "-o", Bench.PathOf("trace"), .. pids.SelectMany(pid => (string[])["-p", $"{pid}"])]) { RedirectStandardError = true })!;
        try
        {
            Spaces.SpaceFixture.Until(() => pids.All(pid => ProcessStatus.TryRead(pid)?.Number("TracerPid") is > 0), "strace traces them");
            Bench.ExpectLines("log", 3);
            Taken taken = Bench.Checkpoint(application, kill: true);
            strace.WaitForExit();
            Bench.Restore(taken);
            Bench.ExpectLines("log", 20);
        }
        finally
        {
            if (!strace.HasExited)
            {
                strace.Kill();
            }
        }

        AssertSquares(Bench.Lines("log"));
    }

    [Fact]
    public void Nobody_is_traced_while_the_application_stands()
    {
        IRunningApplication application = Bench.Shell(CountingPipeline);
        Bench.ExpectLines("log", 5);
        List<(int? Tracer, char State)> seen = [];
        Driver.Checkpoint(Bench.Bridge, application.Target, standing: () => seen.AddRange(Driver.Processes(Bench.Bridge, application.Target)
            .Select(pid => (ProcessStatus.TryRead(pid)?.Number("TracerPid"), ProcessStat.Read(pid).State))));

        Assert.NotEmpty(seen);
        Assert.All(seen, process => Assert.True(process is { Tracer: 0, State: not ('T' or 't') }, $"{process}"));
    }

    [Fact]
    public void A_checkpoint_that_is_given_up_lets_the_application_go_on()
    {
        IRunningApplication application = Bench.Shell(CountingPipeline);
        Bench.ExpectLines("log", 5);
        Assert.Throws<InvalidOperationException>(() => Driver.Checkpoint(Bench.Bridge, application.Target, standing: () => throw new InvalidOperationException("given up")));
        Bench.ExpectLines("log", 20);
        AssertSquares(Bench.Lines("log"));
    }

    [Fact]
    public void The_application_runs_on_in_whatever_phase_its_supervisor_is_killed_and_the_module_stays_until_then()
    {
        IRunningApplication application = Bench.Shell(CountingPipeline);
        Bench.ExpectLines("log", 5);
        foreach (string phase in (string[])["prepare", "quiesce", "locate", "capture", "resume"])
        {
            using var supervisor = new Spaces.HelperProcess("halt-in-checkpoint", phase, JsonSerializer.Serialize(application.Target));
            Assert.Equal(phase, supervisor.ReadLine());
            Assert.Equal(phase is "prepare" or "resume" ? "0" : "1", Frozen(application));
            // Where it is built in, there is nothing to unload and nobody who counts.
            const string Users = "/sys/module/ckpt/refcnt";
            bool isModule = File.Exists(Users);
            if (isModule)
            {
                using Process unload = Process.Start(new ProcessStartInfo("busybox", ["rmmod", "ckpt"]) { RedirectStandardError = true })!;
                unload.WaitForExit();
                Assert.True(unload.ExitCode != 0 && File.Exists(Users), $"the module could be unloaded after {phase}");
            }

            supervisor.Kill();
            Spaces.SpaceFixture.Until(() => isModule ? File.ReadAllText(Users).Trim() == "0" : Frozen(application) == "0", $"nothing of the session is left after {phase}");
            Assert.Equal("0", Frozen(application));
            foreach (int pid in ProcFs.Children(application.MainPid).Prepend(application.MainPid))
            {
                Health.AssertRuns(pid, mayBlock: 1ul << 16);
            }

            Bench.ExpectLines("log", 3);
        }

        Bench.Restore(Bench.Checkpoint(application, kill: true));
        Bench.ExpectLines("log", 5);
        AssertSquares(Bench.Lines("log"));

        static string Frozen(IRunningApplication application) => File.ReadAllText(Path.Combine(application.Target.CgroupPath!, "cgroup.freeze")).Trim();
    }

    [Fact]
    public void Seccomp_filters_are_read_while_the_process_stands_and_restored()
    {
        IRunningApplication application = Bench.Python(
            """
            import ctypes, os, time
            class Filter(ctypes.Structure): _fields_ = [('code', ctypes.c_ushort), ('jt', ctypes.c_ubyte), ('jf', ctypes.c_ubyte), ('k', ctypes.c_uint)]
            class Program(ctypes.Structure): _fields_ = [('len', ctypes.c_ushort), ('filter', ctypes.POINTER(Filter))]
            allow = (Filter * 1)(Filter(6, 0, 0, 0x7fff0000))
            libc = ctypes.CDLL(None)
            assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(Program(1, allow))) == 0
            open(os.environ['OUT'] + '/ready', 'w')
            while not os.path.exists(os.environ['OUT'] + '/go'): time.sleep(0.01)
            open(os.environ['OUT'] + '/filters', 'w').write(open('/proc/self/status').read().split('Seccomp_filters:')[1].split()[0] + '\n')
            """);
        Bench.Expect("ready");
        Bench.Reincarnate(application);
        File.WriteAllText(Bench.PathOf("go"), "");
        Bench.ExpectLines("filters", 1);
        Assert.Equal(["1"], Bench.Lines("filters"));
    }

    [Fact]
    public void Intercepted_processes_wait_for_each_other_in_the_kernel()
    {
        const int processes = 16;
        string program = Bench.Compile(
            """
            #include <pthread.h>
            #include <stdio.h>
            #include <stdlib.h>
            #include <unistd.h>
            static void *wait_here(void *unused) { for (;;) pause(); return unused; }
            int main(int argc, char **argv)
            {
                pthread_t thread;
                for (int i = 1; i < atoi(argv[1]) && fork() == 0; i++)
                    ;
                for (int i = 0; i < 3; i++)
                    pthread_create(&thread, NULL, wait_here, NULL);
                FILE *log = fopen(argv[2], "a");
                fprintf(log, "ready\n");
                fclose(log);
                wait_here(NULL);
            }
            """)!;
        IRunningApplication application = Bench.Launch(request => request with { Intercept = true }, program, $"{processes}", Bench.PathOf("log"));
        Spaces.SpaceFixture.Until(() => File.Exists(Bench.PathOf("log")) && File.ReadAllLines(Bench.PathOf("log")).Length == processes, "all processes are there");

        for (int round = 0; round < 3; round++)
        {
            using IRendezvous rendezvous = Bench.Bridge.BeginRendezvous(application.Target)!;
            RendezvousReport report = rendezvous.Gather(new RendezvousOrder(TimeSpan.FromMinutes(1), TimeSpan.FromMinutes(1), WithoutTheLate: false), CancellationToken.None);
            Assert.Equal((processes, processes), (report.Ready, ((Rendezvous)rendezvous).MetInKernel));
            ApplicationImage image = Bench.Checkpoint(application).Decode();
            // Nothing of the conversations, or of the barrier, is in the image.
            Assert.All(image.Processes, process => Assert.Equal(1 + 3 + 1, process.Threads.Count));
            Assert.DoesNotContain(image.OpenFiles, file => file.Description.Contains("barrier", StringComparison.Ordinal));
            rendezvous.Release();
        }

        // One that is killed meanwhile keeps nobody.
        using IRendezvous last = Bench.Bridge.BeginRendezvous(application.Target)!;
        Libc.kill(Driver.Processes(Bench.Bridge, application.Target)[^1], 9);
        Assert.Equal(processes - 1, last.Gather(new RendezvousOrder(TimeSpan.FromMinutes(1), TimeSpan.FromMinutes(1), WithoutTheLate: false), CancellationToken.None).Ready);
    }

    [Fact]
    public void A_tree_without_a_control_group_of_its_own_is_refused_before_anything_stops()
    {
        using Process tree = Process.Start(new ProcessStartInfo("sleep", ["1000"]))!;
        try
        {
            BridgeException refused = Assert.Throws<BridgeException>(() => Driver.Checkpoint(Bench.Bridge, PtraceBridge.TreeOf(tree.Id)));
            Assert.Equal(DeviceLimits.Group, refused.Code);
            Assert.Contains(Bench.Bridge.CheckApplication(PtraceBridge.TreeOf(tree.Id)), row => row is { Verdict: CheckVerdict.No, Code: DeviceLimits.Group });
        }
        finally
        {
            tree.Kill();
        }
    }

    [Fact]
    public void The_choice_is_the_device_where_it_can_and_ptrace_where_it_cannot()
    {
        ChosenBridge chosen = new(new PtraceBridge(), new CharDeviceBridge(new PtraceBridge()));
        IRunningApplication application = Bench.Shell(CountingPipeline);
        using Process tree = Process.Start(new ProcessStartInfo("sleep", ["1000"]))!;
        try
        {
            Assert.Equal("device", chosen.CheckApplication(application.Target).First(row => row.Subject == "bridge").What);
            Assert.StartsWith("ptrace: ", chosen.CheckApplication(PtraceBridge.TreeOf(tree.Id)).First(row => row.Subject == "bridge").What);
        }
        finally
        {
            tree.Kill();
        }
    }
}
#pragma warning restore xUnit1000
