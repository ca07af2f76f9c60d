using Google.Protobuf;
using Holdfast.Snapshots.Format;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.Snapshots;

/// <summary>
/// Receives one snapshot as a difference. What has arrived is kept in a directory of the store, with a journal, so that the transfer goes on
/// after either side died. Lanes are received side by side.
/// </summary>
internal sealed partial class IncomingTransfer : IDisposable
{
    private readonly SnapshotStore _store;
    private readonly SnapshotInfo _target;
    private readonly byte[] _baseDigest;
    private readonly string _directory;
    private readonly SafeFileHandle _lock;
    private readonly SafeFileHandle _journal;
    private readonly long[] _received;
    private readonly SemaphoreSlim[] _laneBusy;
    private readonly List<StreamRun>[] _replaced;
    private readonly List<Extent>[] _extents;
    private readonly ExtentEncoder _encoder;
    private readonly Lock _sync = new();
    private readonly DuplicateCount _duplicates;
    private readonly TaskCompletionSource _finished = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly IDisposable _tables;
    private PackWriter _pack;
    private SnapshotInfo? _base;
    private long _journalEnd;
    private byte[]? _state;
    private int _finishing;
    private CancellationTokenSource _interrupt = new();

    private IncomingTransfer(
        SnapshotStore store, DifferenceHead head, SnapshotInfo? start, byte[] baseDigest, string directory, SafeFileHandle sessionLock, DuplicateCount duplicates)
    {
        _base = start;
        _baseDigest = baseDigest;
        _duplicates = duplicates;
        _store = store;
        Head = head;
        _directory = directory;
        _lock = sessionLock;
        Id = Path.GetFileName(directory);
        _target = ManifestFile.ToInfo(head.Target);
        _received = new long[head.Lanes];
        _laneBusy = [.. _received.Select(_ => new SemaphoreSlim(1))];
        _replaced = [.. head.Streams.Select(_ => new List<StreamRun>())];
        _extents = [.. head.Streams.Select(_ => new List<Extent>())];
        _encoder = new ExtentEncoder(store, () => _pack!, new SnapshotWriterOptions { Deduplicate = true });
        string journal = Path.Combine(directory, "journal");
        _journal = Libc.OpenLockFile(journal);
        _pack = Directory.EnumerateFiles(directory, "*" + PackFormat.PartialExtension)
            .Select(p => PackWriter.TryResume(p, store.Vault, new SpaceBudget(store))).FirstOrDefault(p => p is not null)
            ?? new PackWriter(directory, store.Vault, new SpaceBudget(store));
        _pack.KeepPartial = true;
        if (_base is not null)
        {
            store.Pin(_base, PinOwner);
        }

        Replay(journal);
        _pack.SkipTo(_pack.FileLength);
        _tables = store.OpenPacks.KeepLeaves();
    }

    internal string Id { get; }

    /// <summary>Counts records that came although they were stored already.</summary>
    internal sealed class DuplicateCount
    {
        private long _count;

        internal long Value => Interlocked.Read(ref _count);

        internal void Add() => Interlocked.Increment(ref _count);
    }

    private string PinOwner => PinOwnerOf(Id);

    private static string PinOwnerOf(string session) => $"the transfer {session} that is being received";

    internal DifferenceHead Head { get; }

    internal TransferStatus Status
    {
        get
        {
            lock (_sync)
            {
                return new TransferStatus(Id, false, [.. _received]);
            }
        }
    }

