using Google.Protobuf;
using Holdfast.Snapshots.Format;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.Snapshots;

/// <content>What is in the bucket, taking snapshots out of it, and giving back the packs that none refers to.</content>
public sealed partial class BucketMirror
{
    private const string ReferencesPrefix = "references/";

    private static ReadOnlySpan<byte> ReferencesMagic => "HFREFS1\n"u8;

    private static string ManifestKey(SnapshotStore store, string objectName, string id) => $"{ObjectsPrefix}{store.EncodeName(objectName)}/{id}{StoreLayout.ManifestExtension}";

    private static string PackKey(PackId pack) => $"{PacksPrefix}{pack}{PackFormat.Extension}";

    /// <summary>The snapshots of an object that are in the bucket, in the order of their creation. One whose manifest is damaged has <see cref="SnapshotInfo.Damage"/>.</summary>
    /// <param name="store">The bucket's store. What it has too is not fetched.</param>
    /// <param name="objectName">The object.</param>
    /// <param name="known">Those that were fetched before, by id; added to. Null: none is remembered.</param>
    /// <param name="cancel">Cancels.</param>
    /// <exception cref="SnapshotStoreException">The bucket holds another store (<c>device.other</c>) or cannot be reached (<c>device.unreachable</c>).</exception>
    public async Task<IReadOnlyList<SnapshotInfo>> ListAsync(
        SnapshotStore store, string objectName, IDictionary<string, SnapshotInfo>? known = null, CancellationToken cancel = default)
    {
        await CheckHeaderAsync(store, write: false, cancel).ConfigureAwait(false);
        var list = new List<SnapshotInfo>();
        await foreach (Blob blob in _container.ListAsync($"{ObjectsPrefix}{store.EncodeName(objectName)}/", cancel).ConfigureAwait(false))
        {
            string file = Path.GetFileName(blob.Key);
            if (!SnapshotStore.IsManifest(file))
            {
                continue;
            }

            string id = file[..SnapshotId.Length];
            SnapshotInfo? info = store.Exists(objectName, id) is { Damage: null } here ? here : known?.TryGetValue(id, out SnapshotInfo? remembered) == true ? remembered : null;
            info ??= await FetchHeaderAsync(store, objectName, id, blob.Key, cancel).ConfigureAwait(false);
            if (info is not null)
            {
                list.Add(info);
                if (known is not null && info.Damage is null)
                {
                    known[id] = info;
                }
            }
        }

        list.Sort(static (a, b) => a.CreatedAt.CompareTo(b.CreatedAt) is var time and not 0 ? time : string.CompareOrdinal(a.Id, b.Id));
        return list;
    }

    /// <summary>Takes a snapshot out of the bucket; <see cref="CollectAsync"/> gives the space back.</summary>
    /// <exception cref="SnapshotStoreException">It is not there (<c>snapshot.unknown</c>), or the bucket holds another store (<c>device.other</c>).</exception>
    public async Task ForgetAsync(SnapshotStore store, string objectName, string id, CancellationToken cancel = default)
    {
        await CheckHeaderAsync(store, write: false, cancel).ConfigureAwait(false);
        string key = ManifestKey(store, objectName, id);
        bool there = false;
        await foreach (Blob blob in _container.ListAsync(key, cancel).ConfigureAwait(false))
        {
            there |= blob.Key == key;
        }

        if (!there)
        {
            throw new SnapshotStoreException("snapshot.unknown", $"there is no snapshot {objectName}@{id} in {_container.Name}");
        }

        // What it refers to is still said until it is collected: a snapshot without that would keep everything.
        await _container.DeleteAsync(key, cancel).ConfigureAwait(false);
    }

    /// <summary>Removes the packs that no snapshot in the bucket refers to. Nobody sends to it meanwhile: who does is waited for by name, who comes waits.</summary>
    /// <exception cref="SnapshotStoreException">
    /// Somebody sends, or collects already (<c>device.busy</c>); what a snapshot refers to cannot be found out, because an older version of this program sent it
    /// and it is only there (<c>device.references</c>). Nothing was removed then.
    /// </exception>
    public async Task<CollectionReport> CollectAsync(SnapshotStore store, CancellationToken cancel = default)
    {
        await CheckHeaderAsync(store, write: false, cancel).ConfigureAwait(false);
        await using BucketLease lease = await BucketLease.ForCollectingAsync(_container, store, cancel).ConfigureAwait(false);
        HashSet<string> snapshots = [];
        await foreach (Blob blob in _container.ListAsync(ObjectsPrefix, cancel).ConfigureAwait(false))
        {
            if (SnapshotStore.IsManifest(Path.GetFileName(blob.Key)))
            {
                snapshots.Add(blob.Key[ObjectsPrefix.Length..^StoreLayout.ManifestExtension.Length]);
            }
        }

        HashSet<string> lists = [];
        await foreach (Blob blob in _container.ListAsync(ReferencesPrefix, cancel).ConfigureAwait(false))
        {
            lists.Add(blob.Key[ReferencesPrefix.Length..]);
        }

        HashSet<string> needed = new(StringComparer.Ordinal);
        foreach (string snapshot in snapshots)
        {
            needed.UnionWith(await ReferencesAsync(store, snapshot, lists.Contains(snapshot), cancel).ConfigureAwait(false));
        }

        List<Blob> unneeded = [];
        await foreach (Blob blob in _container.ListAsync(PacksPrefix, cancel).ConfigureAwait(false))
        {
            if (!needed.Contains(blob.Key))
            {
                unneeded.Add(blob);
            }
        }

        int removed = 0;
        long freed = 0;
        foreach (Blob pack in unneeded)
        {
            if (!lease.MayRemove)
            {
                break;
            }

            await RemoveAsync(pack.Key, cancel).ConfigureAwait(false);
            removed++;
            freed += pack.Size;
        }

        foreach (string list in lists.Except(snapshots))
        {
            if (lease.MayRemove)
            {
                await RemoveAsync(ReferencesPrefix + list, cancel).ConfigureAwait(false);
            }
        }

        return new CollectionReport { Snapshots = snapshots.Count, PacksRemoved = removed, PacksBusy = unneeded.Count - removed, BytesFreed = freed };
    }

