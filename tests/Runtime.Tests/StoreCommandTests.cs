using System.Diagnostics;
using System.Security.Cryptography;
using System.Text.Json;

namespace Holdfast.Runtime.Tests;

/// <summary>Directories, files and images through the program: snapshot, restore, diff, apply, keys, quota, rebuild, repair.</summary>
public sealed class StoreCommandTests : IDisposable
{
    private readonly HoldfastProgram _holdfast = new();
    private readonly string _tree;

    public StoreCommandTests()
    {
        _tree = _holdfast.File("tree");
        Directory.CreateDirectory(Path.Combine(_tree, "sub"));
        File.WriteAllText(Path.Combine(_tree, "a"), "first");
        File.WriteAllBytes(Path.Combine(_tree, "sub", "b"), RandomNumberGenerator.GetBytes(300_000));
        File.CreateSymbolicLink(Path.Combine(_tree, "link"), "sub/b");
    }

    public void Dispose() => _holdfast.Dispose();

    [Fact]
    public void A_directory_is_kept_and_put_back()
    {
        JsonElement first = _holdfast.Run("-o", "json", "snapshot", _tree, "--name", "data", "--tag", "release=7").Succeeds().Json;
        File.AppendAllText(Path.Combine(_tree, "a"), " and more");
        JsonElement second = _holdfast.Run("-o", "json", "snapshot", _tree, "--name", "data").Succeeds().Json;

        Assert.Equal("tree", first.GetProperty("kind").GetString());
        Assert.Equal(first.GetProperty("snapshot").GetString(), second.GetProperty("parent").GetString());
        Assert.InRange(second.GetProperty("bytesStored").GetInt64(), 1, 20_000);
        _holdfast.Run("restore", "data@1st", "--to", _holdfast.File("old")).Succeeds();
        _holdfast.Run("restore", "data", "--to", _holdfast.File("new")).Succeeds();
        Assert.Equal("first", File.ReadAllText(_holdfast.File("old/a")));
        Assert.Equal("first and more", File.ReadAllText(_holdfast.File("new/a")));
        Assert.Equal(File.ReadAllBytes(Path.Combine(_tree, "sub/b")), File.ReadAllBytes(_holdfast.File("new/link")));
        Assert.Equal("sub/b", new FileInfo(_holdfast.File("new/link")).LinkTarget);
        Assert.Equal(2, _holdfast.Run("-o", "json", "snapshots", "data").Succeeds().JsonLines.Count);
        JsonElement listed = Assert.Single(_holdfast.Run("-o", "json", "list").Succeeds().JsonLines);
        Assert.Equal("stored", listed.GetProperty("state").GetString());
    }

    [Theory]
    [InlineData("--image", "block")]
    [InlineData(null, "tree")]
    public void A_file_or_an_image_is_kept_and_put_back(string? option, string kind)
    {
        byte[] content = RandomNumberGenerator.GetBytes(1_000_000);
        content.AsSpan(200_000, 300_000).Clear();
        File.WriteAllBytes(_holdfast.File("disk"), content);
        string[] line = option is null ? ["-o", "json", "snapshot", _holdfast.File("disk"), "--name", "disk"] : ["-o", "json", "snapshot", _holdfast.File("disk"), "--name", "disk", option];
        JsonElement taken = _holdfast.Run(line).Succeeds().Json;

        Assert.Equal(kind, taken.GetProperty("kind").GetString());
        _holdfast.Run("restore", "disk", "--to", _holdfast.File("back")).Succeeds();
        Assert.Equal(content, File.ReadAllBytes(_holdfast.File("back")));
    }

    [Fact]
    public void A_difference_is_shown_by_stream_also_to_the_present_state()
    {
        File.WriteAllBytes(_holdfast.File("disk"), new byte[8].Concat(RandomNumberGenerator.GetBytes(40 * 4096 - 8)).ToArray());
        _holdfast.Run("snapshot", _holdfast.File("disk"), "--name", "d", "--image").Succeeds();
        using (FileStream disk = File.OpenWrite(_holdfast.File("disk")))
        {
            disk.Position = 3 * 4096;
            disk.Write(RandomNumberGenerator.GetBytes(2 * 4096));
            disk.Position = 40 * 4096;
            disk.Write(RandomNumberGenerator.GetBytes(4096));
        }

        JsonElement live = _holdfast.Run("-o", "json", "diff", "d", "live:d").Succeeds().Json;
        Assert.Equal(8192, live.GetProperty("bytesChanged").GetInt64());
        Assert.Equal(4096, live.GetProperty("bytesAdded").GetInt64());
        JsonElement stream = Assert.Single(live.GetProperty("streams").EnumerateArray());
        Assert.Equal("data", stream.GetProperty("stream").GetString());
        Assert.Equal(38 * 4096, stream.GetProperty("bytesSame").GetInt64());
        Assert.Single(_holdfast.Run("-o", "json", "snapshots", "d").JsonLines);

        _holdfast.Run("snapshot", _holdfast.File("disk"), "--name", "d", "--image").Succeeds();
        JsonElement back = _holdfast.Run("-o", "json", "diff", "d", "d@1st").Succeeds().Json;
        Assert.Equal(4096, back.GetProperty("bytesRemoved").GetInt64());
        Assert.Contains("CHANGED", _holdfast.Run("diff", "d@1st", "d").Succeeds().Output);
    }

