using System.Text;

namespace Holdfast.Snapshots;

/// <summary>Directories, files and block images as storage objects: taken into a store, incrementally, and put back.</summary>
public static class StorageObject
{
    /// <summary>The kind of snapshots of directories and of single files.</summary>
    public const string TreeKind = "tree";

    /// <summary>The kind of snapshots of block images and devices.</summary>
    public const string BlockKind = "block";

    /// <summary>Takes a snapshot of a path. What did not change since the object's latest snapshot of the same kind is only referred to.</summary>
    /// <param name="store">The store.</param>
    /// <param name="objectName">The storage object's name.</param>
    /// <param name="path">A directory, a file, a block device or an image.</param>
    /// <param name="options">Defaults when null.</param>
    /// <exception cref="SnapshotStoreException">The path cannot be read (<c>path.io</c>, <c>path.missing</c>), or the store cannot be written.</exception>
    public static SnapshotInfo Capture(SnapshotStore store, string objectName, string path, CaptureOptions? options = null)
    {
        options ??= new CaptureOptions();
        ReflinkClone? clone = null;
        using SnapshotWriter writer = Prepare(store, objectName, path, options, ref clone);
        using (clone)
        {
            clone?.Name();
            SnapshotInfo taken = writer.Commit();
            if (clone is null)
            {
                ReflinkClone.Release(store, objectName);
            }
            else
            {
                try
                {
                    clone.Belongs(taken);
                }
                catch (SnapshotStoreException)
                {
                    // The snapshot is there, and that is what was asked for; without a note the next one reads everything.
                }
            }

            return taken;
        }
    }

    /// <summary>
    /// Takes the present state of a path for a comparison or a migration, without keeping a snapshot: it is gone when the result is disposed,
    /// or, should this process die, with the next garbage collection.
    /// </summary>
    public static LiveSnapshot CaptureLive(SnapshotStore store, string objectName, string path, CaptureOptions? options = null)
    {
        ReflinkClone? clone = null;
        using SnapshotWriter writer = Prepare(store, objectName, path, options ?? new CaptureOptions(), ref clone);
        using (clone)
        {
            return writer.CommitLive();
        }
    }

    /// <summary>Puts a snapshot back.</summary>
    /// <param name="snapshot">A snapshot of a tree or a block image.</param>
    /// <param name="path">Where to: a path that does not exist, or an empty directory for a directory; a block image may go onto a device or a file that exists.</param>
    /// <exception cref="SnapshotStoreException">
    /// Something is in the way (<c>path.exists</c>), it is another kind of snapshot (<c>snapshot.kind</c>), it is damaged, or the path cannot be written.
    /// </exception>
    public static void Restore(SnapshotReader snapshot, string path)
    {
        byte[] target = Encoding.UTF8.GetBytes(Path.GetFullPath(path));
        switch (snapshot.Info.Kind)
        {
            case TreeKind:
                new TreeRestore(snapshot, target).Run();
                return;
            case BlockKind:
                BlockImage.Restore(snapshot, target);
                return;
            default:
                throw new SnapshotStoreException("snapshot.kind", $"{snapshot.Info.Address} is a snapshot of kind {snapshot.Info.Kind}; only trees and block images are restored to a path");
        }
    }

    private static SnapshotWriter Prepare(SnapshotStore store, string objectName, string path, CaptureOptions options, ref ReflinkClone? clone)
    {
        byte[] source = Encoding.UTF8.GetBytes(Path.GetFullPath(path));
        FileFacts facts = Posix.Status(source) ?? throw new SnapshotStoreException("path.missing", $"there is no {path}");
        bool block = facts.Type == FileFacts.Block || (facts.Type == FileFacts.Regular && options.AsBlockImage);
        string kind = block ? BlockKind : TreeKind;
        SnapshotInfo? parent = store.List(objectName).LastOrDefault(s => s.Damage is null && s.Kind == kind);
        if (options.CloneDirectory is { } directory)
        {
            // After the facts: a file that changes in between looks older than its content, and is compared the next time.
            clone = facts.Type == FileFacts.Regular ? ReflinkClone.Make(store, objectName, source, Path.GetFullPath(directory)) : throw new SnapshotStoreException(
                "reflink.unsupported", $"{path} is no regular file: only single files and images can be cloned; do without --reflink");
        }

        SnapshotWriter? writer = null;
        try
        {
            writer = store.BeginSnapshot(objectName, kind, parent, options.Writer);
            if (block)
            {
                BlockImage.Capture(writer, source, options, clone);
            }
            else
            {
                new TreeCapture(writer, source, options, clone, facts).Run();
            }

            foreach ((string name, string value) in options.Tags)
            {
                writer.SetTag(name, value);
            }

            return writer;
        }
        catch
        {
            writer?.Dispose();
            clone?.Dispose();
            throw;
        }
    }
}
