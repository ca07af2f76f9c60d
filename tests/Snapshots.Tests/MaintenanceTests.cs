using System.Diagnostics;
using Xunit.Abstractions;

namespace Holdfast.Snapshots.Tests;

public sealed class MaintenanceTests : IDisposable
{
    private readonly TestDirectory _directory = new();
    private readonly Random _random;

    public MaintenanceTests(ITestOutputHelper output) => _random = TestSeed.Begin(output, out _);

    public void Dispose() => _directory.Dispose();

    private SnapshotStore Open(StoreOptions? options = null) => SnapshotStore.Open(_directory["s"], options);

    [Fact]
    public void Garbage_collection_gives_back_what_forgotten_snapshots_alone_used()
    {
        using SnapshotStore store = Open();
        byte[] content = _random.Bytes(1000 * 4096);
        SnapshotInfo first = Content.Take(store, "a", content);
        _random.NextBytes(content.AsSpan(0, 500 * 4096));
        SnapshotInfo second = Content.Take(store, "a", content, first, changed: page => page < 500);
        byte[] expected = Content.Of(store, second);
        Assert.Equal(0, store.CollectGarbage().BytesFreed);
        long before = store.PackBytes();
        store.Forget(first);
        CollectionReport report = store.CollectGarbage();
        Assert.InRange(report.BytesFreed, 499 * 4096, 501 * 4096);
        Assert.Equal(before - report.BytesFreed, store.PackBytes());
        Assert.Equal(expected, Content.Of(store, second));
        Assert.True(store.Verify().IsSound);
        store.Forget(second);
        store.CollectGarbage();
        Assert.Equal(0, store.PackBytes());
    }

    [Theory]
    [InlineData(Compression.None, false)]
    [InlineData(Compression.Zstd, false)]
    [InlineData(Compression.Auto, true)]
    public void Deleting_any_snapshot_never_harms_another(Compression compression, bool encrypted)
    {
        using SnapshotStore store = Open(new StoreOptions { Key = encrypted ? StoreKey.Generate() : null });
        var options = new SnapshotWriterOptions { Compression = compression, Deduplicate = compression != Compression.None };
        byte[] content = _random.Bytes(300 * 4096);
        content.AsSpan(0, 100 * 4096).Fill(7);
        var expected = new Dictionary<SnapshotInfo, byte[]>();
        SnapshotInfo? last = null;
        for (int i = 0; i < 12; i++)
        {
            var pages = new HashSet<int>();
            for (int change = 0; change < 20; change++)
            {
                int page = _random.Next(300);
                _random.NextBytes(content.AsSpan(page * 4096, 4096));
                pages.Add(page);
            }

            // Sometimes an older snapshot is the parent, sometimes none is.
            SnapshotInfo? parent = i % 5 == 4 ? null : last;
            last = Content.Take(store, "a", content, parent, options, pages.Contains);
            expected[last] = Content.Of(store, last);
        }

        while (expected.Count > 0)
        {
            SnapshotInfo victim = expected.Keys.ElementAt(_random.Next(expected.Count));
            store.Forget(victim);
            expected.Remove(victim);
            store.CollectGarbage();
            Assert.All(expected, e => Assert.Equal(e.Value, Content.Of(store, e.Key)));
            Assert.Empty(store.Verify().Findings);
        }

        Assert.Equal(0, store.PackBytes());
    }

    [Fact]
    public async Task Garbage_collection_runs_beside_writers_readers_and_removals()
    {
        var options = new SnapshotWriterOptions { Deduplicate = true };
        byte[] common = _random.Bytes(64 * 4096);
        int[] seeds = [.. Enumerable.Range(0, 3).Select(_ => _random.Next())];
        SnapshotStore.Open(_directory["s"]).Dispose();
        int finished = 0;
        Task[] writers = [.. seeds.Select((seed, number) => Task.Run(() =>
        {
            try
            {
                var random = new Random(seed);
                // Its own store object: nothing is shared but the directory, as between processes.
                using SnapshotStore store = Open();
                SnapshotInfo? last = null;
                for (int i = 0; i < TestSeed.Count(25, 200); i++)
                {
                    byte[] content = [.. common];
                    random.NextBytes(content.AsSpan(random.Next(60) * 4096, 4096));
                    SnapshotInfo taken = Content.Take(store, $"o{number}", content, random.Next(3) == 0 ? null : last, options);
                    using SnapshotReader reader = store.OpenSnapshot(taken);
                    if (last is not null)
                    {
                        store.Forget(last);
                    }

                    if (random.Next(4) == 0)
                    {
                        store.Forget(taken);
                        last = null;
                    }
                    else
                    {
                        last = taken;
                    }

                    byte[] read = new byte[content.Length];
                    reader.Read("data", 0, read);
                    Assert.True(content.AsSpan().SequenceEqual(read), $"round {i} of writer {number}");
                }
            }
            finally
            {
                Interlocked.Increment(ref finished);
            }
        }))];
        using SnapshotStore collector = Open();
        while (Volatile.Read(ref finished) < writers.Length)
        {
            Assert.Empty(collector.CollectGarbage().Damaged);
        }

        await Task.WhenAll(writers);
        Assert.Empty(collector.Verify().Findings);
        foreach (string name in collector.Objects())
        {
            collector.Forget(collector.Find(name));
        }

        collector.CollectGarbage();
        Assert.Equal(0, collector.PackBytes());
    }

    [Fact]
    public void A_forgotten_snapshot_that_somebody_reads_keeps_its_data()
    {
        using SnapshotStore store = Open();
        SnapshotInfo info = Content.Take(store, "a", _random.Bytes(100_000));
        byte[] expected = Content.Of(store, info);
        using (SnapshotReader reader = store.OpenSnapshot(info))
        {
            store.Forget(info);
            Assert.Equal(1, store.CollectGarbage().Snapshots);
            Assert.Equal(expected, Content.Of(reader));
        }

        store.CollectGarbage();
        Assert.Equal(0, store.PackBytes());
    }

