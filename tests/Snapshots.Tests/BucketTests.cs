using Xunit.Abstractions;

namespace Holdfast.Snapshots.Tests;

public sealed class BucketTests : IDisposable
{
    private readonly TestDirectory _directory = new();
    private readonly Random _random;

    public BucketTests(ITestOutputHelper output) => _random = TestSeed.Begin(output, out _);

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Snapshots_go_to_a_bucket_once_and_come_back_as_a_store(bool encrypted)
    {
        StoreKey? key = encrypted ? StoreKey.Generate() : null;
        await using S3Server server = await S3Server.StartAsync();
        using SnapshotStore store = SnapshotStore.Open(_directory["s"], new StoreOptions { Key = key });
        byte[] content = _random.Bytes(2_000_000);
        SnapshotInfo first = Content.Take(store, "o", content);
        var mirror = new BucketMirror(server.Connect("backup/"));
        Assert.True((await mirror.SendAsync(store, "o")).BytesSent > 2_000_000);
        _random.NextBytes(content.AsSpan(0, 4096));
        SnapshotInfo second = Content.Take(store, "o", content, first, changed: page => page == 0);
        MigrationReport report = await mirror.SendAsync(store, "o", MigrationOrder.Reverse);
        Assert.Equal(1, report.Snapshots);
        Assert.InRange(report.BytesSent, 4096, 60_000);
        Assert.Equal(0, (await mirror.SendAsync(store, "o")).Snapshots);

        using SnapshotStore back = await mirror.FetchAsync(_directory["back"], new StoreOptions { Key = key }, "o", [second.Id]);
        Assert.Equal([second.Id], back.List("o").Select(s => s.Id));
        Assert.Equal(Content.Of(store, second), Content.Of(back, second));
        using SnapshotStore more = await mirror.FetchAsync(_directory["back"], new StoreOptions { Key = key }, "o");
        Assert.Equal(2, more.List("o").Count);
        Assert.True(more.Verify().IsSound);

        using SnapshotStore other = SnapshotStore.Open(_directory["other"]);
        Content.Take(other, "o", content);
        Assert.Equal("device.other", (await Assert.ThrowsAsync<SnapshotStoreException>(() => mirror.SendAsync(other, "o"))).Code);
    }

    [Fact]
    public async Task A_bucket_that_cannot_be_reached_is_an_error()
    {
        S3Server server = await S3Server.StartAsync();
        await using S3Container container = server.Connect(string.Empty);
        await server.DisposeAsync();
        using SnapshotStore store = SnapshotStore.Open(_directory["s"]);
        Content.Take(store, "o", new byte[10]);
        Assert.Equal("device.unreachable", (await Assert.ThrowsAsync<SnapshotStoreException>(() => new BucketMirror(container).SendAsync(store, "o"))).Code);
    }
}
