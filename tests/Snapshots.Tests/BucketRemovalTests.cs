using System.Collections.Concurrent;
using Xunit.Abstractions;

namespace Holdfast.Snapshots.Tests;

/// <summary>Snapshots are taken out of a bucket, and the packs that none refers to go: beside those who send.</summary>
public sealed class BucketRemovalTests : IDisposable
{
    private readonly TestDirectory _directory = new();
    private readonly Random _random;

    public BucketRemovalTests(ITestOutputHelper output) => _random = TestSeed.Begin(output, out _);

    public void Dispose() => _directory.Dispose();

    private static List<string> Keys(S3Server server, string prefix) => [.. server.Objects.Keys.Where(k => k.StartsWith(prefix, StringComparison.Ordinal))];

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_snapshot_and_the_packs_that_only_it_needed_leave_the_bucket(bool encrypted)
    {
        StoreKey? key = encrypted ? StoreKey.Generate() : null;
        await using S3Server server = await S3Server.StartAsync();
        using SnapshotStore store = SnapshotStore.Open(_directory["s"], new StoreOptions { Key = key });
        byte[] content = _random.Bytes(1_000_000);
        SnapshotInfo first = Content.Take(store, "o", content);
        _random.NextBytes(content.AsSpan(0, 400_000));
        SnapshotInfo second = Content.Take(store, "o", content, first, changed: page => page < 98);
        _random.NextBytes(content);
        SnapshotInfo third = Content.Take(store, "o", content);
        SnapshotInfo other = Content.Take(store, "another", _random.Bytes(100_000));
        byte[] expected = Content.Of(store, second);
        var mirror = new BucketMirror(server.Connect("p/"));
        await mirror.SendAsync(store, "o");
        await mirror.SendAsync(store, "another");
        Assert.Equal(4, Keys(server, "p/packs/").Count);
        Assert.Empty(Keys(server, "p/leases/"));

        // The one that goes shares a pack with the second; the third has one of its own.
        await mirror.ForgetAsync(store, "o", first.Id);
        Assert.Equal(0, (await mirror.CollectAsync(store)).PacksRemoved);
        await mirror.ForgetAsync(store, "o", third.Id);
        CollectionReport report = await mirror.CollectAsync(store);
        Assert.Equal((2, 1, 0), (report.Snapshots, report.PacksRemoved, report.PacksBusy));
        Assert.InRange(report.BytesFreed, 1_000_000, 1_100_000);
        Assert.Equal((3, 2), (Keys(server, "p/packs/").Count, Keys(server, "p/references/").Count));
        Assert.Empty(Keys(server, "p/leases/"));
        Assert.Equal([second.Id], (await mirror.ListAsync(store, "o")).Select(s => s.Id));
        Assert.Equal("snapshot.unknown", (await Assert.ThrowsAsync<SnapshotStoreException>(() => mirror.ForgetAsync(store, "o", third.Id))).Code);

        // What is only there still: it is listed with all that is known of it, and comes back whole.
        foreach (SnapshotInfo snapshot in (SnapshotInfo[])[first, second, third])
        {
            store.Forget(snapshot);
        }

        store.CollectGarbage();
        Assert.Equal(0, (await mirror.CollectAsync(store)).PacksRemoved);
        SnapshotInfo listed = Assert.Single(await mirror.ListAsync(store, "o"));
        Assert.Equal((second.Id, second.CreatedAt, second.Parent), (listed.Id, listed.CreatedAt, listed.Parent));
        using SnapshotStore back = await mirror.FetchAsync(_directory["back"], new StoreOptions { Key = key }, "o");
        Assert.Equal(expected, Content.Of(back, back.Find("o")));
        Assert.True(back.Verify().IsSound);
    }

    [Fact]
    public async Task Nothing_is_collected_while_somebody_sends_and_a_dead_sender_counts_for_a_day()
    {
        await using S3Server server = await S3Server.StartAsync();
        using SnapshotStore store = SnapshotStore.Open(_directory["s"]);
        SnapshotInfo info = Content.Take(store, "o", _random.Bytes(100_000));
        var mirror = new BucketMirror(server.Connect(string.Empty));
        await mirror.SendAsync(store, "o");
        await mirror.ForgetAsync(store, "o", info.Id);
        server.Objects["leases/send-x"] = [];
        server.Modified["leases/send-x"] = server.Now - TimeSpan.FromHours(23);
        Assert.Equal("device.busy", (await Assert.ThrowsAsync<SnapshotStoreException>(() => mirror.CollectAsync(store))).Code);
        Assert.Single(Keys(server, "packs/"));
        server.Modified["leases/send-x"] = server.Now - TimeSpan.FromHours(25);
        Assert.Equal(1, (await mirror.CollectAsync(store)).PacksRemoved);
        Assert.Empty(Keys(server, "leases/"));
        Assert.Equal(["store"], server.Objects.Keys);
    }

