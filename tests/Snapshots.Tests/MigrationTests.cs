using Google.Protobuf;
using Holdfast.Snapshots.Format;
using Microsoft.Win32.SafeHandles;
using Xunit.Abstractions;

namespace Holdfast.Snapshots.Tests;

public sealed class MigrationTests : IDisposable
{
    private readonly TestDirectory _directory = new();
    private readonly Random _random;

    public MigrationTests(ITestOutputHelper output) => _random = TestSeed.Begin(output, out _);

    public void Dispose() => _directory.Dispose();

    private SnapshotStore Open(string name) => SnapshotStore.Open(_directory[name]);

    private List<SnapshotInfo> Chain(SnapshotStore store, int count, int pages = 200, int changes = 5)
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

            chain.Add(Content.Take(store, "o", content, chain.LastOrDefault(), null, changed.Contains));
        }

        return chain;
    }

    [Fact]
    public void Two_states_that_have_the_same_id_by_chance_are_not_taken_for_one()
    {
        SnapshotInfo one = new() { Object = "o", Id = "06aw85tbsw4", Kind = "file", CreatedAt = DateTimeOffset.UnixEpoch, LogicalBytes = 5, Extents = 1 };
        SnapshotInfo.RequireNoConflict([one], [one with { StoredBytes = 7 }, one with { Id = "06aw85tbsw5", LogicalBytes = 6 }]);
        SnapshotInfo.RequireNoConflict([one], [one with { LogicalBytes = 6, Damage = "torn" }]);
        Assert.Equal("snapshot.conflict", Assert.Throws<SnapshotStoreException>(() => SnapshotInfo.RequireNoConflict([one], [one with { LogicalBytes = 6 }])).Code);
    }

    [Theory]
    [InlineData(MigrationOrder.Forward)]
    [InlineData(MigrationOrder.Reverse)]
    public async Task All_snapshots_arrive_as_differences_and_a_second_time_nothing_is_sent(MigrationOrder order)
    {
        using SnapshotStore source = Open("a");
        using SnapshotStore target = Open("b");
        List<SnapshotInfo> chain = Chain(source, 8);
        SnapshotInfo own = Content.Take(target, "o", _random.Bytes(5000));
        byte[] ownContent = Content.Of(target, own);
        await using var device = new StoreDevice(target);
        var migration = new Migration(source, device, new MigrationOptions { Order = order });
        MigrationPlan plan = await migration.PlanAsync("o");
        Assert.Equal(8, plan.Steps.Count);
        Assert.Equal(1, plan.OnlyThere);
        Assert.Equal(order == MigrationOrder.Forward ? chain[0].Id : chain[^1].Id, plan.Steps[0].Snapshot.Id);
        Assert.Null(plan.Steps[0].Base);
        Assert.All(plan.Steps.Skip(1), s => Assert.NotNull(s.Base));
        MigrationReport report = await migration.RunAsync("o");
        Assert.Equal(8, report.Snapshots);
        Assert.InRange(report.BytesSent, 200 * 4096, (200 + (7 * 5) + 10) * 4096);
        foreach (SnapshotInfo info in chain)
        {
            SnapshotInfo there = target.Find("o", info.Id);
            Assert.Equal(info.CreatedAt, there.CreatedAt);
            Assert.Equal(info.Parent, there.Parent);
            Assert.Equal(Content.Of(source, info), Content.Of(target, there));
        }

        Assert.Equal(ownContent, Content.Of(target, own));
        Assert.Equal(0, (await new Migration(source, device).RunAsync("o")).BytesSent);
        Assert.Empty(Directory.EnumerateFiles(source.Layout.Pins));
        Assert.Empty(Directory.EnumerateFiles(target.Layout.Pins));
        Assert.Empty(target.Verify().Findings);
    }

    [Fact]
    public async Task Bases_are_pinned_while_a_migration_runs_and_the_plan_takes_the_cheapest()
    {
        using SnapshotStore source = Open("a");
        using SnapshotStore target = Open("b");
        List<SnapshotInfo> chain = Chain(source, 5);
        await using var device = new StoreDevice(target);
        await new Migration(source, device, new MigrationOptions { Only = [chain[0].Id, chain[4].Id] }).RunAsync("o");
        MigrationPlan plan = await new Migration(source, device).PlanAsync("o");
        Assert.Equal([chain[0].Id, chain[1].Id], plan.Steps.Take(2).Select(s => s.Base!.Id));
        Assert.All(plan.Steps, s => Assert.InRange(s.Bytes, 4096, 5 * 4096));
        Assert.Contains("cheapest", plan.Steps[0].Reason, StringComparison.Ordinal);
        string? refused = null;
        var progress = new Immediately(p =>
        {
            try
            {
                source.Forget(chain[0]);
            }
            catch (SnapshotStoreException e)
            {
                refused = e.Code;
            }
        });
        await new Migration(source, device, new MigrationOptions { Progress = progress }).RunAsync("o");
        Assert.Equal("snapshot.pinned", refused);
        source.Forget(chain[0]);
    }

    [Fact]
    public async Task An_interrupted_migration_goes_on_and_sends_no_extent_twice()
    {
        using SnapshotStore source = Open("a");
        List<SnapshotInfo> chain = Chain(source, 3, pages: 3000, changes: 900);
        using SnapshotStore target = Open("b");
        long distinct = (3000 + (2 * 900)) * 4096L;
        long arrived = 0;
        int cuts = 0;
        while (target.List("o").Count < chain.Count)
        {
            // A new device each time: nothing but the directory carries over, as when the receiver was killed.
            await using var device = new StoreDevice(target);
            await using var cutting = new CuttingDevice(device, _random.Next(200_000, 3_000_000));
            try
            {
                await new Migration(source, cutting, new MigrationOptions { Retries = 0 }).RunAsync("o");
            }
            catch (Exception e) when (e is IOException)
            {
                cuts++;
            }

            arrived += cutting.BytesStored;
        }

        Assert.True(cuts >= 3, $"{cuts} cuts");
        Assert.All(chain, info => Assert.Equal(Content.Of(source, info), Content.Of(target, info)));
        Assert.True(arrived <= distinct * 1.05, $"{arrived} of {distinct}");
        Assert.Empty(target.Verify().Findings);
        target.CollectGarbage();
        Assert.Empty(Directory.EnumerateDirectories(target.Layout.Incoming));
    }

    [Fact]
    public async Task A_connection_that_breaks_while_bases_are_pinned_or_let_go_is_made_again()
    {
        using SnapshotStore source = Open("a");
        using SnapshotStore target = Open("b");
        List<SnapshotInfo> chain = Chain(source, 3);
        await using var device = new StoreDevice(target);
        await using var cutting = new CuttingDevice(device, long.MaxValue) { LostAnswers = 3 };
        MigrationReport report = await new Migration(source, cutting, new MigrationOptions { Retries = 3 }).RunAsync("o");
        Assert.Equal(3, report.Interruptions);
        Assert.All(chain, info => Assert.Equal(Content.Of(source, info), Content.Of(target, info)));
        Assert.Empty(Directory.EnumerateFiles(target.Layout.Pins));
    }

    [Fact]
    public async Task Fields_of_a_newer_program_go_where_the_snapshot_goes()
    {
        byte[] later = [0xA2, 0x38, 5, .. "later"u8];
        using SnapshotStore source = Open("a");
        SnapshotInfo info = Chain(source, 1)[0];
        string path = source.Layout.Manifest(source.EncodeName("o"), info.Id);
        using (SafeFileHandle file = Libc.TryOpen(path)!)
        {
            (SnapshotHeader header, ManifestRoot root, ReadOnlyMemory<byte> state) = ManifestFile.Read(file, path, "o", info.Id, null);
            header.MergeFrom(later);
            File.WriteAllBytes(path, ManifestFile.Build(header, root, state, null));
        }

        using SnapshotStore second = Open("b");
        await using var device = new StoreDevice(second);
        await new Migration(source, device).RunAsync("o");
        Assert.Equal(later, second.Find("o", info.Id).UnknownFields.ToByteArray());

        // As a file, too, and back over the wire's own listing.
        using SnapshotStore third = Open("c");
        string difference = _directory["difference"];
        using (FileStream output = File.Create(difference))
        using (Stream input = await device.OpenDifferenceAsync("o", null, info.Id, default))
        {
            await input.CopyToAsync(output);
        }

        using (FileStream stream = File.OpenRead(difference))
        {
            await DifferenceFile.ApplyAsync(third, stream);
        }

        Assert.Equal(later, third.Find("o", info.Id).UnknownFields.ToByteArray());
        Assert.Equal(later, ManifestFile.ToInfo(SnapshotHeader.Parser.ParseFrom(ManifestFile.ToHeader(third.Find("o", info.Id)).ToByteArray())).UnknownFields.ToByteArray());
        Assert.Empty(third.Verify().Findings);
    }

    [Fact]
    public async Task While_one_is_made_a_snapshot_the_next_is_sent()
    {
        using SnapshotStore source = Open("a");
        using SnapshotStore target = Open("b");
        List<SnapshotInfo> chain = Chain(source, 4);
        await using var device = new StoreDevice(target);
        var begun = chain.ToDictionary(s => s.Id, _ => new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously));
        int finished = 0;
        var overlapping = new CuttingDevice(device, long.MaxValue)
        {
            Beginning = start => begun.GetValueOrDefault(start)?.TrySetResult(),
            Finishing = async digest =>
            {
                // Nothing becomes a snapshot before the transfer against it was begun: that of the last is the end.
                SnapshotInfo snapshot = chain[finished++];
                await (snapshot == chain[^1] ? Task.CompletedTask : begun[snapshot.Id].Task).WaitAsync(TimeSpan.FromMinutes(1));
                Assert.Null(target.Exists("o", snapshot.Id));
                return digest;
            },
        };
        MigrationReport report = await new Migration(source, overlapping).RunAsync("o");
        Assert.Equal((4, 0), (report.Snapshots, report.Interruptions));
        Assert.All(chain, s => Assert.Equal(Content.Of(source, s), Content.Of(target, s)));
        Assert.Equal(0, device.Duplicates.Value);
        Assert.Empty(Directory.EnumerateFiles(target.Layout.Pins));
        Assert.Empty(Directory.EnumerateDirectories(target.Layout.Incoming));
    }

    [Fact]
    public async Task A_receiver_that_knows_only_bases_which_are_complete_is_waited_for()
    {
        using SnapshotStore source = Open("a");
        using SnapshotStore target = Open("b");
        List<SnapshotInfo> chain = Chain(source, 4);
        await using var device = new StoreDevice(target);
        int refused = 0;
        var strict = new CuttingDevice(device, long.MaxValue)
        {
            Beginning = start =>
            {
                if (start.Length > 0 && target.Exists("o", start) is null)
                {
                    refused++;
                    throw new SnapshotStoreException("diff.base", "it is not here");
                }
            },
            Finishing = async digest =>
            {
                await Task.Yield();
                return digest;
            },
        };
        Assert.Equal(4, (await new Migration(source, strict).RunAsync("o")).Snapshots);
        Assert.InRange(refused, 0, 3);
        Assert.All(chain, s => Assert.Equal(Content.Of(source, s), Content.Of(target, s)));
    }

    [Fact]
    public async Task What_was_sent_against_a_base_that_did_not_become_a_snapshot_does_not_either_and_is_not_sent_again()
    {
        using SnapshotStore source = Open("a");
        using SnapshotStore target = Open("b");
        List<SnapshotInfo> chain = Chain(source, 3);
        await using var device = new StoreDevice(target);
        var begun = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        int finishes = 0;
        var failing = new CuttingDevice(device, long.MaxValue)
        {
            Beginning = start => _ = start == chain[1].Id && begun.TrySetResult(),
            Finishing = async digest =>
            {
                if (++finishes == 2)
                {
                    await begun.Task.WaitAsync(TimeSpan.FromMinutes(1));
                    digest[0] ^= 1;
                }

                return digest;
            },
        };
        SnapshotStoreException error = await Assert.ThrowsAsync<SnapshotStoreException>(() => new Migration(source, failing).RunAsync("o"));
        Assert.Equal("transfer.mismatch", error.Code);
        Assert.Equal(chain[0].Id, Assert.Single(target.List("o")).Id);

        // The third waits, received; without the second it cannot be gone on with.
        Assert.Equal(3, (await new Migration(source, device).RunAsync("o")).Snapshots + 1);
        Assert.All(chain, s => Assert.Equal(Content.Of(source, s), Content.Of(target, s)));
        Assert.Equal(0, device.Duplicates.Value);
        Assert.Empty(Directory.EnumerateFiles(target.Layout.Pins));
        Assert.Empty(Directory.EnumerateDirectories(target.Layout.Incoming));
        Assert.Empty(target.Verify().Findings);
    }

    [Fact]
    public async Task A_transfer_that_is_abandoned_leaves_nothing_and_unpins_its_base()
    {
        using SnapshotStore source = Open("a");
        using SnapshotStore target = Open("b");
        List<SnapshotInfo> chain = Chain(source, 2, pages: 600, changes: 500);
        await using (var device = new StoreDevice(target))
        {
            await new Migration(source, device, new MigrationOptions { Only = [chain[0].Id] }).RunAsync("o");
            await using var cutting = new CuttingDevice(device, 1_000_000);
            await Assert.ThrowsAnyAsync<IOException>(() => new Migration(source, cutting, new MigrationOptions { Retries = 0 }).RunAsync("o"));
            Assert.Equal(0, target.AbandonTransfers(TimeSpan.Zero));
        }

        Assert.Equal("snapshot.pinned", Assert.Throws<SnapshotStoreException>(() => target.Forget(target.Find("o"))).Code);
        Assert.Equal(1, target.AbandonTransfers(TimeSpan.Zero));
        target.UnpinAll($"migration to {target.Directory}");
        target.Forget(target.Find("o"));
        target.CollectGarbage();
        Assert.Equal(0, target.PackBytes());
    }

    private sealed class Immediately(Action<MigrationProgress> report) : IProgress<MigrationProgress>
    {
        public void Report(MigrationProgress value) => report(value);
    }
}
