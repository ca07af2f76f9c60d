using System.Collections.Concurrent;
using Xunit.Abstractions;

namespace Holdfast.Snapshots.Tests;

/// <summary>Snapshots are removed on another node, and their space comes back there.</summary>
public sealed class DeviceRemovalTests : IDisposable
{
    private readonly TestDirectory _directory = new();
    private readonly Random _random;

    public DeviceRemovalTests(ITestOutputHelper output) => _random = TestSeed.Begin(output, out _);

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task A_snapshot_is_removed_on_another_node_and_its_space_comes_back()
    {
        using SnapshotStore there = SnapshotStore.Open(_directory["b"]);
        byte[] content = _random.Bytes(2_000_000);
        SnapshotInfo first = Content.Take(there, "o", content);
        SnapshotInfo second = Content.Take(there, "o", _random.Bytes(1_000_000));
        byte[] expected = Content.Of(there, second);
        await using DeviceServer server = await DeviceServer.StartAsync(there);
        await using HttpDevice device = server.Connect();
        long before = there.PackBytes();
        await device.ForgetAsync("o", first.Id, default);
        CollectionReport report = await device.CollectAsync(default);
        Assert.Equal((1, 1), (report.Snapshots, report.PacksRemoved));
        Assert.InRange(report.BytesFreed, 2_000_000, before);
        Assert.Equal(before - report.BytesFreed, there.PackBytes());
        Assert.Equal([second.Id], there.List("o").Select(s => s.Id));
        Assert.Equal(expected, Content.Of(there, second));
        Assert.True(there.Verify().IsSound);
        Assert.Equal("snapshot.unknown", (await Assert.ThrowsAsync<SnapshotStoreException>(() => device.ForgetAsync("o", first.Id, default))).Code);
    }

    [Fact]
    public async Task What_somebody_needs_there_is_refused_with_the_name_of_who()
    {
        using SnapshotStore there = SnapshotStore.Open(_directory["b"]);
        SnapshotInfo pinned = Content.Take(there, "o", _random.Bytes(10_000));
        SnapshotInfo immutable = Content.Take(there, "o", _random.Bytes(10_000));
        await using DeviceServer server = await DeviceServer.StartAsync(there, s => s.Id == immutable.Id ? "it is immutable until then" : null);
        await using HttpDevice device = server.Connect();
        await device.PinAsync("o", pinned.Id, "migration to node 7", default);
        SnapshotStoreException e = await Assert.ThrowsAsync<SnapshotStoreException>(() => device.ForgetAsync("o", pinned.Id, default));
        Assert.Equal("snapshot.pinned", e.Code);
        Assert.Contains("migration to node 7", e.Message, StringComparison.Ordinal);
        e = await Assert.ThrowsAsync<SnapshotStoreException>(() => device.ForgetAsync("o", immutable.Id, default));
        Assert.Equal("snapshot.immutable", e.Code);
        Assert.Contains("immutable until then", e.Message, StringComparison.Ordinal);
        Assert.Equal(2, there.List("o").Count);
    }

    [Fact]
    public async Task The_base_of_a_transfer_that_was_cut_stays_until_the_transfer_has_ended()
    {
        using SnapshotStore here = SnapshotStore.Open(_directory["a"]);
        using SnapshotStore there = SnapshotStore.Open(_directory["b"]);
        byte[] content = _random.Bytes(4_000_000);
        SnapshotInfo first = Content.Take(here, "o", content);
        await using var device = new StoreDevice(there);
        await new Migration(here, device).RunAsync("o");
        _random.NextBytes(content.AsSpan(0, 2_000_000));
        SnapshotInfo second = Content.Take(here, "o", content, first, changed: page => page < 500);
        await Assert.ThrowsAsync<SnapshotStoreException>(
            () => new Migration(here, new CuttingDevice(device, 600_000), new MigrationOptions { Retries = 0 }).RunAsync("o"));
        SnapshotStoreException e = await Assert.ThrowsAsync<SnapshotStoreException>(() => device.ForgetAsync("o", first.Id, default));
        Assert.Equal("snapshot.pinned", e.Code);
        await new Migration(here, device).RunAsync("o");
        await device.ForgetAsync("o", first.Id, default);
        await device.CollectAsync(default);
        Assert.Equal(Content.Of(here, second), Content.Of(there, second));
        Assert.True(there.Verify().IsSound);
    }

    [Fact]
    public async Task Snapshots_come_and_go_at_once_and_none_that_stays_is_harmed()
    {
        using SnapshotStore here = SnapshotStore.Open(_directory["a"]);
        using SnapshotStore there = SnapshotStore.Open(_directory["b"]);
        await using DeviceServer server = await DeviceServer.StartAsync(there);
        await using HttpDevice sending = server.Connect();
        await using HttpDevice removing = server.Connect();
        using var done = new CancellationTokenSource();
        ConcurrentBag<string> refused = [];
        int removed = 0;
        var remover = new Random(_random.Next());
        Task removal = Task.Run(async () =>
        {
            while (!done.IsCancellationRequested)
            {
                IReadOnlyList<SnapshotInfo> list = await removing.ListAsync("o", default);
                if (list.Count > 0)
                {
                    try
                    {
                        await removing.ForgetAsync("o", list[remover.Next(list.Count)].Id, default);
                        removed++;
                    }
                    catch (SnapshotStoreException e)
                    {
                        refused.Add(e.Code);
                    }

                    await removing.CollectAsync(default);
                }
            }
        });
        byte[] content = _random.Bytes(400_000);
        SnapshotInfo? parent = null;
        for (int i = 0; i < 25 || (removed < 5 && !removal.IsCompleted); i++)
        {
            int page = _random.Next(90);
            _random.NextBytes(content.AsSpan(page * 4096, 4096));
            parent = Content.Take(here, "o", content, parent, changed: p => p == page);
            try
            {
                await new Migration(here, sending, new MigrationOptions { Only = [parent.Id] }).RunAsync("o");
            }
            catch (SnapshotStoreException e) when (e.Code is "snapshot.unknown" or "diff.base")
            {
                // Its base went between being chosen and being pinned: the next one goes against another.
            }
        }

        await done.CancelAsync();
        await removal;
        await new Migration(here, sending).RunAsync("o");
        Assert.All(refused, code => Assert.Contains(code, (string[])["snapshot.pinned", "snapshot.unknown"]));
        Assert.All(here.List("o"), s => Assert.Equal(Content.Of(here, s), Content.Of(there, there.Find("o", s.Id))));
        Assert.True(there.Verify().IsSound);
    }
}
