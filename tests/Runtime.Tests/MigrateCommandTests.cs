using System.Diagnostics;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text.Json;
using Holdfast.Snapshots.Tests;

namespace Holdfast.Runtime.Tests;

/// <summary>Migration through the program: to a directory, a node, a bucket, and back.</summary>
public sealed class MigrateCommandTests : IDisposable
{
    private readonly HoldfastProgram _holdfast = new();
    private readonly string _disk;

    public MigrateCommandTests()
    {
        _disk = _holdfast.File("disk");
        byte[] content = RandomNumberGenerator.GetBytes(100 * 4096);
        for (int i = 0; i < 3; i++)
        {
            RandomNumberGenerator.Fill(content.AsSpan(i * 4096, 4096));
            File.WriteAllBytes(_disk, content);
            _holdfast.Run("snapshot", _disk, "--name", "vm", "--image").Succeeds();
        }
    }

    public void Dispose() => _holdfast.Dispose();

    private static int Count(Outcome snapshots) => snapshots.Succeeds().JsonLines.Count;

    private void IsThere(string store, int snapshots)
    {
        Assert.Equal(snapshots, Count(_holdfast.Run("--store", store, "-o", "json", "snapshots", "vm")));
        _holdfast.Run("--store", store, "verify").Succeeds();
        string back = _holdfast.File($"back-{Guid.NewGuid():N}");
        _holdfast.Run("--store", store, "restore", "vm", "--to", back).Succeeds();
        Assert.Equal(File.ReadAllBytes(_disk), File.ReadAllBytes(back));
    }

    [Fact]
    public void To_a_directory_with_a_plan_and_nothing_twice()
    {
        string to = _holdfast.File("copy");
        IReadOnlyList<JsonElement> plan = _holdfast.Run("-o", "json", "migrate", "vm", "--to", to, "--plan").Succeeds().JsonLines;
        Assert.Equal(4, plan.Count);
        Assert.Equal(3, plan[3].GetProperty("snapshots").GetInt32());
        Assert.False(Directory.Exists(to));
        _holdfast.Run("migrate", "vm@2nd", "--to", to).Succeeds();
        plan = _holdfast.Run("-o", "json", "migrate", "vm", "--to", to, "--plan").Succeeds().JsonLines;
        Assert.Equal(3, plan.Count);
        Assert.All(plan.Take(2), step => Assert.False(string.IsNullOrEmpty(step.GetProperty("reason").GetString())));
        Assert.Equal(1, plan[2].GetProperty("alreadyThere").GetInt32());
        Assert.Equal(1, Count(_holdfast.Run("--store", to, "-o", "json", "snapshots", "vm")));

        IReadOnlyList<JsonElement> sent = _holdfast.Run("-o", "json", "migrate", "vm", "--to", to, "--parallel", "2", "--limit", "100MB").Succeeds().JsonLines;
        Assert.Equal(2, sent[^1].GetProperty("snapshots").GetInt32());
        Assert.InRange(sent[^1].GetProperty("bytesSent").GetInt64(), 2 * 4096, 40_000);
        IsThere(to, 3);
        Assert.Equal(0, _holdfast.Run("-o", "json", "migrate", "vm", "--to", to).Succeeds().JsonLines[^1].GetProperty("bytesSent").GetInt64());
    }

    [Fact]
    public void Backwards_with_the_present_state_which_is_no_snapshot_here()
    {
        byte[] content = File.ReadAllBytes(_disk);
        RandomNumberGenerator.Fill(content.AsSpan(50 * 4096, 4096));
        File.WriteAllBytes(_disk, content);

        IReadOnlyList<JsonElement> sent = _holdfast.Run("-o", "json", "migrate", "vm", "--to", _holdfast.File("copy"), "--reverse", "--live").Succeeds().JsonLines;

        Assert.Equal(4, sent[^1].GetProperty("snapshots").GetInt32());
        Assert.True(sent[0].GetProperty("bytesSent").GetInt64() > 90 * 4096);
        Assert.All(sent.Skip(1).Take(3), s => Assert.InRange(s.GetProperty("bytesSent").GetInt64(), 1, 40_000));
        IsThere(_holdfast.File("copy"), 4);
        Assert.Equal(3, Count(_holdfast.Run("-o", "json", "snapshots", "vm")));
    }

