using System.Buffers.Binary;
using System.Text;
using Google.Protobuf;
using Holdfast.Snapshots.Format;

namespace Holdfast.Snapshots;

/// <summary>Reads the stream of entries of a tree.</summary>
internal static class TreeFormat
{
    /// <exception cref="SnapshotStoreException">It is not possible (<c>tree.invalid</c>), or cannot be read.</exception>
    internal static List<TreeEntry> Read(SnapshotReader snapshot, string stream = TreeCapture.TreeStream)
    {
        using var tree = new MemoryStream();
        foreach (StreamRun run in snapshot.Runs(stream))
        {
            byte[] part = new byte[checked((int)run.Length)];
            snapshot.Read(stream, run.Offset, part);
            tree.Write(part);
        }

        var entries = new List<TreeEntry>();
        ReadOnlySpan<byte> bytes = tree.GetBuffer().AsSpan(0, (int)tree.Length);
        while (bytes.Length > 0)
        {
            int length = bytes.Length < 4 ? -1 : BinaryPrimitives.ReadInt32LittleEndian(bytes);
            if (length < 0 || length > bytes.Length - 4)
            {
                throw Invalid(snapshot);
            }

            try
            {
                entries.Add(TreeEntry.Parser.ParseFrom(bytes.Slice(4, length)));
            }
            catch (InvalidProtocolBufferException)
            {
                throw Invalid(snapshot);
            }

            bytes = bytes[(4 + length)..];
        }

        return entries;
    }

    /// <summary>An entry with what stat(2) says of it.</summary>
    internal static TreeEntry Entry(byte[] relative, in FileFacts facts) => new()
    {
        Path = ByteString.CopyFrom(relative),
        Mode = facts.Mode,
        Uid = facts.Uid,
        Gid = facts.Gid,
        MtimeS = facts.ModifiedSeconds,
        MtimeNs = facts.ModifiedNanoseconds,
        CtimeS = facts.ChangedSeconds,
        CtimeNs = facts.ChangedNanoseconds,
        Inode = facts.Inode,
    };

    /// <summary>Adds attributes, the target of a link, the number of a device.</summary>
    internal static void Describe(TreeEntry entry, byte[] path, in FileFacts facts)
    {
        foreach ((byte[] name, byte[] value) in Posix.Attributes(path))
        {
            entry.Attributes.Add(new Format.Attribute { Name = ByteString.CopyFrom(name), Value = ByteString.CopyFrom(value) });
        }

        switch (facts.Type)
        {
            case FileFacts.Link:
                entry.Link = ByteString.CopyFrom(Posix.ReadLink(path));
                return;
            case FileFacts.Block or FileFacts.Character:
                entry.Device = facts.Device;
                return;
        }
    }

    /// <summary>Every path lies in a directory that came before: none leads out of the root, not through a link either.</summary>
    internal static void Check(SnapshotReader snapshot, List<TreeEntry> entries)
    {
        var directories = new HashSet<string>(StringComparer.Ordinal);
        var files = new HashSet<string>(StringComparer.Ordinal);
        for (int i = 0; i < entries.Count; i++)
        {
            string path = Encoding.Latin1.GetString(entries[i].Path.Span);
            int slash = path.LastIndexOf('/');
            string name = path[(slash + 1)..];
            bool good = i == 0
                ? path.Length == 0
                : name.Length > 0 && name is not "." and not ".." && !path.Contains('\0') && directories.Contains(slash < 0 ? string.Empty : path[..slash]);
            good &= entries[i].SameAs.IsEmpty || files.Contains(Encoding.Latin1.GetString(entries[i].SameAs.Span));
            good &= entries[i].Size <= long.MaxValue && entries[i].Data <= long.MaxValue - entries[i].Size;
            if (!good || !files.Add(path))
            {
                throw Invalid(snapshot, $"the entry '{path}'");
            }

            if ((entries[i].Mode & FileFacts.TypeMask) == FileFacts.Directory)
            {
                directories.Add(path);
            }
        }

        if (entries.Count == 0)
        {
            throw Invalid(snapshot, "it is empty");
        }
    }

    /// <summary>The entries as they are stored, in pieces that an insertion moves as little as possible of.</summary>
    internal static void Write(IEnumerable<TreeEntry> entries, Action<long, ReadOnlySpan<byte>> piece)
    {
        using var tree = new MemoryStream();
        Span<byte> length = stackalloc byte[4];
        foreach (TreeEntry entry in entries)
        {
            BinaryPrimitives.WriteInt32LittleEndian(length, entry.CalculateSize());
            tree.Write(length);
            entry.WriteTo(tree);
        }

        var chunks = new Chunker(16 * 1024);
        ReadOnlySpan<byte> bytes = tree.GetBuffer().AsSpan(0, (int)tree.Length);
        for (int at = 0; at < bytes.Length;)
        {
            int cut = chunks.Cut(bytes[at..]);
            piece(at, bytes.Slice(at, cut));
            at += cut;
        }
    }

    internal static SnapshotStoreException Invalid(SnapshotReader snapshot, string why = "it cannot be read") =>
        new("tree.invalid", $"the tree of {snapshot.Info.Address} is not possible: {why}");
}
