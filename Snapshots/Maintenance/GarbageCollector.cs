using Microsoft.Win32.SafeHandles;

namespace Holdfast.Snapshots;

/// <summary>
/// Gives back what no snapshot refers to, while others write and read.
/// </summary>
/// <remarks>
/// Why nothing that is needed is taken: a reader holds a shared lock on its manifest, and a writer on its parent's; a manifest in the trash
/// that is locked still counts. A writer holds a lock on each pack of its own from creation, and a shared one on every pack that it found equal
/// bytes in, until its manifest is in place. The collector takes a pack only under an exclusive lock, and once it has all its locks it
/// looks for manifests that appeared meanwhile, while none can move to the trash: first in the trash, where a parent may be that its
/// writer lets go now, then among the visible ones, where that writer's snapshot is by then. Whoever could have referred to a pack
/// either holds it off, or is seen.
/// </remarks>
internal sealed class GarbageCollector(SnapshotStore store)
{
    private readonly ReferenceMap _references = new();
    private readonly HashSet<string> _seen = [];
    private readonly List<SnapshotDamagedException> _damaged = [];
    private readonly PackCache _packs = new(store);
    private CollectionReport _report = new();

    internal CollectionReport Run()
    {
        StoreLayout layout = store.Layout;
        using SafeFileHandle only = Libc.OpenLockFile(layout.CollectorLock);
        for (int attempt = 0; !Libc.Lock(only, Libc.LockExclusive | Libc.LockNonBlocking, layout.CollectorLock); attempt++)
        {
            // A process that another thread of the last collector's was just starting holds its lock, between fork and exec, for a moment longer.
            if (attempt < 20)
            {
                Thread.Sleep(5);
                continue;
            }

            throw new SnapshotStoreException("store.busy", $"another garbage collection of {layout.Root} is running");
        }

        try
        {
            // In this order: a manifest that is forgotten meanwhile is seen at one of the two places.
            MarkVisible();
            MarkTrash();
            RemoveLeftovers();
            if (_damaged.Count == 0)
            {
                Sweep();
            }
        }
        finally
        {
            _packs.Dispose();
            store.OpenPacks.Dispose();
        }

        return _report with { Snapshots = _seen.Count, Damaged = _damaged };
    }

    private void MarkVisible()
    {
        foreach ((_, string id, string path) in store.Layout.Manifests())
        {
            if (_seen.Add(Path.GetFileName(path) + Path.GetDirectoryName(path)))
            {
                Mark(path, id);
            }
        }
    }

    private void MarkTrash()
    {
        foreach (string path in Directory.EnumerateFiles(store.Layout.Trash))
        {
            using SafeFileHandle? file = Libc.TryOpen(path);
            if (file is null)
            {
                continue;
            }

            if (Libc.Lock(file, Libc.LockExclusive | Libc.LockNonBlocking, path))
            {
                Remove(path);
            }
            else if (_seen.Add(path))
            {
                Mark(path, null);
            }
        }
    }

    private void Mark(string path, string? id)
    {
        try
        {
            using var snapshot = new SnapshotReader(store, path, null, id, _packs);
            _references.Add(snapshot);
        }
        catch (SnapshotDamagedException e)
        {
            _damaged.Add(e);
        }
        catch (SnapshotStoreException e) when (e.Code == "snapshot.unknown")
        {
            // Forgotten just now: it is in the trash, where it is looked for next.
        }
    }

    private void RemoveLeftovers()
    {
        StoreLayout layout = store.Layout;
        IEnumerable<string> leftovers = Directory.EnumerateFiles(layout.Packs, "*" + PackFormat.PartialExtension)
            .Concat(Directory.EnumerateFiles(layout.Root, StoreLayout.TemporaryPrefix + "*", new EnumerationOptions { RecurseSubdirectories = false, AttributesToSkip = 0 }))
            .Concat(Directory.EnumerateDirectories(layout.Objects)
                .SelectMany(d => Directory.EnumerateFiles(d, StoreLayout.TemporaryPrefix + "*", new EnumerationOptions { AttributesToSkip = 0 })));
        foreach (string path in leftovers)
        {
            using SafeFileHandle? file = Libc.TryOpen(path);
            if (file is not null && Libc.Lock(file, Libc.LockExclusive | Libc.LockNonBlocking, path))
            {
                Remove(path, file);
            }
        }
    }

