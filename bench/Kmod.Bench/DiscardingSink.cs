using Holdfast.KernelBridge;

namespace Holdfast.Kmod.Bench;

/// <summary>Takes pages and keeps none.</summary>
internal sealed class DiscardingSink : IPageSink
{
    private long bytes;

    public long Bytes => bytes;

    public void Write(string stream, long offset, ReadOnlySpan<byte> data) => Interlocked.Add(ref bytes, data.Length);
}
