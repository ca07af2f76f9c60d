using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Tests.Spaces;

namespace Holdfast.KernelBridge.Tests.Conformance;

/// <summary>Memory that is stored while its process runs on is that of one moment, and the process sees nothing of the copy.</summary>
public sealed class FrozenCopyTests : IDisposable
{
    /// <summary>
    /// Writes to all its memory, round by round, in order: what a snapshot holds is torn unless it is what the registers say. And looks for a child, a SIGCHLD
    /// and a pipe that somebody else holds open. Its arguments: pages; then "subreaper" or "advice" (memory that clone(2) leaves out).
    /// </summary>
    internal const string Watcher =
        """
        #define _GNU_SOURCE
        #include <errno.h>
        #include <fcntl.h>
        #include <signal.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        #include <sys/mman.h>
        #include <sys/prctl.h>
        #include <sys/wait.h>
        #include <unistd.h>

        static volatile sig_atomic_t signals;
        static char path[4096];

        static void count(int signal) { (void)signal; signals++; }

        static void say(const char *what, unsigned long number)
        {
            FILE *log = fopen(path, "a");
            fprintf(log, "%s %lu\n", what, number);
            fclose(log);
        }

        static void fail(const char *what) { say(what, errno); exit(1); }

        int main(int argc, char **argv)
        {
            size_t pages = strtoul(argv[1], 0, 10);
            const char *mode = argc > 2 ? argv[2] : "";
            snprintf(path, sizeof path, "%s/log", getenv("OUT"));
            struct sigaction action = { .sa_handler = count };
            sigaction(SIGCHLD, &action, 0);
            if (!strcmp(mode, "subreaper")) prctl(PR_SET_CHILD_SUBREAPER, 1);
            unsigned long *memory = mmap(0, pages * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
            unsigned long *apart[2];
            int advices[2] = { MADV_DONTFORK, MADV_WIPEONFORK };
            for (int i = 0; i < 2; i++) {
                apart[i] = mmap(0, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                memset(apart[i], 7 + i, 65536);
                if (!strcmp(mode, "advice") && madvise(apart[i], 65536, advices[i])) fail("madvise");
            }
            for (unsigned long round = 1; ; round++) {
                int ends[2];
                if (pipe2(ends, O_CLOEXEC)) fail("pipe2");
                for (size_t i = 0; i < pages; i++) {
                    unsigned long *page = memory + i * 512;
                    if (round > 1 && (page[0] != round - 1 || page[511] != ~(round - 1))) fail("torn");
                    page[0] = round;
                    page[511] = ~round;
                }
                for (int i = 0; i < 2; i++)
                    for (int j = 0; j < 65536; j++)
                        if (((unsigned char *)apart[i])[j] != 7 + i) fail("apart");
                char byte;
                close(ends[1]);
                /* Stands still while somebody else has that end open. */
                if (read(ends[0], &byte, 1) != 0) fail("pipe");
                close(ends[0]);
                if (waitpid(-1, 0, WNOHANG | __WALL) != -1 || errno != ECHILD) fail("child");
                if (signals) fail("SIGCHLD");
                say("round", round);
            }
        }
        """;

    private readonly Bench bench = new(new PtraceBridge());

