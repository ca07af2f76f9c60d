using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Tests.Conformance;
using Holdfast.KernelBridge.Tests.Spaces;

namespace Holdfast.KernelBridge.Tests.Resources;

/// <summary>Single things that a restore must bring back as they were.</summary>
public sealed class CapturedResourcesTests : IDisposable
{
    private readonly Bench bench = new(new PtraceBridge());

    [Fact]
    public void A_file_that_never_had_a_name_comes_back_with_its_bytes()
    {
        IRunningApplication application = Reincarnated(
            "fd = os.open(out, os.O_TMPFILE | os.O_RDWR, 0o600); os.write(fd, b'nameless'); os.lseek(fd, 4, 0)", "return os.read(fd, 100)");
        Assert.Equal("b'less'", Answer(application));
    }

    [Fact]
    public void Securebits_come_back_without_the_mark_that_keeps_capabilities()
    {
        IRunningApplication application = Reincarnated(
            "answer = open(out + '/answer', 'w'); os.setgroups([]); os.setresgid(1000, 1000, 1000); os.setresuid(1000, 1000, 1000)",
            "return libc.prctl(7), libc.prctl(27), os.getresuid()", answerOpen: true);
        Assert.Equal("(0, 0, (1000, 1000, 1000))", Answer(application));
    }

    [Fact]
    public void Securebits_of_a_process_without_rights_come_back()
    {
        IRunningApplication application = Reincarnated(
            "answer = open(out + '/answer', 'w'); must(libc.prctl(28, 0x2f)); os.setresuid(1000, 1000, 1000)", "return libc.prctl(27)", answerOpen: true);
        Assert.Equal("47", Answer(application));
    }

    [Fact]
    public void Settings_of_prctl_come_back()
    {
        IRunningApplication application = Reincarnated(
            "must(libc.prctl(67, 1, 0, 0, 0)); must(libc.prctl(65, 1, 0, 0, 0))",
            "return libc.prctl(68, 0, 0, 0, 0), libc.prctl(66, 0, 0, 0, 0)");
        Assert.Equal("(1, 1)", Answer(application));
    }

    [Fact]
    public void Memory_locked_on_fault_droppable_memory_and_guards_in_shared_memory_come_back()
    {
        IRunningApplication application = Launch(
            """
            locked = libc.mmap(0, 1 << 20, 3, 0x22, -1, 0); must(libc.syscall(325, ctypes.c_long(locked), 1 << 20, 1))
            dropped = libc.mmap(0, 1 << 20, 3, 0x28, -1, 0); must(dropped)
            shared = libc.mmap(0, 1 << 20, 3, 0x21, -1, 0); must(libc.syscall(28, ctypes.c_long(shared + 8192), 4096, 102))
            """, "return 0", answerOpen: false);
        List<MemoryMap> before = MemoryMap.ReadWithFlags(application.MainPid);
        Taken taken = bench.Checkpoint(application);
        application.Kill();
        application = bench.Restore(taken);
        List<MemoryMap> after = MemoryMap.ReadWithFlags(application.MainPid);
        foreach (string flag in (string[])["lf ", "dp "])
        {
            (ulong, ulong)[] wanted = [.. before.Where(map => map.HasFlag(flag)).Select(map => (map.Start, map.End))];
            Assert.NotEmpty(wanted);
            Assert.Equal(wanted, after.Where(map => map.HasFlag(flag)).Select(map => (map.Start, map.End)));
        }

        Assert.Single(taken.Decode().Processes[0].Memory!.Areas, area => area is { Shared: true, Guards.Count: 1 });
    }

    [Fact]
    public void A_reservation_of_32_TiB_costs_nothing()
    {
        // Read entry by entry, its page map would be 64 GiB.
        IRunningApplication application = Reincarnated(
            "p = libc.mmap(0, 32 << 40, 0, 0x4022, -1, 0); must(p); q = p + (20 << 40); must(libc.mprotect(ctypes.c_void_p(q), 4096, 3)); ctypes.memset(q, 7, 4096)",
            "return ctypes.string_at(q, 4096) == bytes([7]) * 4096");
        Assert.Equal("True", Answer(application));
    }

    [Fact]
    public void Limits_of_an_IPC_namespace_and_a_queue_beyond_the_usual_come_back()
    {
        IRunningApplication application = Reincarnated(
            """
            open('/proc/sys/kernel/msgmnb', 'w').write('40000'); open('/proc/sys/kernel/msgmax', 'w').write('30000')
            q = libc.msgget(1, 0o1600); must(q); must(libc.msgsnd(q, b'\x05' + bytes(7) + b'm' * 25000, 25000, 0))
            """,
            "b = ctypes.create_string_buffer(30008); n = libc.msgrcv(q, b, 30000, 0, 0); return n, b.raw[8:n + 8] == b'm' * n, open('/proc/sys/kernel/msgmnb').read().strip()");
        Assert.Equal("(25000, True, '40000')", Answer(application));
    }

    [Fact]
    public void A_network_namespace_stays_separate()
    {
        IRunningApplication application = bench.Launch(
            new HashSet<string> { "pid", "mount", "net" }, "bash", "-c", "touch $OUT/ready; while [ ! -e $OUT/go ]; do sleep 0.01; done; cat /proc/net/dev >$OUT/answer; echo done >$OUT/done; sleep 1000");
        bench.Expect("ready");
        string Kind(IRunningApplication its, string kind) => ProcFs.Link($"/proc/{its.MainPid}/ns/{kind}");
        application = bench.Reincarnate(application);
        foreach (string kind in (string[])["pid", "mnt", "net"])
        {
            Assert.NotEqual(ProcFs.Link($"/proc/self/ns/{kind}"), Kind(application, kind));
        }

        foreach (string kind in (string[])["uts", "ipc", "time"])
        {
            Assert.Equal(ProcFs.Link($"/proc/self/ns/{kind}"), Kind(application, kind));
        }
    }

    public void Dispose() => bench.Dispose();

    private string Answer(IRunningApplication application)
    {
        File.WriteAllText(bench.PathOf("go"), string.Empty);
        SpaceFixture.Until(() => File.Exists(bench.PathOf("answer")) && File.ReadAllText(bench.PathOf("answer")).EndsWith('\n'), "the answer");
        Health.AssertRuns(application.MainPid);
        return File.ReadAllText(bench.PathOf("answer")).TrimEnd();
    }

    private IRunningApplication Reincarnated(string setup, string question, bool answerOpen = false) => bench.Reincarnate(Launch(setup, question, answerOpen));

    private IRunningApplication Launch(string setup, string question, bool answerOpen)
    {
        IRunningApplication application = bench.Python(
            $$"""
            import ctypes, os, time
            out = os.environ['OUT']
            libc = ctypes.CDLL(None, use_errno=True)
            libc.mmap.restype = ctypes.c_long
            libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
            def must(result):
                if result == -1: raise OSError(ctypes.get_errno(), 'setup')
            ready = open(out + '/ready.part', 'w')
            {{setup}}
            def ask(): {{question}}
            os.write(ready.fileno(), b'x'); ready.close()
            while not os.path.exists(out + '/go'): time.sleep(0.01)
            {{(answerOpen ? "" : "answer = open(out + '/answer', 'w')")}}
            print(ask(), file=answer, flush=True)
            while True: time.sleep(1)
            """);
        File.SetUnixFileMode(bench.Root, (UnixFileMode)0x1ff);
        SpaceFixture.Until(() => File.Exists(bench.PathOf("ready.part")) && new FileInfo(bench.PathOf("ready.part")).Length > 0, "ready");
        return application;
    }
}
