namespace Holdfast.KernelBridge.Tests.Conformance;

/// <summary>A page store in memory, which can be written to a file for another process.</summary>
public sealed class MemoryPages : IPageSink, IPageSource
{
    private readonly Lock gate = new();
    private readonly Dictionary<string, SortedList<long, byte[]>> streams = [];

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
            if (!streams.TryGetValue(stream, out SortedList<long, byte[]>? runs))
            {
                streams[stream] = runs = [];
            }

            if (!runs.TryAdd(offset, copy))
            {
                throw new InvalidOperationException($"stream {stream}: {offset:x}+{copy.Length:x} is written again, after {string.Join(' ', runs.TakeLast(4).Select(run => $"{run.Key:x}+{run.Value.Length:x}"))}");
            }
        }
    }

    public IReadOnlyList<PageRun> Runs(string stream)
    {
        lock (gate)
        {
            return streams.TryGetValue(stream, out SortedList<long, byte[]>? runs) ? [.. runs.Select(run => new PageRun(run.Key, run.Value.Length))] : [];
        }
    }

    public void Read(string stream, long offset, Span<byte> into)
    {
        BeforeRead();
        lock (gate)
        {
            SortedList<long, byte[]> runs = streams[stream];
            int low = 0;
            int high = runs.Count;
            while (low < high)
            {
                int middle = (low + high) / 2;
                (low, high) = runs.GetKeyAtIndex(middle) <= offset ? (middle + 1, high) : (low, middle);
            }

            runs.GetValueAtIndex(low - 1).AsSpan((int)(offset - runs.GetKeyAtIndex(low - 1)), into.Length).CopyTo(into);
        }
    }

    public void Save(string path)
    {
        using var writer = new BinaryWriter(File.Create(path));
        foreach ((string stream, SortedList<long, byte[]> runs) in streams)
        {
            foreach ((long offset, byte[] data) in runs)
            {
                writer.Write(stream);
                writer.Write(offset);
                writer.Write(data.Length);
                writer.Write(data);
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
            pages.Write(stream, offset, reader.ReadBytes(reader.ReadInt32()));
        }

        return pages;
    }
}
