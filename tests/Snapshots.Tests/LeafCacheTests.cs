namespace Holdfast.Snapshots.Tests;

/// <summary>Decoded leaves that stay while somebody goes through a chain.</summary>
public sealed class LeafCacheTests
{
    [Fact]
    public void The_newest_leaves_stay_and_those_of_a_pack_can_be_forgotten()
    {
        var cache = new LeafCache();
        (PackId first, PackId second) = (PackId.New(), PackId.New());
        var leaf = new Extent[1000];
        for (int i = 0; i < 400; i++)
        {
            cache.Put(i % 2 == 0 ? first : second, i, leaf);
        }

        Assert.Null(cache.TryGet(first, 0));
        Assert.Same(leaf, cache.TryGet(second, 399));
        Assert.Same(leaf, cache.TryGet(first, 398));
        cache.Remove(first);
        Assert.Null(cache.TryGet(first, 398));
        Assert.Same(leaf, cache.TryGet(second, 397));
    }

    [Fact]
    public void Leaves_are_kept_only_as_long_as_somebody_wants_that()
    {
        using var directory = new TestDirectory();
        using SnapshotStore store = SnapshotStore.Open(directory["a"]);
        Assert.Null(store.OpenPacks.Leaves);
        IDisposable outer = store.OpenPacks.KeepLeaves();
        IDisposable inner = store.OpenPacks.KeepLeaves();
        LeafCache? kept = store.OpenPacks.Leaves;
        Assert.NotNull(kept);
        outer.Dispose();
        outer.Dispose();
        Assert.Same(kept, store.OpenPacks.Leaves);
        inner.Dispose();
        Assert.Null(store.OpenPacks.Leaves);
    }

    [Fact]
    public async Task A_chain_with_large_tables_arrives_as_it_is()
    {
        using var directory = new TestDirectory();
        using SnapshotStore source = SnapshotStore.Open(directory["a"]);
        using SnapshotStore target = SnapshotStore.Open(directory["b"]);
        List<SnapshotInfo> chain = Chain(source);
        await using var device = new StoreDevice(target);
        await new Migration(source, device).RunAsync("o");
        foreach (SnapshotInfo info in chain)
        {
            Assert.Equal(Content.Of(source, info), Content.Of(target, target.Find("o", info.Id)));
        }

        Assert.Null(source.OpenPacks.Leaves);
        Assert.Null(target.OpenPacks.Leaves);
        Assert.Empty(target.Verify().Findings);
    }

    [Fact]
    public void A_leaf_that_was_damaged_meanwhile_is_not_taken_from_memory()
    {
        using var directory = new TestDirectory();
        using SnapshotStore store = SnapshotStore.Open(directory["a"]);
        SnapshotInfo last = Chain(store)[^1];
        using IDisposable kept = store.OpenPacks.KeepLeaves();
        Content.Of(store, last);
        ExtentTable.Leaf leaf;
        using (SnapshotReader reader = store.OpenSnapshot(last))
        {
            leaf = reader.Table("data")!.LeafAt(0);
            Assert.NotNull(store.OpenPacks.Leaves!.TryGet(leaf.Pack, leaf.Position));
        }

        string pack = Path.Combine(store.Layout.Packs, leaf.Pack + PackFormat.Extension);
        using (FileStream file = new(pack, FileMode.Open, FileAccess.ReadWrite))
        {
            file.Position = leaf.Position + 8;
            int value = file.ReadByte();
            file.Position--;
            file.WriteByte((byte)~value);
        }

        Assert.Throws<SnapshotDamagedException>(() => Content.Of(store, last));
    }

    // Every page that changed is an extent of its own: more of them than a manifest holds itself.
    private static List<SnapshotInfo> Chain(SnapshotStore store)
    {
        const int Pages = 5000;
        var random = new Random(5);
        byte[] content = random.Bytes(Pages * 4096);
        var chain = new List<SnapshotInfo>();
        for (int i = 0; i < 4; i++)
        {
            var changed = new HashSet<int>();
            for (int change = 0; change < 800; change++)
            {
                int page = random.Next(Pages);
                changed.Add(page);
                random.NextBytes(content.AsSpan(page * 4096, 4096));
            }

            chain.Add(Content.Take(store, "o", content, chain.LastOrDefault(), null, changed.Contains));
        }

        return chain;
    }
}