    [Fact]
    public async Task A_pack_that_a_snapshot_on_its_way_relies_on_stays()
    {
        await using S3Server server = await S3Server.StartAsync();
        using SnapshotStore store = SnapshotStore.Open(_directory["s"]);
        byte[] content = _random.Bytes(100_000);
        SnapshotInfo first = Content.Take(store, "o", content);
        var mirror = new BucketMirror(server.Connect(string.Empty));
        await mirror.SendAsync(store, "o");
        SnapshotInfo second = Content.Take(store, "o", content, first, changed: page => page == 0);
        await mirror.ForgetAsync(store, "o", first.Id);

        // The last moment: all packs are there, and the manifest that refers to them is not yet.
        string? refused = null;
        server.Asked = (method, key) =>
        {
            if (method == "PUT" && key.StartsWith("objects/", StringComparison.Ordinal))
            {
                refused = Assert.Throws<SnapshotStoreException>(() => new BucketMirror(server.Connect(string.Empty)).CollectAsync(store).GetAwaiter().GetResult()).Code;
            }
        };
        await mirror.SendAsync(store, "o", new MigrationOptions { Only = [second.Id] });
        Assert.Equal("device.busy", refused);
        using SnapshotStore back = await mirror.FetchAsync(_directory["back"], new StoreOptions(), "o");
        Assert.Equal(Content.Of(store, second), Content.Of(back, Assert.Single(back.List("o"))));
    }

    [Fact]
    public async Task Who_sends_waits_for_the_one_that_collects_and_looks_only_then_what_is_there()
    {
        await using S3Server server = await S3Server.StartAsync();
        using SnapshotStore store = SnapshotStore.Open(_directory["s"]);
        SnapshotInfo info = Content.Take(store, "o", _random.Bytes(100_000));
        var mirror = new BucketMirror(server.Connect(string.Empty));
        await mirror.SendAsync(store, "o");
        string pack = Assert.Single(Keys(server, "packs/"));
        await mirror.ForgetAsync(store, "o", info.Id);

        // Another host collects: it has found the pack to be unneeded.
        server.Objects["leases/collect-x"] = [];
        int looks = 0;
        var waits = new TaskCompletionSource();
        var asked = new ConcurrentQueue<string>();
        server.Asked = (method, key) =>
        {
            asked.Enqueue(key);
            if (method == "GET" && key == "leases/" && ++looks == 3)
            {
                waits.TrySetResult();
            }
        };
        Task sending = mirror.SendAsync(store, "o");
        await waits.Task;
        Assert.False(sending.IsCompleted);
        Assert.DoesNotContain("packs/", asked);
        server.Objects.TryRemove(pack, out _);
        server.Objects.TryRemove("leases/collect-x", out _);
        await sending;
        Assert.Equal([pack], Keys(server, "packs/"));
        using SnapshotStore back = await mirror.FetchAsync(_directory["back"], new StoreOptions(), "o");
        Assert.Equal(Content.Of(store, info), Content.Of(back, back.Find("o")));
    }

    [Fact]
    public async Task What_a_snapshot_refers_to_is_found_in_the_store_or_nothing_is_collected()
    {
        await using S3Server server = await S3Server.StartAsync();
        using SnapshotStore store = SnapshotStore.Open(_directory["s"]);
        SnapshotInfo kept = Content.Take(store, "o", _random.Bytes(100_000));
        SnapshotInfo gone = Content.Take(store, "o", _random.Bytes(100_000));
        var mirror = new BucketMirror(server.Connect(string.Empty));
        await mirror.SendAsync(store, "o");

        // As an older version left it.
        Keys(server, "references/").ForEach(k => server.Objects.TryRemove(k, out _));
        await mirror.ForgetAsync(store, "o", gone.Id);
        Assert.Equal(1, (await mirror.CollectAsync(store)).PacksRemoved);
        store.Forget(kept);
        SnapshotStoreException e = await Assert.ThrowsAsync<SnapshotStoreException>(() => mirror.CollectAsync(store));
        Assert.Equal("device.references", e.Code);
        Assert.Contains(kept.Id, e.Message, StringComparison.Ordinal);
        Assert.Single(Keys(server, "packs/"));
        Assert.Empty(Keys(server, "leases/"));
    }

    [Fact]
    public async Task Snapshots_come_and_go_at_once_and_none_that_stays_lacks_a_pack()
    {
        await using S3Server server = await S3Server.StartAsync();
        using SnapshotStore store = SnapshotStore.Open(_directory["s"]);
        var sending = new BucketMirror(server.Connect(string.Empty));
        var removing = new BucketMirror(server.Connect(string.Empty));
        using var done = new CancellationTokenSource();
        var remover = new Random(_random.Next());
        int collected = 0;
        Task removal = Task.Run(async () =>
        {
            while (!done.IsCancellationRequested)
            {
                try
                {
                    IReadOnlyList<SnapshotInfo> there = await removing.ListAsync(store, "o");
                    if (there.Count > 1)
                    {
                        await removing.ForgetAsync(store, "o", there[remover.Next(there.Count - 1)].Id);
                    }

                    collected += (await removing.CollectAsync(store)).PacksRemoved;
                }
                catch (SnapshotStoreException e) when (e.Code == "device.busy")
                {
                    // Somebody sends: the next time.
                }
            }
        });

        // Few contents that come again: what is sent now may be what is being collected.
        byte[][] contents = [.. Enumerable.Range(0, 4).Select(_ => _random.Bytes(50_000))];
        var options = new SnapshotWriterOptions { Deduplicate = true };
        for (int i = 0; i < 40 || (collected < 5 && !removal.IsCompleted); i++)
        {
            SnapshotInfo taken = Content.Take(store, "o", contents[_random.Next(contents.Length)], null, options);
            await sending.SendAsync(store, "o", new MigrationOptions { Only = [taken.Id] });
        }

        await done.CancelAsync();
        await removal;
        using SnapshotStore back = await sending.FetchAsync(_directory["back"], new StoreOptions(), "o");
        Assert.NotEmpty(back.List("o"));
        Assert.All(back.List("o"), s => Assert.Equal(Content.Of(store, s), Content.Of(back, s)));
        Assert.True(back.Verify().IsSound);
    }
}
