namespace Holdfast.Snapshots;

/// <summary>
/// A store's snapshots in a bucket: the same files under the same names, so that an encrypted store stays encrypted and the bucket,
/// fetched, is a store. Packs are sent once; a manifest is sent when all that it refers to is there.
/// </summary>
public sealed class BucketMirror
{
    private const string HeaderKey = "store";

    private readonly IBlobContainer _container;

    /// <summary>Makes one.</summary>
    public BucketMirror(IBlobContainer container) => _container = container;

    /// <summary>Sends the snapshots of an object that the bucket lacks.</summary>
    /// <param name="store">The store. A bucket, or a prefix of one, belongs to one store.</param>
    /// <param name="objectName">The object.</param>
    /// <param name="order">In which order.</param>
    /// <param name="cancel">Cancels; what is there stays, and the next time goes on.</param>
    /// <exception cref="SnapshotStoreException">The bucket holds another store (<c>device.other</c>) or cannot be reached (<c>device.unreachable</c>); a snapshot is damaged.</exception>
    public async Task<MigrationReport> SendAsync(SnapshotStore store, string objectName, MigrationOrder order = MigrationOrder.Forward, CancellationToken cancel = default)
    {
        await CheckHeaderAsync(store, cancel).ConfigureAwait(false);
        string directory = store.EncodeName(objectName);
        HashSet<string> there = [];
        await foreach ((string key, _) in _container.ListAsync($"objects/{directory}/", cancel).ConfigureAwait(false))
        {
            there.Add(Path.GetFileNameWithoutExtension(key));
        }

        Dictionary<string, long> packs = new(StringComparer.Ordinal);
        await foreach ((string key, long size) in _container.ListAsync("packs/", cancel).ConfigureAwait(false))
        {
            packs[key] = size;
        }

        List<SnapshotInfo> missing = [.. store.List(objectName).Where(s => !there.Contains(s.Id))];
        if (order == MigrationOrder.Reverse)
        {
            missing.Reverse();
        }

        long sent = 0;
        foreach (SnapshotInfo snapshot in missing)
        {
            // Held open, the snapshot keeps its packs even if it is forgotten meanwhile.
            using SnapshotReader reader = store.OpenSnapshot(snapshot);
            var references = new ReferenceMap();
            references.Add(reader);
            foreach (PackId pack in references.Packs)
            {
                string key = $"packs/{pack}{PackFormat.Extension}";
                string file = Path.Combine(store.Layout.Packs, pack + PackFormat.Extension);
                long size = new FileInfo(file).Length;
                if (packs.GetValueOrDefault(key, -1) != size)
                {
                    reader.Packs.Get(pack);
                    await _container.PutAsync(key, file, cancel).ConfigureAwait(false);
                    packs[key] = size;
                    sent += size;
                }
            }

            string manifest = store.Layout.Manifest(directory, snapshot.Id);
            await _container.PutAsync($"objects/{directory}/{snapshot.Id}{StoreLayout.ManifestExtension}", manifest, cancel).ConfigureAwait(false);
            sent += new FileInfo(manifest).Length;
        }

        return new MigrationReport(missing.Count, sent, 0);
    }

    /// <summary>
    /// Fetches snapshots of an object into a directory, which becomes, or is, a copy of the store: open it, and migrate on from there,
    /// repair from it, or read it.
    /// </summary>
    /// <param name="directory">An empty or new directory, or one that was fetched into before.</param>
    /// <param name="options">With the key of an encrypted store.</param>
    /// <param name="objectName">The object.</param>
    /// <param name="only">Ids of the wanted snapshots; null: all.</param>
    /// <param name="cancel">Cancels; the next time goes on.</param>
    /// <returns>The store, opened. Every snapshot that was fetched had its packs' indexes checked.</returns>
    public async Task<SnapshotStore> FetchAsync(
        string directory, StoreOptions options, string objectName, IReadOnlyCollection<string>? only = null, CancellationToken cancel = default)
    {
        var layout = new StoreLayout(Path.GetFullPath(directory));
        SnapshotStore.MakeDirectories(layout);
        if (!File.Exists(layout.Header))
        {
            await GetAsync(HeaderKey, layout.Header, layout.Root, required: true, cancel).ConfigureAwait(false);
            await GetAsync(HeaderKey, layout.HeaderCopy, layout.Root, required: true, cancel).ConfigureAwait(false);
        }

        SnapshotStore store = SnapshotStore.Open(directory, options with { Create = false });
        try
        {
            await CheckHeaderAsync(store, cancel).ConfigureAwait(false);
            string encoded = store.EncodeName(objectName);
            Libc.TryMakeDirectory(layout.Object(encoded));
            var wanted = new List<string>();
            await foreach ((string key, _) in _container.ListAsync($"objects/{encoded}/", cancel).ConfigureAwait(false))
            {
                if (SnapshotStore.IsManifest(Path.GetFileName(key)))
                {
                    wanted.Add(key);
                }
            }

            foreach (string key in wanted.Order(StringComparer.Ordinal))
            {
                string id = Path.GetFileNameWithoutExtension(key);
                if ((only is null || only.Contains(id)) && store.Exists(objectName, id) is null)
                {
                    await FetchSnapshotAsync(store, key, encoded, id, cancel).ConfigureAwait(false);
                }
            }

            return store;
        }
        catch
        {
            store.Dispose();
            throw;
        }
    }

