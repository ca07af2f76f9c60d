using System.Text;
using Google.Protobuf;
using Holdfast.Snapshots.Format;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.Snapshots;

/// <summary>
/// Takes a directory or a file. A file keeps its place in the stream of data for as long as it does not change; changed and new ones go to its end:
/// small ones side by side, so that they are compressed together, large ones cut by their content.
/// </summary>
internal sealed class TreeCapture(SnapshotWriter writer, byte[] root, CaptureOptions options, ReflinkClone? clone, FileFacts rootFacts)
{
    internal const string TreeStream = "tree";
    internal const string DataStream = "data";

    private const int SmallFile = 128 * 1024;
    private const int Piece = 1024 * 1024;

    private readonly Dictionary<string, TreeEntry> _before = new(StringComparer.Ordinal);
    private readonly Dictionary<(ulong, ulong), byte[]> _linked = [];
    private readonly List<TreeEntry> _entries = [];
    private readonly List<(byte[] Path, TreeEntry Entry)> _large = [];
    private readonly MemoryStream _small = new();
    private readonly Chunker _smallChunks = new(128 * 1024);
    private readonly Chunker _largeChunks = new(64 * 1024);
    private long _smallOffset;
    private long _next;
    private ExtentPump _pump = null!;

    internal void Run()
    {
        LoadParent();
        writer.Touch(DataStream);
        using (_pump = new ExtentPump(writer))
        {
            _smallOffset = _next;
            Add(root, []);
            FlushSmall(all: true);
            foreach ((byte[] path, TreeEntry entry) in _large)
            {
                StoreLarge(path, entry);
            }

            TreeFormat.Write(_entries, (at, bytes) => _pump.Add(TreeStream, at, bytes));
            _pump.Finish();
        }

        writer.SetState(new PathState { Version = 1, DataEnd = (ulong)_next }.ToByteArray());
    }

    private void LoadParent()
    {
        if (writer.ParentReader is { } parent)
        {
            foreach (TreeEntry entry in TreeFormat.Read(parent))
            {
                _before[Encoding.Latin1.GetString(entry.Path.Span)] = entry;
            }

            _next = (long)PathState.Parser.ParseFrom(parent.State.Span).DataEnd;
        }
    }

