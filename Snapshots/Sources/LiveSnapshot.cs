namespace Holdfast.Snapshots;

/// <summary>A state that was taken without keeping a snapshot: an end of a difference. Disposing it lets it go.</summary>
public sealed class LiveSnapshot : IDisposable
{
    private readonly SnapshotStore _store;
    private readonly string _path;

    internal LiveSnapshot(SnapshotStore store, string path, SnapshotInfo info)
    {
        _store = store;
        _path = path;
        Reader = new SnapshotReader(store, path, info.Object, info.Id);
    }

    /// <summary>Its content.</summary>
    public SnapshotReader Reader { get; }

    /// <summary>Its description, with the id that it has where it is sent to.</summary>
    public SnapshotInfo Info => Reader.Info;

    internal SnapshotReader Open() => new(_store, _path, Info.Object, Info.Id);

    /// <inheritdoc/>
    public void Dispose()
    {
        Reader.Dispose();
        File.Delete(_path);
    }
}
