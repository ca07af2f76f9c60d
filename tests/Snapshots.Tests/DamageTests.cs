using Xunit.Abstractions;

namespace Holdfast.Snapshots.Tests;

public sealed class DamageTests : IDisposable
{
    private readonly ITestOutputHelper _output;
    private readonly TestDirectory _directory = new();
    private readonly Random _random;
    private readonly int _seed;
    private readonly Dictionary<string, byte[]> _expected = [];
    private readonly Dictionary<string, byte[]> _files = [];

    public DamageTests(ITestOutputHelper output)
    {
        _output = output;
        _random = TestSeed.Begin(output, out _seed);
        MakeStore();
        foreach (string file in Directory.EnumerateFiles(_directory["store"], "*", SearchOption.AllDirectories))
        {
            _files[file] = File.ReadAllBytes(file);
        }
    }

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void A_file_cut_off_at_any_length_is_refused_or_without_effect()
    {
        int refused = 0;
        for (int i = 0; i < TestSeed.Count(300, 5000); i++)
        {
            string file = PickFile();
            int length = _random.Next(_files[file].Length);
            File.WriteAllBytes(file, _files[file].AsSpan(0, length));
            refused += ReadEverything($"{file} cut to {length} of {_files[file].Length}, seed {_seed}");
            File.WriteAllBytes(file, _files[file]);
        }

        Assert.True(refused > 0);
        Assert.Equal(0, ReadEverything("undamaged"));
    }

    [Fact]
    public void A_flipped_bit_anywhere_is_refused_or_without_effect()
    {
        int refused = 0;
        for (int i = 0; i < TestSeed.Count(1000, 10_000); i++)
        {
            string file = PickFile();
            byte[] bytes = [.. _files[file]];
            int at = _random.Next(bytes.Length);
            bytes[at] ^= (byte)(1 << _random.Next(8));
            File.WriteAllBytes(file, bytes);
            refused += ReadEverything($"{file} flipped at {at}, seed {_seed}");
            File.WriteAllBytes(file, _files[file]);
        }

        Assert.True(refused > 500, $"only {refused}");
    }

    [Fact]
    public void Two_files_that_changed_places_are_refused()
    {
        string[] files = [.. _files.Keys.Where(f => f.EndsWith(".pack", StringComparison.Ordinal) || f.EndsWith(".snap", StringComparison.Ordinal))];
        foreach (string one in files)
        {
            foreach (string other in files.Where(o => string.CompareOrdinal(o, one) > 0 && !_files[o].AsSpan().SequenceEqual(_files[one])))
            {
                File.WriteAllBytes(one, _files[other]);
                File.WriteAllBytes(other, _files[one]);
                Assert.True(ReadEverything($"{one} and {other}") > 0, $"{one} and {other}");
                File.WriteAllBytes(one, _files[one]);
                File.WriteAllBytes(other, _files[other]);
            }
        }
    }

    [Fact]
    public void A_damaged_page_is_named_with_snapshot_stream_offset_and_pack()
    {
        string pack = _files.Keys.First(f => f.EndsWith(".pack", StringComparison.Ordinal));
        byte[] bytes = [.. _files[pack]];
        bytes[4096 + 5000] ^= 4;
        File.WriteAllBytes(pack, bytes);
        using SnapshotStore store = SnapshotStore.Open(_directory["store"]);
        var seen = new List<SnapshotDamagedException>();
        foreach (SnapshotInfo info in store.List("app"))
        {
            using SnapshotReader reader = store.OpenSnapshot(info);
            try
            {
                _ = Content(reader);
            }
            catch (SnapshotDamagedException e)
            {
                seen.Add(e);
            }
        }

        Assert.NotEmpty(seen);
        Assert.All(seen, e =>
        {
            Assert.Equal(pack, e.File);
            Assert.Equal(8192, e.Position);
            Assert.StartsWith("app@", e.Snapshot, StringComparison.Ordinal);
            Assert.NotNull(e.Stream);
            Assert.Contains("CRC-32C", e.Message, StringComparison.Ordinal);
        });
    }

    private string PickFile()
    {
        string[] files = [.. _files.Keys.Where(f => _files[f].Length > 0)];
        return files[_random.Next(files.Length)];
    }

    private void MakeStore()
    {
        using SnapshotStore store = SnapshotStore.Open(_directory["store"]);
        SnapshotInfo? last = null;
        byte[] content = _random.Bytes(40 * 4096);
        for (int round = 0; round < 3; round++)
        {
            using SnapshotWriter writer = store.BeginSnapshot("app", "application", last);
            for (int page = 0; page < 40; page++)
            {
                if (last is null || _random.Next(4) == 0)
                {
                    _random.NextBytes(content.AsSpan(page * 4096, 4096));
                    writer.Write("m", page * 8192L, content.AsSpan(page * 4096, 4096));
                }
                else
                {
                    writer.KeepFromParent("m", page * 8192L, 4096);
                }
            }

            // Enough extents for a table with leaves.
            for (int piece = 0; piece < 1500; piece++)
            {
                if (last is null)
                {
                    writer.Write("many", piece * 100L, _random.Bytes(7));
                }
            }

            if (last is not null)
            {
                writer.KeepFromParent("many", 0, long.MaxValue);
            }

            writer.SetState(_random.Bytes(500));
            last = writer.Commit();
            using SnapshotReader reader = store.OpenSnapshot(last);
            _expected[last.Id] = Content(reader);
        }
    }

    private static byte[] Content(SnapshotReader reader)
    {
        using var all = new MemoryStream();
        all.Write(reader.State.Span);
        foreach (StreamInfo stream in reader.Streams)
        {
            foreach (StreamRun run in reader.Runs(stream.Name))
            {
                byte[] bytes = new byte[run.Length];
                reader.Read(stream.Name, run.Offset, bytes);
                all.Write(bytes);
            }
        }

        return all.ToArray();
    }

    /// <summary>Reads all snapshots. What is not refused must be right.</summary>
    /// <returns>How many things were refused.</returns>
    private int ReadEverything(string what)
    {
        int refused = 0;
        try
        {
            using SnapshotStore store = SnapshotStore.Open(_directory["store"]);
            foreach (SnapshotInfo info in store.List("app"))
            {
                refused += info.Damage is null ? 0 : 1;
            }

            foreach ((string id, byte[] expected) in _expected)
            {
                try
                {
                    using SnapshotReader reader = store.OpenSnapshot(store.Find("app", id));
                    Assert.True(expected.AsSpan().SequenceEqual(Content(reader)), $"wrong data: {what}");
                }
                catch (SnapshotStoreException)
                {
                    refused++;
                }
            }
        }
        catch (SnapshotStoreException)
        {
            refused++;
        }
        catch (Exception e) when (e is not Xunit.Sdk.XunitException)
        {
            _output.WriteLine(what);
            throw;
        }

        return refused;
    }
}
