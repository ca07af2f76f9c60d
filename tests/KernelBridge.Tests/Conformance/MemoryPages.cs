namespace Holdfast.KernelBridge.Tests.Conformance;

/// <summary>A page store in memory, which can be written to a file for another process.</summary>
public sealed class MemoryPages : IPageSink, IPageSource
{
    private readonly Lock gate = new();
    private readonly Dictionary<string, SortedList<long, Piece>> streams = [];
    private readonly List<(string Stream, string Original, long Offset, long Length)> repeated = [];

    /// <summary>Bytes that may lie in several places.</summary>
    private readonly record struct Piece(byte[] Bytes, Guid Holder, int From, int Length)
    {
        public ReadOnlySpan<byte> Span => Bytes.AsSpan(From, Length);
    }

    /// <summary>Runs before pages are read, in the midst of a restore that is.</summary>
    public Action BeforeRead { get; set; } = () => { };

    /// <summary>What a later one calls it.</summary>
    public string Name { get; } = Guid.NewGuid().ToString();

    /// <summary>An earlier one, of which ranges may be kept.</summary>
    public MemoryPages? Parent { get; init; }

    public string? Base => Parent?.Name;

    public bool Keep(string stream, long offset, long length)
    {
        foreach (PageRun run in Parent!.Runs(stream))
        {
            long from = Math.Max(offset, run.Offset);
            long to = Math.Min(offset + length, run.Offset + run.Length);
            if (from < to)
            {
                byte[] bytes = new byte[to - from];
                Parent.Read(stream, from, bytes);
                Write(stream, from, bytes);
            }
        }

        return true;
    }

    public bool Holds(string stream, long offset, ReadOnlySpan<byte> data)
    {
        byte[] known = new byte[data.Length];
        foreach (PageRun run in Parent!.Runs(stream))
        {
            long from = Math.Max(offset, run.Offset);
            long to = Math.Min(offset + data.Length, run.Offset + run.Length);
            if (from < to)
            {
                Parent.Read(stream, from, known.AsSpan((int)(from - offset), (int)(to - from)));
            }
        }

        return data.SequenceEqual(known);
    }

    public void Write(string stream, long offset, ReadOnlySpan<byte> data)
    {
        byte[] copy = data.ToArray();
        lock (gate)
        {
            Add(stream, offset, new Piece(copy, Guid.NewGuid(), 0, copy.Length));
        }
    }

    public bool Repeat(string stream, string original, long offset, long length)
    {
        lock (gate)
        {
            repeated.Add((stream, original, offset, length));
        }

        return true;
    }

    public IReadOnlyList<PagePlace> Places(string stream)
    {
        lock (gate)
        {
            TakeRepeated();
            return streams.TryGetValue(stream, out SortedList<long, Piece>? runs) ? [.. runs.Select(run => new PagePlace(run.Key, run.Value.Length, run.Value.Holder, 0, run.Value.From))] : [];
        }
    }

    private void Add(string stream, long offset, Piece piece)
    {
        if (!streams.TryGetValue(stream, out SortedList<long, Piece>? runs))
        {
            streams[stream] = runs = [];
        }

        if (!runs.TryAdd(offset, piece))
        {
            throw new InvalidOperationException($"stream {stream}: {offset:x}+{piece.Length:x} is written again, after {string.Join(' ', runs.TakeLast(4).Select(run => $"{run.Key:x}+{run.Value.Length:x}"))}");
        }
    }

    /// <summary>Everything is there by the time at which something is read: what is repeated becomes pieces of the same bytes.</summary>
    private void TakeRepeated()
    {
        foreach ((string stream, string original, long offset, long length) in repeated.Where(range => streams.ContainsKey(range.Original)))
        {
            Assert.DoesNotContain(repeated, range => range.Stream == original && range.Offset < offset + length && range.Offset + range.Length > offset);
            foreach ((long at, Piece piece) in streams[original])
            {
                long from = Math.Max(offset, at);
                long to = Math.Min(offset + length, at + piece.Length);
                if (from < to)
                {
                    Add(stream, from, piece with { From = piece.From + (int)(from - at), Length = (int)(to - from) });
                }
            }
        }

        repeated.Clear();
    }

    public IReadOnlyList<PageRun> Runs(string stream)
    {
        lock (gate)
        {
            TakeRepeated();
            return streams.TryGetValue(stream, out SortedList<long, Piece>? runs) ? [.. runs.Select(run => new PageRun(run.Key, run.Value.Length))] : [];
        }
    }

    public void Read(string stream, long offset, Span<byte> into)
    {
        BeforeRead();
        lock (gate)
        {
            TakeRepeated();
            SortedList<long, Piece> runs = streams[stream];
            int low = 0;
            int high = runs.Count;
            while (low < high)
            {
                int middle = (low + high) / 2;
                (low, high) = runs.GetKeyAtIndex(middle) <= offset ? (middle + 1, high) : (low, middle);
            }

            // Pieces that lie side by side are one range to who reads.
            for (int at = low - 1; into.Length > 0; at++)
            {
                ReadOnlySpan<byte> piece = runs.GetValueAtIndex(at).Span[(int)(offset - runs.GetKeyAtIndex(at))..];
                piece = piece[..Math.Min(piece.Length, into.Length)];
                piece.CopyTo(into);
                into = into[piece.Length..];
                offset += piece.Length;
            }
        }
    }

    public void Save(string path)
    {
        TakeRepeated();
        using var writer = new BinaryWriter(File.Create(path));
        foreach ((string stream, SortedList<long, Piece> runs) in streams)
        {
            foreach ((long offset, Piece piece) in runs)
            {
                writer.Write(stream);
                writer.Write(offset);
                writer.Write(piece.Holder.ToByteArray());
                writer.Write(piece.From);
                writer.Write(piece.Length);
                writer.Write(piece.Span);
            }
        }
    }

    public static MemoryPages Load(string path)
    {
        var pages = new MemoryPages();
        using var reader = new BinaryReader(File.OpenRead(path));
        while (reader.BaseStream.Position < reader.BaseStream.Length)
        {
            string stream = reader.ReadString();
            long offset = reader.ReadInt64();
            var holder = new Guid(reader.ReadBytes(16));
            int from = reader.ReadInt32();
            int length = reader.ReadInt32();
            byte[] bytes = new byte[from + length];
            reader.ReadBytes(length).CopyTo(bytes, from);
            pages.Add(stream, offset, new Piece(bytes, holder, from, length));
        }

        return pages;
    }
}
