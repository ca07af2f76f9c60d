using Xunit.Abstractions;

namespace Holdfast.Snapshots.Tests;

public sealed class DifferenceTests : IDisposable
{
    private readonly TestDirectory _directory = new();
    private readonly Random _random;

    public DifferenceTests(ITestOutputHelper output) => _random = TestSeed.Begin(output, out _);

    public void Dispose() => _directory.Dispose();

    private SnapshotStore Open(string name, bool encrypted = false) =>
        SnapshotStore.Open(_directory[name], new StoreOptions { Key = encrypted ? StoreKey.Generate() : null });

    [Fact]
    public void A_comparison_counts_what_was_added_removed_and_changed()
    {
        using SnapshotStore store = Open("s");
        byte[] content = _random.Bytes(100 * 4096);
        SnapshotInfo first;
        using (SnapshotWriter writer = store.BeginSnapshot("a", "application"))
        {
            writer.Write("m", 0, content);
            writer.Write("gone", 0, content.AsSpan(0, 4096));
            first = writer.Commit();
        }

        SnapshotInfo second;
        using (SnapshotWriter writer = store.BeginSnapshot("a", "application"))
        {
            // All is written again: only the bytes tell what is the same.
            byte[] changed = [.. content];
            changed[5000] ^= 1;
            changed[50 * 4096] ^= 1;
            writer.Write("m", 0, changed.AsSpan(0, 90 * 4096));
            writer.Write("m", 200 * 4096, changed.AsSpan(0, 4096));
            second = writer.Commit();
        }

        SnapshotDifference difference = store.Compare(first, second);
        Assert.Equal(
            [new StreamDifference("gone", 0, 4096, 0, 0), new StreamDifference("m", 4096, 10 * 4096, 2 * 4096, 88 * 4096)],
            difference.Streams);
        Assert.Equal([new StreamRun(4096, 4096), new StreamRun(50 * 4096, 4096), new StreamRun(200 * 4096, 4096)], difference.Changed("m"));
        Assert.Equal([new StreamRun(90 * 4096, 10 * 4096)], difference.Removed("m"));
        Assert.False(difference.IsEmpty);
        Assert.True(store.Compare(second, second).IsEmpty);
        Assert.Equal(90 * 4096, store.Compare(first, second, new DifferenceOptions { CompareContent = false }).Streams[1].BytesChanged);
    }

    [Theory]
    [InlineData(false, false, Compression.None, false)]
    [InlineData(false, false, Compression.Zstd, true)]
    [InlineData(true, false, Compression.Zstd, true)]
    [InlineData(false, true, Compression.None, true)]
    [InlineData(true, true, Compression.None, false)]
    public async Task Differences_make_the_same_snapshots_in_another_store(bool sourceEncrypted, bool targetEncrypted, Compression compression, bool deduplicate)
    {
        using SnapshotStore source = Open("a", sourceEncrypted);
        using SnapshotStore target = Open("b", targetEncrypted);
        var options = new SnapshotWriterOptions { Compression = compression, Deduplicate = deduplicate };
        byte[] content = _random.Bytes(300 * 4096 + 123);
        content.AsSpan(4096, 40_000).Clear();
        SnapshotInfo? last = null;
        var expected = new List<(SnapshotInfo Info, byte[] Content)>();
        for (int i = 0; i < 6; i++)
        {
            var changed = new HashSet<int>();
            for (int change = 0; change < 15; change++)
            {
                int page = _random.Next(300);
                changed.Add(page);
                _random.NextBytes(content.AsSpan(page * 4096, 4096));
            }

            last = Content.Take(source, "o", content, last, options, changed.Contains);
            expected.Add((last, Content.Of(source, last)));
        }

        SnapshotInfo? before = null;
        foreach ((SnapshotInfo info, byte[] bytes) in expected)
        {
            using var file = new MemoryStream();
            await DifferenceFile.WriteAsync(source, before, info, file);
            Assert.True(before is null || file.Length < 15 * (64 * 1024 + 500), $"{file.Length}");
            file.Position = 0;
            SnapshotInfo applied = await DifferenceFile.ApplyAsync(target, file);
            Assert.Equal(info.Address, applied.Address);
            Assert.Equal(info.CreatedAt, applied.CreatedAt);
            Assert.Equal(info.Parent, applied.Parent);
            Assert.Equal(bytes, Content.Of(target, applied));
            Assert.Equal(source.ContentDigestOf(info), target.ContentDigestOf(applied));

            // Once more changes nothing.
            file.Position = 0;
            Assert.Equal(applied.Address, (await DifferenceFile.ApplyAsync(target, file)).Address);
            before = info;
        }

        Assert.Equal(expected.Select(e => e.Info.Id), target.List("o").Select(s => s.Id));
        Assert.Empty(target.Verify().Findings);
        Assert.Empty(Directory.EnumerateDirectories(target.Layout.Incoming));
        Assert.Empty(Directory.EnumerateFiles(target.Layout.Pins));
    }

    [Fact]
    public async Task A_difference_is_refused_without_its_base_and_names_it()
    {
        using SnapshotStore source = Open("a");
        using SnapshotStore target = Open("b");
        SnapshotInfo first = Content.Take(source, "o", _random.Bytes(10_000));
        SnapshotInfo second = Content.Take(source, "o", _random.Bytes(10_000), first);
        using var file = new MemoryStream();
        await DifferenceFile.WriteAsync(source, first, second, file);
        file.Position = 0;
        SnapshotStoreException e = await Assert.ThrowsAsync<SnapshotStoreException>(() => DifferenceFile.ApplyAsync(target, file));
        Assert.Equal("diff.base", e.Code);
        Assert.Contains(first.Address, e.Message, StringComparison.Ordinal);

        // The same id with another content is not the base either.
        using (SnapshotWriter writer = target.BeginSnapshot("o", "block"))
        {
            writer.Write("data", 0, _random.Bytes(10_000));
            writer.Receive(first, _ => { });
            writer.Commit();
        }

        file.Position = 0;
        e = await Assert.ThrowsAsync<SnapshotStoreException>(() => DifferenceFile.ApplyAsync(target, file));
        Assert.Equal("diff.base", e.Code);
        Assert.Single(target.List("o"));
    }

    [Fact]
    public async Task A_damaged_or_cut_difference_is_refused_and_leaves_nothing_visible()
    {
        using SnapshotStore source = Open("a");
        SnapshotInfo info = Content.Take(source, "o", _random.Bytes(20 * 4096), options: new SnapshotWriterOptions { Deduplicate = true });
        using var file = new MemoryStream();
        await DifferenceFile.WriteAsync(source, null, info, file);
        byte[] good = file.ToArray();
        for (int i = 0; i < TestSeed.Count(100, 1000); i++)
        {
            using SnapshotStore target = Open($"t{i}");
            byte[] bad = i % 3 == 0 ? good[.._random.Next(good.Length)] : [.. good];
            if (i % 3 != 0)
            {
                bad[_random.Next(bad.Length)] ^= (byte)(1 << _random.Next(8));
            }

            await Assert.ThrowsAnyAsync<SnapshotStoreException>(() => DifferenceFile.ApplyAsync(target, new MemoryStream(bad)));
            Assert.Empty(target.Objects());

            // What had arrived is used, or not, but never harms.
            SnapshotInfo applied = await DifferenceFile.ApplyAsync(target, new MemoryStream(good));
            Assert.Equal(Content.Of(source, info), Content.Of(target, applied));
            Directory.Delete(target.Directory, recursive: true);
        }
    }
}
