namespace Holdfast.Snapshots;

/// <summary>
/// Heals snapshots from another device that has them. Lost extents are fetched and stored anew, and the manifest is replaced by one that refers
/// to them, after the whole content was compared with the other device's digest. A snapshot whose manifest or table is lost is fetched as a difference.
/// </summary>
internal sealed class Repairer(SnapshotStore store, IStorageDevice other)
{
    private const int Piece = 1024 * 1024;

    /// <summary>What took the place of lost bytes: several snapshots may refer to the same.</summary>
    private readonly Dictionary<(PackId, long, int, long), Extent> _replaced = [];

    private readonly List<string> _healed = [];
    private readonly List<(string, string)> _failed = [];
    private long _fetched;

    internal async Task<RepairReport> RunAsync(VerifyReport report, CancellationToken cancel)
    {
        foreach (IGrouping<string, VerifyFinding> damaged in report.Findings.Where(f => f.Snapshot is not null).GroupBy(f => f.Snapshot!))
        {
            (string name, string id) = SnapshotAddress.Split(damaged.Key);
            try
            {
                await HealAsync(name, id, [.. damaged], cancel).ConfigureAwait(false);
                _healed.Add(damaged.Key);
            }
            catch (Exception e) when (e is SnapshotStoreException or HttpRequestException)
            {
                // What was stored for it may be gone with it.
                _replaced.Clear();
                _failed.Add((damaged.Key, e.Message));
            }
        }

        return new RepairReport(_healed, _failed, _fetched);
    }

    private async Task HealAsync(string name, string id, List<VerifyFinding> findings, CancellationToken cancel)
    {
        store.Digests.Drop(name);
        byte[] digest = await other.DigestAsync(name, id, cancel).ConfigureAwait(false);
        SnapshotReader? damaged = null;
        try
        {
            if (findings.TrueForAll(f => f.Code == "extent"))
            {
                damaged = store.OpenSnapshot(new SnapshotInfo { Object = name, Id = id });
                if (damaged.Tables.All(CanLoad))
                {
                    await ReplaceAsync(damaged, findings, digest, cancel).ConfigureAwait(false);
                    return;
                }
            }
        }
        catch (SnapshotDamagedException)
        {
            // Then all of it is fetched.
        }
        finally
        {
            damaged?.Dispose();
        }

        await FetchAsync(name, id, cancel).ConfigureAwait(false);
    }

    private static bool CanLoad(ExtentTable table)
    {
        try
        {
            for (int i = 0; i < table.LeafCount; i++)
            {
                table.Load(i);
            }

            return true;
        }
        catch (SnapshotDamagedException)
        {
            return false;
        }
    }

    private async Task ReplaceAsync(SnapshotReader damaged, List<VerifyFinding> findings, byte[] digest, CancellationToken cancel)
    {
        var options = new SnapshotWriterOptions { Compression = Compression.Auto };
        using var writer = new SnapshotWriter(store, damaged.Info.Object, damaged.Info.Kind, null, options);
        foreach (ExtentTable table in damaged.Tables)
        {
            writer.Touch(table.Name);
            List<StreamRun> lost = [.. findings.Where(f => f.Stream == table.Name).Select(f => new StreamRun(f.Offset, f.Length)).OrderBy(r => r.Offset)];
            int run = 0;
            foreach (Extent extent in table.All())
            {
                long at = extent.Offset;
                while (run < lost.Count && lost[run].End <= at)
                {
                    run++;
                }

                for (int i = run; i < lost.Count && lost[i].Offset < extent.End; i++)
                {
                    long from = Math.Max(at, lost[i].Offset);
                    long to = Math.Min(extent.End, lost[i].End);
                    if (from > at)
                    {
                        writer.Add(table.Name, extent.Clip(at, from));
                    }

                    await ReplaceAsync(writer, damaged.Info, table.Name, extent.Clip(from, to), cancel).ConfigureAwait(false);
                    at = to;
                }

                if (at < extent.End)
                {
                    writer.Add(table.Name, extent.Clip(at, extent.End));
                }
            }
        }

        writer.SetState(damaged.State);
        writer.Receive(damaged.Info, content => Check(content, digest), replace: true);
        writer.Commit();
    }

    private async Task ReplaceAsync(SnapshotWriter writer, SnapshotInfo snapshot, string stream, Extent lost, CancellationToken cancel)
    {
        byte[] bytes = new byte[Math.Min(Piece, lost.Length)];
        for (long at = lost.Offset; at < lost.End; at += bytes.Length)
        {
            Extent part = lost.Clip(at, Math.Min(lost.End, at + bytes.Length));
            (PackId, long, int, long) key = (part.Pack, part.Position, part.Skip, part.Length);
            if (!_replaced.TryGetValue(key, out Extent known))
            {
                Memory<byte> data = bytes.AsMemory(0, (int)part.Length);
                await other.ReadAsync(snapshot.Object, snapshot.Id, stream, part.Offset, data, cancel).ConfigureAwait(false);
                _fetched += data.Length;
                StoredExtent stored = writer.Store(data.Span);
                known = new Extent(part.Offset, part.Length, stored.Pack, stored.Position, stored.Encoded, 0);
                _replaced[key] = known;
            }

            writer.Add(stream, known with { Offset = part.Offset });
        }
    }

    private async Task FetchAsync(string name, string id, CancellationToken cancel)
    {
        string? discarded = store.Discard(name, id);
        try
        {
            await FetchAnewAsync(name, id, cancel).ConfigureAwait(false);
        }
        catch
        {
            store.BringBack(name, id, discarded);
            throw;
        }
    }

    private async Task FetchAnewAsync(string name, string id, CancellationToken cancel)
    {
        SnapshotInfo? start = null;
        foreach (SnapshotInfo candidate in (await other.ListAsync(name, cancel).ConfigureAwait(false)).Reverse())
        {
            if (candidate.Id != id && store.Exists(name, candidate.Id) is { Damage: null } here && IsSound(here))
            {
                start = here;
                break;
            }
        }

        await using Stream difference = await other.OpenDifferenceAsync(name, start?.Id, id, cancel).ConfigureAwait(false);
        SnapshotInfo healed = await DifferenceFile.ApplyAsync(store, difference, cancel).ConfigureAwait(false);
        _fetched += healed.NewBytes;
    }

    private bool IsSound(SnapshotInfo snapshot)
    {
        try
        {
            using SnapshotReader reader = store.OpenSnapshot(snapshot);
            store.Digests.Of(reader);
            return true;
        }
        catch (SnapshotStoreException)
        {
            return false;
        }
    }

    private void Check(SnapshotReader content, byte[] digest)
    {
        store.Digests.Drop(content.Info.Object);
        if (!ContentDigest.Of(content).Value().AsSpan().SequenceEqual(digest))
        {
            throw new SnapshotStoreException("transfer.mismatch", $"the repaired content of {content.Info.Address} is not what {other.Name} has; nothing was changed");
        }
    }
}
