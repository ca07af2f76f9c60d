using System.Threading.Channels;

namespace Holdfast.Snapshots;

/// <summary>Hands extents to a writer on several threads: hashing and compressing take longer than reading. The queue is short.</summary>
internal sealed class ExtentPump : IDisposable
{
    private readonly Channel<(string Stream, long Offset, byte[] Buffer, int Length)> _queue;
    private readonly Task[] _workers;
    private readonly SnapshotWriter _writer;

    internal ExtentPump(SnapshotWriter writer)
    {
        _writer = writer;
        int workers = Math.Max(1, Environment.ProcessorCount);
        _queue = Channel.CreateBounded<(string, long, byte[], int)>(new BoundedChannelOptions(workers * 2) { SingleWriter = true });
        _workers = [.. Enumerable.Range(0, workers).Select(_ => Task.Run(WorkAsync))];
    }

    /// <summary>Adds an extent. Waits while the queue is full.</summary>
    internal void Add(string stream, long offset, ReadOnlySpan<byte> data)
    {
        byte[] buffer = LargeArrays.Rent(data.Length);
        data.CopyTo(buffer);
        (string, long, byte[], int) item = (stream, offset, buffer, data.Length);
        while (!_queue.Writer.TryWrite(item))
        {
            if (!_queue.Writer.WaitToWriteAsync().AsTask().GetAwaiter().GetResult())
            {
                // A worker failed and closed the queue: its exception is the one to see.
                Finish();
                throw new InvalidOperationException("The queue is closed.");
            }
        }
    }

    /// <summary>Waits until all is written.</summary>
    internal void Finish()
    {
        _queue.Writer.TryComplete();
        Task.WhenAll(_workers).GetAwaiter().GetResult();
    }

    private async Task WorkAsync()
    {
        try
        {
            await foreach ((string stream, long offset, byte[] buffer, int length) in _queue.Reader.ReadAllAsync().ConfigureAwait(false))
            {
                _writer.WriteExtent(stream, offset, buffer.AsSpan(0, length));
                LargeArrays.Return(buffer);
            }
        }
        catch
        {
            _queue.Writer.TryComplete();
            throw;
        }
    }

    public void Dispose()
    {
        _queue.Writer.TryComplete();
        Task.WhenAll(_workers).ContinueWith(static t => _ = t.Exception, TaskScheduler.Default).GetAwaiter().GetResult();
    }
}
