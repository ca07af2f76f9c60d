using Google.Protobuf;
using Holdfast.Snapshots.Format;

namespace Holdfast.Snapshots;

/// <summary>
/// The records that make one snapshot out of another, in an order that is the same every time, so that a transfer can go on where it stopped.
/// </summary>
internal sealed class DifferenceSource : IDisposable
{
    internal const int Lanes = 4;

    /// <summary>Small pieces are gathered up to this, large ones cut into this.</summary>
    private const int RecordSize = 256 * 1024;

    private const int HolesInRecord = 4096;

    private readonly SnapshotStore _store;
    private readonly SnapshotReader? _from;
    private readonly SnapshotReader _to;
    private readonly List<Planned> _records = [];
    private bool _gatheringEncoded;
    private readonly Dictionary<(PackId, long), int> _rows = [];
    private readonly Dictionary<string, IReadOnlyList<StreamRun>> _touched = new(StringComparer.Ordinal);

    /// <param name="store">The store.</param>
    /// <param name="from">The base; null: all is sent. Disposed with this.</param>
    /// <param name="to">The target. Disposed with this.</param>
    /// <param name="options">How the two are compared.</param>
    internal DifferenceSource(SnapshotStore store, SnapshotReader? from, SnapshotReader to, DifferenceOptions options)
    {
        _store = store;
        _from = from;
        _to = to;
        SnapshotDifference difference = SnapshotDifference.Compare(from, to, options);
        Head = new DifferenceHead
        {
            Version = RecordFormat.Version,
            StoreId = ByteString.CopyFrom(Convert.FromHexString(store.Id)),
            Target = ManifestFile.ToHeader(to.Info),
            Base = from?.Info.Id ?? string.Empty,
            Lanes = Lanes,
        };
        for (int i = 0; i < to.Streams.Count; i++)
        {
            string name = to.Streams[i].Name;
            Head.Streams.Add(name);
            IReadOnlyList<Piece> pieces = difference.Pieces(name);
            Plan(i, pieces);
            _touched[name] = Joined(pieces.Select(p => new StreamRun(p.Offset, p.Length)));
        }

        _records.Add(new Planned(RecordKind.State, 0, [], null));
        Head.Records = (ulong)_records.Count;
        Head.Bytes = (ulong)_records.Where(r => r.Kind == RecordKind.Data).Sum(r => (long)r.Length);
    }

    internal DifferenceHead Head { get; }

    internal SnapshotInfo Target => _to.Info;

    internal int Count => _records.Count;

    /// <summary>Content bytes of all records.</summary>
    internal long Bytes => (long)Head.Bytes;

    /// <summary>The hashes of records that are whole extents of known content; null for the others.</summary>
    internal IEnumerable<(int Record, byte[] Hash)> Hashes()
    {
        for (int i = 0; i < _records.Count; i++)
        {
            if (HashOf(_records[i]) is { Length: > 0 } hash)
            {
                yield return (i, hash);
            }
        }
    }

    /// <summary>True when both bring an extent that the receiver can know by its hash.</summary>
    internal bool Shares(DifferenceSource other) => _rows.Keys.Any(other._rows.ContainsKey);

    /// <summary>Content bytes of one record.</summary>
    internal int LengthOf(int record) => _records[record].Length;

    /// <summary>Writes one record.</summary>
    /// <param name="record">Its number.</param>
    /// <param name="stream">Where to.</param>
    /// <param name="known">The receiver has an extent of that hash: no bytes are sent.</param>
    /// <param name="admit">Waited for before so many bytes are written; null: they may go at once.</param>
    /// <param name="cancel">Cancels.</param>
    /// <returns>Bytes written.</returns>
    internal async ValueTask<long> WriteAsync(int record, Stream stream, bool known, Func<long, ValueTask>? admit, CancellationToken cancel)
    {
        Planned planned = _records[record];
        switch (planned.Kind)
        {
            case RecordKind.State:
                await (admit?.Invoke(RecordFormat.HeaderSize + _to.State.Length) ?? default).ConfigureAwait(false);
                await RecordFormat.WriteAsync(stream, RecordKind.State, null, _to.State, cancel).ConfigureAwait(false);
                return RecordFormat.HeaderSize + _to.State.Length;
            case RecordKind.Hole:
                byte[] hole = RecordFormat.Head(RecordKind.Hole, Ranges(planned), default);
                await (admit?.Invoke(hole.Length) ?? default).ConfigureAwait(false);
                await stream.WriteAsync(hole, cancel).ConfigureAwait(false);
                return hole.Length;
        }

        DifferenceRanges ranges = Ranges(planned);
        byte[] data = Read(planned, ranges, known, out int length);
        try
        {
            byte[] head = RecordFormat.Head(RecordKind.Data, ranges, data.AsSpan(0, length));
            await (admit?.Invoke(head.Length + length) ?? default).ConfigureAwait(false);
            await stream.WriteAsync(head, cancel).ConfigureAwait(false);
            await stream.WriteAsync(data.AsMemory(0, length), cancel).ConfigureAwait(false);
            return head.Length + length;
        }
        finally
        {
            LargeArrays.Return(data);
        }
    }