    private void Add(byte[] path, byte[] relative)
    {
        if ((relative.Length == 0 ? rootFacts : Posix.Status(path)) is not { } facts)
        {
            // Gone since its directory was listed.
            return;
        }

        TreeEntry entry = TreeFormat.Entry(relative, facts);
        bool further = facts.Type != FileFacts.Directory && facts.Links > 1 && !_linked.TryAdd((facts.FileSystem, facts.Inode), relative);
        if (further)
        {
            entry.SameAs = ByteString.CopyFrom(_linked[(facts.FileSystem, facts.Inode)]);
            _entries.Add(entry);
            return;
        }

        TreeFormat.Describe(entry, path, facts);
        _entries.Add(entry);
        switch (facts.Type)
        {
            case FileFacts.Directory:
                AddNames(path, relative);
                return;
            case FileFacts.Regular:
                entry.Size = (ulong)(clone?.Size ?? facts.Size);
                AddContent(path, entry);
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

    private void AddContent(byte[] path, TreeEntry entry)
    {
        if (entry.Size == 0)
        {
            return;
        }

        if (_before.GetValueOrDefault(Encoding.Latin1.GetString(entry.Path.Span)) is { } known
            && (known.Mode & FileFacts.TypeMask) == FileFacts.Regular && known.SameAs.IsEmpty)
        {
            if (!options.Paranoid && KeepInPlace(path, known, entry))
            {
                return;
            }

            if (known.Size == entry.Size && ((clone is null && IsUntouched(known, entry) && !options.Paranoid) || HasContentOf(path, known)))
            {
                entry.Data = known.Data;
                writer.Keep(DataStream, (long)known.Data, (long)known.Size);
                return;
            }
        }

        if (entry.Size >= SmallFile)
        {
            _large.Add((path, entry));
            return;
        }

        using SafeFileHandle? file = Open(path);
        byte[] bytes = new byte[entry.Size];
        int length = file is null ? 0 : Libc.Read(file, bytes, 0, Encoding.UTF8.GetString(path));
        options.Read?.Invoke(length);

        // It may have become shorter meanwhile; then that is its state.
        entry.Size = (ulong)length;
        entry.Data = (ulong)_next;
        _small.Write(bytes, 0, length);
        _next += length;
        FlushSmall(all: false);
    }

    /// <summary>Opens a file for reading; when there is a clone, that: it is the only file then.</summary>
    private SafeFileHandle? Open(byte[] path) => clone is null ? Posix.TryOpen(path) : File.OpenHandle($"/proc/self/fd/{clone.File.DangerousGetHandle()}");

    /// <summary>A single file of which parts are known to be the parent's keeps its place, whatever its size, and only its other parts are read.</summary>
    private bool KeepInPlace(byte[] path, TreeEntry known, TreeEntry entry)
    {
        IReadOnlyList<StreamRun> same = clone?.SameAs(writer.Parent) ?? [];
        long place = (long)known.Data;
        long size = (long)entry.Size;
        if (same.Count == 0)
        {
            return false;
        }

        using SafeFileHandle file = Open(path)!;
        byte[] buffer = new byte[Piece / 4];
        string name = Encoding.UTF8.GetString(path);
        foreach ((StreamRun run, bool kept) in BlockImage.Split(Posix.DataRuns(file, size), same))
        {
            if (kept)
            {
                writer.Keep(DataStream, place + run.Offset, run.Length);
                continue;
            }

            for (long at = run.Offset; at < run.End;)
            {
                int length = (int)Math.Min(buffer.Length - (at % buffer.Length), run.End - at);
                int got = Libc.Read(file, buffer.AsSpan(0, length), at, name);
                buffer.AsSpan(got, length - got).Clear();
                options.Read?.Invoke(got);
                _pump.Add(DataStream, place + at, buffer.AsSpan(0, length));
                at += length;
            }
        }

        entry.Data = known.Data;
        _next = Math.Max(_next, place + size);
        return true;
    }

    private static bool IsUntouched(TreeEntry before, TreeEntry now) =>
        before.Inode == now.Inode && before.MtimeS == now.MtimeS && before.MtimeNs == now.MtimeNs && before.CtimeS == now.CtimeS && before.CtimeNs == now.CtimeNs;

    /// <summary>Compares a file that was touched, or copied, with what the parent has.</summary>
    private bool HasContentOf(byte[] path, TreeEntry known)
    {
        using SafeFileHandle? file = Open(path);
        if (file is null)
        {
            return false;
        }

        byte[] now = new byte[Math.Min(Piece, (int)Math.Min(known.Size, int.MaxValue))];
        byte[] before = new byte[now.Length];
        string name = Encoding.UTF8.GetString(path);
        for (long at = 0; at < (long)known.Size; at += now.Length)
        {
            int length = (int)Math.Min(now.Length, (long)known.Size - at);
            int got = Libc.Read(file, now.AsSpan(0, length), at, name);
            options.Read?.Invoke(got);
            if (got != length)
            {
                return false;
            }

            before.AsSpan(0, length).Clear();
            writer.ReadParent(DataStream, (long)known.Data + at, before.AsSpan(0, length));
            if (!now.AsSpan(0, length).SequenceEqual(before.AsSpan(0, length)))
            {
                return false;
            }
        }

        return true;
    }

    private void FlushSmall(bool all)
    {
        ReadOnlySpan<byte> data = _small.GetBuffer().AsSpan(0, (int)_small.Length);
        int done = 0;
        while (data.Length - done >= (all ? 1 : _smallChunks.Maximum))
        {
            int length = _smallChunks.Cut(data[done..]);
            _pump.Add(DataStream, _smallOffset + done, data.Slice(done, length));
            done += length;
        }

        if (done > 0)
        {
            byte[] rest = data[done..].ToArray();
            _small.SetLength(0);
            _small.Write(rest);
            _smallOffset += done;
        }

        if (_small.Length == 0)
        {
            _smallOffset = _next;
        }
    }

    private void StoreLarge(byte[] path, TreeEntry entry)
    {
        using SafeFileHandle? file = Open(path);
        string name = Encoding.UTF8.GetString(path);
        long size = file is null ? 0 : Math.Min((long)entry.Size, RandomAccess.GetLength(file));
        entry.Size = (ulong)size;
        entry.Data = (ulong)_next;
        if (file is not null)
        {
            byte[] buffer = new byte[Piece];
            foreach (StreamRun run in Posix.DataRuns(file, size))
            {
                Store(file, run, buffer, name);
            }
        }

        _next += size;
    }

    private void Store(SafeFileHandle file, StreamRun run, byte[] buffer, string name)
    {
        int filled = 0;
        long at = run.Offset;
        for (long read = run.Offset; at < run.End;)
        {
            int want = (int)Math.Min(buffer.Length - filled, run.End - read);
            int got = Libc.Read(file, buffer.AsSpan(filled, want), read, name);
            options.Read?.Invoke(got);
            buffer.AsSpan(filled + got, want - got).Clear();
            filled += want;
            read += want;
            int done = 0;
            while (filled - done >= (read == run.End ? 1 : _largeChunks.Maximum))
            {
                int length = _largeChunks.Cut(buffer.AsSpan(done, filled - done));
                _pump.Add(DataStream, _next + at, buffer.AsSpan(done, length));
                done += length;
                at += length;
            }

            buffer.AsSpan(done, filled - done).CopyTo(buffer);
            filled -= done;
        }
    }
}
