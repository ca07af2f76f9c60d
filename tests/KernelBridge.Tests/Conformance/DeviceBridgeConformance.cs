using System.Diagnostics;
using System.Text.Json;
using Holdfast.KernelBridge.CharDevice;
using Holdfast.KernelBridge.Interception;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;

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
    public void Rings_of_which_something_shows_to_nobody_are_refused_by_name()
    {
        string program = Bench.Compile(Ring)!;
        foreach (string kind in (string[])["polling", "files", "eventfd", "thread", "forked", "mapped", "in-flight"])
        {
            IRunningApplication application = Bench.Launch(program, Bench.Root, kind);
            Bench.Expect("ready");
            Assert.Equal((kind, kind == "in-flight" ? IoUrings.Busy : IoUrings.Code), (kind, Assert.Single(Bench.RefusalsOf(application))));
            application.Kill();
            File.Delete(Bench.PathOf("ready"));
        }
    }

    [Fact]
    public void A_ring_that_is_registered_with_itself_is_refused()
    {
        IRunningApplication application = Bench.Launch(Bench.Compile(Ring)!, Bench.Root, "itself");
        Bench.Expect("ready");
        // A check does not count who holds a ring: threads that run do so for moments.
        BridgeException refused = Assert.Throws<BridgeException>(() => Bench.Checkpoint(application));
        Assert.Equal([IoUrings.Code], refused.Refusals.Select(refusal => refusal.Code));
        Assert.Contains("IORING_REGISTER_RING_FDS", Assert.Single(refused.Refusals).Why, StringComparison.Ordinal);
    }

    [Fact]
    public void What_is_in_flight_in_a_ring_is_waited_for()
    {
        IRunningApplication application = Bench.Launch(Bench.Compile(Ring)!, Bench.Root, "ends");
        Bench.Expect("ready");
        // Each of its requests ends within 50 ms, and the next begins when it is told of.
        Taken taken = Bench.Checkpoint(application);
        application.Kill();
        Bench.Restore(taken);
        Bench.ExpectLines("log", 5);
    }

    private const string Ring = """
        #define _GNU_SOURCE
        #include <fcntl.h>
        #include <linux/io_uring.h>
        #include <pthread.h>
        #include <stdio.h>
        #include <string.h>
        #include <sys/mman.h>
        #include <sys/syscall.h>
        #include <unistd.h>
        static struct io_uring_params made;
        static int ring;
        static unsigned char *rings;
        static struct io_uring_sqe *requests;
        static unsigned *in(unsigned at) { return (unsigned *)(rings + at); }
        static void *make(void *unused) { ring = syscall(SYS_io_uring_setup, 4, &made); return unused; }
        static void submit(struct io_uring_sqe request) {
            unsigned tail = *in(made.sq_off.tail);
            requests[tail & 3] = request;
            *in(made.sq_off.array + 4 * (tail & 3)) = tail & 3;
            __atomic_store_n(in(made.sq_off.tail), tail + 1, __ATOMIC_RELEASE);
            syscall(SYS_io_uring_enter, ring, 1, 0, 0, NULL, 0);
        }
        int main(int argc, char **argv) {
            char *kind = argv[2];
            int file = open("/dev/null", O_RDWR), pipes[2];
            static char byte;
            pthread_t thread;
            chdir(argv[1]);
            if (!strcmp(kind, "polling")) made.flags = IORING_SETUP_SQPOLL;
            if (!strcmp(kind, "thread")) {
                made.flags = IORING_SETUP_SINGLE_ISSUER;
                pthread_create(&thread, NULL, make, NULL);
                pthread_join(thread, NULL);
            } else make(NULL);
            rings = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
            requests = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
            if (ring < 0 || rings == MAP_FAILED || requests == MAP_FAILED) return 1;
            if (!strcmp(kind, "files")) syscall(SYS_io_uring_register, ring, IORING_REGISTER_FILES, &file, 1);
            if (!strcmp(kind, "eventfd")) { int event = syscall(SYS_eventfd2, 0, 0); syscall(SYS_io_uring_register, ring, IORING_REGISTER_EVENTFD, &event, 1); }
            if (!strcmp(kind, "itself")) { struct io_uring_rsrc_update one = { .offset = ~0U, .data = ring }; if (syscall(SYS_io_uring_register, ring, IORING_REGISTER_RING_FDS, &one, 1) != 1) return 2; }
            if (!strcmp(kind, "forked") && !fork()) for (;;) pause();
            if (!strcmp(kind, "mapped")) close(ring);
            if (!strcmp(kind, "in-flight")) { pipe(pipes); submit((struct io_uring_sqe){ .opcode = IORING_OP_READ, .fd = pipes[0], .addr = (unsigned long)&byte, .len = 1 }); }
            close(open("ready", O_WRONLY | O_CREAT, 0666));
            if (strcmp(kind, "ends")) for (;;) pause();
            for (int line = 0;; line++) {
                struct __kernel_timespec time = { 0, 50000000 };
                FILE *log;
                submit((struct io_uring_sqe){ .opcode = IORING_OP_TIMEOUT, .fd = -1, .addr = (unsigned long)&time, .len = 1 });
                while (*in(made.cq_off.tail) == *in(made.cq_off.head)) syscall(SYS_io_uring_enter, ring, 0, 1, IORING_ENTER_GETEVENTS, NULL, 0);
                *in(made.cq_off.head) += 1;
                log = fopen("log", "a");
                fprintf(log, "%d\n", line);
                fclose(log);
                usleep(100000);
            }
        }
        """;

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
