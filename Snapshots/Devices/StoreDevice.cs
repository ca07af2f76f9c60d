using System.Collections.Concurrent;
using System.IO.Pipelines;
using Google.Protobuf;
using Holdfast.Snapshots.Format;

namespace Holdfast.Snapshots;

/// <summary>A store of this process as a storage device. The store stays open when the device is disposed.</summary>
public sealed class StoreDevice : IStorageDevice
{
    private readonly ConcurrentDictionary<string, IncomingTransfer> _transfers = new(StringComparer.Ordinal);
    private readonly SemaphoreSlim _begin = new(1);

    private readonly Func<SnapshotInfo, string?>? _mustStay;

    /// <summary>Makes one.</summary>
    /// <param name="store">The store.</param>
    /// <param name="mustStay">Says of a snapshot that is to be removed why it must stay, or null when it need not; null: none must.</param>
    public StoreDevice(SnapshotStore store, Func<SnapshotInfo, string?>? mustStay = null)
    {
        Store = store;
        _mustStay = mustStay;
    }

    /// <summary>The store.</summary>
    public SnapshotStore Store { get; }

    /// <summary>Records that arrived more than once.</summary>
    internal IncomingTransfer.DuplicateCount Duplicates { get; } = new();

    /// <inheritdoc/>
    public string Name => Store.Directory;

    /// <inheritdoc/>
    public Task<IReadOnlyList<string>> ObjectsAsync(CancellationToken cancel) => Task.FromResult(Store.Objects());

    /// <inheritdoc/>
    public Task<IReadOnlyList<SnapshotInfo>> ListAsync(string objectName, CancellationToken cancel) => Task.FromResult(Store.List(objectName));

    /// <inheritdoc/>
    public Task<byte[]> DigestAsync(string objectName, string id, CancellationToken cancel) => Task.Run(
        () =>
        {
            using SnapshotReader reader = Store.OpenSnapshot(Find(objectName, id));
            return Store.Digests.Of(reader);
        },
        cancel);

    /// <inheritdoc/>
    public async Task<TransferStatus> BeginAsync(ReadOnlyMemory<byte> head, ReadOnlyMemory<byte> baseDigest, CancellationToken cancel)
    {
        DifferenceHead message;
        try
        {
            message = DifferenceHead.Parser.ParseFrom(head.Span);
        }
        catch (InvalidProtocolBufferException e)
        {
            throw new SnapshotStoreException("transfer.invalid", "the head of a difference cannot be read", e);
        }

        // One at a time: two that begin the same transfer must meet.
        await _begin.WaitAsync(cancel).ConfigureAwait(false);
        try
        {
            // Whoever missed the answer asks again while it is still being made a snapshot.
            foreach (IncomingTransfer finishing in _transfers.Values.Where(t => t.IsFinishing && t.Brings(message.Target?.Object, message.Target?.Id)))
            {
                await finishing.Finished.WaitAsync(cancel).ConfigureAwait(false);
            }

            if (message.Target is { } target && Store.Exists(target.Object, target.Id) is not null)
            {
                return new TransferStatus(string.Empty, true, []);
            }

            foreach (IncomingTransfer running in _transfers.Values.Where(t => !t.IsFinishing && t.Head.Equals(message)))
            {
                await running.InterruptAsync().ConfigureAwait(false);
                return running.Status;
            }

            // Asked before the store is: what is complete by then is a snapshot.
            bool baseComes = _transfers.Values.Any(t => t.Brings(message.Target?.Object, message.Base));
            IncomingTransfer transfer = await Task.Run(
                () => IncomingTransfer.Open(Store, message, baseDigest.ToArray(), Duplicates, baseComes), cancel).ConfigureAwait(false);
            _transfers[transfer.Id] = transfer;
            return transfer.Status;
        }
        finally
        {
            _begin.Release();
        }
    }

    /// <inheritdoc/>
    public Task<IReadOnlyList<bool>> HasAsync(IReadOnlyList<byte[]> hashes, CancellationToken cancel) => Task.Run<IReadOnlyList<bool>>(
        () => [.. hashes.Select(h => !Store.IsEncrypted && h.Length == Hash.Size && Store.Contents.TryGet(Hash.From(h), out _))], cancel);

    /// <inheritdoc/>
    public async Task SendAsync(string session, int lane, long first, Func<Stream, CancellationToken, Task> write, Action<long> stored, CancellationToken cancel)
    {
        var pipe = new Pipe(new PipeOptions(pauseWriterThreshold: 1024 * 1024, resumeWriterThreshold: 512 * 1024, useSynchronizationContext: false));
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        Task receiving = Task.Run(
            async () =>
            {
                Exception? failure = null;
                try
                {
                    await ReceiveAsync(session, lane, first, pipe.Reader.AsStream(), Tell, stop.Token).ConfigureAwait(false);
                }
                catch (Exception e)
                {
                    failure = e;
                    throw;
                }
                finally
                {
                    await pipe.Reader.CompleteAsync(failure).ConfigureAwait(false);
                }
            },
            CancellationToken.None);
        Exception? broken = null;
        try
        {
            await write(pipe.Writer.AsStream(), cancel).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            broken = e;
            throw;
        }
        finally
        {
            await pipe.Writer.CompleteAsync(broken).ConfigureAwait(false);
            try
            {
                await receiving.ConfigureAwait(false);
            }
            catch when (broken is not null)
            {
                // The sender's own failure is the one to tell.
            }
        }

        ValueTask Tell(long count, CancellationToken cancel)
        {
            stored(count);
            return ValueTask.CompletedTask;
        }
    }

