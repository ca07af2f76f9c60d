using Holdfast.KernelBridge;

namespace Holdfast.Actors.Checkpoint;

/// <summary>
/// Between the pumps and the store: counts what passes, for progress, and makes pumps give up soon once the checkpoint is called off.
/// Otherwise an application would stand for as long as its memory takes to be copied for nothing.
/// </summary>
/// <param name="full">Nothing is kept of an earlier snapshot without being read.</param>
internal sealed class AbortableSink(bool full) : IPageSink
{
    private volatile IPageSink? _inner;
    private volatile bool _aborted;
    private long _bytes;

    private IPageSink Inner => _aborted
        ? throw new OperationCanceledException("the checkpoint was called off")
        : _inner ?? throw new InvalidOperationException("pages were pumped before the snapshot was opened");

    public long BytesWritten => Volatile.Read(ref _bytes);

    public string? Base => full ? null : _inner?.Base;

    public bool Keep(string stream, long offset, long length) => Inner.Keep(stream, offset, length);

    public bool Repeat(string stream, string original, long offset, long length) => Inner.Repeat(stream, original, offset, length);

    public bool Holds(string stream, long offset, ReadOnlySpan<byte> data) => Inner.Holds(stream, offset, data);

    public void Attach(IPageSink inner) => _inner = inner;

    public void Abort() => _aborted = true;

    public void Write(string stream, long offset, ReadOnlySpan<byte> data)
    {
        Inner.Write(stream, offset, data);
        Interlocked.Add(ref _bytes, data.Length);
    }
}
