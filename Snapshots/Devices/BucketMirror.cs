namespace Holdfast.Snapshots;

/// <summary>
/// A store's snapshots in a bucket: the same files under the same names, so that an encrypted store stays encrypted and the bucket,
/// fetched, is a store. Packs are sent once; a manifest is sent when all that it refers to is there.
/// </summary>
public sealed partial class BucketMirror
{
    private const string HeaderKey = "store";
    private const string PacksPrefix = "packs/";
    private const string ObjectsPrefix = "objects/";

    private readonly IBlobContainer _container;
    private long _fetched;

    /// <summary>Makes one.</summary>
    public BucketMirror(IBlobContainer container) => _container = container;

    /// <summary>Bytes that this one fetched so far.</summary>
    public long BytesFetched => Interlocked.Read(ref _fetched);

    /// <summary>Tells whether the bucket holds this store; true as well when it holds none yet.</summary>
    public async Task<bool> IsOfAsync(SnapshotStore store, CancellationToken cancel = default)
    {
        try
        {
            await CheckHeaderAsync(store, write: false, cancel).ConfigureAwait(false);
            return true;
        }
        catch (SnapshotStoreException e) when (e.Code == "device.other")
        {
            return false;
        }
    }

    /// <summary>Sends the snapshots of an object that the bucket lacks.</summary>
    /// <param name="store">The store. A bucket, or a prefix of one, belongs to one store.</param>
    /// <param name="objectName">The object.</param>
    /// <param name="order">In which order.</param>
    /// <param name="cancel">Cancels; what is there stays, and the next time goes on.</param>
    /// <exception cref="SnapshotStoreException">The bucket holds another store (<c>device.other</c>) or cannot be reached (<c>device.unreachable</c>); a snapshot is damaged.</exception>
    public Task<MigrationReport> SendAsync(SnapshotStore store, string objectName, MigrationOrder order = MigrationOrder.Forward, CancellationToken cancel = default) =>
        SendAsync(store, objectName, new MigrationOptions { Order = order }, null, cancel);

    /// <summary>As above, with more options; a limit on the bandwidth holds over whole files, not within one.</summary>
    /// <param name="store">The store.</param>
    /// <param name="objectName">The object.</param>
    /// <param name="options">Which snapshots, and how.</param>
    /// <param name="live">Also this state, which becomes a snapshot there; stays the caller's. Null: only snapshots.</param>
    /// <param name="cancel">Cancels.</param>
    public async Task<MigrationReport> SendAsync(
        SnapshotStore store, string objectName, MigrationOptions options, LiveSnapshot? live = null, CancellationToken cancel = default)
    {
        await CheckHeaderAsync(store, write: true, cancel).ConfigureAwait(false);

        // Before it is looked at what is there: nothing that this relies on is collected until the lease is given back.
        await using BucketLease lease = await BucketLease.ForSendingAsync(_container, store, cancel).ConfigureAwait(false);
        (List<Outgoing> missing, Dictionary<string, long> packs, _, _) = await MissingAsync(store, objectName, options, live, cancel).ConfigureAwait(false);
        var limit = new RateLimit(options.BytesPerSecond);
        long sent = 0;
        for (int i = 0; i < missing.Count; i++)
        {
            Outgoing one = missing[i];

            // Held open, the snapshot keeps its packs even if it is forgotten meanwhile.
            using SnapshotReader reader = one.Open();
            long before = sent;
            var references = new ReferenceMap();
            references.Add(reader);
            IReadOnlyList<(string Key, string File, long Size, PackId Pack)> files = FilesOf(store, references, packs);
            long planned = files.Sum(f => f.Size);
            await Parallel.ForEachAsync(
                files,
                new ParallelOptions { MaxDegreeOfParallelism = options.Parallel, CancellationToken = cancel },
                async (file, stop) =>
                {
                    reader.Packs.Get(file.Pack);
                    await limit.TakeAsync(file.Size, stop).ConfigureAwait(false);
                    await _container.PutAsync(file.Key, file.File, stop).ConfigureAwait(false);
                    long now = Interlocked.Add(ref sent, file.Size);
                    options.Progress?.Report(new MigrationProgress(reader.Info, i + 1, missing.Count, now, planned));
                }).ConfigureAwait(false);
            foreach ((string key, _, long size, _) in files)
            {
                packs[key] = size;
            }

            // What it refers to is said first: whoever sees the manifest finds that.
            await PutReferencesAsync(store, objectName, reader.Info.Id, references, cancel).ConfigureAwait(false);
            lease.ThrowIfLate();
            await _container.PutAsync(ManifestKey(store, objectName, reader.Info.Id), one.Manifest, cancel).ConfigureAwait(false);
            sent += new FileInfo(one.Manifest).Length;
            options.Sent?.Invoke(new MigrationStep(reader.Info, null, planned, Reason(files.Count)), i + 1, missing.Count, sent - before);
        }

        return new MigrationReport(missing.Count, sent, 0);
    }

