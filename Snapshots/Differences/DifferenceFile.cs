using Google.Protobuf;
using Holdfast.Snapshots.Format;

namespace Holdfast.Snapshots;

/// <summary>A difference as a file or any other stream: made in one store, applied in another.</summary>
public static class DifferenceFile
{
    /// <summary>Writes what makes one snapshot out of another.</summary>
    /// <param name="store">The store that has both.</param>
    /// <param name="from">The base; null: the file holds the whole snapshot.</param>
    /// <param name="to">The snapshot, of the same object.</param>
    /// <param name="stream">Where to.</param>
    /// <param name="options">How the two are compared; defaults when null.</param>
    /// <param name="cancel">Cancels; what was written then is refused by <see cref="ApplyAsync"/>.</param>
    /// <returns>Bytes written.</returns>
    /// <exception cref="SnapshotStoreException">The two are not of one object (<c>diff.object</c>), or cannot be read.</exception>
    public static async Task<long> WriteAsync(
        SnapshotStore store, SnapshotInfo? from, SnapshotInfo to, Stream stream, DifferenceOptions? options = null, CancellationToken cancel = default)
    {
        using DifferenceSource source = store.OpenDifference(from, to, options);
        return await WriteAsync(source, stream, null, cancel).ConfigureAwait(false);
    }

    /// <summary>Writes what makes a live state out of a snapshot; where it is applied, it becomes a snapshot.</summary>
    /// <param name="store">The store in which the state was taken.</param>
    /// <param name="from">The base; null: the file holds the whole state.</param>
    /// <param name="to">The state; stays the caller's.</param>
    /// <param name="stream">Where to.</param>
    /// <param name="cancel">Cancels.</param>
    /// <returns>Bytes written.</returns>
    /// <exception cref="SnapshotStoreException">The two are not of one object (<c>diff.object</c>), or cannot be read.</exception>
    public static async Task<long> WriteAsync(SnapshotStore store, SnapshotInfo? from, LiveSnapshot to, Stream stream, CancellationToken cancel = default)
    {
        using DifferenceSource source = store.OpenDifference(from, to.Info, null, to.Open);
        return await WriteAsync(source, stream, null, cancel).ConfigureAwait(false);
    }

    /// <summary>Makes the snapshot of a difference visible in a store that has its base.</summary>
    /// <param name="store">The store.</param>
    /// <param name="stream">The difference; read to its end.</param>
    /// <param name="cancel">Cancels; applying the same difference again goes on where it stopped.</param>
    /// <returns>The snapshot.</returns>
    /// <exception cref="SnapshotStoreException">
    /// The base is missing or another (<c>diff.base</c>, naming the right one), the snapshot exists with another content (<c>snapshot.exists</c>),
    /// the difference is damaged (<c>snapshot.damaged</c>) or comes to something else than it should (<c>transfer.mismatch</c>). Nothing is visible then.
    /// </exception>
    public static Task<SnapshotInfo> ApplyAsync(SnapshotStore store, Stream stream, CancellationToken cancel = default) => ApplyRestAsync(store, stream, null, cancel);

    /// <summary>As above, of what is left of a difference.</summary>
    /// <param name="store">The store.</param>
    /// <param name="stream">The difference without the records that are here.</param>
    /// <param name="left">How many records of each lane were left out: what <see cref="ReceivedAsync"/> said; null: none.</param>
    /// <param name="cancel">Cancels.</param>
    internal static async Task<SnapshotInfo> ApplyRestAsync(SnapshotStore store, Stream stream, IReadOnlyList<long>? left, CancellationToken cancel)
    {
        using var buffer = new RecordBuffer();
        DifferenceHead head = await ReadHeadAsync(stream, buffer, cancel).ConfigureAwait(false);
        byte[] baseDigest = buffer.Data.ToArray();
        if (head.Target is { } target && store.Exists(target.Object, target.Id) is { } present)
        {
            return await CompareAsync(store, present, stream, buffer, cancel).ConfigureAwait(false);
        }

        using IncomingTransfer transfer = IncomingTransfer.Open(store, head, baseDigest);
        IReadOnlyList<long> received = transfer.Status.Received;
        if (left is not null && (left.Count != received.Count || left.Zip(received).Any(l => l.First > l.Second)))
        {
            throw new SnapshotStoreException("transfer.incomplete", $"a part of {head.Target?.Object}@{head.Target?.Id} that was here is gone; fetch it again");
        }

        long number = Next(0);
        while (await RecordFormat.ReadAsync(stream, buffer, "the difference", cancel).ConfigureAwait(false))
        {
            if (buffer.Kind == RecordKind.End)
            {
                return transfer.Finish(buffer.Data.Span);
            }

            int lane = (int)(number % head.Lanes);

            // The state is small and not kept in the journal.
            if (number / head.Lanes >= received[lane])
            {
                transfer.Receive(lane, buffer);
            }

            number = Next(number + 1);
        }

        throw new SnapshotDamagedException("the difference", buffer.Position, "ends without an END record");

        long Next(long candidate)
        {
            while (left is not null && candidate < (long)head.Records && candidate / head.Lanes < left[(int)(candidate % head.Lanes)])
            {
                candidate++;
            }

            return candidate;
        }
    }