    /// <summary>Receives records of one lane until the stream ends.</summary>
    /// <param name="session">The transfer.</param>
    /// <param name="lane">The lane.</param>
    /// <param name="first">Number within the lane of the first record.</param>
    /// <param name="records">The records.</param>
    /// <param name="stored">Told how many records of the lane are stored; see <see cref="IStorageDevice.SendAsync"/>.</param>
    /// <param name="cancel">Cancels.</param>
    /// <exception cref="SnapshotStoreException">There is no such transfer (<c>transfer.unknown</c>), or a record is refused.</exception>
    public async Task ReceiveAsync(string session, int lane, long first, Stream records, Func<long, CancellationToken, ValueTask> stored, CancellationToken cancel)
    {
        IncomingTransfer transfer = _transfers.TryGetValue(session, out IncomingTransfer? found) && !found.IsFinishing ? found : throw Unknown(session);
        await transfer.ReceiveAsync(lane, first, records, stored, cancel).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public async Task<SnapshotInfo> FinishAsync(string session, ReadOnlyMemory<byte> digest, CancellationToken cancel)
    {
        if (!_transfers.TryGetValue(session, out IncomingTransfer? transfer) || !transfer.TryBeginFinish())
        {
            throw Unknown(session);
        }

        try
        {
            return await Task.Run(() => transfer.Finish(digest.Span), cancel).ConfigureAwait(false);
        }
        finally
        {
            transfer.Dispose();
            _transfers.TryRemove(session, out _);
            transfer.EndFinish();
        }
    }

    /// <inheritdoc/>
    public Task PinAsync(string objectName, string id, string owner, CancellationToken cancel)
    {
        Store.Pin(Find(objectName, id), owner);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task UnpinAsync(string objectName, string id, string owner, CancellationToken cancel)
    {
        Store.Unpin(new SnapshotInfo { Object = objectName, Id = id }, owner);
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task ForgetAsync(string objectName, string id, CancellationToken cancel) => Task.Run(
        () =>
        {
            SnapshotInfo snapshot = Find(objectName, id);
            if (_mustStay?.Invoke(snapshot) is { } why)
            {
                throw new SnapshotStoreException("snapshot.immutable", why);
            }

            Store.Forget(snapshot);
        },
        cancel);

    /// <inheritdoc/>
    public Task<CollectionReport> CollectAsync(CancellationToken cancel) => Task.Run(Store.CollectGarbage, cancel);

    /// <inheritdoc/>
    public Task<Stream> OpenDifferenceAsync(string objectName, string? from, string to, CancellationToken cancel) =>
        Open(objectName, from, to, (source, stream) => DifferenceFile.WriteAsync(source, stream, null, cancel));

    /// <inheritdoc/>
    public Task<Stream> OpenRestAsync(string objectName, string? from, string to, IReadOnlyList<long>? received, CancellationToken cancel) =>
        received is null || received.Count == DifferenceSource.Lanes
            ? Open(objectName, from, to, (source, stream) => received is null
                ? DifferenceFile.WriteHeadAsync(source, stream, cancel)
                : DifferenceFile.WriteAsync(source, stream, received, cancel))
            : throw new SnapshotStoreException("transfer.invalid", $"a difference has {DifferenceSource.Lanes} lanes, not {received.Count}");

    private Task<Stream> Open(string objectName, string? from, string to, Func<DifferenceSource, Stream, Task> write)
    {
        DifferenceSource source = Store.OpenDifference(from is null ? null : Find(objectName, from), Find(objectName, to), null);
        var pipe = new Pipe(new PipeOptions(pauseWriterThreshold: 1024 * 1024, resumeWriterThreshold: 512 * 1024, useSynchronizationContext: false));
        _ = Task.Run(
            async () =>
            {
                Exception? failure = null;
                try
                {
                    using (source)
                    {
                        await write(source, pipe.Writer.AsStream()).ConfigureAwait(false);
                    }
                }
                catch (Exception e)
                {
                    failure = e;
                }

                await pipe.Writer.CompleteAsync(failure).ConfigureAwait(false);
            },
            CancellationToken.None);
        return Task.FromResult(pipe.Reader.AsStream());
    }

    /// <inheritdoc/>
    public Task ReadAsync(string objectName, string id, string stream, long offset, Memory<byte> into, CancellationToken cancel) => Task.Run(
        () =>
        {
            using SnapshotReader reader = Store.OpenSnapshot(Find(objectName, id));
            reader.Read(stream, offset, into.Span);
        },
        cancel);

    private SnapshotStoreException Unknown(string session) => new("transfer.unknown", $"{Name} receives no transfer {session}; begin it again");

    private SnapshotInfo Find(string objectName, string id) => Store.Exists(objectName, id)
        ?? throw new SnapshotStoreException("snapshot.unknown", $"there is no snapshot {objectName}@{id} in {Name}");

    /// <summary>Lets go of transfers that are being received; they can be gone on with. Waits for those that are being made a snapshot.</summary>
    public async ValueTask DisposeAsync()
    {
        foreach ((string session, IncomingTransfer transfer) in _transfers)
        {
            if (!transfer.TryBeginFinish())
            {
                await transfer.Finished.ConfigureAwait(false);
            }
            else if (_transfers.TryRemove(session, out _))
            {
                transfer.Dispose();
                transfer.EndFinish();
            }
        }

        _begin.Dispose();
    }
}
