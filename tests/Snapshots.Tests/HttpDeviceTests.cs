using System.Security.Authentication;
using Xunit.Abstractions;

namespace Holdfast.Snapshots.Tests;

public sealed class HttpDeviceTests : IDisposable
{
    private readonly TestDirectory _directory = new();
    private readonly ITestOutputHelper _output;
    private readonly Random _random;

    public HttpDeviceTests(ITestOutputHelper output)
    {
        _output = output;
        _random = TestSeed.Begin(output, out _);
    }

    public void Dispose() => _directory.Dispose();

    private List<SnapshotInfo> Chain(SnapshotStore store, int count, int pages, int changes, SnapshotWriterOptions? options = null)
    {
        byte[] content = _random.Bytes(pages * 4096);
        var chain = new List<SnapshotInfo>();
        for (int i = 0; i < count; i++)
        {
            var changed = new HashSet<int>();
            for (int change = 0; change < changes; change++)
            {
                int page = _random.Next(pages);
                changed.Add(page);
                _random.NextBytes(content.AsSpan(page * 4096, 4096));
            }

            chain.Add(Content.Take(store, "a b/c", content, chain.LastOrDefault(), options, changed.Contains));
        }

        return chain;
    }

    [Fact]
    public async Task A_chain_goes_to_another_node_and_comes_back_from_it()
    {
        using SnapshotStore source = SnapshotStore.Open(_directory["a"]);
        using SnapshotStore target = SnapshotStore.Open(_directory["b"], new StoreOptions { Key = StoreKey.Generate() });
        List<SnapshotInfo> chain = Chain(source, 5, 500, 20, new SnapshotWriterOptions { Compression = Compression.Zstd, Deduplicate = true });
        await using DeviceServer server = await DeviceServer.StartAsync(target);
        await using HttpDevice device = server.Connect();
        MigrationReport report = await new Migration(source, device).RunAsync("a b/c");
        Assert.Equal(5, report.Snapshots);
        Assert.Equal(["a b/c"], await device.ObjectsAsync(default));
        Assert.All(chain, info => Assert.Equal(Content.Of(source, info), Content.Of(target, target.Find(info.Object, info.Id))));

        using SnapshotStore third = SnapshotStore.Open(_directory["c"]);
        foreach (SnapshotInfo info in await device.ListAsync("a b/c", default))
        {
            string? from = third.List(info.Object).LastOrDefault()?.Id;
            await using Stream difference = await device.OpenDifferenceAsync(info.Object, from, info.Id, default);
            await DifferenceFile.ApplyAsync(third, difference);
        }

        Assert.All(chain, info => Assert.Equal(Content.Of(source, info), Content.Of(third, third.Find(info.Object, info.Id))));
        byte[] part = new byte[10_000];
        await device.ReadAsync("a b/c", chain[2].Id, "data", 5000, part, default);
        using SnapshotReader reader = source.OpenSnapshot(chain[2]);
        byte[] expected = new byte[10_000];
        reader.Read("data", 5000, expected);
        Assert.Equal(expected, part);
        SnapshotStoreException e = await Assert.ThrowsAsync<SnapshotStoreException>(() => device.DigestAsync("a b/c", "00000000000", default));
        Assert.Equal("snapshot.unknown", e.Code);
    }

    [Fact]
    public async Task Contents_that_the_destination_has_are_not_sent_again()
    {
        using SnapshotStore source = SnapshotStore.Open(_directory["a"]);
        using SnapshotStore target = SnapshotStore.Open(_directory["b"]);
        var options = new SnapshotWriterOptions { Deduplicate = true };
        byte[] content = _random.Bytes(2_000_000);
        Content.Take(target, "another", content, null, options);
        using (SnapshotWriter writer = source.BeginSnapshot("o", "block", null, options))
        {
            writer.Write("data", 0, content);
            writer.Commit();
        }

        using (SnapshotWriter writer = target.BeginSnapshot("more", "block", null, options))
        {
            writer.Write("data", 0, content);
            writer.Commit();
        }

        await using DeviceServer server = await DeviceServer.StartAsync(target);
        await using HttpDevice device = server.Connect();
        MigrationReport report = await new Migration(source, device).RunAsync("o");
        Assert.True(report.BytesSent < 20_000, $"{report.BytesSent}");
        Assert.Equal(Content.Of(source, source.Find("o")), Content.Of(target, target.Find("o")));
    }

