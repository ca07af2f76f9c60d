using Xunit.Abstractions;

namespace Holdfast.Snapshots.Tests;

public sealed class StoreTests(ITestOutputHelper output) : IDisposable
{
    private readonly TestDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    private SnapshotStore Open() => SnapshotStore.Open(_directory["store"]);

    private static byte[] ReadAll(SnapshotReader reader, string stream, long offset, int length)
    {
        byte[] into = new byte[length];
        reader.Read(stream, offset, into);
        return into;
    }

    /// <summary>What one thread writes lies together, in a pack into which nobody else writes at that time; little stays one file.</summary>
    [Theory]
    [InlineData(24, 1, 1)]
    [InlineData(160, 2, 4)]
    public void Threads_that_write_much_at_the_same_time_fill_packs_beside_each_other(int megabytes, int least, int most)
    {
        Random random = TestSeed.Begin(output, out _);
        byte[][] shares = [.. Enumerable.Range(0, 4).Select(_ => random.Bytes(megabytes / 4 << 20))];
        using SnapshotStore store = Open();
        SnapshotInfo info;
        using (SnapshotWriter writer = store.BeginSnapshot("app", "application"))
        {
            Thread[] threads = [.. shares.Select((share, number) => new Thread(() =>
            {
                for (int at = 0; at < share.Length; at += 1 << 20)
                {
                    writer.Write("mem", ((long)number << 32) + at, share.AsSpan(at, 1 << 20));
                }
            }))];
            Array.ForEach(threads, thread => thread.Start());
            Array.ForEach(threads, thread => thread.Join());
            writer.Write("mem", 1L << 40, shares[0].AsSpan(0, 4096));
            info = writer.Commit();
        }

        string[] packs = Directory.GetFiles(_directory["store"], "*.pack", SearchOption.AllDirectories);
        Assert.InRange(packs.Length, Math.Min(least, Environment.ProcessorCount), most);
        Assert.True(packs.Sum(pack => new FileInfo(pack).Length) <= info.StoredBytes + (1 << 20));
        using (SnapshotReader reader = store.OpenSnapshot(info))
        {
            Assert.All(shares.Index(), share => Assert.True(share.Item.AsSpan().SequenceEqual(ReadAll(reader, "mem", (long)share.Index << 32, share.Item.Length))));
        }

        Assert.True(store.Verify().IsSound);
        Assert.Equal(0, store.CollectGarbage().PacksRemoved);
        store.Forget(info);
        Assert.Equal(packs.Length, store.CollectGarbage().PacksRemoved);
    }

    [Fact]
    public void What_was_written_is_read_back()
    {
        Random random = TestSeed.Begin(output, out _);
        using SnapshotStore store = Open();
        byte[] large = random.Bytes(3_000_000);
        byte[] page = random.Bytes(4096);
        byte[] odd = random.Bytes(1234);
        byte[] state = random.Bytes(777);
        SnapshotInfo info;
        using (SnapshotWriter writer = store.BeginSnapshot("app", "application"))
        {
            writer.Write("mem/1", 0x7000_0000_0000, large);
            writer.Write("mem/1", 0x1000, page);
            writer.Write("mem/1", 0x2000, page);
            writer.Write("mem/1", 0x5000, odd);
            writer.Write("mem/2", 0, odd);
            writer.SetState(state);
            writer.SetTag("why", "test");
            info = writer.Commit();
        }

        using SnapshotReader reader = store.OpenSnapshot(store.Find("app"));
        Assert.Equal(info.Address, reader.Info.Address);
        Assert.Equal("test", reader.Info.Tags["why"]);
        Assert.Equal("application", reader.Info.Kind);
        Assert.Equal(state, reader.State.ToArray());
        Assert.Equal(["mem/1", "mem/2"], reader.Streams.Select(s => s.Name));
        Assert.Equal(
            [new StreamRun(0x1000, 0x2000), new StreamRun(0x5000, 1234), new StreamRun(0x7000_0000_0000, large.Length)],
            reader.Runs("mem/1"));
        Assert.Equal(large, ReadAll(reader, "mem/1", 0x7000_0000_0000, large.Length));
        Assert.Equal([.. page, .. page], ReadAll(reader, "mem/1", 0x1000, 8192));
        Assert.Equal(odd, ReadAll(reader, "mem/1", 0x5000, odd.Length));
        Assert.Equal(odd, ReadAll(reader, "mem/2", 0, odd.Length));
        Assert.Equal(large[12_345..112_345], ReadAll(reader, "mem/1", 0x7000_0000_0000 + 12_345, 100_000));
        Assert.Empty(reader.Runs("none"));
        Assert.Equal("range.hole", Assert.Throws<SnapshotStoreException>(() => ReadAll(reader, "mem/1", 0x2fff, 2)).Code);
    }

    [Fact]
    public void A_snapshot_that_was_not_committed_leaves_nothing()
    {
        using SnapshotStore store = Open();
        using (SnapshotWriter writer = store.BeginSnapshot("app", "application"))
        {
            writer.Write("a", 0, new byte[200_000]);
        }

        Assert.Empty(store.Objects());
        Assert.Empty(store.List("app"));
        Assert.Empty(Directory.EnumerateFiles(store.Layout.Packs));
    }

