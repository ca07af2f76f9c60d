using System.Text;
using Holdfast.Snapshots.Format;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.Snapshots;

/// <summary>Puts a directory or a file back: contents, then links, then owners, attributes, modes and times, directories last.</summary>
internal sealed class TreeRestore(SnapshotReader snapshot, byte[] root)
{
    private const int Piece = 1024 * 1024;

    private readonly byte[] _buffer = new byte[Piece];

    internal void Run()
    {
        List<TreeEntry> entries = TreeFormat.Read(snapshot);
        TreeFormat.Check(snapshot, entries);
        bool isDirectory = (entries[0].Mode & FileFacts.TypeMask) == FileFacts.Directory;
        PrepareRoot(isDirectory);
        foreach (TreeEntry entry in entries)
        {
            if (entry.SameAs.IsEmpty)
            {
                Make(entry);
            }
        }

        foreach (TreeEntry entry in entries)
        {
            if (!entry.SameAs.IsEmpty)
            {
                Posix.MakeHardLink(PathOf(entry.SameAs.Span), PathOf(entry.Path.Span));
            }
        }

        // What is inside first: making it touched its directory.
        for (int i = entries.Count - 1; i >= 0; i--)
        {
            if (entries[i].SameAs.IsEmpty)
            {
                TreeMetadata.Apply(entries[i], PathOf(entries[i].Path.Span));
            }
        }
    }

    private void PrepareRoot(bool isDirectory)
    {
        if (Posix.Status(root) is { } there && !(isDirectory && there.Type == FileFacts.Directory && Posix.Names(root) is { Count: 0 }))
        {
            throw new SnapshotStoreException("path.exists", $"{Encoding.UTF8.GetString(root)} is there already{(isDirectory ? " and not an empty directory" : string.Empty)}; name another path");
        }
    }

    private void Make(TreeEntry entry)
    {
        byte[] path = PathOf(entry.Path.Span);
        switch (entry.Mode & FileFacts.TypeMask)
        {
            case FileFacts.Directory:
                if (!entry.Path.IsEmpty || Posix.Status(path) is null)
                {
                    Posix.MakeDirectory(path);
                }

                return;
            case FileFacts.Regular:
                Fill(entry, path);
                return;
            case FileFacts.Link:
                Posix.MakeSymbolicLink(entry.Link.ToByteArray(), path);
                return;
            default:
                Posix.MakeNode(path, entry.Mode, entry.Device);
                return;
        }
    }

    private void Fill(TreeEntry entry, byte[] path)
    {
        using SafeFileHandle file = Posix.Create(path);
        Posix.SetLength(file, (long)entry.Size, path);
        string name = Encoding.UTF8.GetString(path);
        foreach (StreamRun run in snapshot.RunsIn(TreeCapture.DataStream, (long)entry.Data, (long)(entry.Data + entry.Size)))
        {
            for (long at = run.Offset; at < run.End;)
            {
                Span<byte> data = _buffer.AsSpan(0, (int)Math.Min(Piece, run.End - at));
                snapshot.Read(TreeCapture.DataStream, at, data);
                Libc.Write(file, data, at - (long)entry.Data, name);
                at += data.Length;
            }
        }
    }

    private byte[] PathOf(ReadOnlySpan<byte> relative) => relative.IsEmpty ? root : [.. root, (byte)'/', .. relative];
}
