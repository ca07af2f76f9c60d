namespace Holdfast.Snapshots;

/// <summary>What lies between two snapshots of one store, at a cost that grows with the change.</summary>
public sealed class SnapshotDifference
{
    private readonly Dictionary<string, List<Piece>> _pieces;

    private SnapshotDifference(SnapshotInfo? from, SnapshotInfo to, List<StreamDifference> streams, Dictionary<string, List<Piece>> pieces, bool stateDiffers)
    {
        From = from;
        To = to;
        Streams = streams;
        _pieces = pieces;
        StateDiffers = stateDiffers;
    }

    /// <summary>The earlier end; null for nothing at all.</summary>
    public SnapshotInfo? From { get; }

    /// <summary>The later end.</summary>
    public SnapshotInfo To { get; }

    /// <summary>The streams of either end in ordinal order, those without a difference too.</summary>
    public IReadOnlyList<StreamDifference> Streams { get; }

    /// <summary>True when the structured states are not the same bytes.</summary>
    public bool StateDiffers { get; }

    /// <summary>True when nothing differs.</summary>
    public bool IsEmpty => !StateDiffers && _pieces.Values.All(p => p.Count == 0) && Streams.All(s => s.BytesAdded + s.BytesRemoved + s.BytesChanged == 0);

    /// <summary>Compares two snapshots.</summary>
    /// <param name="from">The earlier end; null: everything is added.</param>
    /// <param name="to">The later end, of the same store.</param>
    /// <param name="options">Defaults when null.</param>
    /// <exception cref="SnapshotDamagedException">A table or, when contents are compared, an extent cannot be read.</exception>
    public static SnapshotDifference Compare(SnapshotReader? from, SnapshotReader to, DifferenceOptions? options = null)
    {
        options ??= new DifferenceOptions();
        var streams = new List<StreamDifference>();
        var pieces = new Dictionary<string, List<Piece>>(StringComparer.Ordinal);
        IEnumerable<string> names = to.Streams.Select(s => s.Name).Union((from?.Streams ?? []).Select(s => s.Name)).Order(StringComparer.Ordinal);
        foreach (string name in names)
        {
            ExtentTable? left = from?.Table(name);
            ExtentTable? right = to.Table(name);
            List<Piece> differing = [.. Refined(from, to, name, TableComparer.Compare(left, right), options)];
            long added = Sum(differing, PieceKind.Added);
            long changed = Sum(differing, PieceKind.Changed);
            streams.Add(new StreamDifference(name, added, Sum(differing, PieceKind.Removed), changed, (right?.Bytes ?? 0) - added - changed));
            pieces[name] = differing;
        }

        return new SnapshotDifference(from?.Info, to.Info, streams, pieces, from is null || !from.State.Span.SequenceEqual(to.State.Span));
    }

    /// <summary>The ranges of a stream where the later end has other bytes than the earlier one, ascending, neighbours joined.</summary>
    public IReadOnlyList<StreamRun> Changed(string stream) => Join(stream, removed: false);

    /// <summary>The ranges of a stream where only the earlier end has bytes, ascending, neighbours joined.</summary>
    public IReadOnlyList<StreamRun> Removed(string stream) => Join(stream, removed: true);

    internal IReadOnlyList<Piece> Pieces(string stream) => _pieces.GetValueOrDefault(stream) ?? [];

    private List<StreamRun> Join(string stream, bool removed)
    {
        var runs = new List<StreamRun>();
        foreach (Piece piece in Pieces(stream))
        {
            if ((piece.Kind == PieceKind.Removed) != removed)
            {
                continue;
            }

            if (runs.Count > 0 && runs[^1].End == piece.Offset)
            {
                runs[^1] = runs[^1] with { Length = runs[^1].Length + piece.Length };
            }
            else
            {
                runs.Add(new StreamRun(piece.Offset, piece.Length));
            }
        }

        return runs;
    }

    private static long Sum(List<Piece> pieces, PieceKind kind) => pieces.Where(p => p.Kind == kind).Sum(p => p.Length);

    private static IEnumerable<Piece> Refined(SnapshotReader? from, SnapshotReader to, string name, IEnumerable<Piece> pieces, DifferenceOptions options)
    {
        const int Block = 64 * 1024;
        byte[]? left = null;
        byte[]? right = null;
        foreach (Piece piece in pieces)
        {
            if (!options.CompareContent || piece.Kind != PieceKind.Changed)
            {
                yield return piece;
                continue;
            }

            left ??= new byte[Block];
            right ??= new byte[Block];
            for (long at = piece.To.Offset; at < piece.To.End;)
            {
                int length = (int)Math.Min(Block - (at % Block), piece.To.End - at);
                if (AllPagesDiffer(from!, to, piece.From.Clip(at, at + length), piece.To.Clip(at, at + length)))
                {
                    yield return new Piece(PieceKind.Changed, piece.From.Clip(at, at + length), piece.To.Clip(at, at + length));
                    at += length;
                    continue;
                }

                from!.Read(name, at, left.AsSpan(0, length));
                to.Read(name, at, right.AsSpan(0, length));
                foreach ((int start, int end) in DifferingPages(left, right, length, (int)(at % Crc32C.BlockSize)))
                {
                    yield return new Piece(PieceKind.Changed, piece.From.Clip(at + start, at + end), piece.To.Clip(at + start, at + end));
                }

                at += length;
            }
        }
    }

    /// <summary>True when the checksums in the packs say already that every page differs, so that neither side has to be read.</summary>
    private static bool AllPagesDiffer(SnapshotReader from, SnapshotReader to, in Extent left, in Extent right)
    {
        if (left.Encoded || right.Encoded)
        {
            return false;
        }

        PackReader leftPack = from.Packs.Get(left.Pack);
        PackReader rightPack = to.Packs.Get(right.Pack);
        for (long at = left.Offset; at < left.End;)
        {
            int length = (int)Math.Min(Crc32C.BlockSize - (at % Crc32C.BlockSize), left.End - at);
            if (!leftPack.TryChecksum(left.Position + (at - left.Offset), length, out uint a)
                || !rightPack.TryChecksum(right.Position + (at - right.Offset), length, out uint b) || a == b)
            {
                return false;
            }

            at += length;
        }

        return true;
    }

    /// <summary>Runs of pages with a difference in them. Pages are by offset in the stream.</summary>
    private static List<(int Start, int End)> DifferingPages(byte[] left, byte[] right, int length, int intoPage)
    {
        var runs = new List<(int Start, int End)>();
        for (int start = 0; start < length;)
        {
            int end = Math.Min(length, start + Crc32C.BlockSize - ((start + intoPage) % Crc32C.BlockSize));
            if (!left.AsSpan(start, end - start).SequenceEqual(right.AsSpan(start, end - start)))
            {
                if (runs.Count > 0 && runs[^1].End == start)
                {
                    runs[^1] = (runs[^1].Start, end);
                }
                else
                {
                    runs.Add((start, end));
                }
            }

            start = end;
        }

        return runs;
    }
}