    [Fact]
    public void Back_from_a_directory_and_into_an_encrypted_one()
    {
        _holdfast.Run("new-key", _holdfast.File("key")).Succeeds();
        _holdfast.Run("migrate", "vm", "--to", _holdfast.File("locked"), "--device-key", _holdfast.File("key")).Succeeds();
        Assert.Equal(1, _holdfast.Run("--store", _holdfast.File("locked"), "verify").Status);

        _holdfast.Run("--store", _holdfast.File("third"), "migrate", "vm", "--from", _holdfast.File("locked"), "--device-key", _holdfast.File("key")).Succeeds();

        IsThere(_holdfast.File("third"), 3);
    }

    [Fact]
    public async Task To_a_node_and_back_from_it_with_certificates_only()
    {
        using TestCertificates certificates = new();
        string[] client = Pem(certificates, certificates.Client, "client");
        string[] server = Pem(certificates, certificates.Server, "server");
        using Process node = _holdfast.Start(["--store", _holdfast.File("node"), "-o", "json", "node", "--listen", "127.0.0.1:0", .. server]);
        try
        {
            string line = await node.StandardOutput.ReadLineAsync() ?? await node.StandardError.ReadToEndAsync();
            string port = new Uri(JsonDocument.Parse(line).RootElement.GetProperty("address").GetString()!).Port.ToString();
            string address = $"https://localhost:{port}";

            Assert.Equal(3, _holdfast.Run(["-o", "json", "migrate", "vm", "--to", address, .. client]).Succeeds().JsonLines[^1].GetProperty("snapshots").GetInt32());
            IsThere(_holdfast.File("node"), 3);
            _holdfast.Run(["--store", _holdfast.File("third"), "migrate", "vm", "--from", address, .. client]).Succeeds();
            IsThere(_holdfast.File("third"), 3);

            // A snapshot is deleted there, and only there; its space comes back.
            Assert.Equal(3, _holdfast.Run(["-o", "json", "migrate", "vm", "--to", address, "--plan", .. client]).Succeeds().JsonLines[^1].GetProperty("alreadyThere").GetInt32());
            JsonElement gone = Assert.Single(_holdfast.Run(["-o", "json", "forget", "vm@1st", "--on", address, .. client]).Succeeds().JsonLines);
            Assert.Equal(_holdfast.Run("-o", "json", "snapshots", "vm").JsonLines[0].GetProperty("snapshot").GetString(), gone.GetProperty("snapshot").GetString());
            Assert.True(_holdfast.Run(["-o", "json", "gc", "--on", address, .. client]).Succeeds().JsonLines[^1].GetProperty("bytesFreed").GetInt64() >= 4096);
            IsThere(_holdfast.File("node"), 2);
            Assert.Equal(3, Count(_holdfast.Run("-o", "json", "snapshots", "vm")));

            using TestCertificates strangers = new();
            string[] stranger = [.. Pem(strangers, strangers.Client, "stranger")[..4], "--authority", client[5]];
            Outcome refused = _holdfast.Run(["-o", "json", "migrate", "vm", "--to", address, .. stranger]);
            Assert.Contains(refused.Status, (int[])[3, 4]);
            Assert.Contains(_holdfast.Run(["forget", "vm@1st", "--on", address, .. stranger]).Status, (int[])[3, 4]);
            IsThere(_holdfast.File("node"), 2);
            Outcome absent = _holdfast.Run(["-o", "json", "migrate", "vm", "--to", "https://localhost:1", .. client]);
            Assert.Equal(3, absent.Status);
            Assert.Equal("device.unreachable", absent.JsonLines[^1].GetProperty("error").GetString());
        }
        finally
        {
            Process.Start("kill", $"{node.Id}").WaitForExit();
            node.WaitForExit();
        }

        Assert.Equal(0, node.ExitCode);
    }