    /// <summary>Begins a transfer, or goes on with one.</summary>
    /// <exception cref="SnapshotStoreException">
    /// The base is not here (<c>diff.base</c>, naming it) or is another content under the same id (<c>diff.base</c>); the transfer is being received
    /// by somebody else (<c>transfer.busy</c>).
    /// </exception>
    /// <param name="store">Where to.</param>
    /// <param name="head">What is sent.</param>
    /// <param name="baseDigest">Digest of the base's content at the sender.</param>
    /// <param name="duplicates">Counts records that come twice.</param>
    /// <param name="baseMayCome">The base is being received itself: that it is here is asked when this transfer is finished.</param>
    internal static IncomingTransfer Open(
        SnapshotStore store, DifferenceHead head, byte[] baseDigest, DuplicateCount? duplicates = null, bool baseMayCome = false)
    {
        Check(head);
        SnapshotInfo? start = CheckBase(store, head, baseDigest, baseMayCome);
        Libc.TryMakeDirectory(store.Layout.Incoming);
        string directory = Path.Combine(store.Layout.Incoming, SessionId(head));
        Libc.TryMakeDirectory(directory);
        string lockPath = Path.Combine(directory, "lock");
        SafeFileHandle sessionLock = Libc.OpenLockFile(lockPath);
        try
        {
            if (!Libc.Lock(sessionLock, Libc.LockExclusive | Libc.LockNonBlocking, lockPath))
            {
                throw new SnapshotStoreException("transfer.busy", $"{head.Target.Object}@{head.Target.Id} is being received already");
            }

            return new IncomingTransfer(store, head, start, baseDigest, directory, sessionLock, duplicates ?? new DuplicateCount());
        }
        catch
        {
            sessionLock.Dispose();
            throw;
        }
    }

    /// <summary>True once it is being finished: nothing more is received.</summary>
    internal bool IsFinishing => Volatile.Read(ref _finishing) != 0;

    /// <summary>Done once it is a snapshot, or will not be one.</summary>
    internal Task Finished => _finished.Task;

    /// <summary>True for who may call <see cref="Finish"/>, and must call <see cref="EndFinish"/> then.</summary>
    internal bool TryBeginFinish() => Interlocked.Exchange(ref _finishing, 1) == 0;

    /// <summary>Lets those go on who wait for <see cref="Finished"/>.</summary>
    internal void EndFinish() => _finished.TrySetResult();

    /// <summary>True when this is the transfer of that snapshot.</summary>
    internal bool Brings(string? objectName, string? id) => _target.Object == objectName && _target.Id == id;

    /// <summary>Removes what was received when nobody is at it.</summary>
    internal static bool TryAbandon(SnapshotStore store, string directory)
    {
        string lockPath = Path.Combine(directory, "lock");
        using SafeFileHandle sessionLock = Libc.OpenLockFile(lockPath);
        if (!Libc.Lock(sessionLock, Libc.LockExclusive | Libc.LockNonBlocking, lockPath))
        {
            return false;
        }

        store.UnpinAll(PinOwnerOf(Path.GetFileName(directory)));
        Directory.Delete(directory, recursive: true);
        return true;
    }

    /// <summary>Stops what is being received and waits until it stands still, so that <see cref="Status"/> is the last word.</summary>
    internal async Task InterruptAsync()
    {
        CancellationTokenSource stopped = Interlocked.Exchange(ref _interrupt, new CancellationTokenSource());
        await stopped.CancelAsync().ConfigureAwait(false);
        foreach (SemaphoreSlim lane in _laneBusy)
        {
            await lane.WaitAsync().ConfigureAwait(false);
            lane.Release();
        }

        stopped.Dispose();
    }

    /// <summary>Receives records of one lane until the stream ends.</summary>
    /// <param name="lane">The lane.</param>
    /// <param name="first">Number within the lane of the first record; those that are stored already are skipped.</param>
    /// <param name="stream">The records.</param>
    /// <param name="stored">Told how many records of the lane are stored.</param>
    /// <param name="cancel">Cancels.</param>
    internal async Task ReceiveAsync(int lane, long first, Stream stream, Func<long, CancellationToken, ValueTask> stored, CancellationToken cancel)
    {
        ArgumentOutOfRangeException.ThrowIfGreaterThanOrEqual((uint)lane, (uint)_received.Length);
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(cancel, _interrupt.Token);
        await _laneBusy[lane].WaitAsync(stop.Token).ConfigureAwait(false);
        try
        {
            if (first > _received[lane])
            {
                throw new SnapshotStoreException("transfer.invalid", $"record {first} of lane {lane} was sent, {_received[lane]} is the next");
            }

            using var buffer = new RecordBuffer();
            long told = 0;
            while (await RecordFormat.ReadAsync(stream, buffer, $"lane {lane} of the transfer of {_target.Address}", stop.Token).ConfigureAwait(false))
            {
                if (first++ >= _received[lane])
                {
                    Receive(lane, buffer);
                }
                else
                {
                    _duplicates.Add();
                }

                if (buffer.Position - told >= IStorageDevice.AcknowledgedBytes)
                {
                    // Its bytes and its line in the journal were given to the kernel: they outlive this process.
                    told = buffer.Position;
                    await stored(_received[lane], stop.Token).ConfigureAwait(false);
                }
            }

            await stored(_received[lane], stop.Token).ConfigureAwait(false);
        }
        finally
        {
            _laneBusy[lane].Release();
        }
    }

