using System.Diagnostics;
using Xunit.Abstractions;

namespace Holdfast.Snapshots.Tests;

public sealed class StorageObjectTests : IDisposable
{
    private readonly TestDirectory _directory = new();
    private readonly Random _random;

    public StorageObjectTests(ITestOutputHelper output) => _random = TestSeed.Begin(output, out _);

    public void Dispose() => _directory.Dispose();

    private static string Run(string command)
    {
        using var process = Process.Start(new ProcessStartInfo("/bin/sh", ["-c", command]) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        string output = process.StandardOutput.ReadToEnd();
        string error = process.StandardError.ReadToEnd();
        process.WaitForExit();
        Assert.True(process.ExitCode == 0, error);
        return output;
    }

    /// <summary>All that find and the attributes' tool say of a tree, and a hash of every file.</summary>
    private static string Describe(string path) => Run(
        $"cd '{path}' && find . -printf '%P %y %m %U %G %T@ %s %l %n\\n' | sed 's/^\\(.* d [^ ]* [^ ]* [^ ]* [^ ]*\\) [0-9]* /\\1 /' | sort;"
        + " find . -type f -exec sha256sum {} + | sort -k2; find . -type b -o -type c | sort | xargs -r stat -c '%n %t %T'");

    [Fact]
    public void A_tree_comes_back_with_everything_in_it()
    {
        string tree = _directory["tree"];
        Run($"mkdir -p '{tree}/sub/deeper' '{tree}/empty' && cd '{tree}' && printf hello > a && chmod 4755 a && ln -s a link && ln -s /nowhere dangling && ln a sub/hard"
            + " && mkfifo pipe && mknod null c 1 3 && mknod loop b 7 9 && touch -d '2001-02-03 04:05:06.789' sub/old && chown 123:456 sub/old && chmod 0 empty"
            + " && truncate -s 10M sparse && printf x | dd of=sparse bs=1 seek=5000000 conv=notrunc 2>/dev/null && printf '' > zero && touch -h -d '2002-02-02' link && touch -d '2003-03-03' sub");
        File.WriteAllBytes(Path.Combine(tree, "large"), _random.Bytes(3_000_000));
        for (int i = 0; i < 300; i++)
        {
            File.WriteAllText(Path.Combine(tree, "sub", $"f{i}"), $"file number {i} " + new string('x', i));
        }

        Run($"cd '{tree}' && printf y > \"$(printf 'bad\\377name')\"");
        using SnapshotStore store = SnapshotStore.Open(_directory["s"]);
        SnapshotInfo info = StorageObject.Capture(store, "t", tree);
        using (SnapshotReader reader = store.OpenSnapshot(info))
        {
            StorageObject.Restore(reader, _directory["back"]);
        }

        Assert.Equal(Describe(tree), Describe(_directory["back"]));
        Assert.True(long.Parse(Run($"du -k '{_directory["back"]}/sparse' | cut -f1"), System.Globalization.CultureInfo.InvariantCulture) < 200);
        using SnapshotReader again = store.OpenSnapshot(info);
        Assert.Equal("path.exists", Assert.Throws<SnapshotStoreException>(() => StorageObject.Restore(again, _directory["back"])).Code);
    }

    [Fact]
    public void A_change_in_a_tree_costs_little_and_every_version_comes_back()
    {
        string tree = _directory["tree"];
        Directory.CreateDirectory(tree);
        byte[] large = _random.Bytes(4_000_000);
        using SnapshotStore store = SnapshotStore.Open(_directory["s"]);
        var versions = new List<(SnapshotInfo Info, string Description)>();
        for (int version = 0; version < 5; version++)
        {
            for (int i = 0; i < (version == 0 ? 500 : 3); i++)
            {
                File.WriteAllBytes(Path.Combine(tree, $"f{_random.Next(500)}"), _random.Bytes(_random.Next(5000)));
            }

            // An insertion in the middle of a large file.
            int at = _random.Next(large.Length);
            large = [.. large[..at], .. _random.Bytes(100), .. large[at..]];
            File.WriteAllBytes(Path.Combine(tree, "large"), large);
            Run($"touch '{tree}/f1'");
            versions.Add((StorageObject.Capture(store, "t", tree), Describe(tree)));
            if (version > 0)
            {
                Assert.InRange(versions[^1].Info.StoredBytes, 1, 800_000);
            }
        }

        SnapshotInfo unchanged = StorageObject.Capture(store, "t", tree);
        Assert.InRange(unchanged.StoredBytes, 0, 1000);
        store.Forget(versions[0].Info);
        store.CollectGarbage();
        foreach ((SnapshotInfo info, string description) in versions.Skip(1))
        {
            using SnapshotReader reader = store.OpenSnapshot(info);
            string back = _directory[$"back{info.Id}"];
            StorageObject.Restore(reader, back);
            Assert.Equal(description, Describe(back));
        }

        Assert.Empty(store.Verify().Findings);
    }

    [Fact]
    public void A_single_file_is_a_storage_object()
    {
        File.WriteAllBytes(_directory["f"], _random.Bytes(1_000_000));
        Run($"chmod 640 '{_directory["f"]}' && touch -d 2005-05-05 '{_directory["f"]}'");
        using SnapshotStore store = SnapshotStore.Open(_directory["s"]);
        SnapshotInfo info = StorageObject.Capture(store, "f", _directory["f"]);
        using SnapshotReader reader = store.OpenSnapshot(info);
        StorageObject.Restore(reader, _directory["g"]);
        Assert.Equal(File.ReadAllBytes(_directory["f"]), File.ReadAllBytes(_directory["g"]));
        Assert.Equal(Run($"stat -c '%a %Y' '{_directory["f"]}'"), Run($"stat -c '%a %Y' '{_directory["g"]}'"));
    }

    [Fact]
    public void A_block_image_keeps_only_pages_that_changed()
    {
        string image = _directory["image"];
        byte[] content = _random.Bytes(20_000_000);
        content.AsSpan(4_000_000, 8_000_000).Clear();
        File.WriteAllBytes(image, content);
        using SnapshotStore store = SnapshotStore.Open(_directory["s"]);
        var options = new CaptureOptions { AsBlockImage = true };
        SnapshotInfo first = StorageObject.Capture(store, "i", image, options);
        Assert.InRange(first.StoredBytes, 11_000_000, 12_200_000);
        for (int i = 0; i < 50; i++)
        {
            content[_random.Next(content.Length)] ^= 1;
        }

        content.AsSpan(15_000_000, 100_000).Clear();
        File.WriteAllBytes(image, content);
        SnapshotInfo second = StorageObject.Capture(store, "i", image, options);
        Assert.InRange(second.StoredBytes, 1, 70 * 4096);
        store.Forget(first);
        store.CollectGarbage();
        using SnapshotReader reader = store.OpenSnapshot(second);
        StorageObject.Restore(reader, _directory["back"]);
        Assert.True(content.AsSpan().SequenceEqual(File.ReadAllBytes(_directory["back"])));
    }

    [Fact]
    public void A_live_state_is_an_end_of_a_difference_and_leaves_no_snapshot()
    {
        string image = _directory["image"];
        byte[] content = _random.Bytes(1_000_000);
        File.WriteAllBytes(image, content);
        using SnapshotStore store = SnapshotStore.Open(_directory["s"]);
        var options = new CaptureOptions { AsBlockImage = true };
        SnapshotInfo first = StorageObject.Capture(store, "i", image, options);
        content[500_000] ^= 1;
        File.WriteAllBytes(image, content);
        using (LiveSnapshot live = StorageObject.CaptureLive(store, "i", image, options))
        {
            using SnapshotReader from = store.OpenSnapshot(first);
            store.CollectGarbage();
            SnapshotDifference difference = SnapshotDifference.Compare(from, live.Reader);
            Assert.Equal([new StreamRun(500_000 / 4096 * 4096, 4096)], difference.Changed("data"));
            Assert.Single(store.List("i"));
        }

        store.CollectGarbage();
        Assert.Empty(Directory.EnumerateFiles(store.Layout.Trash));
        Assert.Single(Directory.EnumerateFiles(store.Layout.Packs));
        Assert.True(store.Verify().IsSound);
    }

    [Fact]
    public void An_insertion_moves_only_the_cuts_next_to_it()
    {
        byte[] data = _random.Bytes(4_000_000);
        byte[] other = [.. data[..1_000_000], 1, 2, 3, .. data[1_000_000..]];
        var chunker = new Chunker(64 * 1024);
        List<string> a = Cut(data);
        List<string> b = Cut(other);
        Assert.InRange(a.Count, 30, 200);
        Assert.True(b.Except(a).Count() <= 4);

        List<string> Cut(byte[] bytes)
        {
            var chunks = new List<string>();
            for (int at = 0; at < bytes.Length;)
            {
                int length = chunker.Cut(bytes.AsSpan(at));
                Assert.InRange(length, 1, chunker.Maximum);
                chunks.Add(Convert.ToHexString(System.Security.Cryptography.SHA256.HashData(bytes.AsSpan(at, length))));
                at += length;
            }

            return chunks;
        }
    }
}
