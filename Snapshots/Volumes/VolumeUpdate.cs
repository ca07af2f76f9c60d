using System.Text;
using Holdfast.Snapshots.Format;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.Snapshots;

/// <summary>
/// Makes a directory what a snapshot says. Files are corrected in place where nothing else refers to them, else built beside and renamed: whatever moment it
/// is killed at, doing it again from the beginning leads to the same.
/// </summary>
internal sealed class VolumeUpdate
{
    private const int Piece = 1024 * 1024;
    private const int PageSize = 4096;
    private const string BuiltBeside = ".holdfast-";

    private readonly SnapshotReader _snapshot;
    private readonly byte[] _root;
    private readonly string _data;
    private readonly List<TreeEntry> _entries;
    private readonly Dictionary<string, TreeEntry> _byPath;
    private readonly HashSet<string> _linked;
    private readonly HashSet<string> _untouched = new(StringComparer.Ordinal);
    private readonly CancellationToken _cancellation;
    private readonly byte[] _wanted = new byte[Piece];
    private readonly byte[] _found = new byte[Piece];

    public VolumeUpdate(SnapshotReader snapshot, Volume volume, CancellationToken cancellation)
    {
        _snapshot = snapshot;
        _cancellation = cancellation;
        _root = volume.Path.ToByteArray();
        _data = VolumeTree.DataStreamOf((int)volume.Id);
        _entries = Volumes.Entries(snapshot, (int)volume.Id);
        _byPath = _entries.ToDictionary(e => Text(e.Path.Span), StringComparer.Ordinal);
        _linked = [.. _entries.Where(e => !e.SameAs.IsEmpty).Select(e => Text(e.SameAs.Span))];
    }

    private string Name => Encoding.UTF8.GetString(_root);

    private byte[] Mark => [.. _root, (byte)'/', .. Encoding.UTF8.GetBytes(Volumes.UnfinishedMark)];

    /// <summary>Whether it can be done; nothing is touched.</summary>
    public void Check()
    {
        if (Posix.Status(_root) is not { } facts)
        {
            return;
        }

        if (facts.Type != FileFacts.Directory)
        {
            throw new SnapshotStoreException("volume.path", $"{Name} is no directory, and was a volume: move it away");
        }

        Look(_root, [], facts.FileSystem);
    }

    /// <summary>Reads every byte of the snapshot's files, which verifies them.</summary>
    public void ReadAll()
    {
        foreach (TreeEntry entry in _entries.Where(IsFile))
        {
            foreach (StreamRun run in _snapshot.RunsIn(_data, (long)entry.Data, (long)(entry.Data + entry.Size)))
            {
                for (long at = run.Offset; at < run.End; at += Piece)
                {
                    _cancellation.ThrowIfCancellationRequested();
                    _snapshot.Read(_data, at, _wanted.AsSpan(0, (int)Math.Min(Piece, run.End - at)));
                }
            }
        }
    }

    public void Run()
    {
        Directory.CreateDirectory(Name);
        if (Posix.Status(Mark) is null)
        {
            Posix.Create(Mark).Dispose();
        }

        RemoveOthers(_root, string.Empty);
        foreach (TreeEntry entry in _entries.Where(e => e.SameAs.IsEmpty))
        {
            _cancellation.ThrowIfCancellationRequested();
            Make(entry);
        }

        foreach (TreeEntry entry in _entries.Where(e => !e.SameAs.IsEmpty))
        {
            Link(entry);
        }

        // What is inside first: making it touched its directory.
        for (int i = _entries.Count - 1; i > 0; i--)
        {
            Describe(_entries[i]);
        }

        Posix.Remove(Mark);
        Describe(_entries[0]);
    }

    private static string Text(ReadOnlySpan<byte> path) => Encoding.Latin1.GetString(path);

    private static bool IsFile(TreeEntry entry) => entry.SameAs.IsEmpty && (entry.Mode & FileFacts.TypeMask) == FileFacts.Regular;

    private byte[] PathOf(ReadOnlySpan<byte> relative) => relative.IsEmpty ? _root : [.. _root, (byte)'/', .. relative];

