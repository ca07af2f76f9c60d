using Xunit.Abstractions;

namespace Holdfast.Snapshots.Tests;

public sealed class CrashTests : IDisposable
{
    private readonly TestDirectory _directory = new();
    private readonly ITestOutputHelper _output;
    private readonly Random _random;
    private readonly int _seed;

    public CrashTests(ITestOutputHelper output)
    {
        _output = output;
        _random = TestSeed.Begin(output, out _seed);
    }

    public void Dispose() => _directory.Dispose();

    [Fact]
    public void A_writer_that_is_killed_at_any_call_loses_nothing_and_shows_nothing_uncommitted()
    {
        int killed = 0;
        for (int i = 0; i < TestSeed.Count(50, 500); i++)
        {
            string store = _directory[$"k{i}"];
            int call = _random.Next(1, 130);
            string[] said = CrashWriterRun.Kill(store, 6, _random.Next(1000), call);
            killed += said.Contains("done") ? 0 : 1;
            Check(store, said, $"killed at call {call}, round {i}, seed {_seed}");
            if (Directory.Exists(store))
            {
                Directory.Delete(store, recursive: true);
            }
        }

        Assert.True(killed > 10, $"only {killed} were killed");
    }

    [Fact]
    public void Power_that_goes_after_any_call_loses_nothing_that_was_committed()
    {
        string recorded = _directory["recorded"];
        string trace = _directory["trace"];
        CrashWriterRun.Record(recorded, TestSeed.Count(4, 12), _random.Next(1000), trace);
        List<RecordedCall> calls = RecordedCalls.Read(trace, recorded);
        Assert.True(calls.Count(c => c.Name == "say" && c.Path.StartsWith("committed", StringComparison.Ordinal)) >= 4);
        var disk = new LossyDisk(recorded);
        var said = new List<string>();
        string target = _directory["after"];
        int states = 0;
        for (int i = 0; i < calls.Count; i++)
        {
            RecordedCall call = calls[i];
            if (call.Name == "say")
            {
                said.Add(call.Path);
            }
            else
            {
                disk.Apply(call);
            }

            Func<double>[] chances = [() => 0, () => 1, _random.NextDouble, () => _random.Next(2)];
            foreach (Func<double> chance in chances)
            {
                Directory.CreateDirectory(target);
                disk.Materialise(target, chance);
                Check(target, said, $"after call {i} ({call.Name} {call.Path}), seed {_seed}");
                Directory.Delete(target, recursive: true);
                states++;
            }
        }

        _output.WriteLine($"{calls.Count} calls, {states} states");
    }

    /// <summary>Looks at what is left, knowing what the writer had said.</summary>
    private static void Check(string directory, IEnumerable<string> said, string what)
    {
        var committed = new Dictionary<string, string>(StringComparer.Ordinal);
        var forgotten = new HashSet<string>(StringComparer.Ordinal);
        foreach (string[] words in said.Select(s => s.Split(' ')))
        {
            switch (words[0])
            {
                case "committed":
                    committed[words[1]] = words[2];
                    break;
                case "forgetting":
                    forgotten.Add(words[1]);
                    break;
            }
        }

        if (committed.Count == 0 && !File.Exists(Path.Combine(directory, "store")) && !File.Exists(Path.Combine(directory, "store.copy")))
        {
            return;
        }

        SnapshotStore store;
        try
        {
            store = SnapshotStore.Open(directory, new StoreOptions { Create = false });
        }
        catch (SnapshotStoreException) when (committed.Count == 0)
        {
            return;
        }

        using (store)
        {
            // Directories of a store that was just made may be missing.
            SnapshotStore.MakeDirectories(store.Layout);
            IReadOnlyList<SnapshotInfo> visible = store.List("o");
            foreach ((string id, string digest) in committed.Where(c => !forgotten.Contains(c.Key)))
            {
                SnapshotInfo info = visible.FirstOrDefault(s => s.Id == id) ?? throw new InvalidOperationException($"{id} is lost: {what}");
                Assert.True(store.ContentDigestOf(info) == digest, $"{id} is another content: {what}");
            }

            // At most the one whose commit was under way may show beyond what was said, and then it is whole.
            Assert.True(visible.Count(s => !committed.ContainsKey(s.Id)) <= 1, what);
            VerifyReport report = store.Verify();
            Assert.True(report.Findings.All(f => f.Code is "header" or "pack"), $"{what}: {string.Join("; ", report.Findings)}");
            CollectionReport collected = store.CollectGarbage();
            Assert.True(collected.Damaged.Count == 0, what);
            Assert.Empty(Directory.EnumerateFiles(store.Layout.Packs, "*" + PackFormat.PartialExtension));
            Assert.True(store.Verify().Findings.All(f => f.Code == "header"), what);
            foreach (SnapshotInfo info in store.List("o"))
            {
                store.Forget(info);
            }

            store.CollectGarbage();
            Assert.True(store.PackBytes() == 0, $"{what}: the space did not come back");
        }
    }
}