    /// <summary>Stores one record.</summary>
    internal void Receive(int lane, RecordBuffer record)
    {
        switch (record.Kind)
        {
            case RecordKind.State:
                ReceiveState(lane, record.Data.Span);
                return;
            case RecordKind.Hole:
                DifferenceRanges holes = Ranges(record);
                Note(new ReceivedRecord { Lane = (uint)lane, Kind = (uint)RecordKind.Hole, Ranges = holes }, null);
                return;
            case RecordKind.Data:
                ReceiveData(lane, record);
                return;
            default:
                if (record.IsCritical)
                {
                    throw new SnapshotStoreException("store.version", $"the transfer of {_target.Address} has a record that this program does not know; use a newer one");
                }

                return;
        }
    }

    /// <summary>Makes the snapshot visible when all has arrived and its content is what the sender has.</summary>
    /// <exception cref="SnapshotStoreException">Something is missing (<c>transfer.incomplete</c>), or the content differs (<c>transfer.mismatch</c>; the transfer is dropped).</exception>
    internal SnapshotInfo Finish(ReadOnlySpan<byte> targetDigest)
    {
        byte[] expected = targetDigest.ToArray();
        if (_received.Sum() != (long)Head.Records || _state is null)
        {
            throw new SnapshotStoreException("transfer.incomplete", $"{_received.Sum()} of {Head.Records} records of {_target.Address} have arrived");
        }

        if (_base is null && CheckBase(_store, Head, _baseDigest, mayCome: false) is { } arrived)
        {
            _store.Pin(arrived, PinOwner);
            _base = arrived;
        }

        var writer = new SnapshotWriter(_store, _target.Object, _target.Kind, _base, new SnapshotWriterOptions());
        try
        {
            SnapshotInfo committed = Commit(writer, expected);
            Remove();
            return committed;
        }
        catch (SnapshotStoreException e) when (e.Code is "transfer.mismatch" or "snapshot.exists")
        {
            Remove();
            throw;
        }
        finally
        {
            writer.Dispose();
        }
    }

    private SnapshotInfo Commit(SnapshotWriter writer, byte[] expected)
    {
        var touched = new Dictionary<string, IReadOnlyList<StreamRun>>(StringComparer.Ordinal);
        for (int i = 0; i < Head.Streams.Count; i++)
        {
            string stream = Head.Streams[i];
            List<StreamRun> replaced = Joined(_replaced[i], stream);
            touched[stream] = replaced;
            writer.Touch(stream);
            foreach (Extent extent in _extents[i])
            {
                writer.Add(stream, extent);
            }

            if (_base is not null)
            {
                long at = 0;
                foreach (StreamRun run in replaced)
                {
                    writer.Keep(stream, at, run.Offset - at);
                    at = run.End;
                }

                writer.Keep(stream, at, long.MaxValue - at);
            }
        }

        if (_pack.Stored > 0)
        {
            writer.Use(_pack);
        }

        writer.SetState(_state);
        writer.Receive(_target, content =>
        {
            if (!_store.Digests.Advance(_base, content, touched).AsSpan().SequenceEqual(expected))
            {
                _store.Digests.Drop(_target.Object);
                throw new SnapshotStoreException("transfer.mismatch", $"the content of {_target.Address} that arrived is not what was sent; nothing was committed");
            }
        });
        return writer.Commit();
    }