    /// <summary>Finds what did not change, and refuses what must not be written over.</summary>
    private void Look(byte[] path, byte[] relative, ulong fileSystem)
    {
        foreach (byte[] name in Posix.Names(path) ?? [])
        {
            byte[] below = relative.Length == 0 ? name : [.. relative, (byte)'/', .. name];
            byte[] whole = [.. path, (byte)'/', .. name];
            if (Posix.Status(whole) is not { } facts)
            {
                continue;
            }

            if (facts.FileSystem != fileSystem)
            {
                throw new SnapshotStoreException(
                    "volume.mount", $"{Encoding.UTF8.GetString(whole)} is another file system inside the volume {Name}, which is to be put back: unmount it");
            }

            if (facts.Type == FileFacts.Directory)
            {
                Look(whole, below, fileSystem);
            }
            else if (facts.Type == FileFacts.Regular && _byPath.TryGetValue(Text(below), out TreeEntry? entry)
                && entry.Settled && entry.SameAs.IsEmpty && VolumeTree.IsSame(entry, facts) && entry.Uid == facts.Uid && entry.Gid == facts.Gid)
            {
                _untouched.Add(Text(below));
            }
        }
    }

    /// <summary>Removes what the snapshot does not have, or has as something else.</summary>
    private void RemoveOthers(byte[] path, string relative)
    {
        if (!Environment.IsPrivilegedProcess)
        {
            // It has to be possible to change it; it gets its mode in the end.
            Posix.SetMode(path, 0x1C0);
        }

        foreach (byte[] name in Posix.Names(path) ?? [])
        {
            _cancellation.ThrowIfCancellationRequested();
            string below = relative.Length == 0 ? Text(name) : $"{relative}/{Text(name)}";
            byte[] whole = [.. path, (byte)'/', .. name];
            if (below == Volumes.UnfinishedMark || Posix.Status(whole) is not { } facts)
            {
                continue;
            }

            if (!_byPath.TryGetValue(below, out TreeEntry? entry) || facts.Type != TypeOf(entry))
            {
                Posix.Remove(whole);
            }
            else if (facts.Type == FileFacts.Directory)
            {
                RemoveOthers(whole, below);
            }
        }
    }

    private static uint TypeOf(TreeEntry entry) => entry.Mode & FileFacts.TypeMask;

    private void Make(TreeEntry entry)
    {
        byte[] path = PathOf(entry.Path.Span);
        FileFacts? now = Posix.Status(path);
        switch (TypeOf(entry))
        {
            case FileFacts.Directory:
                if (now is null)
                {
                    Posix.MakeDirectory(path);
                }

                return;
            case FileFacts.Regular:
                if (!_untouched.Contains(Text(entry.Path.Span)) && !(now is { Links: 1 } && !_linked.Contains(Text(entry.Path.Span)) && TryCorrect(entry, path)))
                {
                    Replace(path, beside => Fill(entry, beside));
                }

                return;
            case FileFacts.Link:
                if (now is null || !Posix.ReadLink(path).AsSpan().SequenceEqual(entry.Link.Span))
                {
                    Replace(path, beside => Posix.MakeSymbolicLink(entry.Link.ToByteArray(), beside));
                }

                return;
            default:
                if (now is null || now.Value.Device != entry.Device)
                {
                    Replace(path, beside => Posix.MakeNode(beside, entry.Mode, entry.Device));
                }

                return;
        }
    }

    private void Link(TreeEntry entry)
    {
        byte[] first = PathOf(entry.SameAs.Span);
        byte[] path = PathOf(entry.Path.Span);
        if (Posix.Status(path) is not { } now || now.Inode != Posix.Status(first)!.Value.Inode)
        {
            Replace(path, beside => Posix.MakeHardLink(first, beside));
        }
    }

    /// <summary>Makes something beside a path and renames it to there.</summary>
    private static void Replace(byte[] path, Action<byte[]> make)
    {
        int slash = path.AsSpan().LastIndexOf((byte)'/');
        byte[] beside = [.. path.AsSpan(0, slash + 1), .. Encoding.UTF8.GetBytes($"{BuiltBeside}{Guid.NewGuid():N}")];
        make(beside);
        Posix.Rename(beside, path);
    }

