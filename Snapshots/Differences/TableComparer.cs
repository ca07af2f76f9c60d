using System.Runtime.InteropServices;

namespace Holdfast.Snapshots;

/// <summary>How a piece of a stream differs.</summary>
internal enum PieceKind
{
    /// <summary>Bytes on both sides, at different places of the store.</summary>
    Changed,

    /// <summary>Only the later side has bytes.</summary>
    Added,

    /// <summary>Only the earlier side has bytes.</summary>
    Removed,
}

/// <summary>A piece of a stream that differs.</summary>
/// <param name="Kind">How.</param>
/// <param name="From">The earlier side's bytes; meaningless when added.</param>
/// <param name="To">The later side's bytes; meaningless when removed.</param>
internal readonly record struct Piece(PieceKind Kind, Extent From, Extent To)
{
    internal long Offset => Kind == PieceKind.Removed ? From.Offset : To.Offset;

    internal long Length => Kind == PieceKind.Removed ? From.Length : To.Length;
}

/// <summary>Compares two extent tables of one store. Leaves that both share are skipped without being read.</summary>
internal static class TableComparer
{
    /// <summary>The pieces that differ, ascending. Holds no more than the extents up to where leaves of both end together.</summary>
    internal static IEnumerable<Piece> Compare(ExtentTable? from, ExtentTable? to)
    {
        var a = new List<Extent>();
        var b = new List<Extent>();
        int i = 0;
        int j = 0;
        int leftLeaves = from?.LeafCount ?? 0;
        int rightLeaves = to?.LeafCount ?? 0;
        long reached = 0;
        while (i < leftLeaves || j < rightLeaves)
        {
            long left = i < leftLeaves ? from!.LeafAt(i).Start : long.MaxValue;
            long right = j < rightLeaves ? to!.LeafAt(j).Start : long.MaxValue;
            if (Math.Min(left, right) >= reached && (a.Count > 0 || b.Count > 0))
            {
                foreach (Piece piece in Compare(a, b))
                {
                    yield return piece;
                }

                a.Clear();
                b.Clear();
            }

            if (left == right && SameLeaf(from!.LeafAt(i), to!.LeafAt(j)))
            {
                // A shared leaf covers the same range in both tables: nothing else of either lies in it.
                i++;
                j++;
                continue;
            }

            if (left <= right)
            {
                reached = Math.Max(reached, from!.LeafAt(i).End);
            }

            if (right <= left)
            {
                reached = Math.Max(reached, to!.LeafAt(j).End);
            }

            if (left == right)
            {
                AddDiffering(from!.Load(i++), to!.Load(j++), a, b);
            }
            else if (left < right)
            {
                a.AddRange(from!.Load(i++));
            }
            else
            {
                b.AddRange(to!.Load(j++));
            }
        }

        foreach (Piece piece in Compare(a, b))
        {
            yield return piece;
        }
    }

    private static IEnumerable<Piece> Compare(List<Extent> a, List<Extent> b)
    {
        int i = 0;
        int j = 0;
        long at = 0;
        while (i < a.Count || j < b.Count)
        {
            if (i < a.Count && j < b.Count && a[i].Offset >= at && SameAhead(CollectionsMarshal.AsSpan(a)[i..], CollectionsMarshal.AsSpan(b)[j..]) is int same and > 0)
            {
                i += same;
                j += same;
                at = a[i - 1].End;
                continue;
            }

            bool inA = i < a.Count && a[i].Offset <= at;
            bool inB = j < b.Count && b[j].Offset <= at;
            if (!inA && !inB)
            {
                at = Math.Min(i < a.Count ? a[i].Offset : long.MaxValue, j < b.Count ? b[j].Offset : long.MaxValue);
                continue;
            }

            // Up to where either side changes.
            long end = Math.Min(
                i >= a.Count ? long.MaxValue : inA ? a[i].End : a[i].Offset,
                j >= b.Count ? long.MaxValue : inB ? b[j].End : b[j].Offset);
            Extent left = inA ? a[i].Clip(at, end) : default;
            Extent right = inB ? b[j].Clip(at, end) : default;
            if (inA && inB && !SamePlace(left, right))
            {
                yield return new Piece(PieceKind.Changed, left, right);
            }
            else if (inA != inB)
            {
                yield return new Piece(inA ? PieceKind.Removed : PieceKind.Added, left, right);
            }

            at = end;
            if (inA && a[i].End == at)
            {
                i++;
            }

            if (inB && b[j].End == at)
            {
                j++;
            }
        }
    }

    /// <summary>How many extents at the beginning are the same on both sides: most of them, where little has changed.</summary>
    private static int SameAhead(ReadOnlySpan<Extent> left, ReadOnlySpan<Extent> right)
    {
        int shorter = Math.Min(left.Length, right.Length);
        int same = 0;
        while (same < shorter && Same(left[same], right[same]))
        {
            same++;
        }

        return same;
    }

    private static bool SamePlace(in Extent a, in Extent b) =>
        a.Pack == b.Pack && a.Position == b.Position && a.Encoded == b.Encoded && a.Skip == b.Skip;

    /// <summary>Takes over two leaves that begin together, without the equal extents at their beginnings and, when they end together, at their ends.</summary>
    private static void AddDiffering(ReadOnlySpan<Extent> left, ReadOnlySpan<Extent> right, List<Extent> a, List<Extent> b)
    {
        int start = SameAhead(left, right);
        int shorter = Math.Min(left.Length, right.Length);
        int end = 0;
        while (end < shorter - start && Same(left[^(end + 1)], right[^(end + 1)]))
        {
            end++;
        }

        a.AddRange(left[start..^end]);
        b.AddRange(right[start..^end]);
    }

    private static bool Same(in Extent a, in Extent b) => a.Offset == b.Offset && a.Length == b.Length && SamePlace(a, b);

    private static bool SameLeaf(in ExtentTable.Leaf a, in ExtentTable.Leaf b) =>
        a.End == b.End && !a.Hash.IsEmpty && ((a.Pack == b.Pack && a.Position == b.Position) || a.Hash.Span.SequenceEqual(b.Hash.Span));
}
