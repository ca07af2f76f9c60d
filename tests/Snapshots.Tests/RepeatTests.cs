using Xunit.Abstractions;

namespace Holdfast.Snapshots.Tests;

/// <summary>What one stream has in common with another is stored once, and is the same for whoever reads it.</summary>
public sealed class RepeatTests(ITestOutputHelper output) : IDisposable
{
    private const int Size = 1 << 20;

    private readonly TestDirectory _directory = new();

    public static TheoryData<Compression, bool> Forms => new() { { Compression.None, false }, { Compression.None, true }, { Compression.Deflate, false } };

    public void Dispose() => _directory.Dispose();

    [Theory]
    [MemberData(nameof(Forms))]
    public void A_repeated_range_is_stored_once_and_read_like_any_other(Compression compression, bool deduplicate)
    {
        Random random = TestSeed.Begin(output, out _);
        SnapshotWriterOptions options = new() { Compression = compression, Deduplicate = deduplicate };
        using SnapshotStore store = SnapshotStore.Open(_directory["store"]);
        byte[] original = random.Bytes(Size);
        byte[] own = random.Bytes(3 * 4096);
        byte[] expected = [.. original];
        own.CopyTo(expected, 5 * 4096);
        SnapshotInfo first;
        using (SnapshotWriter writer = store.BeginSnapshot("app", "application", null, options))
        {
            // Before the other has written anything, and the end of it, which the other does not have.
            writer.Repeat("mem/2", "mem/1", 8 * 4096, Size);
            writer.Write("mem/1", 0, original);
            writer.Write("mem/2", 5 * 4096, own);
            writer.Repeat("mem/2", "mem/1", 0, 5 * 4096);
            first = writer.Commit();
        }

        Check(store, first, original, expected);
        Assert.InRange(first.StoredBytes, Size, Size + 64 * 1024);
        Assert.Equal(2 * Size, first.LogicalBytes);

        // One that keeps all but a page of the original's from its parent.
        SnapshotInfo second;
        random.NextBytes(original.AsSpan(40 * 4096, 4096));
        original.AsSpan(40 * 4096, 4096).CopyTo(expected.AsSpan(40 * 4096));
        using (SnapshotWriter writer = store.BeginSnapshot("app", "application", first, options))
        {
            writer.WriteChanged("mem/1", 0, original);
            writer.KeepFromParent("mem/2", 0, 8 * 4096);
            writer.Repeat("mem/2", "mem/1", 8 * 4096, Size - 8 * 4096);
            second = writer.Commit();
        }

        Check(store, second, original, expected);
        Assert.InRange(second.StoredBytes, 4096, 128 * 1024);
        store.Forget(first);
        store.CollectGarbage();
        Check(store, second, original, expected);
    }

    [Fact]
    public void Equal_places_are_those_of_repeated_ranges_only()
    {
        Random random = TestSeed.Begin(output, out _);
        using SnapshotStore store = SnapshotStore.Open(_directory["store"]);
        byte[] bytes = random.Bytes(16 * 4096);
        using (SnapshotWriter writer = store.BeginSnapshot("app", "application"))
        {
            writer.Write("mem/1", 0, bytes);
            writer.Write("mem/2", 0, bytes.AsSpan(0, 4096));
            writer.Repeat("mem/2", "mem/1", 4096, 15 * 4096);
            writer.Commit();
        }

        using SnapshotReader reader = store.OpenSnapshot(store.Find("app"));
        StreamPlace whole = Assert.Single(reader.Places("mem/1"));
        IReadOnlyList<StreamPlace> places = reader.Places("mem/2");
        Assert.Equal([0L, 4096L], places.Select(place => place.Offset));
        Assert.NotEqual((whole.Pack, whole.Part, whole.Position), (places[0].Pack, places[0].Part, places[0].Position));
        Assert.Equal((whole.Pack, whole.Part, whole.Position + 4096), (places[1].Pack, places[1].Part, places[1].Position));
        Assert.Empty(reader.Places("none"));
    }

    [Fact]
    public void What_repeats_another_is_not_repeated_itself_and_nothing_is_there_twice()
    {
        using SnapshotStore store = SnapshotStore.Open(_directory["store"]);
        using (SnapshotWriter writer = store.BeginSnapshot("app", "application"))
        {
            writer.Write("mem/1", 0, new byte[8192]);
            writer.Repeat("mem/2", "mem/1", 0, 8192);
            writer.Repeat("mem/3", "mem/2", 4096, 4096);
            Assert.Equal("stream.repeat", Assert.Throws<SnapshotStoreException>(writer.Commit).Code);
        }

        using (SnapshotWriter writer = store.BeginSnapshot("app", "application"))
        {
            writer.Write("mem/1", 0, new byte[8192]);
            writer.Write("mem/2", 0, new byte[4096]);
            writer.Repeat("mem/2", "mem/1", 0, 8192);
            Assert.Equal("stream.overlap", Assert.Throws<SnapshotStoreException>(writer.Commit).Code);
        }

        Assert.Empty(store.List("app"));
    }

    private static void Check(SnapshotStore store, SnapshotInfo info, byte[] original, byte[] expected)
    {
        using SnapshotReader reader = store.OpenSnapshot(info);
        foreach ((string stream, byte[] bytes) in ((string, byte[])[])[("mem/1", original), ("mem/2", expected)])
        {
            Assert.Equal([new StreamRun(0, Size)], reader.Runs(stream));
            byte[] read = new byte[Size];
            reader.Read(stream, 0, read);
            Assert.Equal(bytes, read);
        }

        Assert.Empty(store.Verify().Findings);
    }
}
