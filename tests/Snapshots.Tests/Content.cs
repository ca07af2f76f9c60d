namespace Holdfast.Snapshots.Tests;

/// <summary>Snapshots as plain bytes, to compare with.</summary>
internal static class Content
{
    /// <summary>All of a snapshot: state, streams, runs and their bytes, in one array.</summary>
    public static byte[] Of(SnapshotStore store, SnapshotInfo info)
    {
        using SnapshotReader reader = store.OpenSnapshot(info);
        return Of(reader);
    }

    public static byte[] Of(SnapshotReader reader)
    {
        using var all = new MemoryStream();
        using var writer = new BinaryWriter(all);
        writer.Write(reader.State.Span);
        foreach (StreamInfo stream in reader.Streams)
        {
            writer.Write(stream.Name);
            foreach (StreamRun run in reader.Runs(stream.Name))
            {
                writer.Write(run.Offset);
                writer.Write(run.Length);
                byte[] bytes = new byte[run.Length];
                reader.Read(stream.Name, run.Offset, bytes);
                writer.Write(bytes);
            }
        }

        return all.ToArray();
    }

    /// <summary>Takes a snapshot of one stream; pages that a bitmap does not name are kept from the parent.</summary>
    public static SnapshotInfo Take(SnapshotStore store, string name, byte[] content, SnapshotInfo? parent = null, SnapshotWriterOptions? options = null, Func<int, bool>? changed = null)
    {
        using SnapshotWriter writer = store.BeginSnapshot(name, "block", parent, options);
        for (int at = 0; at < content.Length; at += 4096)
        {
            int length = Math.Min(4096, content.Length - at);
            if (parent is null || changed is null || changed(at / 4096))
            {
                writer.Write("data", at, content.AsSpan(at, length));
            }
            else
            {
                writer.KeepFromParent("data", at, length);
            }
        }

        return writer.Commit();
    }
}