    /// <summary>Which snapshots would be sent, and how many bytes of packs that the bucket does not have.</summary>
    public async Task<MigrationPlan> PlanAsync(
        SnapshotStore store, string objectName, MigrationOptions options, LiveSnapshot? live = null, CancellationToken cancel = default)
    {
        await CheckHeaderAsync(store, write: false, cancel).ConfigureAwait(false);
        (List<Outgoing> missing, Dictionary<string, long> packs, int already, int only) = await MissingAsync(store, objectName, options, live, cancel).ConfigureAwait(false);
        var steps = new List<MigrationStep>();
        foreach (Outgoing one in missing)
        {
            using SnapshotReader reader = one.Open();
            var references = new ReferenceMap();
            references.Add(reader);
            IReadOnlyList<(string Key, string File, long Size, PackId Pack)> files = FilesOf(store, references, packs);
            foreach ((string key, _, long size, _) in files)
            {
                packs[key] = size;
            }

            steps.Add(new MigrationStep(reader.Info, null, files.Sum(f => f.Size) + new FileInfo(one.Manifest).Length, Reason(files.Count)));
        }

        return new MigrationPlan(objectName, steps, already, only);
    }

    private static string Reason(int packs) => packs switch
    {
        0 => "all of its packs are there; only its manifest is missing",
        1 => "one of its packs is not there; a bucket takes whole packs",
        _ => $"{packs} of its packs are not there; a bucket takes whole packs",
    };

    private static List<(string Key, string File, long Size, PackId Pack)> FilesOf(SnapshotStore store, ReferenceMap references, Dictionary<string, long> there)
    {
        var files = new List<(string Key, string File, long Size, PackId Pack)>();
        foreach (PackId pack in references.Packs)
        {
            string key = PackKey(pack);
            string file = Path.Combine(store.Layout.Packs, pack + PackFormat.Extension);
            long size = new FileInfo(file).Length;
            if (there.GetValueOrDefault(key, -1) != size)
            {
                files.Add((key, file, size, pack));
            }
        }

        return files;
    }

    private async Task<(List<Outgoing> Missing, Dictionary<string, long> Packs, int AlreadyThere, int OnlyThere)> MissingAsync(
        SnapshotStore store, string objectName, MigrationOptions options, LiveSnapshot? live, CancellationToken cancel)
    {
        string directory = store.EncodeName(objectName);
        HashSet<string> there = [];
        await foreach (Blob blob in _container.ListAsync($"{ObjectsPrefix}{directory}/", cancel).ConfigureAwait(false))
        {
            there.Add(Path.GetFileNameWithoutExtension(blob.Key));
        }

        Dictionary<string, long> packs = new(StringComparer.Ordinal);
        await foreach (Blob blob in _container.ListAsync(PacksPrefix, cancel).ConfigureAwait(false))
        {
            packs[blob.Key] = blob.Size;
        }

        IReadOnlyList<SnapshotInfo> here = store.List(objectName);
        List<Outgoing> missing = [.. here.Where(s => !there.Contains(s.Id) && (options.Only is null || options.Only.Contains(s.Id)))
            .Select(s => new Outgoing(() => store.OpenSnapshot(s), store.Layout.Manifest(directory, s.Id)))];
        if (live is not null)
        {
            missing.Add(new Outgoing(live.Open, live.Manifest));
        }

        if (options.Order == MigrationOrder.Reverse)
        {
            missing.Reverse();
        }

        return (missing, packs, here.Count(s => there.Contains(s.Id)), there.Count(id => here.All(s => s.Id != id)));
    }

