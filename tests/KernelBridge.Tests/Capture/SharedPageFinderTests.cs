using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;
using Holdfast.KernelBridge.Tests.Conformance;
using Holdfast.KernelBridge.Tests.Spaces;
using Xunit.Abstractions;

namespace Holdfast.KernelBridge.Tests.Capture;

/// <summary>What is found to be shared is shared, whatever the kernel does meanwhile.</summary>
public sealed class SharedPageFinderTests(ITestOutputHelper output) : IDisposable
{
    private const int Pages = 4096;

    /// <summary>Memory of a parent and two children, of which every 16th page is written to by the first child, every 32nd, with the same bytes, by the second.</summary>
    private const string Family =
        """
        import ctypes, mmap, os, random, signal
        memory = mmap.mmap(-1, 4096 * 4096, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        random.seed(3)
        memory.write(random.randbytes(4096 * 4096))
        def pause(name):
            with open(os.environ['OUT'] + '/.' + name, 'w') as file: file.write(str(ctypes.addressof(ctypes.c_char.from_buffer(memory))))
            os.rename(os.environ['OUT'] + '/.' + name, os.environ['OUT'] + '/' + name)
            while True: signal.pause()
        if os.fork() == 0:
            for page in range(0, 4096, 16): memory[page * 4096] ^= 255
            pause('one')
        if os.fork() == 0:
            for page in range(0, 4096, 32): memory[page * 4096] = memory[page * 4096]
            pause('two')
        pause('ready')
        """;

    private readonly Bench bench = new(new PtraceBridge());

    public void Dispose() => bench.Dispose();

    [Fact]
    public void Pages_that_nobody_has_written_to_since_fork_are_found_and_no_other()
    {
        MemoryHolder[] holders = Start();
        ulong moves = 0;

        // By the numbers of frames, and by bytes, as where the kernel moves pages all the time.
        foreach (Func<ulong> read in (Func<ulong>[])[() => 0, () => ++moves])
        {
            IReadOnlyList<SharedPages> found = new SharedPageFinder(holders, read).Find();
            Assert.Equal(0, found[0].Count);
            ulong start = Memory;
            for (int page = 0; page < Pages; page++)
            {
                ulong at = start + (ulong)page * 4096;
                Assert.Equal(page % 16 == 0 ? null : "mem/0", found[1].Find(at, at + 4096, out _));
                Assert.Equal(page % 32 == 0 ? null : "mem/0", found[2].Find(at, at + 4096, out _));
            }
        }

        Assert.True(moves > 0);
    }

    [Fact]
    public async Task What_the_kernel_moves_meanwhile_deceives_nobody()
    {
        MemoryHolder[] holders = Start();
        int seed = Tools.Seed(output);
        using CancellationTokenSource over = new();
        Task moving = Task.Run(() =>
        {
            // Compaction of all memory, as proc(5) has it on /proc/sys/vm/compact_memory.
            while (!over.IsCancellationRequested && File.Exists("/proc/sys/vm/compact_memory"))
            {
                File.WriteAllText("/proc/sys/vm/compact_memory", "1");
            }
        });
        long ranges = 0;
        for (int round = 0; round < Tools.Count(10, 200); round++)
        {
            IReadOnlyList<SharedPages> found = new SharedPageFinder(holders).Find();
            for (int i = 1; i < holders.Length; i++)
            {
                ranges += RequireEqual(holders, i, found[i], new Random(seed + round));
            }
        }

        await over.CancelAsync();
        await moving;
        output.WriteLine($"{ranges} pages compared");
        Assert.True(ranges > 0);
    }

    private long RequireEqual(MemoryHolder[] holders, int which, SharedPages found, Random random)
    {
        using TargetMemory own = new(holders[which].Pid);
        byte[] ours = new byte[4096], theirs = new byte[4096];
        long compared = 0;
        ulong start = Memory;
        for (ulong at = start + (ulong)random.Next(4) * 4096; at < start + Pages * 4096; at += 4 * 4096)
        {
            if (found.Find(at, at + 4096, out _) is { } original)
            {
                using TargetMemory other = new(holders.Single(holder => holder.Stream == original).Pid);
                own.Read(at, ours);
                other.Read(at, theirs);
                Assert.Equal(theirs, ours);
                compared++;
            }
        }

        return compared;
    }

    private MemoryHolder[] Start()
    {
        IRunningApplication application = bench.Python(Family);
        foreach (string name in (string[])["one", "two", "ready"])
        {
            bench.Expect(name);
        }

        int[] pids = [application.MainPid, .. ProcFs.Numbers("/proc").Where(pid => ProcessStat.TryRead(pid)?.ParentPid == application.MainPid).Order()];
        Assert.Equal(3, pids.Length);
        foreach (int pid in pids)
        {
            // 34 is pause(2): from there on it changes nothing any more.
            SpaceFixture.Until(() => File.ReadAllText($"/proc/{pid}/syscall").StartsWith("34 ", StringComparison.Ordinal), "the program pauses");
        }

        return [.. pids.Select((pid, i) => new MemoryHolder(pid, $"mem/{i}", AddressSpaces.Recognise(ProcessView.Read(pid), MemoryMap.ReadWithFlags(pid)).Areas))];
    }

    private ulong Memory => ulong.Parse(File.ReadAllText(bench.PathOf("ready")), System.Globalization.CultureInfo.InvariantCulture);
}