    /// <summary>How many records of each lane are here of the difference whose head a stream holds, and nothing else.</summary>
    /// <returns>Null when there are none, or the stream goes on after the head: its device leaves nothing out.</returns>
    internal static async Task<IReadOnlyList<long>?> ReceivedAsync(SnapshotStore store, Stream stream, CancellationToken cancel)
    {
        using var buffer = new RecordBuffer();
        DifferenceHead head = await ReadHeadAsync(stream, buffer, cancel).ConfigureAwait(false);
        byte[] baseDigest = buffer.Data.ToArray();
        if ((head.Target is { } target && store.Exists(target.Object, target.Id) is not null) || await stream.ReadAsync(new byte[1], cancel).ConfigureAwait(false) != 0)
        {
            return null;
        }

        using IncomingTransfer transfer = IncomingTransfer.Open(store, head, baseDigest);
        IReadOnlyList<long> received = transfer.Status.Received;
        return received.Any(r => r > 0) ? received : null;
    }

    /// <summary>Writes only the beginning, which says which difference it is.</summary>
    internal static async Task WriteHeadAsync(DifferenceSource source, Stream stream, CancellationToken cancel)
    {
        await stream.WriteAsync(RecordFormat.FileMagic.ToArray(), cancel).ConfigureAwait(false);
        await RecordFormat.WriteAsync(stream, RecordKind.Head, source.Head, source.BaseDigest(), cancel).ConfigureAwait(false);
    }

    private static async Task<DifferenceHead> ReadHeadAsync(Stream stream, RecordBuffer buffer, CancellationToken cancel)
    {
        byte[] magic = new byte[8];
        if (await stream.ReadAtLeastAsync(magic, magic.Length, throwOnEndOfStream: false, cancel).ConfigureAwait(false) != magic.Length
            || !magic.AsSpan().SequenceEqual(RecordFormat.FileMagic))
        {
            throw new SnapshotDamagedException("the difference", 0, "is not a difference");
        }

        buffer.Position = magic.Length;
        if (!await RecordFormat.ReadAsync(stream, buffer, "the difference", cancel).ConfigureAwait(false) || buffer.Kind != RecordKind.Head)
        {
            throw new SnapshotDamagedException("the difference", magic.Length, "does not begin with a HEAD record");
        }

        return FrameFile.Parse(DifferenceHead.Parser, buffer.Message.Span, "the difference", magic.Length);
    }

    internal static async Task<long> WriteAsync(DifferenceSource source, Stream stream, IReadOnlyList<long>? received, CancellationToken cancel)
    {
        await WriteHeadAsync(source, stream, cancel).ConfigureAwait(false);
        long written = 0;
        for (int i = 0; i < source.Count; i++)
        {
            if (received is null || i / DifferenceSource.Lanes >= received[i % DifferenceSource.Lanes])
            {
                written += await source.WriteAsync(i, stream, known: false, admit: null, cancel).ConfigureAwait(false);
            }
        }

        await RecordFormat.WriteAsync(stream, RecordKind.End, null, source.TargetDigest(), cancel).ConfigureAwait(false);
        return written;
    }

    /// <summary>The snapshot is there: the difference must come to the same content, so that applying it again changes nothing.</summary>
    private static async Task<SnapshotInfo> CompareAsync(SnapshotStore store, SnapshotInfo present, Stream stream, RecordBuffer buffer, CancellationToken cancel)
    {
        while (await RecordFormat.ReadAsync(stream, buffer, "the difference", cancel).ConfigureAwait(false))
        {
            if (buffer.Kind == RecordKind.End)
            {
                using SnapshotReader reader = store.OpenSnapshot(present);
                return store.Digests.Of(reader).AsSpan().SequenceEqual(buffer.Data.Span)
                    ? present
                    : throw new SnapshotStoreException("snapshot.exists", $"{present.Address} exists in {store.Directory} with another content");
            }
        }

        throw new SnapshotDamagedException("the difference", buffer.Position, "ends without an END record");
    }
}
