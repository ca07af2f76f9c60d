using Google.Protobuf;
using Holdfast.Snapshots.Format;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.Snapshots;

/// <summary>
/// Block images: pages of zeros are holes; what equals the parent, page by page, byte by byte, is the parent's.
/// </summary>
internal static class BlockImage
{
    internal const string Stream = "data";

    private const int Window = 1024 * 1024;
    private const int Extent = 256 * 1024;
    private const int Page = 4096;

    internal static void Capture(SnapshotWriter writer, byte[] path, CaptureOptions options, ReflinkClone? clone)
    {
        using SafeFileHandle? own = clone is null ? Posix.TryOpen(path) ?? throw new SnapshotStoreException("path.missing", "the image went away") : null;
        SafeFileHandle file = clone?.File ?? own!;
        long size = Posix.SizeOf(file);
        string name = System.Text.Encoding.UTF8.GetString(path);
        using (var pump = new ExtentPump(writer))
        {
            writer.Touch(Stream);
            var changed = new ChangedPages(writer, pump);
            foreach ((StreamRun run, bool same) in Split(Posix.DataRuns(file, size), options.Paranoid ? [] : clone?.SameAs(writer.Parent) ?? []))
            {
                if (same)
                {
                    changed.Keep(run.Offset, run.Length);
                }
                else
                {
                    Compare(writer, changed, file, run, name, options);
                }
            }

            changed.Flush();
            pump.Finish();
        }

        writer.SetState(new PathState { Version = 1, Size = (ulong)size }.ToByteArray());
    }

    /// <summary>Cuts runs at the ends of others.</summary>
    /// <returns>The parts, ascending; true for those that lie in one of the others.</returns>
    internal static IEnumerable<(StreamRun Run, bool Same)> Split(IReadOnlyList<StreamRun> runs, IReadOnlyList<StreamRun> same)
    {
        int next = 0;
        foreach (StreamRun run in runs)
        {
            for (long at = run.Offset; at < run.End;)
            {
                while (next < same.Count && same[next].End <= at)
                {
                    next++;
                }

                bool inside = next < same.Count && same[next].Offset <= at;
                long end = next == same.Count ? run.End : Math.Min(run.End, inside ? same[next].End : same[next].Offset);
                yield return (new StreamRun(at, end - at), inside);
                at = end;
            }
        }
    }

    private static void Compare(SnapshotWriter writer, ChangedPages changed, SafeFileHandle file, StreamRun run, string name, CaptureOptions options)
    {
        byte[] buffer = LargeArrays.Rent(Window);
        byte[] before = LargeArrays.Rent(Window);
        for (long at = run.Offset; at < run.End;)
        {
            int length = (int)Math.Min(Window - (at % Window), run.End - at);
            Span<byte> data = buffer.AsSpan(0, length);
            int got = Libc.Read(file, data, at, name);
            data[got..].Clear();
            options.Read?.Invoke(got);
            List<StreamRun> known = writer.ReadParent(Stream, at, before.AsSpan(0, length));
            changed.Add(at, data, before.AsSpan(0, length), known);
            at += length;
        }

        LargeArrays.Return(buffer);
        LargeArrays.Return(before);
    }

    internal static void Restore(SnapshotReader snapshot, byte[] path)
    {
        PathState state = PathState.Parser.ParseFrom(snapshot.State.Span);
        FileFacts? there = Posix.Status(path);
        string name = System.Text.Encoding.UTF8.GetString(path);
        using SafeFileHandle file = there is null
            ? Posix.Create(path)
            : Libc.TryOpen(name, write: true) ?? throw new SnapshotStoreException("path.missing", $"{name} went away");
        bool device = there?.Type == FileFacts.Block;
        if (device)
        {
            if (Posix.SizeOf(file) < (long)state.Size)
            {
                throw new SnapshotStoreException("path.exists", $"{name} has {Posix.SizeOf(file)} bytes, the image {state.Size}");
            }
        }
        else
        {
            Posix.SetLength(file, 0, path);
            Posix.SetLength(file, (long)state.Size, path);
        }

        byte[] buffer = new byte[Window];
        long written = 0;
        foreach (StreamRun run in snapshot.Runs(Stream))
        {
            if (device)
            {
                Zero(file, written, run.Offset, name);
            }

            for (long at = run.Offset; at < run.End;)
            {
                Span<byte> data = buffer.AsSpan(0, (int)Math.Min(Window, run.End - at));
                snapshot.Read(Stream, at, data);
                Libc.Write(file, data, at, name);
                at += data.Length;
            }

            written = run.End;
        }

        if (device)
        {
            Zero(file, written, (long)state.Size, name);
        }

        Libc.Flush(file, name);
    }

    /// <summary>On a device a hole has to be written: whatever is there is not zero by itself.</summary>
    private static void Zero(SafeFileHandle file, long from, long to, string name)
    {
        byte[] zeros = new byte[Window];
        for (long at = from; at < to; at += Window)
        {
            Libc.Write(file, zeros.AsSpan(0, (int)Math.Min(Window, to - at)), at, name);
        }
    }

    /// <summary>Sorts pages into holes, the parent's and new ones; gathers neighbours.</summary>
    private sealed class ChangedPages(SnapshotWriter writer, ExtentPump pump)
    {
        private readonly byte[] _data = new byte[Extent];
        private long _dataOffset;
        private int _dataLength;
        private long _keepOffset;
        private long _keepLength;

        internal void Add(long offset, ReadOnlySpan<byte> data, ReadOnlySpan<byte> before, List<StreamRun> known)
        {
            int run = 0;
            for (int at = 0; at < data.Length;)
            {
                int length = Math.Min(Page, data.Length - at);
                ReadOnlySpan<byte> page = data.Slice(at, length);
                long place = offset + at;
                while (run < known.Count && known[run].End <= place)
                {
                    run++;
                }

                bool stored = run < known.Count && known[run].Offset <= place && known[run].End >= place + length;
                if (stored && page.SequenceEqual(before.Slice(at, length)))
                {
                    Keep(place, length);
                }
                else if (page.IndexOfAnyExcept((byte)0) >= 0)
                {
                    Write(place, page);
                }

                at += length;
            }
        }

        internal void Flush()
        {
            FlushData();
            FlushKept();
        }

        internal void Keep(long offset, long length)
        {
            if (_keepOffset + _keepLength != offset)
            {
                FlushKept();
                _keepOffset = offset;
            }

            _keepLength += length;
        }

        private void Write(long offset, ReadOnlySpan<byte> page)
        {
            if (_dataLength > 0 && (_dataOffset + _dataLength != offset || offset % Extent == 0))
            {
                FlushData();
            }

            if (_dataLength == 0)
            {
                _dataOffset = offset;
            }

            page.CopyTo(_data.AsSpan(_dataLength));
            _dataLength += page.Length;
        }

        private void FlushData()
        {
            if (_dataLength > 0)
            {
                pump.Add(Stream, _dataOffset, _data.AsSpan(0, _dataLength));
                _dataLength = 0;
            }
        }

        private void FlushKept()
        {
            if (_keepLength > 0)
            {
                writer.Keep(Stream, _keepOffset, _keepLength);
                _keepLength = 0;
            }
        }
    }
}
