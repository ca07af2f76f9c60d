using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;
using Holdfast.KernelBridge.Tests.Conformance;
using Holdfast.KernelBridge.Tests.Spaces;
using Xunit.Abstractions;

namespace Holdfast.KernelBridge.Tests.Capture;

/// <summary>Both ways to ask for pages say the same, and what they say is what a program wrote.</summary>
public sealed class PagePumpTests(ITestOutputHelper output)
{
    [Fact]
    public void Scanned_and_read_page_maps_give_the_same_bytes_and_guards()
    {
        int seed = Tools.Seed(output);
        using var bench = new Bench(new PtraceBridge());
        IRunningApplication application = bench.Python(
            $$"""
            import ctypes, os, random, signal
            random.seed({{seed}})
            libc = ctypes.CDLL(None, use_errno=True)
            libc.mmap.restype = ctypes.c_long
            libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int, ctypes.c_int, ctypes.c_int, ctypes.c_long]
            libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
            for _ in range(20):
                pages = random.randrange(1, 3000)
                base = libc.mmap(0, pages * 4096, 3, 0x22, -1, 0)
                for _ in range(random.randrange(200)):
                    at = random.randrange(pages)
                    kind = random.randrange(4)
                    if kind == 0: libc.madvise(base + at * 4096, 4096 * random.randrange(1, 1 + pages - at), 4)
                    elif kind == 1 and libc.madvise(base + at * 4096, 4096, 102) == 0: pass
                    else:
                        libc.madvise(base + at * 4096, 4096, 103)
                        ctypes.memset(base + at * 4096, random.randrange(256), 4096)
            open(os.environ['OUT'] + '/ready', 'w').close()
            signal.pause()
            """);
        bench.Expect("ready");
        int pid = application.MainPid;
        // 34 is pause(2): from there on it changes nothing any more.
        SpaceFixture.Until(() => File.ReadAllText($"/proc/{pid}/syscall").StartsWith("34 ", StringComparison.Ordinal), "the program pauses");
        using TargetMemory memory = new(pid);
        (List<Area> areas, _) = AddressSpaces.Recognise(ProcessView.Read(pid), MemoryMap.ReadWithFlags(pid));
        List<(MemoryPages Pages, List<GuardRange> Guards)> found = [];
        foreach (bool scans in (bool[])[true, false])
        {
            var pages = new MemoryPages();
            List<GuardRange> guards = [];
            using PagePump pump = new(pid, memory, scans);
            foreach (Area area in areas.Where(area => area.HasPrivatePages))
            {
                pump.FindGuards(area);
                guards.AddRange(area.Guards);
                pump.Pump(area, "mem", pages);
            }

            pump.Complete();
            found.Add((pages, guards));
        }

        Assert.Equal(found[0].Guards, found[1].Guards);
        Assert.Equal(Bytes(found[0].Pages), Bytes(found[1].Pages));

        // And nothing that is not zero was left out.
        SortedDictionary<long, string> stored = Bytes(found[0].Pages);
        byte[] page = new byte[4096];
        foreach (Area area in areas.Where(area => area.Kind == AreaKind.Anonymous && (area.Map.Protection & 1) != 0))
        {
            for (ulong at = area.Map.Start; at < area.Map.End; at += 4096)
            {
                if (!area.Guards.Exists(guard => at >= guard.Start && at < guard.End))
                {
                    memory.Read(at, page);
                    Assert.Equal(page.AsSpan().ContainsAnyExcept((byte)0), stored.ContainsKey((long)at));
                }
            }
        }
    }

    private const int Much = 40 << 20;

    [Fact]
    public unsafe void Two_threads_share_much_memory_and_leave_nothing_out()
    {
        Random random = new(Tools.Seed(output));
        using MappedMemory mapped = new(Much);
        random.NextBytes(mapped.Bytes);
        // Short runs among long ones.
        for (int page = 0; page < Much >> 12; page += random.Next(1, 400))
        {
            mapped.Bytes.Slice(page << 12, 4096).Clear();
        }

        var pages = new MemoryPages();
        ConcurrentSink sink = new(pages, () => { });
        using TargetMemory memory = new(Environment.ProcessId);
        using PagePump pump = new(Environment.ProcessId, memory);
        PageCounts counts = pump.Pump(mapped.Area, "mem", sink);
        counts += pump.Complete();

        byte[] page4k = new byte[4096];
        long zeros = 0;
        HashSet<long> stored = [.. pages.Runs("mem").SelectMany(run => Enumerable.Range(0, (int)(run.Length >> 12)).Select(i => run.Offset + ((long)i << 12)))];
        for (int at = 0; at < Much; at += 4096)
        {
            bool zero = !mapped.Bytes.Slice(at, 4096).ContainsAnyExcept((byte)0);
            zeros += zero ? 1 : 0;
            Assert.Equal(!zero, stored.Contains(mapped.Address + at));
            if (!zero)
            {
                pages.Read("mem", mapped.Address + at, page4k);
                Assert.True(mapped.Bytes.Slice(at, 4096).SequenceEqual(page4k));
            }
        }

        Assert.Equal((zeros, Much - (zeros << 12)), (counts.PagesZero, counts.BytesWritten));
        Assert.Equal(2, sink.Threads);
    }

