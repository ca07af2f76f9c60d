namespace Holdfast.KernelBridge.Capture;

/// <summary>Pages that were read while a small process stood, and are given to the sink when it runs again.</summary>
internal sealed class HeldPages : IPageSink
{
    private readonly Lock gate = new();
    private readonly List<(string Stream, long Offset, byte[] Bytes)> runs = [];
    private readonly List<(string Stream, long Offset, long Length)> kept = [];

    /// <inheritdoc/>
    public string? Base { get; set; }

    /// <summary>What they were counted as.</summary>
    public PageCounts Counts { get; set; }

    public void Write(string stream, long offset, ReadOnlySpan<byte> data)
    {
        byte[] bytes = data.ToArray();
        lock (gate)
        {
            runs.Add((stream, offset, bytes));
        }
    }

    public bool Keep(string stream, long offset, long length)
    {
        kept.Add((stream, offset, length));
        return true;
    }

    /// <summary>Gives them to the sink, and forgets them.</summary>
    public PageCounts PumpTo(IPageSink sink)
    {
        foreach ((string stream, long offset, byte[] bytes) in runs)
        {
            sink.Write(stream, offset, bytes);
        }

        foreach ((string stream, long offset, long length) in kept)
        {
            // What was not read is there no more.
            if (!sink.Keep(stream, offset, length))
            {
                throw new BridgeException("memory.base", $"keeping memory of {stream} at {offset:x}", $"snapshot {Base} cannot be read there", "take a checkpoint with --full");
            }
        }

        runs.Clear();
        kept.Clear();
        return Counts;
    }
}
