using System.Text;
using Google.Protobuf;
using Holdfast.Snapshots.Format;

namespace Holdfast.Snapshots;

/// <summary>The volumes in a snapshot of an application.</summary>
public static class Volumes
{
    internal const string TableStream = "volumes";

    /// <summary>The name of a file in a volume for as long as it is being put back. A volume with it is neither the old state nor the new one.</summary>
    public const string UnfinishedMark = ".holdfast-restore-unfinished";

    /// <summary>The volumes of a snapshot; none for one without.</summary>
    /// <exception cref="SnapshotStoreException">What the snapshot says of them is not possible (<c>tree.invalid</c>), or cannot be read.</exception>
    public static IReadOnlyList<VolumeInfo> Of(SnapshotReader snapshot) =>
    [
        .. Table(snapshot).Select(volume =>
        {
            List<TreeEntry> entries = Entries(snapshot, (int)volume.Id);
            return new VolumeInfo((int)volume.Id, volume.Path.ToStringUtf8(), entries.Count, entries.Sum(e => e.SameAs.IsEmpty ? (long)e.Size : 0));
        }),
    ];

    /// <summary>The paths of a snapshot's volumes.</summary>
    /// <exception cref="SnapshotStoreException">As of <see cref="Of"/>.</exception>
    public static IReadOnlyList<string> Paths(SnapshotReader snapshot) => [.. Table(snapshot).Select(v => v.Path.ToStringUtf8())];

    /// <summary>
    /// Makes each volume what it was: what is the same is left alone, what differs is put right, what is too many is removed. One that is killed on the way is
    /// done again, from the beginning, by the next one; until then <see cref="UnfinishedMark"/> is there.
    /// </summary>
    /// <param name="snapshot">The snapshot.</param>
    /// <param name="cancellation">Calls it off: what is done so far stays.</param>
    /// <exception cref="SnapshotStoreException">A volume cannot be written (<c>path.io</c>, <c>store.full</c>, <c>volume.mount</c>), or the snapshot is damaged.</exception>
    public static void PutBack(SnapshotReader snapshot, CancellationToken cancellation)
    {
        // All are looked at before the first one is touched.
        List<VolumeUpdate> updates = [.. Table(snapshot).Select(v => new VolumeUpdate(snapshot, v, cancellation))];
        updates.ForEach(u => u.Check());
        updates.ForEach(u => u.Run());
    }

    /// <summary>Reads every byte of the volumes, as a restore would, and writes nothing.</summary>
    /// <exception cref="SnapshotStoreException">They could not be put back.</exception>
    public static void Rehearse(SnapshotReader snapshot, CancellationToken cancellation)
    {
        foreach (Volume volume in Table(snapshot))
        {
            VolumeUpdate update = new(snapshot, volume, cancellation);
            update.Check();
            update.ReadAll();
        }
    }

    /// <summary>Whether files of a directory can be cloned instead of copied: a checkpoint then stands for less.</summary>
    public static bool CanClone(string directory) => Posix.CanClone(Encoding.UTF8.GetBytes(directory));

    internal static List<Volume> Table(SnapshotReader snapshot)
    {
        IReadOnlyList<StreamRun> runs = snapshot.Runs(TableStream);
        if (runs.Count == 0)
        {
            return [];
        }

        byte[] bytes = new byte[runs[0].Offset == 0 && runs[0].Length < 1 << 24 ? runs[0].Length : throw TreeFormat.Invalid(snapshot, "its table of volumes")];
        snapshot.Read(TableStream, 0, bytes);
        try
        {
            List<Volume> table = [.. VolumeTable.Parser.ParseFrom(bytes).Volumes];
            return table.All(IsPossible) && table.Select(v => v.Id).Distinct().Count() == table.Count && !Overlap(table)
                ? table
                : throw TreeFormat.Invalid(snapshot, "its table of volumes");
        }
        catch (InvalidProtocolBufferException)
        {
            throw TreeFormat.Invalid(snapshot, "its table of volumes cannot be read");
        }
    }

    internal static List<TreeEntry> Entries(SnapshotReader snapshot, int id)
    {
        List<TreeEntry> entries = TreeFormat.Read(snapshot, VolumeTree.TreeStreamOf(id));
        TreeFormat.Check(snapshot, entries);
        return (entries[0].Mode & FileFacts.TypeMask) == FileFacts.Directory ? entries : throw TreeFormat.Invalid(snapshot, "a volume is no directory");
    }

    private static bool IsPossible(Volume volume)
    {
        string path = volume.Path.ToStringUtf8();
        return volume.Id is > 0 and < int.MaxValue && volume.DataEnd <= long.MaxValue && path.Length > 1 && !path.Contains('\0') && Path.IsPathRooted(path)
            && Path.GetFullPath(path) == path && Encoding.UTF8.GetBytes(path).AsSpan().SequenceEqual(volume.Path.Span);
    }

    private static bool Overlap(List<Volume> table) =>
        table.Any(a => table.Any(b => !ReferenceEquals(a, b) && (b.Path.ToStringUtf8() + "/").StartsWith(a.Path.ToStringUtf8() + "/", StringComparison.Ordinal)));
}
