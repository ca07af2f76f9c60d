namespace Holdfast.Snapshots;

/// <summary>A state that was taken without keeping a snapshot: an end of a difference. Disposing it lets it go.</summary>
public sealed class LiveSnapshot : IDisposable
{
    private readonly SnapshotStore _store;
    private readonly bool _owned;

    internal LiveSnapshot(SnapshotStore store, string path, SnapshotInfo info)
        : this(store, path, new SnapshotReader(store, path, info.Object, info.Id), owned: true)
    {
    }

    private LiveSnapshot(SnapshotStore store, string path, SnapshotReader reader, bool owned)
    {
        _store = store;
        Manifest = path;
        Reader = reader;
        _owned = owned;
    }

    /// <summary>The file that describes it, for another process that opens it with <see cref="Open(SnapshotStore, string)"/> while this one is not disposed.</summary>
    public string Manifest { get; }

    /// <summary>Its content.</summary>
    public SnapshotReader Reader { get; }

    /// <summary>Its description, with the id that it has where it is sent to.</summary>
    public SnapshotInfo Info => Reader.Info;

    /// <summary>Opens a state that another process took and still holds. It can be read for as long as that one holds it.</summary>
    /// <param name="store">The store in which it was taken.</param>
    /// <param name="manifest">What <see cref="Manifest"/> was there.</param>
    /// <exception cref="SnapshotStoreException">It was let go (<c>snapshot.unknown</c>).</exception>
    public static LiveSnapshot Open(SnapshotStore store, string manifest)
    {
        // The other process may know the store's directory by another path.
        string path = Path.Combine(store.Layout.Trash, Path.GetFileName(manifest));
        return new LiveSnapshot(store, path, new SnapshotReader(store, path, null, null), owned: false);
    }

    internal SnapshotReader Open() => new(_store, Manifest, Info.Object, Info.Id);

    /// <inheritdoc/>
    public void Dispose()
    {
        Reader.Dispose();
        if (_owned)
        {
            File.Delete(Manifest);
        }
    }
}
