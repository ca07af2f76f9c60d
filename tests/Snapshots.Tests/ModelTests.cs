using System.Globalization;
using FsCheck;
using FsCheck.Fluent;
using Xunit.Abstractions;

namespace Holdfast.Snapshots.Tests;

/// <summary>Random sequences of operations on three devices agree with a plain model in memory.</summary>
public sealed class ModelTests(ITestOutputHelper output)
{
    private const int Pages = 24;

    [Fact]
    public void Random_sequences_on_three_devices_agree_with_a_model()
    {
        TestSeed.Begin(output, out int seed);
        Gen<Step> step =
            from kind in Gen.Elements(
                StepKind.Write, StepKind.Write, StepKind.Snapshot, StepKind.Snapshot, StepKind.Forget, StepKind.Collect,
                StepKind.Forward, StepKind.Reverse, StepKind.Live, StepKind.Interrupted, StepKind.Verify)
            from device in Gen.Choose(0, 2)
            from other in Gen.Choose(1, 2)
            from number in Gen.Choose(0, int.MaxValue)
            select new Step(kind, device, (device + other) % 3, number);
        Config config = Config.QuickThrowOnFailure
            .WithMaxTest(TestSeed.Count(25, 400))
            .WithEndSize(60)
            .WithReplay((ulong)(uint)seed, ((ulong)(uint)seed * 2) + 1);
        Prop.ForAll(step.ListOf().ToArbitrary(), steps => RunAsync([.. steps]).GetAwaiter().GetResult()).Check(config);
    }

    private static async Task RunAsync(IReadOnlyList<Step> steps)
    {
        using var directory = new TestDirectory();
        using var world = new World(directory);
        foreach (Step step in steps)
        {
            await world.DoAsync(step);
        }

        world.CheckAll();
    }

    private enum StepKind
    {
        Write,
        Snapshot,
        Forget,
        Collect,
        Forward,
        Reverse,
        Live,
        Interrupted,
        Verify,
    }