    private void Fill(TreeEntry entry, byte[] path)
    {
        using SafeFileHandle file = Posix.Create(path);
        Posix.SetLength(file, (long)entry.Size, path);
        Correct(entry, file, path, exists: false);
    }

    /// <summary>Writes over what differs in a file; false when it cannot be written to.</summary>
    private bool TryCorrect(TreeEntry entry, byte[] path)
    {
        using SafeFileHandle? file = Posix.TryOpenForWriting(path);
        if (file is null)
        {
            return false;
        }

        if (RandomAccess.GetLength(file) != (long)entry.Size)
        {
            Posix.SetLength(file, (long)entry.Size, path);
        }

        Correct(entry, file, path, exists: true);
        return true;
    }

    private void Correct(TreeEntry entry, SafeFileHandle file, byte[] path, bool exists)
    {
        long start = (long)entry.Data;
        long size = (long)entry.Size;
        List<StreamRun> wanted = [.. _snapshot.RunsIn(_data, start, start + size).Select(r => r with { Offset = r.Offset - start })];
        List<StreamRun> found = exists ? Posix.DataRuns(file, size) : [];
        string name = Encoding.UTF8.GetString(path);
        int nextWanted = 0;
        int nextFound = 0;
        for (long at = Next(0); at < size; at = Next(at + Piece))
        {
            _cancellation.ThrowIfCancellationRequested();
            int length = (int)Math.Min(Piece, size - at);
            Span<byte> want = _wanted.AsSpan(0, length);
            Span<byte> have = _found.AsSpan(0, length);
            want.Clear();
            have.Clear();
            for (int i = nextWanted; i < wanted.Count && wanted[i].Offset < at + length; i++)
            {
                long from = Math.Max(at, wanted[i].Offset);
                _snapshot.Read(_data, start + from, want[(int)(from - at)..(int)(Math.Min(at + length, wanted[i].End) - at)]);
            }

            if (exists)
            {
                _ = Libc.Read(file, have, at, name);
            }

            WriteDifferences(file, at, want, have, name);
        }

        // The next piece with bytes on either side: between them are holes on both.
        long Next(long from)
        {
            while (nextWanted < wanted.Count && wanted[nextWanted].End <= from)
            {
                nextWanted++;
            }

            while (nextFound < found.Count && found[nextFound].End <= from)
            {
                nextFound++;
            }

            long next = Math.Min(
                nextWanted < wanted.Count ? wanted[nextWanted].Offset : long.MaxValue, nextFound < found.Count ? found[nextFound].Offset : long.MaxValue);
            return next == long.MaxValue ? next : Math.Max(from, next - (next % PageSize));
        }
    }

    private static void WriteDifferences(SafeFileHandle file, long offset, ReadOnlySpan<byte> want, ReadOnlySpan<byte> have, string name)
    {
        int from = -1;
        for (int at = 0; at < want.Length; at += PageSize)
        {
            int end = Math.Min(want.Length, at + PageSize);
            bool differs = !want[at..end].SequenceEqual(have[at..end]);
            if (differs && from < 0)
            {
                from = at;
            }
            else if (!differs && from >= 0)
            {
                Libc.Write(file, want[from..at], offset + from, name);
                from = -1;
            }
        }

        if (from >= 0)
        {
            Libc.Write(file, want[from..], offset + from, name);
        }
    }

    private void Describe(TreeEntry entry)
    {
        if (!entry.SameAs.IsEmpty || _untouched.Contains(Text(entry.Path.Span)))
        {
            return;
        }

        byte[] path = PathOf(entry.Path.Span);
        foreach ((byte[] name, _) in Posix.Attributes(path))
        {
            if (!entry.Attributes.Any(a => a.Name.Span.SequenceEqual(name)))
            {
                Posix.RemoveAttribute(path, name);
            }
        }

        TreeMetadata.Apply(entry, path);
    }
}