    [Fact]
    public async Task To_a_bucket_and_back_from_it()
    {
        await using S3Server bucket = await S3Server.StartAsync();
        _holdfast.Environment["AWS_ACCESS_KEY_ID"] = "key";
        _holdfast.Environment["AWS_SECRET_ACCESS_KEY"] = "secret";
        _holdfast.Environment["AWS_ENDPOINT_URL"] = bucket.Address;

        Assert.Equal(4, _holdfast.Run("-o", "json", "migrate", "vm", "--to", "s3://bucket/site", "--plan").Succeeds().JsonLines.Count);
        Assert.Empty(bucket.Objects);
        Assert.Equal(3, _holdfast.Run("-o", "json", "migrate", "vm", "--to", "s3://bucket/site").Succeeds().JsonLines[^1].GetProperty("snapshots").GetInt32());
        Assert.Equal(0, _holdfast.Run("-o", "json", "migrate", "vm", "--to", "s3://bucket/site").Succeeds().JsonLines[^1].GetProperty("snapshots").GetInt32());
        File.AppendAllText(_disk, "tail");
        Assert.Equal(1, _holdfast.Run("-o", "json", "migrate", "live:vm", "--to", "s3://bucket/site").Succeeds().JsonLines[^1].GetProperty("snapshots").GetInt32());

        // Into a store that is none yet, which becomes the bucket's; and into one of its own.
        _holdfast.Run("--store", _holdfast.File("same"), "migrate", "vm", "--from", "s3://bucket/site").Succeeds();
        IsThere(_holdfast.File("same"), 4);
        _holdfast.Run("--store", _holdfast.File("own"), "snapshot", _disk, "--name", "other").Succeeds();
        _holdfast.Run("--store", _holdfast.File("own"), "migrate", "vm", "--from", "s3://bucket/site").Succeeds();
        IsThere(_holdfast.File("own"), 4);

        // A snapshot that was forgotten, and whose bytes were given back, comes back whole.
        foreach (JsonElement one in _holdfast.Run("-o", "json", "snapshots", "vm").JsonLines)
        {
            _holdfast.Run("forget", $"vm@{one.GetProperty("snapshot").GetString()}").Succeeds();
        }

        _holdfast.Run("gc").Succeeds();
        _holdfast.Run("migrate", "vm", "--from", "s3://bucket/site").Succeeds();
        IsThere(_holdfast.Store, 4);
    }

    [Fact]
    public async Task Snapshots_are_deleted_in_a_bucket_and_their_packs_go()
    {
        await using S3Server bucket = await S3Server.StartAsync();
        _holdfast.Environment["AWS_ACCESS_KEY_ID"] = "key";
        _holdfast.Environment["AWS_SECRET_ACCESS_KEY"] = "secret";
        _holdfast.Environment["AWS_ENDPOINT_URL"] = bucket.Address;
        _holdfast.Run("migrate", "vm", "--to", "s3://bucket/site").Succeeds();
        int Packs() => bucket.Objects.Keys.Count(k => k.StartsWith("site/packs/", StringComparison.Ordinal));
        Assert.Equal(3, Packs());
        _holdfast.Run("forget", "vm@1st", "vm@latest", "--on", "s3://bucket/site").Succeeds();
        _holdfast.Run("gc", "--on", "s3://bucket/site").Succeeds();

        // The second still needs most of the first one's pack.
        Assert.Equal(2, Packs());
        _holdfast.Run("--store", _holdfast.File("same"), "migrate", "vm", "--from", "s3://bucket/site").Succeeds();
        Assert.Equal(1, Count(_holdfast.Run("--store", _holdfast.File("same"), "-o", "json", "snapshots", "vm")));
        _holdfast.Run("--store", _holdfast.File("same"), "verify").Succeeds();
        Assert.Equal(3, Count(_holdfast.Run("-o", "json", "snapshots", "vm")));
        _holdfast.Run("forget", "vm@latest", "--on", "s3://bucket/site").Succeeds();
        _holdfast.Run("gc", "--on", "s3://bucket/site").Succeeds();
        Assert.Equal(0, Packs());
        Assert.Equal(2, _holdfast.Run("forget", "vm@1st", "--on", "s3://bucket/site", "--pinned").Status);
        Assert.Equal(1, _holdfast.Run("forget", "vm@1st", "--on", "s3://bucket/site").Status);
    }

    private string[] Pem(TestCertificates certificates, X509Certificate2 own, string name)
    {
        File.WriteAllText(_holdfast.File($"{name}.pem"), own.ExportCertificatePem());
        using ECDsa key = own.GetECDsaPrivateKey()!;
        File.WriteAllText(_holdfast.File($"{name}.key"), key.ExportPkcs8PrivateKeyPem());
        File.WriteAllText(_holdfast.File($"{name}-ca.pem"), certificates.Authority.ExportCertificatePem());
        return ["--certificate", _holdfast.File($"{name}.pem"), "--private-key", _holdfast.File($"{name}.key"), "--authority", _holdfast.File($"{name}-ca.pem")];
    }
}