    [Fact]
    public void Leftovers_of_a_dead_writer_are_invisible_and_collected()
    {
        using SnapshotStore store = Open();
        string left = Path.Combine(store.Layout.Packs, PackId.New() + PackFormat.PartialExtension);
        File.WriteAllBytes(left, new byte[100_000]);
        using SnapshotWriter alive = store.BeginSnapshot("a", "file");
        alive.Write("s", 0, new byte[100_000]);
        Assert.Equal(1, store.CollectGarbage().LeftoversRemoved);
        Assert.False(File.Exists(left));
        alive.Commit();
        Assert.True(store.Verify().IsSound);
    }

    [Fact]
    public void A_pinned_snapshot_is_not_forgotten()
    {
        using SnapshotStore store = Open();
        SnapshotInfo info = Content.Take(store, "a", new byte[10]);
        store.Pin(info, "migration to x");
        SnapshotStoreException e = Assert.Throws<SnapshotStoreException>(() => store.Forget(info));
        Assert.Equal("snapshot.pinned", e.Code);
        Assert.Contains("migration to x", e.Message, StringComparison.Ordinal);
        store.Unpin(info, "migration to x");
        store.Forget(info);
    }

    [Fact]
    public void A_quota_refuses_before_it_is_exceeded_and_leaves_nothing()
    {
        using SnapshotStore store = Open(new StoreOptions { Quota = 3_000_000 });
        Content.Take(store, "a", _random.Bytes(2_000_000));
        SnapshotStoreException e = Assert.Throws<SnapshotStoreException>(() => Content.Take(store, "a", _random.Bytes(2_000_000)));
        Assert.Equal("store.quota", e.Code);
        Assert.Single(store.List("a"));
        Assert.True(store.PackBytes() < 3_000_000);
        Content.Take(store, "a", _random.Bytes(10_000));
    }

    [Theory]
    [InlineData(32L << 20)]
    [InlineData(0L)]
    public void A_full_device_is_an_error_that_leaves_all_snapshots_readable(long minimumFree)
    {
        string mount = _directory["mount"];
        Directory.CreateDirectory(mount);
        Run("mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", mount);
        try
        {
            using SnapshotStore store = SnapshotStore.Open(Path.Combine(mount, "s"), new StoreOptions { MinimumFree = minimumFree });
            SnapshotInfo first = Content.Take(store, "a", _random.Bytes(1_000_000));
            byte[] expected = Content.Of(store, first);
            byte[] large = _random.Bytes(50_000_000);
            Assert.Equal("store.full", Assert.Throws<SnapshotStoreException>(() =>
            {
                using SnapshotWriter writer = store.BeginSnapshot("a", "block", first);
                for (int at = 0; at < large.Length; at += 1_000_000)
                {
                    writer.Write("data", at, large.AsSpan(at, 1_000_000));
                }

                writer.Commit();
            }).Code);
            Assert.Single(store.List("a"));
            Assert.Equal(expected, Content.Of(store, first));
            Assert.True(store.Verify().IsSound);
            Content.Take(store, "a", _random.Bytes(1_000_000));
        }
        finally
        {
            Run("umount", mount);
        }
    }

    [Fact]
    public void A_manifest_that_disappears_is_missed_and_one_that_was_forgotten_is_not()
    {
        using SnapshotStore store = Open();
        SnapshotInfo first = Content.Take(store, "a", new byte[10]);
        SnapshotInfo second = Content.Take(store, "a", new byte[20]);
        SnapshotInfo third = Content.Take(store, "a", new byte[30]);
        store.Forget(first);
        Assert.True(store.Verify().IsSound);
        File.Delete(store.Layout.Manifest("a", second.Id));
        VerifyFinding finding = Assert.Single(store.Verify().Findings);
        Assert.Equal("manifest.missing", finding.Code);
        Assert.Equal(second.Address, finding.Snapshot);
        store.Rebuild();
        Assert.True(store.Verify().IsSound);
        Assert.Equal([third.Id], store.List("a").Select(s => s.Id));
    }

    [Fact]
    public void A_lost_catalogue_and_header_are_made_again()
    {
        byte[] expected;
        SnapshotInfo info;
        using (SnapshotStore store = Open())
        {
            info = Content.Take(store, "a", _random.Bytes(50_000));
            expected = Content.Of(store, info);
            store.Rebuild();
            File.WriteAllBytes(store.Layout.Catalogue, _random.Bytes(8192));
            Assert.Equal("catalogue", Assert.Single(store.Verify().Findings).Code);
            File.Delete(store.Layout.Header);
        }

        using (SnapshotStore store = Open())
        {
            Assert.Equal(["catalogue", "header"], store.Verify().Findings.Select(f => f.Code).Order(StringComparer.Ordinal));
            store.Rebuild();
            Assert.True(store.Verify().IsSound);
            File.Delete(store.Layout.Header);
            File.Delete(store.Layout.HeaderCopy);
        }

        Assert.Equal("store.invalid", Assert.Throws<SnapshotStoreException>(() => Open()).Code);
        using SnapshotStore rebuilt = SnapshotStore.RebuildHeader(_directory["s"]);
        Assert.Equal(expected, Content.Of(rebuilt, info));
        Assert.True(rebuilt.Verify().IsSound);
    }

    private static void Run(string program, params string[] arguments)
    {
        using Process process = Process.Start(program, arguments);
        process.WaitForExit();
        Assert.Equal(0, process.ExitCode);
    }
}