    private sealed record Step(StepKind Kind, int Device, int Other, int Number)
    {
        public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Kind}({Device}->{Other}, {Number})");
    }

    private sealed class World : IDisposable
    {
        private readonly SnapshotStore[] _stores;

        /// <summary>For each device, its snapshots by id: the pages that there are.</summary>
        private readonly Dictionary<string, byte[]?[]>[] _model = [[], [], []];
        private readonly byte[]?[] _live = new byte[]?[Pages];
        private readonly OneMillisecondEach _time = new();

        public World(TestDirectory directory)
        {
            // One plain, one compressed as it is written, one encrypted.
            _stores =
            [
                SnapshotStore.Open(directory["0"], new StoreOptions { Time = _time }),
                SnapshotStore.Open(directory["1"], new StoreOptions { Time = _time }),
                SnapshotStore.Open(directory["2"], new StoreOptions { Key = StoreKey.Generate(), Time = _time }),
            ];
        }

        public async Task DoAsync(Step step)
        {
            var random = new Random(step.Number);
            SnapshotStore store = _stores[step.Device];
            switch (step.Kind)
            {
                case StepKind.Write:
                    for (int i = 0; i < 4; i++)
                    {
                        _live[random.Next(Pages)] = random.Next(4) == 0 ? null : Page(random);
                    }

                    return;
                case StepKind.Snapshot:
                    SnapshotInfo info = Write(store, step, random).Commit();
                    _model[step.Device][info.Id] = [.. _live];
                    Check(step.Device, info.Id);
                    return;
                case StepKind.Forget when _model[step.Device].Count > 0:
                    string id = _model[step.Device].Keys.ElementAt(random.Next(_model[step.Device].Count));
                    foreach (string owner in store.PinsOf(store.Find("o", id)))
                    {
                        // Of a migration that was interrupted for good.
                        store.Unpin(store.Find("o", id), owner);
                    }

                    store.AbandonTransfers(TimeSpan.Zero);
                    store.Forget(store.Find("o", id));
                    _model[step.Device].Remove(id);
                    return;
                case StepKind.Collect:
                    Assert.Empty(store.CollectGarbage().Damaged);
                    return;
                case StepKind.Forward or StepKind.Reverse:
                    await MigrateAsync(step, step.Kind == StepKind.Forward ? MigrationOrder.Forward : MigrationOrder.Reverse, long.MaxValue);
                    foreach ((string sent, byte[]?[] pages) in _model[step.Device])
                    {
                        _model[step.Other].TryAdd(sent, pages);
                    }

                    CheckAll();
                    return;
                case StepKind.Interrupted:
                    await MigrateAsync(step, random.Next(2) == 0 ? MigrationOrder.Forward : MigrationOrder.Reverse, random.Next(Pages * 4096));
                    Adopt(step.Other, step.Device);
                    CheckAll();
                    return;
                case StepKind.Live:
                    using (LiveSnapshot live = Write(store, step, random).CommitLive())
                    {
                        // Cut first, as often as not, and gone on with.
                        foreach (long bytes in (long[])[random.Next(2) == 0 ? long.MaxValue : random.Next(Pages * 4096), long.MaxValue])
                        {
                            await CutAsync(step, bytes, device => new Migration(store, device, new MigrationOptions { Retries = 0 }).RunLiveAsync(live));
                            CheckAll(except: live.Info.Id);
                        }

                        _model[step.Other][live.Info.Id] = [.. _live];
                    }

                    CheckAll();
                    return;
                case StepKind.Verify:
                    Assert.Empty(store.Verify().Findings);
                    return;
            }
        }

        public void CheckAll(string? except = null)
        {
            for (int device = 0; device < 3; device++)
            {
                Assert.Equal(_model[device].Keys.Order(StringComparer.Ordinal), _stores[device].List("o").Select(s => s.Id).Where(s => s != except).Order(StringComparer.Ordinal));
                foreach (string id in _model[device].Keys)
                {
                    Check(device, id);
                }
            }
        }

        public void Dispose()
        {
            foreach (SnapshotStore store in _stores)
            {
                store.Dispose();
            }
        }

        /// <summary>Pages that are what the parent has are kept from it, as a source with dirty tracking does.</summary>
        private SnapshotWriter Write(SnapshotStore store, Step step, Random random)
        {
            List<string> parents = [.. _model[step.Device].Keys.Order(StringComparer.Ordinal)];
            string? parent = parents.Count == 0 || random.Next(4) == 0 ? null : parents[random.Next(parents.Count)];
            var options = new SnapshotWriterOptions
            {
                Compression = step.Device == 1 ? Compression.Auto : Compression.None,
                Deduplicate = random.Next(2) == 0,
                ExtentSize = 8192,
            };
            SnapshotWriter writer = store.BeginSnapshot("o", "block", parent is null ? null : store.Find("o", parent), options);
            for (int page = 0; page < Pages; page++)
            {
                if (_live[page] is not { } bytes)
                {
                    continue;
                }

                if (parent is not null && _model[step.Device][parent][page] is { } before && before.AsSpan().SequenceEqual(bytes))
                {
                    Assert.Equal(bytes.Length, writer.KeepFromParent("data", page * 4096L, 4096));
                }
                else
                {
                    writer.Write("data", page * 4096L, bytes);
                }
            }

            return writer;
        }

        private Task MigrateAsync(Step step, MigrationOrder order, long bytes) => CutAsync(
            step, bytes, device => new Migration(_stores[step.Device], device, new MigrationOptions { Order = order, Retries = 0 }).RunAsync("o"));

        private async Task CutAsync(Step step, long bytes, Func<IStorageDevice, Task> migrate)
        {
            await using var device = new StoreDevice(_stores[step.Other]);
            await using var cutting = new CuttingDevice(device, bytes);
            try
            {
                await migrate(cutting);
            }
            catch (SnapshotStoreException e) when (bytes != long.MaxValue && e.Code == "device.unreachable")
            {
                // Cut, as asked for.
            }
        }

        /// <summary>What arrived before the cut is what the source has; nothing else may have appeared.</summary>
        private void Adopt(int to, int from)
        {
            foreach (SnapshotInfo info in _stores[to].List("o").Where(s => !_model[to].ContainsKey(s.Id)))
            {
                _model[to].Add(info.Id, _model[from][info.Id]);
            }
        }

        private void Check(int device, string id)
        {
            using SnapshotReader reader = _stores[device].OpenSnapshot(_stores[device].Find("o", id));
            byte[]?[] pages = _model[device][id];
            var runs = new List<StreamRun>();
            for (int page = 0; page < Pages; page++)
            {
                if (pages[page] is not { } bytes)
                {
                    continue;
                }

                byte[] read = new byte[bytes.Length];
                reader.Read("data", page * 4096L, read);
                Assert.True(bytes.AsSpan().SequenceEqual(read), $"page {page} of {id} on device {device}");
                if (runs.Count > 0 && runs[^1].End == page * 4096L)
                {
                    runs[^1] = runs[^1] with { Length = runs[^1].Length + bytes.Length };
                }
                else
                {
                    runs.Add(new StreamRun(page * 4096L, bytes.Length));
                }
            }

            Assert.Equal(runs, reader.Runs("data"));
        }

        private static byte[] Page(Random random)
        {
            byte[] page = new byte[random.Next(3) == 0 ? 1000 : 4096];
            if (random.Next(3) > 0)
            {
                random.NextBytes(page);
            }
            else
            {
                page.AsSpan().Fill((byte)random.Next(3));
            }

            return page;
        }
    }

    /// <summary>Two stores that write in the same millisecond make the same id one time in a thousand, which is not what is tested here.</summary>
    private sealed class OneMillisecondEach : TimeProvider
    {
        private readonly Lock _lock = new();
        private DateTimeOffset _last;

        public override DateTimeOffset GetUtcNow()
        {
            lock (_lock)
            {
                DateTimeOffset now = System.GetUtcNow();
                DateTimeOffset next = _last + TimeSpan.FromMilliseconds(1);
                return _last = now > next ? now : next;
            }
        }
    }
}