    [Theory]
    [InlineData("", true)]
    [InlineData("advice", true)]
    [InlineData("subreaper", false)]
    public void Memory_is_of_one_moment_and_nothing_of_its_copy_is_seen(string mode, bool copied)
    {
        IRunningApplication application = bench.Launch(bench.Compile(Watcher)!, "9000", mode);
        Taken? taken = null;
        for (int i = 0; i < 8; i++)
        {
            bench.ExpectLines("log", 2);
            int copies = 0;
            taken = Driver.Checkpoint(bench.Bridge, application.Target, resumed: () =>
            {
                copies = Copies().Count();

                // The memory that was kept is written to while it is stored.
                bench.ExpectLines("log", 2);
            });
            Assert.Equal(copied ? 1 : 0, copies);
        }

        SpaceFixture.Until(() => !Copies().Any(), "every copy is gone");
        bench.ExpectLines("log", 5);
        application.Kill();
        bench.Restore(taken!);
        bench.ExpectLines("log", 10);
        Assert.All(bench.Lines("log"), line => Assert.StartsWith("round ", line, StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("", true)]
    [InlineData("subreaper", false)]
    public void Many_small_processes_go_on_before_their_memory_is_stored_by_copies_or_held_where_none_can_be_made(string mode, bool copied)
    {
        IRunningApplication application = bench.Shell($"for i in $(seq 12); do {bench.Compile(Watcher)} 400 {mode} & done; wait");
        SpaceFixture.Until(() => bench.Lines("log").Count(line => line == "round 1") == 12, "all have written to all their memory");
        MemoryPages pages = new();
        (int copies, int stored) = (0, 0);
        Taken taken = Driver.Checkpoint(bench.Bridge, application.Target, pages, WriteTracking.Off, resumed: () =>
        {
            copies = Copies().Count();
            stored = Enumerable.Range(1, 100).Count(pid => pages.Runs($"mem/{pid}").Any());
            bench.ExpectLines("log", 24);
        });
        // The shell may have more memory than a small process.
        Assert.InRange(copies, copied ? 5 : 0, copied ? 13 : 0);
        Assert.InRange(stored, 0, copied ? 0 : 1);
        Assert.InRange(Enumerable.Range(1, 100).Count(pid => pages.Runs($"mem/{pid}").Any()), 13, 13);
        SpaceFixture.Until(() => !Copies().Any(), "every copy is gone");
        application.Kill();
        bench.Restore(taken);
        bench.ExpectLines("log", 24);
        Assert.All(bench.Lines("log"), line => Assert.StartsWith("round ", line, StringComparison.Ordinal));
    }

    [Fact]
    public void A_copy_ends_with_its_tracer_and_the_process_goes_on()
    {
        IRunningApplication application = bench.Launch(bench.Compile(Watcher)!, "4000");
        bench.ExpectLines("log", 2);
        Assert.Throws<OperationCanceledException>(() => Driver.Checkpoint(bench.Bridge, application.Target, resumed: () =>
        {
            Assert.Single(Copies());
            throw new OperationCanceledException();
        }));
        SpaceFixture.Until(() => !Copies().Any(), "the copy is gone");
        bench.ExpectLines("log", 2);
        Assert.All(bench.Lines("log"), line => Assert.StartsWith("round ", line, StringComparison.Ordinal));
    }

    [Fact]
    public void Another_look_at_the_application_does_not_find_the_copy()
    {
        IRunningApplication application = bench.Launch(bench.Compile(Watcher)!, "4000");
        bench.ExpectLines("log", 2);
        Driver.Checkpoint(bench.Bridge, application.Target, resumed: () =>
        {
            using ICheckpoint other = bench.Bridge.BeginCheckpoint(application.Target);
            Assert.Single(other.FindProcesses());
            Assert.DoesNotContain(bench.Bridge.CheckApplication(application.Target), row => row.Verdict == CheckVerdict.No);
        });
    }

    [Fact]
    public void Flags_of_memory_that_change_at_the_last_moment_are_noticed_and_memory_that_grows_is_whole()
    {
        // Does as the signals say: other advice for all of its memory, or 4 MiB more.
        IRunningApplication application = bench.Python(
            """
            import ctypes, mmap, os, signal
            libc = ctypes.CDLL(None, use_errno=True)
            libc.mmap.restype = ctypes.c_void_p
            libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
            size = 64 << 20
            # At a place of its own, so that it is one area.
            base = libc.mmap(ctypes.c_void_p(0x200000000000), size, 3, 0x100022, -1, 0)
            ctypes.memset(base, 1, size)
            log = open(os.environ['OUT'] + '/log', 'a', buffering=1)
            advice = 16
            while True:
                print('ready', file=log)
                if signal.sigwait([signal.SIGUSR1, signal.SIGUSR2]) == signal.SIGUSR1:
                    assert libc.madvise(base, size, advice) == 0
                    advice = 33 - advice
                else:
                    assert libc.mmap(ctypes.c_void_p(base + size), 4 << 20, 3, 0x100022, -1, 0) == base + size
                    ctypes.memset(base + size, 2, 4 << 20)
                    size += 4 << 20
                assert ctypes.string_at(base, 64 << 20) == b'\1' * (64 << 20) and ctypes.string_at(base + (64 << 20), size - (64 << 20)) == b'\2' * (size - (64 << 20))
            """.Replace("import ctypes", "import signal; signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1, signal.SIGUSR2])\nimport ctypes", StringComparison.Ordinal));
        bench.ExpectLines("log", 1);
        Action Signalled(int signal) => () =>
        {
            int before = bench.Lines("log").Length;
            application.Signal(signal);
            SpaceFixture.Until(() => bench.Lines("log").Length > before, "it did as it was told");
        };
        BridgeException refused = Assert.Throws<BridgeException>(() => Driver.Checkpoint(bench.Bridge, application.Target, prepared: Signalled(10)));
        Assert.Equal("memory.changed", refused.Code);
        Driver.Checkpoint(bench.Bridge, application.Target, prepared: Signalled(12));
        Taken taken = Driver.Checkpoint(bench.Bridge, application.Target, prepared: Signalled(12));
        application.Kill();
        application = bench.Restore(taken);
        Signalled(12)();
        Signalled(10)();
    }

    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    public void Flags_of_memory_of_one_of_many_small_processes_that_change_at_the_last_moment_are_noticed(int mebibytes)
    {
        // The last of them, which is copied as there is no room to hold all, or has too much to be held, gives other advice when it is told to.
        IRunningApplication application = bench.Python(
            $$"""
            import ctypes, os, signal, sys
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
            libc = ctypes.CDLL(None, use_errno=True)
            libc.mmap.restype = ctypes.c_void_p
            libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
            last = 0
            for i in range(19):
                last = os.fork()
                if last == 0: break
            size = {{mebibytes}} << 20
            base = libc.mmap(ctypes.c_void_p(0x200000000000), size, 3, 0x100022, -1, 0)
            ctypes.memset(base, 1 + i, size)
            log = open(os.environ['OUT'] + '/log', 'a', buffering=1)
            print('ready', file=log)
            if last:
                open(os.environ['OUT'] + '/last', 'w').write(str(last))
            advice = 16
            while True:
                signal.sigwait([signal.SIGUSR1])
                if last:
                    os.kill(last, signal.SIGUSR1)
                    continue
                assert ctypes.string_at(base, size) == bytes([1 + i]) * size
                if i == 18:
                    assert libc.madvise(base, size, advice) == 0
                    advice = 33 - advice
                print('told', file=log)
            """);
        bench.ExpectLines("log", 20);
        Action told = () =>
        {
            int before = bench.Lines("log").Length;
            application.Signal(10);
            SpaceFixture.Until(() => bench.Lines("log").Length > before, "it did as it was told");
        };
        BridgeException refused = Assert.Throws<BridgeException>(() => Driver.Checkpoint(bench.Bridge, application.Target, prepared: told));
        Assert.Equal("memory.changed", refused.Code);
        Taken taken = Driver.Checkpoint(bench.Bridge, application.Target);
        application.Kill();
        application = bench.Restore(taken);
        told();
        Assert.Equal(20, Driver.Processes(bench.Bridge, application.Target).Count);
    }

    public void Dispose() => bench.Dispose();

    /// <summary>Copies of this test's applications: their working directory is its own.</summary>
    private IEnumerable<int> Copies() => ProcFs.Numbers("/proc").Where(pid => ProcFs.TryLink($"/proc/{pid}/cwd") == bench.Root && FrozenCopy.IsOne(pid));
}
