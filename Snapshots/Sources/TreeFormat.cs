using System.Buffers.Binary;
using Google.Protobuf;
using Holdfast.Snapshots.Format;

namespace Holdfast.Snapshots;

/// <summary>Reads the stream of entries of a tree.</summary>
internal static class TreeFormat
{
    /// <exception cref="SnapshotStoreException">It is not possible (<c>tree.invalid</c>), or cannot be read.</exception>
    internal static List<TreeEntry> Read(SnapshotReader snapshot)
    {
        using var tree = new MemoryStream();
        foreach (StreamRun run in snapshot.Runs(TreeCapture.TreeStream))
        {
            byte[] part = new byte[checked((int)run.Length)];
            snapshot.Read(TreeCapture.TreeStream, run.Offset, part);
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

    internal static SnapshotStoreException Invalid(SnapshotReader snapshot, string why = "it cannot be read") =>
        new("tree.invalid", $"the tree of {snapshot.Info.Address} is not possible: {why}");
}
