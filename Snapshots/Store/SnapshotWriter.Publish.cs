using Holdfast.Snapshots.Format;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.Snapshots;

/// <content>How a snapshot becomes visible.</content>
public sealed partial class SnapshotWriter
{
    private void Verify(SnapshotInfo info, ManifestRoot root)
    {
        if (_verify is null)
        {
            return;
        }

        try
        {
            using var content = new SnapshotReader(_store, info, root, _state);
            _verify(content);
        }
        catch
        {
            _packs.Withdraw();
            throw;
        }
    }

    private SnapshotInfo PublishManifest(SnapshotInfo info, ManifestRoot root)
    {
        StoreLayout layout = _store.Layout;
        string directory = layout.Object(_encodedName);
        if (Libc.TryMakeDirectory(directory))
        {
            Libc.FlushDirectory(layout.Objects);
        }

        // Under the lock no other writer of this object can take the same id, or a smaller one later.
        string lockPath = layout.Lock(_encodedName);
        using SafeFileHandle objectLock = Libc.OpenLockFile(lockPath);
        Libc.Lock(objectLock, Libc.LockExclusive, lockPath);
        info = _template is not null ? info : info with { Id = SnapshotId.New(info.CreatedAt, _store.Ids(_encodedName).Max(StringComparer.Ordinal)) };
        if (_template is not null && !_replace && File.Exists(layout.Manifest(_encodedName, info.Id)))
        {
            throw new SnapshotStoreException("snapshot.exists", $"the snapshot {info.Address} exists in {_store.Directory} already");
        }

        using SafeFileHandle file = Libc.CreateLocked(() => StoreLayout.Temporary(directory), out string temporary);
        try
        {
            Libc.Write(file, ManifestFile.Build(ManifestFile.ToHeader(info), root, _state, _store.Vault), 0, temporary);
            Libc.Flush(file, temporary);
            Libc.Rename(temporary, layout.Manifest(_encodedName, info.Id));
        }
        catch
        {
            File.Delete(temporary);
            throw;
        }

        Libc.FlushDirectory(directory);
        return info;
    }

    /// <summary>Puts the manifest where forgotten ones are, opened: it is kept as long as it is.</summary>
    private (SnapshotInfo Info, LiveSnapshot Live) PublishLive(SnapshotInfo info, ManifestRoot root)
    {
        info = info with { Id = SnapshotId.New(info.CreatedAt, _store.Ids(_encodedName).Max(StringComparer.Ordinal)) };
        string path = Path.Combine(_store.Layout.Trash, PackId.New() + StoreLayout.ManifestExtension);
        using SafeFileHandle file = Libc.CreateLocked(() => StoreLayout.Temporary(_store.Layout.Root), out string temporary);
        Libc.Write(file, ManifestFile.Build(ManifestFile.ToHeader(info), root, _state, _store.Vault), 0, temporary);

        // Locked for reading before the collector can see it there.
        Libc.Lock(file, Libc.LockShared, temporary);
        Libc.Rename(temporary, path);
        return (info, new LiveSnapshot(_store, path, info));
    }
}