    /// <summary>A removal that is not over when the lease is would be one too late.</summary>
    private async Task RemoveAsync(string key, CancellationToken cancel)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        limit.CancelAfter(BucketLease.CollectorLife / 3);
        await _container.DeleteAsync(key, limit.Token).ConfigureAwait(false);
    }

    private async Task PutReferencesAsync(SnapshotStore store, string objectName, string id, ReferenceMap references, CancellationToken cancel)
    {
        var message = new SnapshotReferences { Object = objectName, Id = id };
        message.Packs.Add(references.Packs.Select(p => ByteString.CopyFrom(p.ToBytes())));
        string temporary = StoreLayout.Temporary(store.Layout.Root);
        try
        {
            await File.WriteAllBytesAsync(temporary, FrameFile.Build(ReferencesMagic, [new Frame(FrameKind.Header, message.ToByteArray())], store.Vault), cancel).ConfigureAwait(false);
            await _container.PutAsync($"{ReferencesPrefix}{store.EncodeName(objectName)}/{id}", temporary, cancel).ConfigureAwait(false);
        }
        finally
        {
            File.Delete(temporary);
        }
    }

    /// <summary>The keys of the packs that a snapshot in the bucket refers to.</summary>
    private async Task<IEnumerable<string>> ReferencesAsync(SnapshotStore store, string snapshot, bool listed, CancellationToken cancel)
    {
        (string directory, string id) = (Path.GetDirectoryName(snapshot)!, Path.GetFileName(snapshot));
        if (listed && await FetchReferencesAsync(store, snapshot, id, cancel).ConfigureAwait(false) is { } packs)
        {
            return packs.Select(PackKey);
        }

        string manifest = store.Layout.Manifest(directory, id);
        if (!File.Exists(manifest))
        {
            throw new SnapshotStoreException(
                "device.references",
                $"nothing is collected in {_container.Name}: what the snapshot {snapshot} refers to is not said there, and {store.Directory} does not have it; fetch it, or forget it there");
        }

        // An older version of this program sent it.
        using var reader = new SnapshotReader(store, manifest, null, id);
        var references = new ReferenceMap();
        references.Add(reader);
        return [.. references.Packs.Select(PackKey)];
    }

    private async Task<PackId[]?> FetchReferencesAsync(SnapshotStore store, string snapshot, string id, CancellationToken cancel)
    {
        string temporary = StoreLayout.Temporary(store.Layout.Root);
        try
        {
            if (!await _container.TryGetAsync(ReferencesPrefix + snapshot, temporary, cancel).ConfigureAwait(false))
            {
                return null;
            }

            using SafeFileHandle file = Libc.TryOpen(temporary) ?? throw new SnapshotStoreException("device.missing", $"{temporary} went away");
            List<Frame> frames = FrameFile.Read(file, temporary, ReferencesMagic, vault: store.Vault);
            SnapshotReferences message = FrameFile.Parse(SnapshotReferences.Parser, frames[0].Payload.Span, temporary, ReferencesMagic.Length);
            return message.Id == id && store.EncodeName(message.Object) == Path.GetDirectoryName(snapshot) ? ExtentLeafCodec.DecodePacks(message.Packs) : null;
        }
        catch (SnapshotDamagedException)
        {
            // The store itself may have the snapshot.
            return null;
        }
        finally
        {
            File.Delete(temporary);
        }
    }

    private async Task<SnapshotInfo?> FetchHeaderAsync(SnapshotStore store, string objectName, string id, string key, CancellationToken cancel)
    {
        string temporary = StoreLayout.Temporary(store.Layout.Root);
        try
        {
            if (!await _container.TryGetAsync(key, temporary, cancel).ConfigureAwait(false))
            {
                return null;
            }

            using SafeFileHandle file = Libc.TryOpen(temporary) ?? throw new SnapshotStoreException("device.missing", $"{temporary} went away");
            return ManifestFile.ToInfo(ManifestFile.ReadHeader(file, temporary, objectName, id, store.Vault));
        }
        catch (SnapshotDamagedException e)
        {
            return new SnapshotInfo { Object = objectName, Id = id, Damage = e.Message };
        }
        finally
        {
            File.Delete(temporary);
        }
    }
}