    private void ReceiveData(int lane, RecordBuffer record)
    {
        DifferenceRanges ranges = Ranges(record);
        long length = ranges.Length.Sum(l => (long)l);
        if (length is 0 or > RecordFormat.MaxPart || (ranges.Codec == 0 && !ranges.Known && record.Data.Length != length))
        {
            throw Bad();
        }

        Hash? hash = ranges.Hash.Length == Hash.Size && !_store.IsEncrypted ? Hash.From(ranges.Hash.Span) : null;
        StoredExtent? stored = hash is { } wanted ? _encoder.TryFind(wanted, (int)length) : null;
        if (stored is null && ranges.Known)
        {
            throw new SnapshotStoreException("transfer.gone", $"an extent that {_store.Directory} had is gone; begin the transfer again");
        }

        stored ??= _pack.WriteRow(record.Data.Span, (Codec)ranges.Codec, (int)length, RowHash(ranges, record.Data.Span));
        Note(
            new ReceivedRecord
            {
                Lane = (uint)lane,
                Kind = (uint)RecordKind.Data,
                Ranges = ranges,
                Pack = stored.Value.Pack == _pack.Id ? ByteString.Empty : ByteString.CopyFrom(stored.Value.Pack.ToBytes()),
                Position = (ulong)stored.Value.Position,
                Stored = (ulong)stored.Value.Stored,
                Logical = (ulong)length,
                Codec = stored.Value.Stored > 0 ? stored.Value.Codec : stored.Value.Encoded ? uint.MaxValue : 0,
                Crc = stored.Value.Crc,
            },
            stored);
    }

    /// <summary>The hash that this store keeps for the content: the sender's, or its own keyed one.</summary>
    private ReadOnlySpan<byte> RowHash(DifferenceRanges ranges, ReadOnlySpan<byte> data)
    {
        if (ranges.Hash.Length != Hash.Size || !_store.IsEncrypted)
        {
            return ranges.Hash.Span;
        }

        byte[] hash = new byte[Hash.Size];
        if (ranges.Codec == 0)
        {
            _store.HashContent(data, hash);
            return hash;
        }

        byte[] decoded = new byte[ranges.Length.Sum(l => (long)l)];
        if (!Codecs.Decompress((Codec)ranges.Codec, data.ToArray(), data.Length, decoded))
        {
            throw Bad();
        }

        _store.HashContent(decoded, hash);
        return hash;
    }

    private DifferenceRanges Ranges(RecordBuffer record)
    {
        DifferenceRanges ranges;
        try
        {
            ranges = DifferenceRanges.Parser.ParseFrom(record.Message.Span);
        }
        catch (InvalidProtocolBufferException)
        {
            throw Bad();
        }

        ulong at = 0;
        bool good = ranges.Stream < (ulong)_replaced.Length && ranges.Gap.Count == ranges.Length.Count && ranges.Gap.Count > 0 && ranges.Codec <= (uint)Codec.Deflate;
        for (int i = 0; good && i < ranges.Gap.Count; i++)
        {
            good = ranges.Gap[i] <= long.MaxValue && ranges.Length[i] is > 0 and <= long.MaxValue
                && (at += ranges.Gap[i]) <= long.MaxValue && (at += ranges.Length[i]) <= long.MaxValue;
        }

        foreach (Placement also in ranges.Also)
        {
            good = good && ranges.Gap.Count == 1 && also.Stream < (ulong)_replaced.Length && also.Offset <= (ulong)(long.MaxValue - (long)ranges.Length[0]);
        }

        return good && (ranges.Also.Count == 0 || record.Kind == RecordKind.Data) ? ranges : throw Bad();
    }

    private SnapshotStoreException Bad() => new("transfer.invalid", $"a record of the transfer of {_target.Address} is not possible");

    private static List<StreamRun> Joined(List<StreamRun> runs, string stream)
    {
        runs.Sort(static (a, b) => a.Offset.CompareTo(b.Offset));
        var joined = new List<StreamRun>();
        foreach (StreamRun run in runs)
        {
            if (joined.Count > 0 && joined[^1].End > run.Offset)
            {
                throw new SnapshotStoreException("transfer.invalid", $"offset {run.Offset} of stream {stream} arrived twice");
            }

            if (joined.Count > 0 && joined[^1].End == run.Offset)
            {
                joined[^1] = joined[^1] with { Length = joined[^1].Length + run.Length };
            }
            else
            {
                joined.Add(run);
            }
        }

        return joined;
    }

    private void Remove()
    {
        if (_base is not null)
        {
            _store.Unpin(_base, PinOwner);
        }

        _pack.KeepPartial = false;
        _pack.Dispose();
        foreach (string file in Directory.EnumerateFiles(_directory))
        {
            File.Delete(file);
        }

        Directory.Delete(_directory);
    }

    public void Dispose()
    {
        _tables.Dispose();
        _pack.Dispose();
        _encoder.Dispose();
        _journal.Dispose();
        _lock.Dispose();
    }
}