    [Fact]
    public void A_difference_goes_to_another_store_in_files_and_only_onto_its_base()
    {
        string first = _holdfast.Run("-o", "json", "snapshot", _tree, "--name", "data").Succeeds().Json.GetProperty("snapshot").GetString()!;
        File.AppendAllText(Path.Combine(_tree, "a"), " changed");
        _holdfast.Run("snapshot", _tree, "--name", "data").Succeeds();
        File.WriteAllText(Path.Combine(_tree, "c"), "live");
        _holdfast.Run("diff", "data@1st", "--to", _holdfast.File("full")).Succeeds();
        _holdfast.Run("diff", "data@1st", "data", "--to", _holdfast.File("step")).Succeeds();
        _holdfast.Run("diff", "data", "live:data", "--to", _holdfast.File("live")).Succeeds();
        string other = _holdfast.File("other");

        Outcome wrong = _holdfast.Run("--store", other, "-o", "json", "apply", _holdfast.File("step"));
        Assert.Equal(1, wrong.Status);
        Assert.Equal("diff.base", wrong.Json.GetProperty("error").GetString());
        Assert.Contains(first, wrong.Errors);
        foreach (string file in (string[])["full", "step", "live", "live"])
        {
            _holdfast.Run("--store", other, "apply", _holdfast.File(file)).Succeeds();
        }

        Assert.Equal(3, _holdfast.Run("--store", other, "-o", "json", "snapshots", "data").JsonLines.Count);
        _holdfast.Run("--store", other, "restore", "data", "--to", _holdfast.File("there")).Succeeds();
        Assert.Equal("live", File.ReadAllText(_holdfast.File("there/c")));
        byte[] damaged = File.ReadAllBytes(_holdfast.File("full"));
        damaged[damaged.Length / 2] ^= 1;
        File.WriteAllBytes(_holdfast.File("damaged"), damaged);
        Assert.Equal("snapshot.damaged", _holdfast.Run("--store", _holdfast.File("third"), "-o", "json", "apply", _holdfast.File("damaged")).Json.GetProperty("error").GetString());
    }

    [Fact]
    public void An_encrypted_store_opens_with_its_key_alone_and_the_key_can_be_changed()
    {
        _holdfast.Run("new-key", _holdfast.File("k1")).Succeeds();
        _holdfast.Run("new-key", _holdfast.File("k2")).Succeeds();
        _holdfast.Run("--key", _holdfast.File("k1"), "snapshot", _tree, "--name", "secret-name").Succeeds();

        Assert.Equal(UnixFileMode.UserRead | UnixFileMode.UserWrite, File.GetUnixFileMode(_holdfast.File("k1")));
        Assert.Equal("store.key", _holdfast.Run("-o", "json", "snapshots", "secret-name").Json.GetProperty("error").GetString());
        Assert.Equal("store.key", _holdfast.Run("--key", _holdfast.File("k2"), "-o", "json", "verify").Json.GetProperty("error").GetString());
        Assert.DoesNotContain(
            Directory.EnumerateFiles(_holdfast.Store, "*", SearchOption.AllDirectories),
            f => f.Contains("secret") || File.ReadAllText(f, System.Text.Encoding.Latin1) is var text && (text.Contains("secret-name") || text.Contains("sub/b") || text.Contains(_tree)));
        _holdfast.Run("--key", _holdfast.File("k1"), "rotate-key", _holdfast.File("k2")).Succeeds();
        Assert.Equal("store.key", _holdfast.Run("--key", _holdfast.File("k1"), "-o", "json", "verify").Json.GetProperty("error").GetString());
        _holdfast.Environment["HOLDFAST_KEY_FILE"] = _holdfast.File("k2");
        _holdfast.Run("verify").Succeeds();
        _holdfast.Run("restore", "secret-name", "--to", _holdfast.File("back")).Succeeds();
        Assert.Equal("first", File.ReadAllText(_holdfast.File("back/a")));
    }

