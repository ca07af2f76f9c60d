using Holdfast.KernelBridge;

namespace Holdfast.Actors.Restore;

/// <summary>Counts what is read, and makes a restore that was called off give up soon.</summary>
internal sealed class CountingSource(IPageSource inner) : IPageSource
{
    private volatile bool _aborted;
    private long _bytes;

    public long BytesRead => Volatile.Read(ref _bytes);

    public void Abort() => _aborted = true;

    public IReadOnlyList<PageRun> Runs(string stream) => inner.Runs(stream);

    public IReadOnlyList<PagePlace> Places(string stream) => inner.Places(stream);

    public void Read(string stream, long offset, Span<byte> into)
    {
        if (_aborted)
        {
            throw new OperationCanceledException("the restore was called off");
        }

        inner.Read(stream, offset, into);
        Interlocked.Add(ref _bytes, into.Length);
    }
}
