namespace Holdfast.KernelBridge.Capture;

/// <summary>Pages that were read while a small process stood, and are given to the sink when it runs again.</summary>
internal sealed class HeldPages : IPageSink
{
    private readonly List<(string Stream, long Offset, byte[] Bytes)> runs = [];

    /// <summary>What they were counted as.</summary>
    public PageCounts Counts { get; set; }

    public void Write(string stream, long offset, ReadOnlySpan<byte> data) => runs.Add((stream, offset, data.ToArray()));

    /// <summary>Gives them to the sink, and forgets them.</summary>
    public PageCounts PumpTo(IPageSink sink)
    {
        foreach ((string stream, long offset, byte[] bytes) in runs)
        {
            sink.Write(stream, offset, bytes);
        }

        runs.Clear();
        return Counts;
    }
}