    [Fact]
    public void Threads_write_at_once()
    {
        Random random = TestSeed.Begin(output, out int seed);
        using SnapshotStore store = Open();
        byte[][] pieces = [.. Enumerable.Range(0, 400).Select(_ => random.Bytes(random.Next(1, 40) * (random.Next(2) == 0 ? 4096 : 1711)))];
        using (SnapshotWriter writer = store.BeginSnapshot("app", "application"))
        {
            Parallel.For(0, pieces.Length, i => writer.Write($"s{i % 7}", (long)i << 20, pieces[i]));
            writer.Commit();
        }

        using SnapshotReader reader = store.OpenSnapshot(store.Find("app"));
        for (int i = 0; i < pieces.Length; i++)
        {
            Assert.True(pieces[i].AsSpan().SequenceEqual(ReadAll(reader, $"s{i % 7}", (long)i << 20, pieces[i].Length)), $"piece {i}, seed {seed}");
        }
    }

    [Fact]
    public void Overlapping_ranges_are_refused()
    {
        using SnapshotStore store = Open();
        using SnapshotWriter writer = store.BeginSnapshot("app", "application");
        writer.Write("a", 0, new byte[8192]);
        writer.Write("a", 4096, new byte[4096]);
        Assert.Equal("stream.overlap", Assert.Throws<SnapshotStoreException>(() => writer.Commit()).Code);
        Assert.Empty(store.List("app"));
    }

    [Fact]
    public void Unchanged_ranges_are_kept_from_the_parent_by_reference()
    {
        Random random = TestSeed.Begin(output, out _);
        using SnapshotStore store = Open();
        byte[] expected = random.Bytes(5000 * 4096);
        SnapshotInfo first;
        using (SnapshotWriter writer = store.BeginSnapshot("app", "application"))
        {
            writer.Write("m", 0, expected);
            first = writer.Commit();
        }

        SnapshotInfo last = first;
        for (int round = 0; round < 6; round++)
        {
            using SnapshotWriter writer = store.BeginSnapshot("app", "application", last);
            int at = 0;
            while (at < 5000)
            {
                int keep = Math.Min(random.Next(1, 8), 5000 - at);
                Assert.Equal(keep * 4096, writer.KeepFromParent("m", at * 4096L, keep * 4096L));
                at += keep;
                if (at < 5000)
                {
                    random.NextBytes(expected.AsSpan(at * 4096, 4096));
                    writer.Write("m", at * 4096L, expected.AsSpan(at * 4096, 4096));
                    at++;
                }
            }

            last = writer.Commit();
            Assert.True(last.NewBytes < expected.Length / 3);
        }

        store.Forget(first);
        using SnapshotReader reader = store.OpenSnapshot(last);
        Assert.True(reader.Streams[0].Extents > 2000);
        Assert.Equal([new StreamRun(0, expected.Length)], reader.Runs("m"));
        Assert.True(expected.AsSpan().SequenceEqual(ReadAll(reader, "m", 0, expected.Length)));
    }

    [Fact]
    public void Nothing_is_kept_of_an_empty_range()
    {
        using SnapshotStore store = Open();
        SnapshotInfo first = Content.Take(store, "a", new byte[8192]);
        using SnapshotWriter writer = store.BeginSnapshot("a", "block", first);
        writer.Write("data", 4096, [1]);
        Assert.Equal(0, writer.KeepFromParent("data", 4096, 0));
        Assert.Equal(1, writer.Commit().LogicalBytes);
    }

    [Fact]
    public void Snapshots_are_found_by_id_by_beginning_and_by_position()
    {
        using SnapshotStore store = Open();
        var ids = new List<string>();
        for (int i = 0; i < 12; i++)
        {
            using SnapshotWriter writer = store.BeginSnapshot("my app/√", "application");
            ids.Add(writer.Commit().Id);
        }

        Assert.Equal(ids.Order(StringComparer.Ordinal), ids);
        Assert.Equal(["my app/√"], store.Objects());
        Assert.Equal(ids, store.List("my app/√").Select(s => s.Id));
        Assert.Equal(ids[^1], store.FindAddress("my app/√").Id);
        Assert.Equal(ids[^1], store.FindAddress("my app/√@latest").Id);
        Assert.Equal(ids[0], store.FindAddress("my app/√@1st").Id);
        Assert.Equal(ids[11], store.FindAddress("my app/√@12th").Id);
        Assert.Equal(ids[9], store.FindAddress("my app/√@-2").Id);
        Assert.Equal(ids[4], store.FindAddress("my app/√@" + ids[4]).Id);
        Assert.Equal("snapshot.unknown", Assert.Throws<SnapshotStoreException>(() => store.Find("my app/√", "13th")).Code);
        Assert.Equal("snapshot.unknown", Assert.Throws<SnapshotStoreException>(() => store.Find("my app/√", ids[0][..3])).Code);
        Assert.Equal("snapshot.unknown", Assert.Throws<SnapshotStoreException>(() => store.Find("other")).Code);
        Assert.Equal("name.invalid", Assert.Throws<SnapshotStoreException>(() => store.Find("a@b", "latest")).Code);
    }

    [Fact]
    public void A_forgotten_snapshot_is_read_to_the_end_by_who_has_it_open()
    {
        using SnapshotStore store = Open();
        using (SnapshotWriter writer = store.BeginSnapshot("a", "file"))
        {
            writer.Write("s", 0, new byte[100]);
            writer.Commit();
        }

        SnapshotInfo info = store.Find("a");
        using SnapshotReader reader = store.OpenSnapshot(info);
        store.Forget(info);
        Assert.Empty(store.Objects());
        Assert.Equal(new byte[100], ReadAll(reader, "s", 0, 100));
        Assert.Equal("snapshot.unknown", Assert.Throws<SnapshotStoreException>(() => store.OpenSnapshot(info)).Code);
    }
}
