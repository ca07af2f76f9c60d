using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Tests.Conformance;

/// <summary>What a checkpoint keeps of an earlier one is what memory was, and the process sees nothing of the tracking.</summary>
public sealed class WriteTrackingTests : IDisposable
{
    /// <summary>Writes to the next 16 of its 4096 pages with each signal, and says so.</summary>
    private const string Writer =
        """
        #define _GNU_SOURCE
        #include <signal.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <string.h>
        #include <sys/mman.h>
        #include <unistd.h>

        int main(void)
        {
            char path[4096];
            snprintf(path, sizeof path, "%s/log", getenv("OUT"));
            FILE *log = fopen(path, "a");
            char *memory = mmap((void *)0x200000000000, 4096 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
            memset(memory, 1, 4096 * 4096);
            sigset_t signals;
            sigemptyset(&signals);
            sigaddset(&signals, SIGUSR1);
            sigprocmask(SIG_BLOCK, &signals, 0);
            for (int round = 1; ; round++) {
                int number;
                fprintf(log, "round %d\n", round);
                fflush(log);
                sigwait(&signals, &number);
                memset(memory + (round - 1) * 16 * 4096, round + 1, 16 * 4096);
            }
        }
        """;

    private const long First = 0x200000000000;

    private readonly Bench bench = new(new PtraceBridge());

    [Theory]
    [InlineData(WriteTracking.On)]
    [InlineData(WriteTracking.Verify)]
    public void What_a_checkpoint_without_a_commit_has_seen_counts_the_next_time(WriteTracking tracking)
    {
        IRunningApplication application = Start();
        Taken first = Take(application, null, tracking);
        Assert.Equal(0, first.Counts.BytesKept);
        Write(application);
        Taken lost = Take(application, first, tracking, commits: false);
        Assert.InRange(lost.Counts.BytesWritten, 16 * 4096, 4 << 20);
        Write(application);
        Taken second = Take(application, first, tracking);
        RequirePages(second, 2, 3);
        Assert.InRange(second.Counts.BytesKept, 4000L * 4096, 4096 * 4096);

        // What another has as its base is not that of the tracking.
        Write(application);
        Taken third = Take(application, lost, tracking);
        Assert.Equal(0, third.Counts.BytesKept);
        RequirePages(third, 2, 3, 4);
        application.Kill();
        bench.Restore(second);
        bench.ExpectLines("log", 0);
    }

    [Fact]
    public void Nothing_of_it_is_seen_and_it_is_no_reason_to_refuse()
    {
        IRunningApplication application = Start();
        string[] before = Look(application);
        Taken taken = Take(application, null, WriteTracking.On);
        Assert.Contains("uw", MemoryMap.ReadWithFlags(application.MainPid).Single(map => map.Start == First).Flags, StringComparison.Ordinal);
        Assert.Equal(before, Look(application));
        Assert.DoesNotContain(bench.Bridge.CheckApplication(application.Target), row => row.Verdict == CheckVerdict.No);

        // One that knows nothing of the other's tracking has all to read, and can.
        PtraceBridge other = new();
        Taken full = Driver.Checkpoint(other, application.Target, new MemoryPages { Parent = taken.Pages }, WriteTracking.On);
        Assert.Equal(0, full.Counts.BytesKept);
        RequirePages(full);
    }

    [Fact]
    public void An_area_that_was_in_pieces_at_the_checkpoint_is_one_again_afterwards()
    {
        IRunningApplication application = bench.Python(
            """
            import ctypes, os, signal
            libc = ctypes.CDLL(None, use_errno=True)
            for call in libc.mmap, libc.mremap: call.restype = ctypes.c_void_p
            libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
            libc.mremap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_int]
            libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
            base, size = 0x200000000000, 1 << 20
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
            log = open(os.environ['OUT'] + '/log', 'a', buffering=1)
            libc.mmap(base, size, 3, 0x32, -1, 0)
            ctypes.memset(base, 1, size)
            libc.mprotect(base + (256 << 10), 8192, 1)
            print('in pieces', file=log)
            signal.sigwait([signal.SIGUSR1])
            libc.mprotect(base + (256 << 10), 8192, 3)
            grown = libc.mremap(base, size, 2 * size, 1)
            print('grown' if grown != 2 ** 64 - 1 else os.strerror(ctypes.get_errno()), file=log)
            signal.sigwait([signal.SIGUSR1])
            """);
        bench.ExpectTotal("log", 1);
        Take(application, null, WriteTracking.On);
        application.Signal(10);
        bench.ExpectTotal("log", 2);
        Assert.Equal("grown", File.ReadLines(bench.PathOf("log")).Last());
    }

