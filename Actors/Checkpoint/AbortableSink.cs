using Holdfast.KernelBridge;

namespace Holdfast.Actors.Checkpoint;

/// <summary>
/// Between the pumps and the store: counts what passes, for progress, and makes pumps give up soon once the checkpoint is called off.
/// Otherwise an application would stand for as long as its memory takes to be copied for nothing.
/// </summary>
internal sealed class AbortableSink : IPageSink
{
    private volatile IPageSink? _inner;
    private volatile bool _aborted;
    private long _bytes;

    public long BytesWritten => Volatile.Read(ref _bytes);

    public void Attach(IPageSink inner) => _inner = inner;

    public void Abort() => _aborted = true;

    public void Write(string stream, long offset, ReadOnlySpan<byte> data)
    {
        if (_aborted)
        {
            throw new OperationCanceledException("the checkpoint was called off");
        }

        IPageSink inner = _inner ?? throw new InvalidOperationException("pages were pumped before the snapshot was opened");
        inner.Write(stream, offset, data);
        Interlocked.Add(ref _bytes, data.Length);
    }
}