    [Fact]
    public void A_quota_and_a_key_come_from_the_configuration()
    {
        _holdfast.Run("new-key", _holdfast.File("key")).Succeeds();
        Directory.CreateDirectory(_holdfast.Store);
        File.WriteAllText(Path.Combine(_holdfast.Store, "holdfast.conf"), $"holdfast.store {{ quota = 200KiB, key-file = \"{_holdfast.File("key")}\" }}");

        Outcome outcome = _holdfast.Run("-o", "json", "snapshot", _tree, "--name", "data");

        Assert.Equal(1, outcome.Status);
        Assert.Equal("store.quota", outcome.Json.GetProperty("error").GetString());
        _holdfast.Run("snapshot", Path.Combine(_tree, "a"), "--name", "small").Succeeds();
        _holdfast.Run("verify").Succeeds();
        File.Delete(Path.Combine(_holdfast.Store, "holdfast.conf"));
        Assert.Equal("store.key", _holdfast.Run("-o", "json", "verify").Json.GetProperty("error").GetString());
    }

    [Fact]
    public void A_lost_catalogue_and_header_are_made_again()
    {
        _holdfast.Run("snapshot", _tree, "--name", "data").Succeeds();
        foreach (string file in (string[])["store", "store.copy", "catalogue.db", "events"])
        {
            File.Delete(Path.Combine(_holdfast.Store, file));
        }

        Assert.Equal(1, _holdfast.Run("snapshots", "data").Status);
        _holdfast.Run("verify", "--rebuild").Succeeds();
        _holdfast.Run("restore", "data", "--to", _holdfast.File("back")).Succeeds();
        Assert.Equal("first", File.ReadAllText(_holdfast.File("back/a")));
    }

    [Fact]
    public void Damage_is_found_and_healed_from_another_device()
    {
        _holdfast.Run("snapshot", _tree, "--name", "data").Succeeds();
        _holdfast.Run("migrate", "data", "--to", _holdfast.File("copy")).Succeeds();
        string pack = Directory.EnumerateFiles(Path.Combine(_holdfast.Store, "packs")).MaxBy(f => new FileInfo(f).Length)!;
        byte[] bytes = File.ReadAllBytes(pack);
        bytes[100_000] ^= 0x40;
        File.WriteAllBytes(pack, bytes);

        Outcome found = _holdfast.Run("-o", "json", "verify");
        Assert.Equal(1, found.Status);
        Assert.NotEmpty(found.Json.GetProperty("findings").EnumerateArray());
        Assert.Equal(1, _holdfast.Run("restore", "data", "--to", _holdfast.File("never")).Status);
        JsonElement repaired = _holdfast.Run("-o", "json", "repair", "--from", _holdfast.File("copy")).Succeeds().Json;
        Assert.NotEmpty(repaired.GetProperty("healed").EnumerateArray());
        _holdfast.Run("verify").Succeeds();
        _holdfast.Run("restore", "data", "--to", _holdfast.File("back")).Succeeds();
        Assert.Equal("first", File.ReadAllText(_holdfast.File("back/a")));
    }

    [Theory]
    [InlineData("snapshot /no/such/path --name a", 1, "path.missing")]
    [InlineData("snapshot /etc/hostname", 2, "usage")]
    [InlineData("snapshot /etc/hostname --name ../a", 2, null)]
    [InlineData("restore a --to b --detach", 2, "usage")]
    [InlineData("diff a", 2, "usage")]
    [InlineData("diff a b", 1, "store.missing")]
    [InlineData("apply /no/such/file", 1, "file.missing")]
    [InlineData("migrate a", 2, "usage")]
    [InlineData("migrate a --to b --from c", 2, "usage")]
    [InlineData("migrate a --to b --limit fast", 2, "usage")]
    [InlineData("migrate a --to b --parallel 9", 2, "usage")]
    [InlineData("migrate a --to ftp://b", 2, "device.invalid")]
    [InlineData("migrate a --to https://localhost:1", 2, "tls.missing")]
    [InlineData("node", 2, "tls.missing")]
    [InlineData("node --listen nowhere", 2, "node.listen")]
    [InlineData("repair", 2, "usage")]
    [InlineData("rotate-key /no/such/key", 1, "store.key")]
    public void What_cannot_be_done_is_said_with_a_code(string line, int status, string? code)
    {
        Outcome outcome = _holdfast.Run(["-o", "json", .. line.Split(' ')]);

        Assert.Equal(status, outcome.Status);
        Assert.Matches(@"^holdfast: [^\n]+\n$", outcome.Errors);
        if (code is not null)
        {
            Assert.Equal(code, outcome.Json.GetProperty("error").GetString());
        }
    }
}
