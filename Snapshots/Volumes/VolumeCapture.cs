using System.Text;
using Google.Protobuf;
using Holdfast.Snapshots.Format;

namespace Holdfast.Snapshots;

/// <summary>
/// Takes the volumes of an application into the snapshot of its memory: <see cref="CopyFirst"/> while it runs, <see cref="CaptureChanges"/> while it stands,
/// <see cref="Complete"/> before the snapshot is committed. The result is each directory as it was while the application stood.
/// </summary>
/// <remarks>One call at a time. Nothing else may write to the volumes while the application stands.</remarks>
public sealed class VolumeCapture : IDisposable
{
    private readonly SnapshotWriter _writer;
    private readonly List<VolumeTree> _trees = [];
    private TimeSpan _inside;

    /// <summary>Makes one; nothing is read of the volumes yet.</summary>
    /// <param name="writer">The snapshot that they become part of; its parent is that of the application.</param>
    /// <param name="paths">Directories, absolute, without symbolic links, none inside another.</param>
    /// <exception cref="SnapshotStoreException">The parent cannot be read.</exception>
    public VolumeCapture(SnapshotWriter writer, IReadOnlyList<string> paths)
    {
        _writer = writer;
        List<Volume> before = writer.ParentReader is { } parent ? Volumes.Table(parent) : [];
        uint next = before.Select(v => v.Id).DefaultIfEmpty().Max() + 1;
        foreach (byte[] path in paths.Select(Encoding.UTF8.GetBytes))
        {
            Volume? known = before.FirstOrDefault(v => v.Path.Span.SequenceEqual(path));
            List<TreeEntry>? entries = known is null ? [] : TryRead((int)known.Id);

            // What cannot be read of the parent is stored anew, in streams of other names.
            _trees.Add(known is null || entries is null
                ? new VolumeTree(writer, new Volume { Id = next++, Path = ByteString.CopyFrom(path) }, [])
                : new VolumeTree(writer, known, entries));
        }
    }

    /// <summary>Copies what the volumes have now. The application runs, and may change anything meanwhile.</summary>
    /// <exception cref="SnapshotStoreException">A volume cannot be read (<c>volume.missing</c>, <c>volume.mount</c>, <c>path.io</c>), or the store not be written.</exception>
    /// <exception cref="OperationCanceledException">It was called off.</exception>
    public void CopyFirst(CancellationToken cancellation) => _trees.ForEach(t => t.CopyFirst(cancellation));

    /// <summary>Brings it up to date, or keeps it as it is in clones. Nothing changes meanwhile.</summary>
    /// <exception cref="SnapshotStoreException">As of <see cref="CopyFirst"/>.</exception>
    /// <exception cref="OperationCanceledException">It was called off.</exception>
    public void CaptureChanges(CancellationToken cancellation)
    {
        long began = TimeProvider.System.GetTimestamp();
        _trees.ForEach(t => t.CaptureChanges(cancellation));
        _inside = TimeProvider.System.GetElapsedTime(began);
    }

    /// <summary>Reads the clones, and stores what the volumes consist of. The application runs again.</summary>
    public VolumeCounts Complete(CancellationToken cancellation)
    {
        _trees.ForEach(t => t.Complete(cancellation));
        VolumeTable table = new();
        table.Volumes.AddRange(_trees.Select(t => t.Row()));
        _writer.WriteExtent(Volumes.TableStream, 0, table.ToByteArray());
        return new VolumeCounts(
            _trees.Count, _trees.Sum(t => t.Files), _trees.Sum(t => t.BytesBefore), _trees.Sum(t => t.BytesInside), _trees.Sum(t => t.Clones), _inside);
    }

    /// <summary>Lets go of clones.</summary>
    public void Dispose() => _trees.ForEach(t => t.Dispose());

    private List<TreeEntry>? TryRead(int id)
    {
        try
        {
            return TreeFormat.Read(_writer.ParentReader!, VolumeTree.TreeStreamOf(id));
        }
        catch (Exception e) when (e is SnapshotDamagedException or SnapshotStoreException)
        {
            return null;
        }
    }
}
