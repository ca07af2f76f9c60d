namespace Holdfast.Snapshots;

/// <summary>Something on the storage device is not what was written there. Nothing of it was handed out as data.</summary>
public sealed class SnapshotDamagedException : SnapshotStoreException
{
    /// <summary>Makes one for a file as such.</summary>
    /// <param name="file">Path of the damaged file.</param>
    /// <param name="position">Byte position in the file.</param>
    /// <param name="what">What was expected and found.</param>
    /// <param name="inner">The cause, if another exception is.</param>
    public SnapshotDamagedException(string file, long position, string what, Exception? inner = null)
        : base("snapshot.damaged", $"damaged: {file} at {position}: {what}", inner)
    {
        File = file;
        Position = position;
        What = what;
    }

    /// <summary>Makes one that also says which part of which snapshot is lost with it.</summary>
    /// <param name="snapshot">The snapshot as NAME@ID.</param>
    /// <param name="stream">The stream, or null when it is about the manifest itself.</param>
    /// <param name="offset">Offset in the stream.</param>
    /// <param name="cause">What is damaged.</param>
    public SnapshotDamagedException(string snapshot, string? stream, long offset, SnapshotDamagedException cause)
        : base("snapshot.damaged", $"snapshot {snapshot}{(stream is null ? string.Empty : $", stream {stream}, offset {offset}")}: {cause.Message}", cause)
    {
        File = cause.File;
        Position = cause.Position;
        What = cause.What;
        Snapshot = snapshot;
        Stream = stream;
        Offset = offset;
    }

    /// <summary>Path of the damaged file: a pack, a manifest or the store's header.</summary>
    public string File { get; }

    /// <summary>Byte position in <see cref="File"/>.</summary>
    public long Position { get; }

    /// <summary>What was expected and found.</summary>
    public string What { get; }

    /// <summary>The snapshot as NAME@ID; null when none is known.</summary>
    public string? Snapshot { get; }

    /// <summary>The stream; null when it is about none.</summary>
    public string? Stream { get; }

    /// <summary>Offset in the stream.</summary>
    public long Offset { get; }
}