    [Fact]
    public void Memory_that_was_mapped_anew_or_dropped_is_that_of_now()
    {
        IRunningApplication application = bench.Python(
            """
            import ctypes, os, signal
            libc = ctypes.CDLL(None, use_errno=True)
            libc.mmap.restype = ctypes.c_void_p
            libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
            libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
            base, size = 0x200000000000, 16 << 20
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
            log = open(os.environ['OUT'] + '/log', 'a', buffering=1)
            libc.mmap(base, size, 3, 0x32, -1, 0)
            ctypes.memset(base, 1, size)
            print('ready', file=log)
            signal.sigwait([signal.SIGUSR1])
            libc.madvise(base, 1 << 20, 4)
            libc.mmap(base + (2 << 20), 1 << 20, 3, 0x32, -1, 0)
            ctypes.memset(base + (2 << 20), 2, 4096)
            print('changed', file=log)
            signal.sigwait([signal.SIGUSR1])
            """);
        bench.ExpectTotal("log", 1);
        Taken first = Take(application, null, WriteTracking.Verify);
        application.Signal(10);
        bench.ExpectTotal("log", 2);
        Taken second = Take(application, first, WriteTracking.On);
        Assert.Equal(0, At(second, First));
        Assert.Equal(0, At(second, First + (1 << 20) - 1));
        Assert.Equal(1, At(second, First + (1 << 20)));
        Assert.Equal(2, At(second, First + (2 << 20)));
        Assert.Equal(0, At(second, First + (2 << 20) + 4096));
        Assert.Equal(1, At(second, First + (3 << 20)));
        Assert.True(second.Counts.BytesKept > 8 << 20);
    }

    [Fact]
    public void Flags_of_memory_that_change_from_one_checkpoint_to_the_next_are_noticed_once_and_asked_for_then()
    {
        // So much that its flags are not asked for while it stands.
        IRunningApplication application = bench.Python(
            """
            import ctypes, os, signal
            libc = ctypes.CDLL(None, use_errno=True)
            libc.mmap.restype = ctypes.c_void_p
            libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
            size = 64 << 20
            base = libc.mmap(ctypes.c_void_p(0x200000000000), size, 3, 0x100022, -1, 0)
            ctypes.memset(base, 1, size)
            log = open(os.environ['OUT'] + '/log', 'a', buffering=1)
            advice = 16
            while True:
                print('ready', file=log)
                signal.sigwait([signal.SIGUSR1])
                assert libc.madvise(base, size, advice) == 0
                advice = 33 - advice
            """);
        bench.ExpectTotal("log", 1);
        Taken taken = Take(application, null, WriteTracking.On);
        for (int round = 1; round < 4; round++)
        {
            application.Signal(10);
            bench.ExpectTotal("log", 1 + round);
            if (round == 1)
            {
                Assert.Equal("memory.changed", Assert.Throws<BridgeException>(() => Take(application, taken, WriteTracking.On)).Code);
            }

            taken = Take(application, taken, WriteTracking.On);
            Assert.Equal(round % 2 == 1, taken.Decode().Processes.Single().Memory!.Areas.Single(area => area.Start == (ulong)First).Flags.Contains("dd"));
            Assert.InRange(taken.Counts.BytesKept, 60L << 20, 80L << 20);
        }
    }

    public void Dispose() => bench.Dispose();

    private static byte At(Taken taken, long address)
    {
        byte[] found = [0];
        if (taken.Pages.Runs(Stream(taken)).Any(run => run.Offset <= address && address < run.Offset + run.Length))
        {
            taken.Pages.Read(Stream(taken), address, found);
        }

        return found[0];
    }

    private static string Stream(Taken taken) => $"mem/{taken.Decode().Processes.Single(process => process.Memory!.Areas.Any(area => area.Start <= First && First < area.End)).Pid}";

    /// <summary>Sixteen pages after the other have these bytes, the rest the one that they began with.</summary>
    private static void RequirePages(Taken taken, params byte[] expected)
    {
        for (int page = 0; page < 4096; page += 16)
        {
            Assert.Equal(page / 16 < expected.Length ? expected[page / 16] : 1, At(taken, First + page * 4096));
        }
    }

    private IRunningApplication Start()
    {
        IRunningApplication application = bench.Launch(bench.Compile(Writer)!);
        bench.ExpectTotal("log", 1);
        return application;
    }

    private void Write(IRunningApplication application)
    {
        int lines = bench.Lines("log").Length;
        application.Signal(10);
        Spaces.SpaceFixture.Until(() => bench.Lines("log").Length > lines, "a round");
    }

    private Taken Take(IRunningApplication application, Taken? from, WriteTracking tracking, bool commits = true) =>
        Driver.Checkpoint(bench.Bridge, application.Target, new MemoryPages { Parent = from?.Pages }, tracking, commits: commits);

    /// <summary>What a program can see of itself.</summary>
    private static string[] Look(IRunningApplication application) =>
    [
        .. MemoryMap.Read(application.MainPid).Select(map => $"{map.Start:x}-{map.End:x} {map.Protection} {map.Name}"),
        .. ProcFs.Numbers($"/proc/{application.MainPid}/fd").Order().Select(number => $"{number} {ProcFs.TryLink($"/proc/{application.MainPid}/fd/{number}")}"),
    ];
}