    /// <summary>The digest of the target. Reads what changed since the base, or everything when the base's digest is not known.</summary>
    internal byte[] TargetDigest() => _store.Digests.Advance(_from?.Info, _to, _touched);

    /// <summary>The digest of the base; empty without one.</summary>
    internal byte[] BaseDigest() => _from is null ? [] : _store.Digests.Of(_from);

    private void Plan(int stream, IReadOnlyList<Piece> pieces)
    {
        var data = new List<Extent>();
        var holes = new List<StreamRun>();
        int gathered = 0;
        foreach (Piece piece in pieces)
        {
            if (piece.Kind == PieceKind.Removed)
            {
                holes.Add(new StreamRun(piece.Offset, piece.Length));
                if (holes.Count == HolesInRecord)
                {
                    _records.Add(new Planned(RecordKind.Hole, stream, [.. holes], null));
                    holes.Clear();
                }

                continue;
            }

            foreach ((Extent part, bool whole) in Rows(piece.To))
            {
                if (whole)
                {
                    PlanRow(stream, part);
                }
                else
                {
                    if (part.Encoded != _gatheringEncoded)
                    {
                        Flush(stream, data, ref gathered);
                        _gatheringEncoded = part.Encoded;
                    }

                    Gather(stream, part, data, ref gathered);
                }
            }
        }

        Flush(stream, data, ref gathered);
        if (holes.Count > 0)
        {
            _records.Add(new Planned(RecordKind.Hole, stream, [.. holes], null));
        }
    }

    private void Gather(int stream, in Extent part, List<Extent> data, ref int gathered)
    {
        for (long at = part.Offset; at < part.End;)
        {
            int length = (int)Math.Min(RecordSize - gathered, part.End - at);
            Extent piece = part.Clip(at, at + length);
            if (data.Count > 0 && data[^1].Continues(piece))
            {
                data[^1] = data[^1] with { Length = data[^1].Length + length };
            }
            else
            {
                data.Add(piece);
            }

            at += length;
            gathered += length;
            if (gathered == RecordSize)
            {
                Flush(stream, data, ref gathered);
            }
        }
    }

    /// <summary>A row that is there more than once is sent once.</summary>
    private void PlanRow(int stream, in Extent extent)
    {
        if (_rows.TryGetValue((extent.Pack, extent.Position), out int first))
        {
            _records[first].Also.Add((stream, extent.Offset));
            return;
        }

        _rows.Add((extent.Pack, extent.Position), _records.Count);
        _records.Add(new Planned(RecordKind.Data, stream, [new StreamRun(extent.Offset, extent.Length)], extent));
    }

    private void Flush(int stream, List<Extent> data, ref int gathered)
    {
        if (data.Count > 0)
        {
            _records.Add(new Planned(RecordKind.Data, stream, [.. Joined(data)], null) { Compress = _gatheringEncoded, Parts = [.. data] });
            data.Clear();
            gathered = 0;
        }
    }

    /// <summary>Cuts an extent at the rows of its pack. A part that is a whole row with a codec or a hash is to arrive as one.</summary>
    private IEnumerable<(Extent Part, bool Whole)> Rows(Extent extent)
    {
        PackReader pack = _to.Packs.Get(extent.Pack);
        if (extent.Encoded)
        {
            PackRow only = pack.Row(pack.Find(extent.Position));
            yield return (extent, extent.Skip == 0 && only.Logical == extent.Length);
            yield break;
        }

        for (long at = extent.Position; at < extent.Position + extent.Length;)
        {
            int index = pack.Find(at);
            PackRow row = pack.Row(index);
            long end = Math.Min(row.End, extent.Position + extent.Length);
            Extent part = extent.Clip(extent.Offset + (at - extent.Position), extent.Offset + (end - extent.Position));
            yield return (part, at == row.Position && end == row.End && !pack.HashOf(index).IsEmpty && part.Length <= PackFormat.MaxEncoded);
            at = end;
        }
    }