    [Fact]
    public async Task A_connection_that_is_cut_twenty_times_stores_no_record_twice_and_sends_only_what_was_not_acknowledged_again()
    {
        const int Cuts = 20;
        using SnapshotStore source = SnapshotStore.Open(_directory["a"]);
        using SnapshotStore target = SnapshotStore.Open(_directory["b"]);
        List<SnapshotInfo> chain = Chain(source, 4, 4000, 800);
        await using DeviceServer server = await DeviceServer.StartAsync(target);
        long uncut = await BytesWithoutCutsAsync(source);
        await using var proxy = new CuttingProxy(server.Port, Cuts, () => _random.Next(1_200_000, 1_600_000));
        await using HttpDevice device = server.Connect(proxy.Port);
        MigrationReport report = await new Migration(source, device, new MigrationOptions { Retries = 100, UnacknowledgedBytes = SendWindow.Smallest }).RunAsync("a b/c");
        _output.WriteLine($"{report}; cuts left {proxy.CutsLeft}; on the wire {proxy.BytesFromClients}, without cuts {uncut}: {(proxy.BytesFromClients - uncut) / Cuts} more for each cut");
        Assert.True(proxy.CutsLeft <= 0);
        Assert.Equal(0, server.Device.Duplicates.Value);

        // What is lost with a connection is the window and one record, beside what a new connection says before it goes on.
        long most = uncut + (Cuts * (SendWindow.Smallest + (256 * 1024) + (32 * 1024)));
        Assert.InRange(proxy.BytesFromClients, uncut, most);
        Assert.InRange(report.BytesSent, 1, most);
        Assert.All(chain, info => Assert.Equal(Content.Of(source, info), Content.Of(target, target.Find(info.Object, info.Id))));
        Assert.InRange(target.PackBytes(), 1, (long)((4000 + (3 * 800)) * 4096 * 1.05));
        Assert.Empty(target.Verify().Findings);
    }

    private async Task<long> BytesWithoutCutsAsync(SnapshotStore source)
    {
        using SnapshotStore target = SnapshotStore.Open(_directory["uncut"]);
        await using DeviceServer server = await DeviceServer.StartAsync(target);
        await using var proxy = new CuttingProxy(server.Port, 0, () => 0);
        await using HttpDevice device = server.Connect(proxy.Port);
        await new Migration(source, device).RunAsync("a b/c");
        return proxy.BytesFromClients;
    }

    [Fact]
    public async Task A_client_or_server_without_the_right_certificate_is_refused()
    {
        using SnapshotStore target = SnapshotStore.Open(_directory["b"]);
        await using DeviceServer server = await DeviceServer.StartAsync(target);
        using var other = new TestCertificates();
        foreach (SocketsHttpHandler handler in (SocketsHttpHandler[])
            [HttpDevice.Handler(other.Client, server.Certificates.Authority), HttpDevice.Handler(server.Certificates.Client, other.Authority)])
        {
            await using var device = new HttpDevice(new Uri($"https://localhost:{server.Port}"), handler);
            SnapshotStoreException e = await Assert.ThrowsAsync<SnapshotStoreException>(() => device.ObjectsAsync(default));
            Assert.True(e.Code is "device.certificate" or "device.unreachable", e.Code);
            Assert.True(e.InnerException!.InnerException is AuthenticationException or IOException, e.ToString());
        }
    }
}