    /// <summary>Whoever of the two meets it.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void What_the_sink_throws_comes_out_as_it_was(bool fromHelper)
    {
        using MappedMemory mapped = new(Much);
        mapped.Bytes.Fill(1);
        int own = Environment.CurrentManagedThreadId;
        ConcurrentSink sink = new(new MemoryPages(), () =>
        {
            if (Environment.CurrentManagedThreadId != own == fromHelper)
            {
                throw new TimeZoneNotFoundException("the disk is full");
            }
        });
        using TargetMemory memory = new(Environment.ProcessId);
        using PagePump pump = new(Environment.ProcessId, memory);

        Assert.Throws<TimeZoneNotFoundException>(() =>
        {
            pump.Pump(mapped.Area, "mem", sink);
            pump.Complete();
        });
    }

    /// <summary>Hands on what comes, once two threads have come with something.</summary>
    private sealed class ConcurrentSink(MemoryPages to, Action each) : IPageSink
    {
        private readonly System.Collections.Concurrent.ConcurrentDictionary<int, bool> threads = new();

        public int Threads => threads.Count;

        public void Write(string stream, long offset, ReadOnlySpan<byte> data)
        {
            threads.TryAdd(Environment.CurrentManagedThreadId, true);
            SpaceFixture.Until(() => threads.Count > 1, "a second thread moves pages");
            each();
            to.Write(stream, offset, data);
        }
    }

    /// <summary>Private memory of this process.</summary>
    private sealed unsafe class MappedMemory : IDisposable
    {
        private readonly byte* bytes;
        private readonly int length;

        public MappedMemory(int length)
        {
            this.length = length;
            bytes = (byte*)System.Runtime.InteropServices.NativeMemory.AlignedAlloc((nuint)length, 1 << 21);
        }

        public long Address => (long)bytes;

        public Span<byte> Bytes => new(bytes, length);

        public Area Area => new(new MemoryMap((ulong)bytes, (ulong)bytes + (ulong)length, 3, false, 0, 0, 0, string.Empty, string.Empty), AreaKind.Anonymous, null);

        public void Dispose() => System.Runtime.InteropServices.NativeMemory.AlignedFree(bytes);
    }

    private static SortedDictionary<long, string> Bytes(MemoryPages pages)
    {
        SortedDictionary<long, string> bytes = [];
        byte[] page = new byte[4096];
        foreach (PageRun run in pages.Runs("mem"))
        {
            for (long at = run.Offset; at < run.Offset + run.Length; at += 4096)
            {
                pages.Read("mem", at, page);
                bytes[at] = Convert.ToHexString(System.Security.Cryptography.SHA256.HashData(page));
            }
        }

        return bytes;
    }

    [Fact]
    public void Memory_that_a_fork_shares_stays_shared_when_it_is_read()
    {
        using var bench = new Bench(new PtraceBridge());
        IRunningApplication application = bench.Python(
            """
            import ctypes, mmap, os, signal
            m = mmap.mmap(-1, 32 << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            m.write(os.urandom(1 << 20) * 32)
            if os.fork() == 0:
                open(os.environ['OUT'] + '/address', 'w').write(str(ctypes.addressof(ctypes.c_char.from_buffer(m))))
                open(os.environ['OUT'] + '/ready', 'w').close()
            signal.pause()
            """);
        bench.Expect("ready");
        int child = ProcFs.Children(application.MainPid).Single();
        ulong address = ulong.Parse(File.ReadAllText(bench.PathOf("address")), System.Globalization.CultureInfo.InvariantCulture);
        byte[] of = new byte[32 << 20];
        byte[] same = new byte[of.Length];
        using TargetMemory memory = new(child);
        using TargetMemory parent = new(application.MainPid);

        memory.ReadMuch(address, of);
        long alone = Private(child);
        parent.Read(address, same);

        Assert.True(alone < 8 << 10, $"{alone} KiB are the child's own");
        Assert.Equal(same, of);
        Assert.True(Private(application.MainPid) > 24 << 10, "this kernel shares what is pinned: the other way to read would do as well");
    }

    private static long Private(int pid) => File.ReadLines($"/proc/{pid}/smaps_rollup").Where(line => line.StartsWith("Private_", StringComparison.Ordinal))
        .Sum(line => long.Parse(line.Split(' ', StringSplitOptions.RemoveEmptyEntries)[1], System.Globalization.CultureInfo.InvariantCulture));
}
