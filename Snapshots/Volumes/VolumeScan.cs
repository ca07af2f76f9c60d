using System.Text;
using Google.Protobuf;
using Holdfast.Snapshots.Format;

namespace Holdfast.Snapshots;

/// <summary>One look at a volume: every name in it, and of every file what it is. Contents are not read.</summary>
internal sealed class VolumeScan
{
    private readonly byte[] _root;
    private readonly bool _describes;
    private readonly CancellationToken _cancellation;
    private readonly Dictionary<ulong, byte[]> _linked = [];
    private readonly ulong _fileSystem;

    private VolumeScan(byte[] root, bool describes, CancellationToken cancellation)
    {
        _root = root;
        _describes = describes;
        _cancellation = cancellation;
        if (Posix.Status(root) is not { Type: FileFacts.Directory } facts)
        {
            throw new SnapshotStoreException("volume.missing", $"the volume {Encoding.UTF8.GetString(root)} is no directory any more");
        }

        _fileSystem = facts.FileSystem;
    }

    /// <summary>The regular files.</summary>
    public List<VolumeFile> Files { get; } = [];

    /// <summary>All entries, as TreeEntry says; empty when files alone were asked for.</summary>
    public List<TreeEntry> Entries { get; } = [];

    /// <summary>Looks at a volume.</summary>
    /// <param name="root">Its path.</param>
    /// <param name="describes">True: entries with all that is to be stored of them. Nothing may change meanwhile.</param>
    /// <param name="cancellation">Calls it off.</param>
    public static VolumeScan Of(byte[] root, bool describes, CancellationToken cancellation)
    {
        VolumeScan scan = new(root, describes, cancellation);
        scan.Add(root, []);
        return scan;
    }

    private void Add(byte[] path, byte[] relative)
    {
        _cancellation.ThrowIfCancellationRequested();
        if (Posix.Status(path) is not { } facts)
        {
            // Gone since its directory was listed.
            return;
        }

        if (facts.FileSystem != _fileSystem)
        {
            throw new SnapshotStoreException(
                "volume.mount", $"{Encoding.UTF8.GetString(path)} is another file system inside the volume {Encoding.UTF8.GetString(_root)}; name it as a volume of its own, outside of this one, or unmount it");
        }

        if (!MappedIds.Users.Has(facts.Uid) || !MappedIds.Groups.Has(facts.Gid))
        {
            throw new SnapshotStoreException(
                "volume.owner", $"{Encoding.UTF8.GetString(path)} in the volume {Encoding.UTF8.GetString(_root)} belongs to another user or group, which cannot be put back without root; take it over (chown), move it away, or run as root");
        }

        bool further = facts.Type != FileFacts.Directory && facts.Links > 1 && !_linked.TryAdd(facts.Inode, relative);
        TreeEntry? entry = _describes ? Entry(path, relative, facts, further) : null;
        switch (facts.Type)
        {
            case FileFacts.Directory:
                AddNames(path, relative);
                return;
            case FileFacts.Regular when !further:
                Files.Add(new VolumeFile(path, relative, facts) { Entry = entry });
                return;
        }
    }

    private void AddNames(byte[] path, byte[] relative)
    {
        List<byte[]> names = Posix.Names(path) ?? [];
        names.Sort(static (a, b) => a.AsSpan().SequenceCompareTo(b));
        foreach (byte[] name in names)
        {
            Add([.. path, (byte)'/', .. name], relative.Length == 0 ? name : [.. relative, (byte)'/', .. name]);
        }
    }

    private TreeEntry Entry(byte[] path, byte[] relative, in FileFacts facts, bool further)
    {
        TreeEntry entry = TreeFormat.Entry(relative, facts);
        Entries.Add(entry);
        if (further)
        {
            entry.SameAs = ByteString.CopyFrom(_linked[facts.Inode]);
            return entry;
        }

        TreeFormat.Describe(entry, path, facts);
        entry.Size = facts.Type == FileFacts.Regular ? (ulong)facts.Size : 0;
        return entry;
    }
}
