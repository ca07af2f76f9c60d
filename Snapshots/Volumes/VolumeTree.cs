using System.Text;
using Google.Protobuf;
using Holdfast.Snapshots.Format;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.Snapshots;

/// <summary>
/// One volume in a checkpoint. While the application runs, its files are copied (<see cref="CopyFirst"/>); inside the barrier it is looked at again, and what
/// changed since is cloned, or copied over (<see cref="CaptureChanges"/>); clones are read afterwards (<see cref="Complete"/>).
/// </summary>
/// <remarks>
/// Whether a file changed is told by inode, size and times only when it is settled: its times lie before a syncfs(2) that began before the first copy. Only
/// then does a store through a mapping, to a page that is dirty already, show in them. Everything else is compared by its content.
/// </remarks>
internal sealed class VolumeTree : IDisposable
{
    private const int MaximumClones = 256;
    private const long SmallestClone = 256 * 1024;

    // Steps of the clock behind a file system's times: a few milliseconds, and of those that count in whole seconds, two.
    private const long Step = 50_000_000;
    private const long CoarseStep = 2_100_000_000;

    private readonly SnapshotWriter _writer;
    private readonly byte[] _root;
    private readonly VolumeSlots _slots;
    private readonly List<(VolumeFile File, SafeFileHandle Clone)> _clones = [];
    private readonly Lock _gate = new();
    private long? _syncedAt;
    private bool _clonesAtAll = true;
    private List<VolumeFile> _files = [];
    private List<TreeEntry> _entries = [];

    public VolumeTree(SnapshotWriter writer, Volume volume, IEnumerable<TreeEntry> before)
    {
        _writer = writer;
        Id = (int)volume.Id;
        _root = volume.Path.ToByteArray();
        _slots = new VolumeSlots(before, (long)volume.DataEnd);
    }

    public int Id { get; }

    public long Files => _files.Count;

    public long BytesBefore { get; private set; }

    public long BytesInside { get; private set; }

    public int Clones { get; private set; }

    public string TreeStream => TreeStreamOf(Id);

    private string DataStream => DataStreamOf(Id);

    public static string TreeStreamOf(int id) => $"volume/{id}/tree";

    public static string DataStreamOf(int id) => $"volume/{id}/data";

    /// <summary>Its row in the table of volumes, once it is complete.</summary>
    public Volume Row() => new() { Id = (uint)Id, Path = ByteString.CopyFrom(_root), DataEnd = (ulong)_slots.Next };

    public void CopyFirst(CancellationToken cancellation)
    {
        long began = (DateTime.UtcNow - DateTime.UnixEpoch).Ticks * 100;
        _syncedAt = Posix.SyncFileSystem(_root) ? began : null;
        _writer.Touch(DataStream);
        List<VolumeFile> files = VolumeScan.Of(_root, describes: false, cancellation).Files;
        _slots.Assign(files);
        VolumeContents contents = new(_writer, DataStream, cancellation);
        InParallel(files, cancellation, file =>
        {
            if (file.Slot is not { } slot)
            {
                return;
            }

            if (slot.Before is { Settled: true } before && IsSame(before, file.Facts))
            {
                _writer.Keep(DataStream, slot.Offset, file.Facts.Size);
                slot.Copied = file.Facts;
            }
            else
            {
                contents.Copy(file.Path, slot, file.Facts);
            }
        });
        BytesBefore = contents.BytesRead;
        _writer.Seal(DataStream);
        if (Posix.CanClone(_root))
        {
            // A clone writes out what is dirty in its file first: better now than inside the barrier.
            _ = Posix.SyncFileSystem(_root);
        }
    }

