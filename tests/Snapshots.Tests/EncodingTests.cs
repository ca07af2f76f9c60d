using System.Text;
using Xunit.Abstractions;

namespace Holdfast.Snapshots.Tests;

public sealed class EncodingTests(ITestOutputHelper output) : IDisposable
{
    private readonly TestDirectory _directory = new();

    public static TheoryData<Compression, bool, bool> Modes()
    {
        var modes = new TheoryData<Compression, bool, bool>();
        foreach (Compression compression in (Compression[])[Compression.None, Compression.Zstd, Compression.Deflate])
        {
            foreach (bool deduplicate in (bool[])[false, true])
            {
                modes.Add(compression, deduplicate, false);
                modes.Add(compression, deduplicate, true);
            }
        }

        return modes;
    }

    public void Dispose() => _directory.Dispose();

    [Theory]
    [MemberData(nameof(Modes))]
    public void What_was_written_is_read_back_in_every_encoding(Compression compression, bool deduplicate, bool encrypted)
    {
        Random random = TestSeed.Begin(output, out _);
        StoreKey? key = encrypted ? StoreKey.Generate() : null;
        byte[] content = random.Bytes(1_000_000);
        content.AsSpan(100_000, 500_000).Clear();
        byte[] text = Encoding.UTF8.GetBytes(string.Concat(Enumerable.Range(0, 20_000).Select(i => $"line {i} of the text\n")));
        var options = new SnapshotWriterOptions { Compression = compression, Deduplicate = deduplicate };
        using (SnapshotStore store = SnapshotStore.Open(_directory["s"], new StoreOptions { Key = key }))
        {
            SnapshotInfo first;
            using (SnapshotWriter writer = store.BeginSnapshot("thing", "file", null, options))
            {
                writer.Write("content", 1000, content);
                writer.Write("text", 0, text);
                writer.SetState("the state"u8.ToArray());
                first = writer.Commit();
            }

            using (SnapshotWriter writer = store.BeginSnapshot("thing", "file", first, options))
            {
                writer.KeepFromParent("content", 0, 333_333);
                writer.Write("content", 333_333, content.AsSpan(332_333, 10_000));
                writer.KeepFromParent("content", 343_333, 10_000_000);
                writer.Write("text", 0, text);
                writer.SetState("the state"u8.ToArray());
                SnapshotInfo second = writer.Commit();
                if (deduplicate)
                {
                    // Only what was cut otherwise than before is stored again.
                    Assert.True(second.StoredBytes < 40_000, $"{second.StoredBytes}");
                }
            }
        }

        using SnapshotStore again = SnapshotStore.Open(_directory["s"], new StoreOptions { Key = key });
        Assert.Equal(["thing"], again.Objects());
        foreach (SnapshotInfo info in again.List("thing"))
        {
            using SnapshotReader reader = again.OpenSnapshot(info);
            byte[] read = new byte[content.Length];
            reader.Read("content", 1000, read);
            Assert.True(content.AsSpan().SequenceEqual(read));
            byte[] readText = new byte[text.Length];
            reader.Read("text", 0, readText);
            Assert.True(text.AsSpan().SequenceEqual(readText));
            for (int i = 0; i < 50; i++)
            {
                int at = random.Next(content.Length);
                int length = random.Next(Math.Min(100_000, content.Length - at));
                reader.Read("content", 1000 + at, read.AsSpan(0, length));
                Assert.True(content.AsSpan(at, length).SequenceEqual(read.AsSpan(0, length)));
            }

            Assert.Equal("the state"u8.ToArray(), reader.State.ToArray());
            if (compression != Compression.None)
            {
                Assert.True(info.StoredBytes < 800_000);
            }
        }
    }

    [Fact]
    public void Nothing_of_the_plaintext_can_be_read_in_an_encrypted_store()
    {
        const string Secret = "this is the secret text of the test";
        var key = StoreKey.Generate();
        using (SnapshotStore store = SnapshotStore.Open(_directory["s"], new StoreOptions { Key = key }))
        {
            foreach (Compression compression in (Compression[])[Compression.None, Compression.Zstd])
            {
                using SnapshotWriter writer = store.BeginSnapshot("secretname", "secretkind", null, new SnapshotWriterOptions { Compression = compression, Deduplicate = true });
                writer.SetTag("secrettag", "secretvalue");
                writer.SetState(Encoding.UTF8.GetBytes(Secret));
                for (int i = 0; i < 3000; i++)
                {
                    writer.Write("secretstream", i * 200L, Encoding.UTF8.GetBytes(Secret + i));
                }

                writer.Commit();
            }
        }

        foreach (string path in Directory.EnumerateFileSystemEntries(_directory.Root, "*", SearchOption.AllDirectories))
        {
            Assert.DoesNotContain("secret", path, StringComparison.Ordinal);
            if (File.Exists(path))
            {
                Assert.True(File.ReadAllBytes(path).AsSpan().IndexOf("secret"u8) < 0, path);
            }
        }
    }

    [Fact]
    public void A_wrong_or_missing_key_is_refused_and_says_which_is_wanted()
    {
        var key = StoreKey.Generate();
        SnapshotStore.Open(_directory["s"], new StoreOptions { Key = key }).Dispose();
        SnapshotStore.Open(_directory["plain"]).Dispose();
        foreach (StoreKey? wrong in (StoreKey?[])[null, StoreKey.Generate()])
        {
            SnapshotStoreException e = Assert.Throws<SnapshotStoreException>(() => SnapshotStore.Open(_directory["s"], new StoreOptions { Key = wrong }));
            Assert.Equal("store.key", e.Code);
            Assert.Contains(key.Id, e.Message, StringComparison.Ordinal);
        }

        Assert.Equal("store.key", Assert.Throws<SnapshotStoreException>(() => SnapshotStore.Open(_directory["plain"], new StoreOptions { Key = key })).Code);
    }

    [Fact]
    public void A_rotated_key_opens_old_and_new_and_the_old_key_nothing()
    {
        var old = StoreKey.Generate();
        var young = StoreKey.Generate();
        byte[] content = TestSeed.Begin(output, out _).Bytes(100_000);
        using (SnapshotStore store = SnapshotStore.Open(_directory["s"], new StoreOptions { Key = old }))
        {
            Write(store, content);
            Dictionary<string, byte[]> before = Directory.EnumerateFiles(store.Layout.Packs).ToDictionary(f => f, File.ReadAllBytes);
            store.RotateKey(young);
            Write(store, content);
            Assert.All(before, f => Assert.Equal(f.Value, File.ReadAllBytes(f.Key)));
        }

        Assert.Equal("store.key", Assert.Throws<SnapshotStoreException>(() => SnapshotStore.Open(_directory["s"], new StoreOptions { Key = old })).Code);
        string file = _directory["key"];
        young.Save(file);
        using SnapshotStore again = SnapshotStore.Open(_directory["s"], new StoreOptions { Key = StoreKey.FromFile(file) });
        Assert.Equal(2, again.List("a").Count);
        foreach (SnapshotInfo info in again.List("a"))
        {
            using SnapshotReader reader = again.OpenSnapshot(info);
            byte[] read = new byte[content.Length];
            reader.Read("s", 0, read);
            Assert.Equal(content, read);
        }

        static void Write(SnapshotStore store, byte[] content)
        {
            using SnapshotWriter writer = store.BeginSnapshot("a", "file");
            writer.Write("s", 0, content);
            writer.Commit();
        }
    }
}