    private void Sweep()
    {
        var held = new List<(PackId Id, string Path, SafeFileHandle File, PackReader? Pack)>();
        try
        {
            foreach (PackId id in store.Layout.PackIds())
            {
                Hold(id, held);
            }

            MarkWhatAppeared();
            if (_damaged.Count > 0)
            {
                return;
            }

            foreach ((PackId id, string path, SafeFileHandle file, PackReader? pack) in held)
            {
                if (!_references.Contains(id))
                {
                    _report = _report with { PacksRemoved = _report.PacksRemoved + 1, BytesFreed = _report.BytesFreed + Libc.AllocatedBytes(file, path) };
                    File.Delete(path);
                }
                else if (pack is not null)
                {
                    Trim(pack, path, file, _references.Of(id)!);
                }
            }
        }
        finally
        {
            foreach ((_, _, SafeFileHandle file, PackReader? pack) in held)
            {
                file.Dispose();
                pack?.Dispose();
            }
        }
    }

    private void MarkWhatAppeared()
    {
        string path = store.Layout.TrashLock;
        using SafeFileHandle trashLock = Libc.OpenLockFile(path);
        Libc.Lock(trashLock, Libc.LockExclusive, path);
        MarkTrash();
        MarkVisible();
    }

    private void Hold(PackId id, List<(PackId Id, string Path, SafeFileHandle File, PackReader? Pack)> held)
    {
        string path = Path.Combine(store.Layout.Packs, id + PackFormat.Extension);
        PackReader? pack = null;
        if (_references.Of(id) is { } references)
        {
            try
            {
                pack = new PackReader(store.Layout.Packs, id, store.Vault);
            }
            catch (SnapshotDamagedException)
            {
                // It is needed and damaged: leave it as it is.
                return;
            }

            if (references.Dead(pack).Sum(d => Math.Max(0, Inner(d).End - Inner(d).Start)) == 0)
            {
                pack.Dispose();
                return;
            }
        }

        SafeFileHandle? file = Libc.TryOpen(path, write: true);
        if (file is null || !Libc.Lock(file, Libc.LockExclusive | Libc.LockNonBlocking, path))
        {
            _report = _report with { PacksBusy = _report.PacksBusy + 1 };
            file?.Dispose();
            pack?.Dispose();
            return;
        }

        held.Add((id, path, file, pack));
    }

    private void Trim(PackReader pack, string path, SafeFileHandle file, PackReferences references)
    {
        long before = Libc.AllocatedBytes(file, path);
        foreach ((long Start, long End) dead in references.Dead(pack))
        {
            (long start, long end) = Inner(dead);
            if (end > start && !Libc.TryPunch(file, start, end - start))
            {
                // A file system without holes gives the space back when the whole pack goes.
                return;
            }
        }

        long freed = before - Libc.AllocatedBytes(file, path);
        if (freed > 0)
        {
            _report = _report with { PacksTrimmed = _report.PacksTrimmed + 1, BytesFreed = _report.BytesFreed + freed };
        }
    }

    /// <summary>The whole pages of a range: only those come back.</summary>
    private static (long Start, long End) Inner((long Start, long End) range) =>
        ((range.Start + Crc32C.BlockSize - 1) / Crc32C.BlockSize * Crc32C.BlockSize, range.End / Crc32C.BlockSize * Crc32C.BlockSize);

    private void Remove(string path, SafeFileHandle? file = null)
    {
        long bytes = file is null ? 0 : Libc.AllocatedBytes(file, path);
        File.Delete(path);
        _report = _report with { LeftoversRemoved = _report.LeftoversRemoved + (file is null ? 0 : 1), BytesFreed = _report.BytesFreed + bytes };
    }
}
