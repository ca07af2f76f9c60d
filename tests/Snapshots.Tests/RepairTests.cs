using Xunit.Abstractions;

namespace Holdfast.Snapshots.Tests;

public sealed class RepairTests : IDisposable
{
    private readonly TestDirectory _directory = new();
    private readonly Random _random;
    private readonly int _seed;

    public RepairTests(ITestOutputHelper output) => _random = TestSeed.Begin(output, out _seed);

    public void Dispose() => _directory.Dispose();

    [Theory]
    [InlineData(Compression.None, false, false)]
    [InlineData(Compression.Zstd, true, false)]
    [InlineData(Compression.Zstd, false, true)]
    public async Task Random_damage_is_found_and_named_and_healed_from_a_second_device(Compression compression, bool deduplicate, bool encrypted)
    {
        var key = encrypted ? StoreKey.Generate() : null;
        var open = new StoreOptions { Key = key };
        Dictionary<SnapshotInfo, byte[]> expected = await MakeAsync(open, new SnapshotWriterOptions { Compression = compression, Deduplicate = deduplicate });
        Dictionary<string, byte[]> files = Directory.EnumerateFiles(_directory["a"], "*", SearchOption.AllDirectories).ToDictionary(f => f, File.ReadAllBytes);
        string[] names = [.. files.Keys.Where(f => files[f].Length > 0).Order(StringComparer.Ordinal)];
        using SnapshotStore second = SnapshotStore.Open(_directory["b"]);
        await using var device = new StoreDevice(second);
        int found = 0;
        int rounds = TestSeed.Count(70, 3400);
        for (int round = 0; round < rounds; round++)
        {
            string what = Damage(files, names) + $", round {round}, seed {_seed}";
            using (SnapshotStore store = SnapshotStore.Open(_directory["a"], open))
            {
                VerifyReport report = store.Verify();
                found += report.IsSound ? 0 : 1;
                Assert.All(report.Findings, f => Assert.True(f.Code.Length > 0 && f.File.Length > 0 && f.Message.Length > 0));
                foreach ((SnapshotInfo info, byte[] content) in expected)
                {
                    bool named = report.Findings.Any(f => f.Snapshot == info.Address);
                    try
                    {
                        Assert.True(content.AsSpan().SequenceEqual(Content.Of(store, store.Find(info.Object, info.Id))), $"wrong data: {what}");
                        Assert.False(named && report.Findings.All(f => f.Code == "manifest.missing"), what);
                    }
                    catch (SnapshotStoreException e)
                    {
                        Assert.True(named, $"{e.Message} was not found: {what}");
                    }
                }

                RepairReport repair = await store.RepairAsync(device, report);
                Assert.True(repair.Failed.Count == 0, $"{what}: {string.Join("; ", repair.Failed)}");
                store.Rebuild();
                store.CollectGarbage();
                VerifyReport after = store.Verify();
                Assert.True(after.IsSound, $"{what}: {string.Join("; ", after.Findings)}");
                Assert.All(expected, e => Assert.Equal(e.Value, Content.Of(store, store.Find(e.Key.Object, e.Key.Id))));
            }

            Restore(files);
        }

        Assert.True(found > rounds / 2, $"{found} of {rounds}");
    }

    [Fact]
    public async Task A_flipped_bit_in_the_catalogue_is_never_taken_for_a_lost_snapshot()
    {
        var open = new StoreOptions();
        Dictionary<SnapshotInfo, byte[]> expected = await MakeAsync(open, new SnapshotWriterOptions());
        string file;
        using (SnapshotStore store = SnapshotStore.Open(_directory["a"], open))
        {
            file = store.Layout.Catalogue;
        }

        byte[] whole = File.ReadAllBytes(file);
        int flips = 0;
        foreach (byte[] id in expected.Keys.Select(snapshot => System.Text.Encoding.UTF8.GetBytes(snapshot.Id)))
        {
            int at = whole.AsSpan().IndexOf(id);
            Assert.True(at > 0);
            for (int i = at - 1; i < Math.Min(whole.Length, at + id.Length + 6); i++)
            {
                byte[] bytes = [.. whole];
                bytes[i] ^= (byte)(1 << _random.Next(8));
                File.WriteAllBytes(file, bytes);
                using SnapshotStore store = SnapshotStore.Open(_directory["a"], open);
                Assert.All(store.Verify().Findings, finding => Assert.Equal("catalogue", finding.Code));
                flips++;
            }

            File.WriteAllBytes(file, whole);
        }

        Assert.True(flips > 40);
    }

    private async Task<Dictionary<SnapshotInfo, byte[]>> MakeAsync(StoreOptions open, SnapshotWriterOptions options)
    {
        using SnapshotStore store = SnapshotStore.Open(_directory["a"], open);
        byte[] content = _random.Bytes(30 * 4096);
        content.AsSpan(0, 20_000).Fill(3);
        var expected = new Dictionary<SnapshotInfo, byte[]>();
        SnapshotInfo? last = null;
        for (int i = 0; i < 3; i++)
        {
            using SnapshotWriter writer = store.BeginSnapshot("o", "block", last, options);
            if (last is null)
            {
                writer.Write("data", 0, content);

                // Enough extents for tables with leaves.
                for (int piece = 0; piece < 1300; piece++)
                {
                    writer.WriteExtent("many", piece * 100L, _random.Bytes(5));
                }
            }
            else
            {
                writer.KeepFromParent("data", 0, 10 * 4096);
                writer.Write("data", 10 * 4096, _random.Bytes(4096));
                writer.KeepFromParent("data", 11 * 4096, long.MaxValue - (11 * 4096));
                writer.KeepFromParent("many", 0, long.MaxValue);
            }

            writer.SetState(_random.Bytes(100));
            last = writer.Commit();
            expected[last] = Content.Of(store, last);
        }

        store.Rebuild();
        using SnapshotStore second = SnapshotStore.Open(_directory["b"]);
        await using var device = new StoreDevice(second);
        await new Migration(store, device).RunAsync("o");
        return expected;
    }

    /// <summary>Flips, cuts, swaps or deletes.</summary>
    private string Damage(Dictionary<string, byte[]> files, string[] names)
    {
        string file = names[_random.Next(names.Length)];
        byte[] bytes = [.. files[file]];
        switch (_random.Next(10))
        {
            case 0:
                File.Delete(file);
                return $"{file} deleted";
            case 1:
                int length = _random.Next(bytes.Length);
                File.WriteAllBytes(file, bytes[..length]);
                return $"{file} cut to {length} of {bytes.Length}";
            case 2:
                string other = names[_random.Next(names.Length)];
                File.WriteAllBytes(file, files[other]);
                File.WriteAllBytes(other, bytes);
                return $"{file} and {other} swapped";
            default:
                int at = _random.Next(bytes.Length);
                bytes[at] ^= (byte)(1 << _random.Next(8));
                File.WriteAllBytes(file, bytes);
                return $"{file} flipped at {at}";
        }
    }

    private void Restore(Dictionary<string, byte[]> files)
    {
        foreach (string file in Directory.EnumerateFiles(_directory["a"], "*", SearchOption.AllDirectories).Where(f => !files.ContainsKey(f)).ToList())
        {
            File.Delete(file);
        }

        foreach ((string file, byte[] bytes) in files)
        {
            File.WriteAllBytes(file, bytes);
        }
    }
}