    private async Task FetchSnapshotAsync(SnapshotStore store, string key, string encoded, string id, CancellationToken cancel)
    {
        StoreLayout layout = store.Layout;
        string temporary = Path.Combine(layout.Object(encoded), "fetched");
        File.Delete(temporary);
        await GetAsync(key, temporary, layout.Object(encoded), required: true, cancel).ConfigureAwait(false);

        // The tables are in packs too: they say, a pack at a time, what else is needed.
        while (true)
        {
            try
            {
                using var reader = new SnapshotReader(store, temporary, null, id);
                var references = new ReferenceMap();
                references.Add(reader);
                foreach (PackId pack in references.Packs)
                {
                    reader.Packs.Get(pack);
                }

                break;
            }
            catch (SnapshotDamagedException e) when (!File.Exists(e.File) && e.File.EndsWith(PackFormat.Extension, StringComparison.Ordinal))
            {
                await GetAsync($"packs/{Path.GetFileName(e.File)}", e.File, layout.Packs, required: true, cancel).ConfigureAwait(false);
            }
        }

        Libc.Rename(temporary, layout.Manifest(encoded, id));
        Libc.FlushDirectory(layout.Object(encoded));
        store.Record(StoreEvent.Committed, encoded, id);
    }

    private async Task CheckHeaderAsync(SnapshotStore store, CancellationToken cancel)
    {
        string temporary = Path.Combine(store.Layout.Root, StoreLayout.TemporaryPrefix + PackId.New());
        try
        {
            bool there = await _container.TryGetAsync(HeaderKey, temporary, cancel).ConfigureAwait(false);
            if (there && SnapshotStore.IdIn(temporary) != store.Id)
            {
                throw new SnapshotStoreException("device.other", $"{_container.Name} holds another store ({SnapshotStore.IdIn(temporary)}); use another bucket or prefix for {store.Directory} ({store.Id})");
            }

            // The latest header: after a key was changed, the bucket opens with the new one.
            byte[] ours = await File.ReadAllBytesAsync(store.Layout.Header, cancel).ConfigureAwait(false);
            byte[] theirs = there ? await File.ReadAllBytesAsync(temporary, cancel).ConfigureAwait(false) : [];
            if (!ours.AsSpan().SequenceEqual(theirs))
            {
                await _container.PutAsync(HeaderKey, store.Layout.Header, cancel).ConfigureAwait(false);
            }
        }
        finally
        {
            File.Delete(temporary);
        }
    }

    private async Task GetAsync(string key, string file, string directory, bool required, CancellationToken cancel)
    {
        string temporary = Path.Combine(directory, StoreLayout.TemporaryPrefix + PackId.New());
        try
        {
            if (await _container.TryGetAsync(key, temporary, cancel).ConfigureAwait(false))
            {
                using (Microsoft.Win32.SafeHandles.SafeFileHandle? got = Libc.TryOpen(temporary))
                {
                    Libc.Flush(got!, temporary);
                }

                Libc.Rename(temporary, file);
                Libc.FlushDirectory(directory);
            }
            else if (required)
            {
                throw new SnapshotStoreException("device.missing", $"{_container.Name} has no {key}");
            }
        }
        finally
        {
            File.Delete(temporary);
        }
    }
}
