using System.Text;
using Google.Protobuf;
using Holdfast.Snapshots.Format;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.Snapshots;

/// <summary>
/// A clone of a file that shares its extents (btrfs, xfs): the snapshot is read from it, and it is kept, so that the next one reads only what changed.
/// </summary>
/// <remarks>
/// Why an extent at the same address has the same bytes: both clones hold it, and a file system with shared extents writes to a shared one elsewhere.
/// Nobody writes to the clones themselves: inode and time of change say so. An address alone says nothing: that of bytes that were given back is used again.
/// Which clone belongs to which snapshot is noted in the store only, never in a snapshot, which others may have made.
/// </remarks>
internal sealed class ReflinkClone : IDisposable
{
    private const int Page = 4096;

    private readonly SnapshotStore _store;
    private readonly string _objectName;
    private readonly string _directory;
    private readonly ReflinkNote? _last;
    private string? _path;

    private ReflinkClone(SnapshotStore store, string objectName, string directory, SafeFileHandle file)
    {
        _store = store;
        _objectName = objectName;
        _directory = directory;
        File = file;
        Size = Posix.SizeOf(file);
        _last = ReadNote(store, store.EncodeName(objectName));
    }

    private static ReadOnlySpan<byte> NoteMagic => "HFLINK1\n"u8;

    /// <summary>The clone, open for reading.</summary>
    internal SafeFileHandle File { get; }

    /// <summary>Its size in bytes.</summary>
    internal long Size { get; }

    /// <summary>Makes a clone, without a name at first.</summary>
    /// <param name="store">The store.</param>
    /// <param name="objectName">The storage object.</param>
    /// <param name="source">The file.</param>
    /// <param name="directory">Where the clone is kept: on the file system of the file.</param>
    /// <exception cref="SnapshotStoreException">The file system cannot (<c>reflink.unsupported</c>).</exception>
    internal static ReflinkClone Make(SnapshotStore store, string objectName, byte[] source, string directory)
    {
        using SafeFileHandle file = Posix.TryOpen(source) ?? throw new SnapshotStoreException("path.missing", $"{Encoding.UTF8.GetString(source)} went away");
        SafeFileHandle clone = Posix.TryClone(file, Encoding.UTF8.GetBytes(directory)) ?? throw new SnapshotStoreException(
            "reflink.unsupported",
            $"{Encoding.UTF8.GetString(source)} cannot be cloned into {directory}: that needs a file system with shared extents (btrfs, xfs), and both on the same one; do without --reflink");
        try
        {
            return new ReflinkClone(store, objectName, directory, clone);
        }
        catch
        {
            clone.Dispose();
            throw;
        }
    }

    /// <summary>The ranges whose bytes are those of the parent, ascending, in whole pages but for the end of the file. Empty when nothing can be said.</summary>
    internal IReadOnlyList<StreamRun> SameAs(SnapshotInfo? parent)
    {
        if (parent is null || _last is null || _last.Id != parent.Id || OpenIntact(_last) is not { } last)
        {
            return [];
        }

        using (last)
        {
            // The same file system, and the same device of it: elsewhere addresses mean other bytes.
            if (Posix.Status(last).FileSystem != Posix.Status(File).FileSystem || Posix.IsOnRealTimeDevice(last) != Posix.IsOnRealTimeDevice(File))
            {
                return [];
            }

            // Twice: extents may be moved meanwhile (btrfs balance), and only those count that were where they are all the time.
            List<PlacedExtent>? before = Posix.Extents(last);
            List<PlacedExtent>? now = Posix.Extents(File);
            List<PlacedExtent>? after = Posix.Extents(last);
            if (before is null || now is null || after is null)
            {
                return [];
            }

            long size = Posix.SizeOf(last);
            return [.. BlockImage.Split(Same(before, now, size, Size), Same(after, now, size, Size)).Where(p => p.Same).Select(p => p.Run)];
        }
    }

    /// <summary>Compares two maps.</summary>
    internal static List<StreamRun> Same(List<PlacedExtent> before, List<PlacedExtent> now, long sizeBefore, long size)
    {
        // The bytes behind the end of a file are nobody's: only equal ends are equal to the end.
        long common = size == sizeBefore ? size : Math.Min(size, sizeBefore) / Page * Page;
        var same = new List<StreamRun>();
        for (int i = 0, j = 0; i < before.Count && j < now.Count;)
        {
            (PlacedExtent a, PlacedExtent b) = (before[i], now[j]);
            if (a.IsClear && b.IsClear && a.Physical - a.Logical == b.Physical - b.Logical)
            {
                Add(Math.Max(a.Logical, b.Logical), Math.Min(a.End, b.End));
            }

            i += a.End <= b.End ? 1 : 0;
            j += b.End <= a.End ? 1 : 0;
        }

        // Neighbours are joined before they are cut to pages: extents may be smaller.
        return [.. same.Select(r => Cut(r.Offset, r.End)).Where(r => r.Length > 0)];

        void Add(long from, long to)
        {
            to = Math.Min(to, common);
            if (from < to && same.Count > 0 && same[^1].End == from)
            {
                same[^1] = same[^1] with { Length = to - same[^1].Offset };
            }
            else if (from < to)
            {
                same.Add(new StreamRun(from, to - from));
            }
        }

        StreamRun Cut(long from, long to)
        {
            from = (from + Page - 1) / Page * Page;
            to = to == size ? to : to / Page * Page;
            return new StreamRun(from, Math.Max(0, to - from));
        }
    }

