using Holdfast.Snapshots.Format;

namespace Holdfast.Snapshots.Tests;

/// <summary>A device whose connection breaks after a number of bytes.</summary>
internal sealed class CuttingDevice(StoreDevice inner, long bytes) : IStorageDevice
{
    private long _left = bytes;
    private long _before = -1;

    /// <summary>Bytes that this connection added to the transfers that are kept.</summary>
    public long BytesStored { get; private set; }

    /// <summary>Answers about pins that get lost, after the request was carried out.</summary>
    public int LostAnswers { get; set; }

    /// <summary>Called with the base before a transfer is begun.</summary>
    public Action<string>? Beginning { get; set; }

    /// <summary>Called before a transfer is finished; gives the digest that is passed on.</summary>
    public Func<byte[], Task<byte[]>>? Finishing { get; set; }

    public string Name => inner.Name;

    public Task<IReadOnlyList<string>> ObjectsAsync(CancellationToken cancel) => inner.ObjectsAsync(cancel);

    public Task<IReadOnlyList<SnapshotInfo>> ListAsync(string objectName, CancellationToken cancel) => inner.ListAsync(objectName, cancel);

    public Task<byte[]> DigestAsync(string objectName, string id, CancellationToken cancel) => inner.DigestAsync(objectName, id, cancel);

    public Task<TransferStatus> BeginAsync(ReadOnlyMemory<byte> head, ReadOnlyMemory<byte> baseDigest, CancellationToken cancel)
    {
        Beginning?.Invoke(DifferenceHead.Parser.ParseFrom(head.Span).Base);
        return inner.BeginAsync(head, baseDigest, cancel);
    }

    public Task<IReadOnlyList<bool>> HasAsync(IReadOnlyList<byte[]> hashes, CancellationToken cancel) => inner.HasAsync(hashes, cancel);

    public async Task SendAsync(string session, int lane, long first, Func<Stream, CancellationToken, Task> write, Action<long> stored, CancellationToken cancel)
    {
        if (_before < 0)
        {
            _before = Size();
        }

        try
        {
            await inner.SendAsync(session, lane, first, (stream, stop) => write(new CuttingStream(stream, this), stop), stored, cancel);
        }
        finally
        {
            lock (this)
            {
                BytesStored = Math.Max(BytesStored, Size() - _before);
            }
        }
    }

    public async Task<SnapshotInfo> FinishAsync(string session, ReadOnlyMemory<byte> digest, CancellationToken cancel) =>
        await inner.FinishAsync(session, Finishing is null ? digest : await Finishing(digest.ToArray()), cancel);

    public Task PinAsync(string objectName, string id, string owner, CancellationToken cancel) => AnswerAsync(inner.PinAsync(objectName, id, owner, cancel));

    public Task UnpinAsync(string objectName, string id, string owner, CancellationToken cancel) => AnswerAsync(inner.UnpinAsync(objectName, id, owner, cancel));

    public Task ForgetAsync(string objectName, string id, CancellationToken cancel) => inner.ForgetAsync(objectName, id, cancel);

    public Task<CollectionReport> CollectAsync(CancellationToken cancel) => inner.CollectAsync(cancel);

    public Task<Stream> OpenDifferenceAsync(string objectName, string? from, string to, CancellationToken cancel) => inner.OpenDifferenceAsync(objectName, from, to, cancel);

    public Task<Stream> OpenRestAsync(string objectName, string? from, string to, IReadOnlyList<long>? received, CancellationToken cancel) =>
        inner.OpenRestAsync(objectName, from, to, received, cancel);

    public Task ReadAsync(string objectName, string id, string stream, long offset, Memory<byte> into, CancellationToken cancel) =>
        inner.ReadAsync(objectName, id, stream, offset, into, cancel);

    public ValueTask DisposeAsync() => ValueTask.CompletedTask;

    private async Task AnswerAsync(Task request)
    {
        await request;
        if (LostAnswers > 0)
        {
            LostAnswers--;
            throw new IOException("the connection was cut");
        }
    }

    private long Size() => new DirectoryInfo(inner.Store.Directory).EnumerateFiles("*.pa*", SearchOption.AllDirectories).Sum(f => f.Length);

    private sealed class CuttingStream(Stream inner, CuttingDevice device) : Stream
    {
        public override bool CanRead => false;

        public override bool CanSeek => false;

        public override bool CanWrite => true;

        public override long Length => throw new NotSupportedException();

        public override long Position { get => throw new NotSupportedException(); set => throw new NotSupportedException(); }

        public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            long left = Interlocked.Add(ref device._left, -buffer.Length);
            if (left < 0)
            {
                // A part still goes through, in the middle of a record.
                await inner.WriteAsync(buffer[..Math.Max(0, (int)(buffer.Length + left))], cancellationToken);
                await inner.FlushAsync(cancellationToken);
                throw new IOException("the connection was cut");
            }

            await inner.WriteAsync(buffer, cancellationToken);
        }

        public override Task WriteAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) =>
            WriteAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override void Flush()
        {
        }

        public override int Read(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();
    }
}
