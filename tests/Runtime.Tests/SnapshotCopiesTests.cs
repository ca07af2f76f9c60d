using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Holdfast.Actors.Protection;
using Holdfast.Runtime.Configuration;
using Holdfast.Runtime.Protection;
using Holdfast.Runtime.Storage;
using Holdfast.Snapshots;
using Holdfast.Snapshots.Tests;

namespace Holdfast.Runtime.Tests;

/// <summary>Copies that policies want: brought to each kind of device, and taken away there.</summary>
public sealed class SnapshotCopiesTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("holdfast-test-").FullName;
    private readonly List<IAsyncDisposable> _servers = [];
    private readonly SnapshotStore _store;
    private SnapshotStore? _node;

    public SnapshotCopiesTests() => _store = SnapshotStore.Open(Path.Combine(_directory, "store"));

    public void Dispose()
    {
        foreach (IAsyncDisposable server in _servers)
        {
            server.DisposeAsync().AsTask().GetAwaiter().GetResult();
        }

        _node?.Dispose();
        _store.Dispose();
        Directory.Delete(_directory, true);
    }

    [Theory]
    [InlineData("directory")]
    [InlineData("node")]
    [InlineData("bucket")]
    public async Task What_no_rule_needs_is_taken_away_with_its_space_and_the_immutable_stays(string kind)
    {
        string[] ids = [.. Enumerable.Range(0, 4).Select(i => Take(i == 1))];
        (string device, DeviceAccess access, Func<long> size) = await DeviceAsync(kind);
        SnapshotCopies copies = new("app", _store, new StoreOptions(), access);
        CopyOutcome first = await copies.CopyAsync(Order(device, ids, []), default);
        Assert.Null(first.Trouble);
        Assert.Empty(first.Before!);
        Assert.Equal(ids, first.Present!);
        long before = size();
        Assert.True(before > 4 * 100_000);

        CopyOutcome second = await copies.CopyAsync(Order(device, [], ids[..3]), default);
        Assert.Null(second.Trouble);
        Assert.Equal(ids, second.Before!);
        Assert.Equal([ids[1], ids[3]], second.Present!);
        Assert.InRange(size(), before - 250_000, before - 200_000);

        // What is only there is seen with its tags, and goes as well.
        foreach (SnapshotInfo snapshot in _store.List("app"))
        {
            _store.Forget(snapshot);
        }

        IReadOnlyList<StoredSnapshot> seen = [];
        CopyOutcome third = await copies.CopyAsync(new CopyOrder(device, null, false, there => new CopyChoice([], [(seen = there)[1].Id])), default);
        Assert.Null(third.Trouble);
        Assert.NotNull(SnapshotPolicyTag.In(seen[0].Tags)?.ImmutableUntil);
        Assert.Equal([ids[1]], third.Present!);
        Assert.InRange(size(), before - 350_000, before - 300_000);
    }

    private static CopyOrder Order(string device, IReadOnlyList<string> send, IReadOnlyList<string> remove) => new(device, null, false, _ => new CopyChoice(send, remove));

    private string Take(bool immutable)
    {
        using SnapshotWriter writer = _store.BeginSnapshot("app", "application");
        writer.Write("memory", 0, RandomNumberGenerator.GetBytes(100_000));
        if (immutable)
        {
            writer.SetTag(SnapshotPolicyTag.Name, new SnapshotPolicyTag { ImmutableUntil = DateTimeOffset.UtcNow.AddDays(1) }.ToTags()[SnapshotPolicyTag.Name]);
        }

        return writer.Commit().Id;
    }

    private async Task<(string Device, DeviceAccess Access, Func<long> Size)> DeviceAsync(string kind)
    {
        string there = Path.Combine(_directory, "there");
        DeviceAccess none = new(null, new TlsFiles(null, null, null), null);
        switch (kind)
        {
            case "node":
                TestCertificates certificates = new();
                _node = SnapshotStore.Open(there);
                Node.StoreServer server = await Node.StoreServer.StartAsync(
                    _node, new System.Net.IPEndPoint(System.Net.IPAddress.Loopback, 0), certificates.Server, certificates.Authority);
                _servers.Add(server);
                using (ECDsa key = certificates.Client.GetECDsaPrivateKey()!)
                {
                    File.WriteAllText(Path.Combine(_directory, "key"), key.ExportPkcs8PrivateKeyPem());
                }

                File.WriteAllText(Path.Combine(_directory, "own"), certificates.Client.ExportCertificatePem());
                File.WriteAllText(Path.Combine(_directory, "ca"), certificates.Authority.ExportCertificatePem());
                return (
                    $"https://localhost:{new Uri(server.Address).Port}",
                    none with { Tls = new TlsFiles(Path.Combine(_directory, "own"), Path.Combine(_directory, "key"), Path.Combine(_directory, "ca")) },
                    () => _node.PackBytes());
            case "bucket":
                S3Server bucket = await S3Server.StartAsync();
                _servers.Add(bucket);
                Environment.SetEnvironmentVariable("AWS_ACCESS_KEY_ID", "key");
                Environment.SetEnvironmentVariable("AWS_SECRET_ACCESS_KEY", "secret");
                return ("s3://bucket/app", none with { Endpoint = bucket.Address }, () => bucket.Objects.Where(o => o.Key.StartsWith("app/packs/", StringComparison.Ordinal)).Sum(o => (long)o.Value.Length));
            default:
                return (there, none, () =>
                {
                    using SnapshotStore store = SnapshotStore.Open(there);
                    return store.PackBytes();
                }
                );
        }
    }
}