    /// <summary>Before the snapshot is committed: the clone gets a name.</summary>
    internal void Name()
    {
        // Locked: who clears up takes it for somebody's until its snapshot is noted.
        _path = Path.Combine(_directory, Prefix(_store, _objectName) + PackId.New());
        Libc.Lock(File, Libc.LockShared, _path);
        Posix.Name(File, Encoding.UTF8.GetBytes(_path));
        Libc.FlushDirectory(_directory);
    }

    /// <summary>After the snapshot was committed: this is its clone, and those before it go.</summary>
    internal void Belongs(SnapshotInfo snapshot)
    {
        FileFacts facts = Posix.Status(File);
        var note = new ReflinkNote
        {
            Id = snapshot.Id,
            Path = _path!,
            Inode = facts.Inode,
            CtimeS = facts.ChangedSeconds,
            CtimeNs = facts.ChangedNanoseconds,
            Size = (ulong)Size,
        };
        WriteNote(_store, _store.EncodeName(_objectName), note);
        RemoveFile(_last);
        ClearUp(_store, _objectName, _directory, except: _path);
        _path = null;
    }

    /// <summary>Removes the clone of an object, when it has one; with an id, only when it is that snapshot's. One that cannot be removed stays.</summary>
    internal static void Release(SnapshotStore store, string objectName, string? id = null)
    {
        string encoded = store.EncodeName(objectName);
        if (ReadNote(store, encoded) is not { } note || (id is not null && note.Id != id))
        {
            return;
        }

        try
        {
            RemoveFile(note);
            ClearUp(store, objectName, Path.GetDirectoryName(note.Path)!, except: null);
            System.IO.File.Delete(store.Layout.Reflink(encoded));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // It is only space, and found again by the next snapshot that makes a clone there.
        }
    }

    /// <summary>Closes it; without a committed snapshot nothing of it stays.</summary>
    public void Dispose()
    {
        if (_path is not null)
        {
            System.IO.File.Delete(_path);
        }

        File.Dispose();
    }

    private static string Prefix(SnapshotStore store, string objectName) => $".holdfast-{store.Id}-{store.EncodeName(objectName)}-";

    /// <summary>What a process left that died before its snapshot was noted.</summary>
    private static void ClearUp(SnapshotStore store, string objectName, string directory, string? except)
    {
        string prefix = Prefix(store, objectName);
        if (!Directory.Exists(directory))
        {
            return;
        }

        foreach (string left in Directory.EnumerateFiles(directory, prefix + "*", new EnumerationOptions { AttributesToSkip = 0 }))
        {
            if (left == except || !PackId.TryParse(Path.GetFileName(left.AsSpan())[prefix.Length..], out _))
            {
                continue;
            }

            using SafeFileHandle? file = Libc.TryOpen(left);
            if (file is not null && Libc.Lock(file, Libc.LockExclusive | Libc.LockNonBlocking, left))
            {
                System.IO.File.Delete(left);
            }
        }
    }

    private static void RemoveFile(ReflinkNote? note)
    {
        if (note is not null && OpenIntact(note) is { } file)
        {
            file.Dispose();
            System.IO.File.Delete(note.Path);
        }
    }

    /// <summary>The clone as it was left; null when it is gone or somebody changed it.</summary>
    private static SafeFileHandle? OpenIntact(ReflinkNote note)
    {
        byte[] path = Encoding.UTF8.GetBytes(note.Path);
        if (Posix.Status(path) is not { Type: FileFacts.Regular } || Posix.TryOpen(path) is not { } file)
        {
            return null;
        }

        FileFacts facts = Posix.Status(file);
        if (facts.Type == FileFacts.Regular && facts.Inode == note.Inode && facts.ChangedSeconds == note.CtimeS && facts.ChangedNanoseconds == note.CtimeNs && (ulong)facts.Size == note.Size)
        {
            return file;
        }

        file.Dispose();
        return null;
    }

    private static ReflinkNote? ReadNote(SnapshotStore store, string encoded)
    {
        string path = store.Layout.Reflink(encoded);
        using SafeFileHandle? file = Libc.TryOpen(path);
        try
        {
            return file is null ? null : ReflinkNote.Parser.ParseFrom(FrameFile.Read(file, path, NoteMagic, FrameKind.Header, store.Vault)[0].Payload.Span);
        }
        catch (Exception e) when (e is SnapshotStoreException or InvalidProtocolBufferException)
        {
            // Then everything is read.
            return null;
        }
    }

    private static void WriteNote(SnapshotStore store, string encoded, ReflinkNote note)
    {
        Libc.TryMakeDirectory(store.Layout.Reflinks);
        using (SafeFileHandle file = Libc.CreateLocked(() => StoreLayout.Temporary(store.Layout.Root), out string temporary))
        {
            Libc.Write(file, FrameFile.Build(NoteMagic, [new Frame(FrameKind.Header, note.ToByteArray())], store.Vault), 0, temporary);
            Libc.Flush(file, temporary);
            Libc.Rename(temporary, store.Layout.Reflink(encoded));
        }

        Libc.FlushDirectory(store.Layout.Reflinks);
    }
}