    private static List<StreamRun> Joined(List<Extent> extents) => Joined(extents.Select(e => new StreamRun(e.Offset, e.Length)));

    private static List<StreamRun> Joined(IEnumerable<StreamRun> runs)
    {
        var joined = new List<StreamRun>();
        foreach (StreamRun run in runs)
        {
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

    private static DifferenceRanges Ranges(Planned planned)
    {
        var ranges = new DifferenceRanges { Stream = (uint)planned.Stream };
        long end = 0;
        foreach (StreamRun run in planned.Runs)
        {
            ranges.Gap.Add((ulong)(run.Offset - end));
            ranges.Length.Add((ulong)run.Length);
            end = run.End;
        }

        foreach ((int stream, long offset) in planned.Also)
        {
            ranges.Also.Add(new Placement { Stream = (uint)stream, Offset = (ulong)offset });
        }

        return ranges;
    }

    /// <returns>An array to give back to <see cref="LargeArrays"/>.</returns>
    private byte[] Read(Planned planned, DifferenceRanges ranges, bool known, out int length)
    {
        if (HashOf(planned) is { Length: > 0 } hash)
        {
            ranges.Hash = ByteString.CopyFrom(hash);
        }

        if (known)
        {
            ranges.Known = true;
            length = 0;
            return LargeArrays.Rent(1);
        }

        if (planned.Row is { } extent)
        {
            PackReader pack = _to.Packs.Get(extent.Pack);
            int row = pack.Find(extent.Position);
            ranges.Codec = pack.Row(row).Codec & ~PackFormat.Encrypted;
            return pack.ReadCompressed(row, out length);
        }

        length = planned.Length;
        byte[] data = LargeArrays.Rent(length);
        _to.Read(_to.Streams[planned.Stream].Name, planned.Parts, data.AsSpan(0, length));
        return planned.Compress ? Compressed(data, ref length, ranges) : data;
    }

    private static byte[] Compressed(byte[] data, ref int length, DifferenceRanges ranges)
    {
        Codec codec = Codecs.Choose(Compression.Auto);
        byte[] smaller = LargeArrays.Rent(length);
        int size = Codecs.Compress(codec, 3, data.AsSpan(0, length), smaller.AsSpan(0, length - (length / 16)));
        if (size == 0)
        {
            LargeArrays.Return(smaller);
            return data;
        }

        LargeArrays.Return(data);
        ranges.Codec = (uint)codec;
        length = size;
        return smaller;
    }

    /// <summary>SHA-256 of a record's content; keyed hashes stay in their store.</summary>
    private byte[]? HashOf(Planned planned)
    {
        if (planned.Row is not { } extent || _store.IsEncrypted)
        {
            return null;
        }

        PackReader pack = _to.Packs.Get(extent.Pack);
        return pack.HashOf(pack.Find(extent.Position)).ToArray();
    }

    public void Dispose()
    {
        _from?.Dispose();
        _to.Dispose();
    }

    /// <param name="Kind">The record's kind.</param>
    /// <param name="Stream">Index of the stream.</param>
    /// <param name="Runs">The ranges.</param>
    /// <param name="Row">The extent that is sent as it is stored; null for bytes.</param>
    private sealed record Planned(RecordKind Kind, int Stream, StreamRun[] Runs, Extent? Row)
    {
        /// <summary>Its bytes are parts of extents that were compressed, or tried to be: they are compressed again rather than sent at their full length.</summary>
        internal bool Compress { get; init; }

        /// <summary>Where the bytes of the ranges are, so that they need not be looked up again.</summary>
        internal Extent[] Parts { get; init; } = [];

        /// <summary>Where else the row is.</summary>
        internal List<(int Stream, long Offset)> Also { get; } = [];

        internal int Length { get; } = Kind == RecordKind.Data ? (int)Runs.Sum(r => r.Length) : 0;
    }
}
