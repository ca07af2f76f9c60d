namespace Holdfast.Snapshots;

/// <summary>Walks everything that a store holds.</summary>
internal sealed class Verifier(SnapshotStore store, Action<long>? progress)
{
    private readonly List<VerifyFinding> _findings = [];
    private readonly PackCache _packs = new(store);
    private readonly Dictionary<PackId, SortedSet<long>> _badBlocks = [];
    private readonly Dictionary<(PackId, long), string?> _badRows = [];
    private readonly Dictionary<PackId, string?> _badPacks = [];
    private readonly HashSet<(PackId, long)> _soundBlocks = [];
    private long _bytes;
    private int _snapshots;

    internal VerifyReport Run()
    {
        try
        {
            CheckHeaders();
            CheckPacks();
            foreach ((string directory, string id, string path) in store.Layout.Manifests().ToList())
            {
                CheckSnapshot(directory, id, path);
            }

            CheckCatalogue();
        }
        finally
        {
            _packs.Dispose();
        }

        return new VerifyReport { Snapshots = _snapshots, Packs = _badPacks.Count, BytesRead = _bytes, Findings = _findings };
    }

    private void CheckHeaders()
    {
        foreach (string path in (string[])[store.Layout.Header, store.Layout.HeaderCopy])
        {
            if (store.HeaderDamage(path) is { } damage)
            {
                _findings.Add(new VerifyFinding("header", path, 0, null, null, 0, 0, damage + "; verify --rebuild makes it again from its copy"));
            }
        }
    }

    private void CheckPacks()
    {
        foreach (PackId id in store.Layout.PackIds())
        {
            CheckPack(id);
        }
    }

    private PackReader? CheckPack(PackId id)
    {
        if (_badPacks.TryGetValue(id, out string? known))
        {
            return known is null ? _packs.Get(id) : null;
        }

        try
        {
            PackReader pack = _packs.Get(id);
            _badPacks[id] = null;
            return pack;
        }
        catch (SnapshotDamagedException e)
        {
            _badPacks[id] = e.What;
            _findings.Add(new VerifyFinding("pack", e.File, e.Position, null, null, 0, 0, e.Message));
            return null;
        }
    }

    private void CheckSnapshot(string directory, string id, string path)
    {
        _snapshots++;
        string? name = store.NameOf(directory);
        SnapshotReader snapshot;
        try
        {
            snapshot = new SnapshotReader(store, path, name, id, _packs);
        }
        catch (SnapshotDamagedException e)
        {
            _findings.Add(new VerifyFinding("manifest", e.File, e.Position, $"{name ?? directory}@{id}", null, 0, 0, e.Message));
            return;
        }
        catch (SnapshotStoreException e) when (e.Code == "snapshot.unknown")
        {
            return;
        }

        using (snapshot)
        {
            foreach (ExtentTable table in snapshot.Tables)
            {
                CheckTable(snapshot.Info.Address, table, path);
            }
        }
    }

    private void CheckTable(string address, ExtentTable table, string path)
    {
        long bytes = 0;
        for (int i = 0; i < table.LeafCount; i++)
        {
            ExtentTable.Leaf leaf = table.LeafAt(i);
            Extent[] extents;
            try
            {
                extents = table.Load(i);
            }
            catch (SnapshotDamagedException e)
            {
                _findings.Add(new VerifyFinding("extent", e.File, e.Position, address, table.Name, leaf.Start, leaf.End - leaf.Start, e.Message));
                bytes = -1;
                continue;
            }

            foreach (Extent extent in extents)
            {
                CheckExtent(address, table.Name, extent);
                bytes = bytes < 0 ? bytes : bytes + extent.Length;
            }
        }

        if (bytes >= 0 && bytes != table.Bytes)
        {
            _findings.Add(new VerifyFinding("manifest", path, 0, address, table.Name, 0, 0, $"the table says {table.Bytes} bytes, its extents have {bytes}"));
        }
    }

    private void CheckExtent(string address, string stream, in Extent extent)
    {
        PackReader? pack = CheckPack(extent.Pack);
        if (pack is null)
        {
            string file = Path.Combine(store.Layout.Packs, extent.Pack + PackFormat.Extension);
            Lost(address, stream, extent.Offset, extent.Length, file, extent.Position, _badPacks[extent.Pack]!);
            return;
        }

        try
        {
            if (extent.Encoded)
            {
                int row = pack.Find(extent.Position);
                if (CheckRow(pack, row) is { } damage)
                {
                    Lost(address, stream, extent.Offset, extent.Length, pack.FilePath, extent.Position, damage);
                }

                return;
            }

            for (long at = extent.Position; at < extent.Position + extent.Length;)
            {
                at = CheckBlock(address, stream, extent, pack, at);
            }
        }
        catch (SnapshotDamagedException e)
        {
            Lost(address, stream, extent.Offset, extent.Length, e.File, e.Position, e.What);
        }
    }