    public void CaptureChanges(CancellationToken cancellation)
    {
        VolumeScan scan = VolumeScan.Of(_root, describes: true, cancellation);
        _files = scan.Files;
        _entries = scan.Entries;
        VolumeContents contents = new(_writer, DataStream, cancellation);
        foreach (VolumeSlot left in _slots.Assign(_files))
        {
            contents.Discard(left, 0);
        }

        InParallel(_files, cancellation, file =>
        {
            TreeEntry entry = file.Entry!;
            entry.Settled = IsSettled(file.Facts);
            if (file.Slot is not { } slot)
            {
                return;
            }

            entry.Data = (ulong)slot.Offset;
            entry.Room = (ulong)slot.Room;
            if (!entry.Settled || slot.Copied is not { } copied || !IsSame(copied, file.Facts))
            {
                CloneOrUpdate(file, slot, contents);
            }
        });
        BytesInside = contents.BytesRead;
        Clones = _clones.Count;
    }

    /// <summary>Reads what was cloned, and stores the entries.</summary>
    public void Complete(CancellationToken cancellation)
    {
        VolumeContents contents = new(_writer, DataStream, cancellation);
        InParallel(_clones, cancellation, item => contents.Update(item.Clone, item.File.Path, item.File.Slot!, item.File.Facts.Size));
        Dispose();
        _writer.Touch(TreeStream);
        TreeFormat.Write(_entries, (at, bytes) => _writer.WriteExtent(TreeStream, at, bytes));
    }

    public void Dispose()
    {
        _clones.ForEach(c => c.Clone.Dispose());
        _clones.Clear();
    }

    private void CloneOrUpdate(VolumeFile file, VolumeSlot slot, VolumeContents contents)
    {
        SafeFileHandle? open = Posix.TryOpen(file.Path)
            ?? throw new SnapshotStoreException("path.io", $"{Encoding.UTF8.GetString(file.Path)} went away while the application stood: something else works in its volume");
        using (open)
        {
            if (file.Facts.Size < SmallestClone || !TryClone(file, open))
            {
                contents.Update(open, file.Path, slot, file.Facts.Size);
            }
        }
    }

    private bool TryClone(VolumeFile file, SafeFileHandle open)
    {
        lock (_gate)
        {
            if (!_clonesAtAll || _clones.Count >= MaximumClones)
            {
                return false;
            }

            if (Posix.TryClone(open, _root) is not { } clone)
            {
                _clonesAtAll = false;
                return false;
            }

            _clones.Add((file, clone));
            return true;
        }
    }

    private bool IsSettled(in FileFacts facts)
    {
        if (_syncedAt is not { } synced)
        {
            return false;
        }

        long step = facts.ModifiedNanoseconds == 0 || facts.ChangedNanoseconds == 0 ? CoarseStep : Step;
        return Math.Max(Nanoseconds(facts.ModifiedSeconds, facts.ModifiedNanoseconds), Nanoseconds(facts.ChangedSeconds, facts.ChangedNanoseconds)) < synced - step;
    }

    private static long Nanoseconds(long seconds, uint nanoseconds) => (Math.Clamp(seconds, 0, 9_000_000_000) * 1_000_000_000) + nanoseconds;

    private static bool IsSame(in FileFacts a, in FileFacts b) =>
        a.Inode == b.Inode && a.Size == b.Size && a.ModifiedSeconds == b.ModifiedSeconds && a.ModifiedNanoseconds == b.ModifiedNanoseconds
        && a.ChangedSeconds == b.ChangedSeconds && a.ChangedNanoseconds == b.ChangedNanoseconds;

    /// <summary>Whether a file is still what an entry says, as far as inode, size and times tell.</summary>
    internal static bool IsSame(TreeEntry entry, in FileFacts facts) =>
        entry.Inode == facts.Inode && entry.Mode == facts.Mode && entry.Size == (ulong)facts.Size
        && entry.MtimeS == facts.ModifiedSeconds && entry.MtimeNs == facts.ModifiedNanoseconds
        && entry.CtimeS == facts.ChangedSeconds && entry.CtimeNs == facts.ChangedNanoseconds;

    private static void InParallel<T>(IEnumerable<T> items, CancellationToken cancellation, Action<T> action)
    {
        try
        {
            Parallel.ForEach(items, new ParallelOptions { MaxDegreeOfParallelism = Environment.ProcessorCount, CancellationToken = cancellation }, action);
        }
        catch (AggregateException e)
        {
            // The first cause is the one to be seen.
            System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(e.InnerExceptions[0]);
        }
    }
}
