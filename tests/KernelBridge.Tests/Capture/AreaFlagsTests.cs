using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Tests.Conformance;
using Xunit.Abstractions;

namespace Holdfast.KernelBridge.Tests.Capture;

/// <summary>Flags that are known by their bits are those that smaps says.</summary>
public sealed class AreaFlagsTests(ITestOutputHelper output) : IDisposable
{
    // madvise(2): MADV_NORMAL, RANDOM, SEQUENTIAL, DONTFORK, MERGEABLE, HUGEPAGE, NOHUGEPAGE, DONTDUMP, WIPEONFORK.
    private const string Program =
        """
        import ctypes, sys, time, os
        libc = ctypes.CDLL(None, use_errno=True)
        libc.mmap.restype = ctypes.c_void_p
        libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
        out = sys.argv[1]
        def area(*advice):
            at = libc.mmap(None, 1 << 21, 3, 0x22, -1, 0); advise(at, *advice); ctypes.memset(at, 1, 4096); return at
        def advise(at, *advice):
            for a in advice: assert libc.madvise(ctypes.c_void_p(at), 1 << 20, a) == 0, a
        first = area(); area(1); area(2); area(10); area(14); area(15); area(16); area(18)
        locked = area(); assert libc.mlock(ctypes.c_void_p(locked), 8192) == 0
        libc.mprotect(ctypes.c_void_p(area()), 8192, 5)
        open(out + '/ready', 'w')
        while not os.path.exists(out + '/go'): time.sleep(0.01)
        UNUSUAL
        open(out + '/result', 'w')
        time.sleep(1000)
        """;

    private readonly Bench bench = new(new PtraceBridge());
    private readonly AreaFlags flags = new();

    public void Dispose() => bench.Dispose();

    [Theory]
    [InlineData("advise(first, 1)", true)]
    // More than come in one read.
    [InlineData("for i in range(3000): assert libc.mmap(0x200000000000 + i * 8192, 4096, 3, 0x100022, -1, 0) > 0", true)]
    [InlineData("advise(first, 16, 1, 12, 10); locked = area(1, 10, 16, 15); assert libc.mlock(ctypes.c_void_p(locked), 8192) == 0", false)]
    public void What_bits_have_meant_they_mean_again(string change, bool isKnown)
    {
        if (TaskIterator.Own is null || WatchedProgram.TryStart(bench, output, Program.Replace("UNUSUAL", change, StringComparison.Ordinal)) is not { } program)
        {
            output.WriteLine("skipped: this kernel, or these rights, do not allow it");
            return;
        }

        using (program)
        {
            Assert.Null(flags.TryRead(program.Pid));
            Learn(program.Pid);
            List<MemoryMap> before = MemoryMap.ReadWithFlags(program.Pid);
            Assert.Equal(before, flags.TryRead(program.Pid));
            Assert.Empty(program.Result());
            List<MemoryMap> now = MemoryMap.ReadWithFlags(program.Pid);
            List<MemoryMap>? read = flags.TryRead(program.Pid);
            if (!isKnown)
            {
                Assert.Null(read);
                Learn(program.Pid);
                read = flags.TryRead(program.Pid);
            }

            Assert.NotEqual(before, now);
            Assert.Equal(now, read);
        }
    }

    [Fact]
    public void Areas_whose_writes_are_noticed_mean_what_they_meant_and_that()
    {
        if (TaskIterator.Own is null || WriteProtection.AreaFlag(TaskIterator.Own) == 0)
        {
            output.WriteLine("skipped: this kernel, or these rights, do not allow it");
            return;
        }

        int own = Environment.ProcessId;
        nint room = Libc.mmap(0, 64 << 10, Libc.PROT_READ | Libc.PROT_WRITE, Libc.MAP_PRIVATE | Libc.MAP_ANONYMOUS, -1, 0);
        using WriteProtection protection = Assert.IsType<WriteProtection>(WriteProtection.TryUse(Libc.userfaultfd((int)WriteProtection.Flags)));
        try
        {
            // Two that bits besides that one tell apart; what this process maps meanwhile is not joined with them.
            Assert.Equal(0, Libc.madvise(room, 64 << 10, 10));
            ulong[] starts = [(ulong)room + (16 << 10), (ulong)room + (40 << 10)];
            Assert.Equal(0, Libc.madvise((nint)starts[1], 8 << 10, 1));
            MemoryMap[] before = Array.ConvertAll(starts, At);
            flags.Learn(own, before);
            foreach (ulong start in starts)
            {
                Assert.True(protection.TryRegister(start, start + (8 << 10)));
            }

            for (int i = 0; i < starts.Length; i++)
            {
                MemoryMap now = At(starts[i]);
                Assert.True(now.HasFlag("uw ") && !before[i].HasFlag("uw "));
                ulong bits = TaskIterator.Own.Areas(own)!.Single(area => area.Start == starts[i]).Flags;
                Assert.Equal(now.Flags, flags.Meaning(bits)?.Flags);
            }
        }
        finally
        {
            _ = Libc.munmap(room, 64 << 10);
        }

        MemoryMap At(ulong start) => MemoryMap.ReadWithFlags(own).Single(map => map.Start <= start && start < map.End);
    }

    [Fact]
    public void Known_flags_of_much_memory_are_those_of_the_moment_at_which_it_stood()
    {
        if (TaskIterator.Own is null || Tools.Find("python3") is null)
        {
            output.WriteLine("skipped: no python, or this kernel, or these rights, do not allow it");
            return;
        }

        IRunningApplication application = bench.Python(
            """
            import ctypes, os, signal
            signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
            libc = ctypes.CDLL(None, use_errno=True)
            libc.mmap.restype = ctypes.c_void_p
            libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
            size = 64 << 20
            areas = [libc.mmap(ctypes.c_void_p(0x200000000000 + i * 2 * size), size, 3, 0x100022, -1, 0) for i in range(2)]
            for area in areas: ctypes.memset(area, 1, size)
            assert libc.madvise(areas[1], size, 16) == 0
            log = open(os.environ['OUT'] + '/log', 'a', buffering=1)
            advice = 16
            while True:
                print('ready', file=log)
                signal.sigwait([signal.SIGUSR1])
                assert libc.madvise(areas[0], size, advice) == 0
                advice = 33 - advice
            """);
        bench.ExpectTotal("log", 1);
        for (int round = 0; round < 4; round++)
        {
            // The first checkpoint learns; the flags change behind the look of the others at what runs.
            Taken taken = Driver.Checkpoint(bench.Bridge, application.Target, prepared: round == 0 ? null : Change);
            Assert.Equal(round % 2 == 1, taken.Decode().Processes.Single().Memory!.Areas.Single(area => area.Start == 0x200000000000).Flags.Contains("dd"));
        }

        void Change()
        {
            int before = bench.Lines("log").Length;
            application.Signal(10);
            bench.ExpectTotal("log", before + 1);
        }
    }

    private void Learn(int pid) => flags.Learn(pid, MemoryMap.ReadWithFlags(pid));
}