    /// <summary>A snapshot, or a live state, on its way.</summary>
    private sealed record Outgoing(Func<SnapshotReader> Open, string Manifest);

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
            await CheckHeaderAsync(store, write: false, cancel).ConfigureAwait(false);
            string encoded = store.EncodeName(objectName);
            Libc.TryMakeDirectory(layout.Object(encoded));
            var wanted = new List<string>();
            await foreach (Blob blob in _container.ListAsync($"{ObjectsPrefix}{encoded}/", cancel).ConfigureAwait(false))
            {
                if (SnapshotStore.IsManifest(Path.GetFileName(blob.Key)))
                {
                    wanted.Add(blob.Key);
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

        // The tables are in packs too: they say, a pack at a time, what else is needed. Everything is read before the snapshot is visible, and a pack
        // that is here may lack what the collector gave back since: then it is fetched anew, once.
        HashSet<string> fetched = [];
        SnapshotReader? reader = null;
        while (reader is null)
        {
            try
            {
                reader = OpenWhole(store, temporary, id);
            }
            catch (SnapshotDamagedException e) when (e.File.EndsWith(PackFormat.Extension, StringComparison.Ordinal) && fetched.Add(e.File))
            {
                await GetAsync($"packs/{Path.GetFileName(e.File)}", e.File, layout.Packs, required: true, cancel).ConfigureAwait(false);
            }
        }

        // Its packs are held until the manifest is in place.
        using (reader)
        {
            Libc.Rename(temporary, layout.Manifest(encoded, id));
            Libc.FlushDirectory(layout.Object(encoded));
        }

        store.Record(StoreEvent.Committed, encoded, id);
    }

    /// <summary>Opens a manifest with all of its packs held, and reads everything.</summary>
    /// <exception cref="SnapshotDamagedException">Something is missing or damaged; names the pack.</exception>
    private static SnapshotReader OpenWhole(SnapshotStore store, string manifest, string id)
    {
        var reader = new SnapshotReader(store, manifest, null, id);
        try
        {
            var references = new ReferenceMap();
            references.Add(reader);
            foreach (PackId pack in references.Packs)
            {
                if (!reader.Packs.Get(pack).TryPin())
                {
                    throw new SnapshotDamagedException(Path.Combine(store.Layout.Packs, pack + PackFormat.Extension), 0, "is being collected");
                }
            }

            byte[] buffer = new byte[1024 * 1024];
            foreach (StreamInfo stream in reader.Streams)
            {
                foreach (StreamRun run in reader.Runs(stream.Name))
                {
                    for (long at = run.Offset; at < run.End; at += buffer.Length)
                    {
                        reader.Read(stream.Name, at, buffer.AsSpan(0, (int)Math.Min(buffer.Length, run.End - at)));
                    }
                }
            }

            return reader;
        }
        catch
        {
            reader.Dispose();
            throw;
        }
    }

    private async Task CheckHeaderAsync(SnapshotStore store, bool write, CancellationToken cancel)
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
            if (write && !ours.AsSpan().SequenceEqual(theirs))
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
                Interlocked.Add(ref _fetched, new FileInfo(temporary).Length);
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