    /// <returns>The position after the piece that was checked.</returns>
    private long CheckBlock(string address, string stream, in Extent extent, PackReader pack, long at)
    {
        const int Piece = 1 << 20;
        PackRow row = pack.Row(pack.Find(at));
        if (!row.IsRaw)
        {
            throw new SnapshotDamagedException(pack.FilePath, at, "the manifest expects raw bytes here");
        }

        long start = row.Position + ((at - row.Position) / Crc32C.BlockSize * Crc32C.BlockSize);
        long end = Math.Min(row.End, Math.Min(start + Piece, extent.Position + extent.Length));
        end = Math.Min(row.End, row.Position + ((end - row.Position + Crc32C.BlockSize - 1) / Crc32C.BlockSize * Crc32C.BlockSize));
        byte[] buffer = LargeArrays.Rent((int)(end - start));
        try
        {
            for (long block = start; block < end;)
            {
                // Whole pieces are read at once; only where one is bad, or known already, block by block.
                long stop = _soundBlocks.Contains((pack.Id, block)) || _badBlocks.ContainsKey(pack.Id) ? Math.Min(end, block + Crc32C.BlockSize) : end;
                if (_soundBlocks.Contains((pack.Id, block)))
                {
                    block = stop;
                    continue;
                }

                try
                {
                    pack.Read(block, 0, buffer.AsSpan(0, (int)(stop - block)));
                    Count(stop - block);
                    for (long sound = block; sound < stop; sound += Crc32C.BlockSize)
                    {
                        _soundBlocks.Add((pack.Id, sound));
                    }
                }
                catch (SnapshotDamagedException e)
                {
                    if (stop - block > Crc32C.BlockSize)
                    {
                        _badBlocks.TryAdd(pack.Id, []);
                        continue;
                    }

                    long lost = Math.Max(block, extent.Position);
                    Lost(address, stream, extent.Offset + (lost - extent.Position), Math.Min(stop, extent.Position + extent.Length) - lost, pack.FilePath, block, e.What);
                }

                block = stop;
            }
        }
        finally
        {
            LargeArrays.Return(buffer);
        }

        return end;
    }

    private string? CheckRow(PackReader pack, int row)
    {
        long position = pack.Row(row).Position;
        if (_badRows.TryGetValue((pack.Id, position), out string? known))
        {
            return known;
        }

        string? damage = null;
        try
        {
            byte[] bytes = pack.ReadExtent(position, out int length);
            if (!pack.HashOf(row).IsEmpty)
            {
                Span<byte> hash = stackalloc byte[Hash.Size];
                store.HashContent(bytes.AsSpan(0, length), hash);
                damage = hash.SequenceEqual(pack.HashOf(row)) ? null : "the hash of the extent's bytes is another";
            }

            LargeArrays.Return(bytes);
            Count(pack.Row(row).Stored);
        }
        catch (SnapshotDamagedException e)
        {
            damage = e.What;
        }

        _badRows[(pack.Id, position)] = damage;
        return damage;
    }

    private void CheckCatalogue()
    {
        if (!File.Exists(store.Layout.Catalogue) && !File.Exists(store.Layout.Events))
        {
            return;
        }

        try
        {
            using var catalogue = new Catalogue(store.Layout);
            if (catalogue.IntegrityError() is { } error)
            {
                throw new SnapshotDamagedException(store.Layout.Catalogue, 0, $"the catalogue is damaged: {error}; verify --rebuild makes it again");
            }

            HashSet<(string Directory, string Id)> present = catalogue.Present();
            HashSet<(string, string)> found = [.. store.Layout.Manifests().Select(m => (m.Directory, m.Id))];
            foreach ((string directory, string id) in present.Where(p => !found.Contains(p)))
            {
                string path = store.Layout.Manifest(directory, id);
                string address = $"{store.NameOf(directory) ?? directory}@{id}";
                _findings.Add(new VerifyFinding("manifest.missing", path, 0, address, null, 0, 0, $"snapshot {address} was committed and never forgotten, and its manifest {path} is gone"));
            }

            catalogue.Adopt(found.Where(f => !present.Contains(f)));
        }
        catch (SnapshotDamagedException e)
        {
            _findings.Add(new VerifyFinding("catalogue", e.File, 0, null, null, 0, 0, e.Message));
        }
    }

    private void Lost(string address, string stream, long offset, long length, string file, long position, string what) =>
        _findings.Add(new VerifyFinding("extent", file, position, address, stream, offset, length, $"snapshot {address}, stream {stream}, offset {offset}, {length} bytes: damaged: {file} at {position}: {what}"));

    private void Count(long bytes)
    {
        _bytes += bytes;
        progress?.Invoke(_bytes);
    }
}
