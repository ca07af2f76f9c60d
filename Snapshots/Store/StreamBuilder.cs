using System.Runtime.InteropServices;

namespace Holdfast.Snapshots;

/// <summary>What one stream consists of, as it comes in: extents, and ranges that are as they were in the parent.</summary>
internal sealed class StreamBuilder
{
    /// <summary>So many extents are passed on together.</summary>
    private const int PartLength = 512;

    private readonly Lock _lock = new();
    private readonly List<StreamRun> _discarded = [];
    private List<Extent> _extents = [];
    private List<StreamRun> _kept = [];

    // What came in before the seal: only this can be discarded.
    private List<Extent> _sealedExtents = [];
    private List<StreamRun> _sealedKept = [];

    internal long NewBytes { get; private set; }

    /// <summary>How far <see cref="Finish"/> has come.</summary>
    internal long Reached { get; private set; }

    internal void Add(in Extent extent, bool isNew)
    {
        lock (_lock)
        {
            if (isNew)
            {
                NewBytes += extent.Length;
            }

            Span<Extent> extents = CollectionsMarshal.AsSpan(_extents);
            if (extents.Length > 0 && extents[^1].Continues(extent))
            {
                extents[^1] = extents[^1] with { Length = extents[^1].Length + extent.Length };
            }
            else
            {
                _extents.Add(extent);
            }
        }
    }

    /// <summary>A range, above 0 bytes, in which the parent's extents are taken over.</summary>
    internal void Keep(in StreamRun range)
    {
        lock (_lock)
        {
            Span<StreamRun> kept = CollectionsMarshal.AsSpan(_kept);
            if (kept.Length > 0 && kept[^1].End == range.Offset)
            {
                kept[^1] = kept[^1] with { Length = kept[^1].Length + range.Length };
            }
            else
            {
                _kept.Add(range);
            }
        }
    }

    /// <summary>Ends the first layer: what comes in from here on may take the place of what is discarded of it.</summary>
    internal void Seal()
    {
        lock (_lock)
        {
            (_sealedExtents, _extents) = (_extents, []);
            (_sealedKept, _kept) = (_kept, []);
        }
    }

    /// <summary>Takes a range, above 0 bytes, out of what came in before <see cref="Seal"/>.</summary>
    internal void Discard(in StreamRun range)
    {
        lock (_lock)
        {
            if (_discarded.Count > 0 && _discarded[^1].End == range.Offset)
            {
                _discarded[^1] = _discarded[^1] with { Length = _discarded[^1].Length + range.Length };
            }
            else
            {
                _discarded.Add(range);
            }
        }
    }

    /// <summary>
    /// The extents ascending, neighbours joined, in parts of many; a part is good until the next one is asked for. The parent's are read as they are
    /// passed on: there may be millions.
    /// </summary>
    /// <param name="name">The stream's name, for an error.</param>
    /// <param name="parent">The parent's table of the stream.</param>
    internal IEnumerable<ReadOnlyMemory<Extent>> Finish(string name, ExtentTable? parent)
    {
        var joined = new Extent[PartLength];
        int count = 0;
        foreach (ReadOnlyMemory<Extent> part in InOrder(parent))
        {
            for (int taken = 0; taken < part.Length;)
            {
                if (count == joined.Length)
                {
                    // The last may go on in what comes next.
                    yield return joined.AsMemory(0, count - 1);
                    joined[0] = joined[count - 1];
                    count = 1;
                }

                taken += Take(name, part.Span[taken..], joined, ref count);
            }
        }

        if (count > 0)
        {
            yield return joined.AsMemory(0, count);
        }
    }

    /// <summary>Takes extents over until there is no room, or one that goes on where the last ends.</summary>
    /// <returns>How many were taken, above 0.</returns>
    private int Take(string name, ReadOnlySpan<Extent> part, Extent[] joined, ref int count)
    {
        if (count > 0)
        {
            ref Extent last = ref joined[count - 1];
            if (last.End > part[0].Offset)
            {
                throw new SnapshotStoreException("stream.overlap", $"stream {name} was given offset {part[0].Offset} twice");
            }

            if (last.Continues(part[0]))
            {
                Reached = part[0].Offset;
                last = last with { Length = last.Length + part[0].Length };
                return 1;
            }
        }

        int room = Math.Min(part.Length, joined.Length - count);
        part[..room].CopyTo(joined.AsSpan(count));
        count += room;
        Reached = part[room - 1].Offset;
        return room;
    }

    /// <summary>What came in and what is kept, ascending. What is kept is in order in itself, and joined.</summary>
    private IEnumerable<ReadOnlyMemory<Extent>> InOrder(ExtentTable? parent)
    {
        TakeInSealed();
        _extents.Sort(static (a, b) => a.Offset.CompareTo(b.Offset));
        _kept.Sort(static (a, b) => a.Offset.CompareTo(b.Offset));
        int next = 0;
        var one = new Extent[1];
        if (parent is not null)
        {
            foreach (StreamRun range in _kept)
            {
                foreach (ReadOnlyMemory<Extent> kept in parent.Parts(range.Offset, range.End))
                {
                    for (ReadOnlyMemory<Extent> rest = kept; rest.Length > 0;)
                    {
                        int before = next < _extents.Count ? Before(rest.Span, _extents[next].Offset) : rest.Length;
                        if (before > 0)
                        {
                            yield return rest[..before];
                            rest = rest[before..];
                        }
                        else
                        {
                            one[0] = _extents[next++];
                            yield return one;
                        }
                    }
                }
            }
        }

        while (next < _extents.Count)
        {
            one[0] = _extents[next++];
            yield return one;
        }
    }

    /// <summary>How many extents begin at or before an offset.</summary>
    private static int Before(ReadOnlySpan<Extent> extents, long offset)
    {
        if (extents[^1].Offset <= offset)
        {
            return extents.Length;
        }

        int low = 0;
        int high = extents.Length;
        while (low < high)
        {
            int middle = (low + high) >>> 1;
            if (extents[middle].Offset <= offset)
            {
                low = middle + 1;
            }
            else
            {
                high = middle;
            }
        }

        return low;
    }

    private void TakeInSealed()
    {
        _discarded.Sort(static (a, b) => a.Offset.CompareTo(b.Offset));
        _sealedExtents.Sort(static (a, b) => a.Offset.CompareTo(b.Offset));
        _sealedKept.Sort(static (a, b) => a.Offset.CompareTo(b.Offset));
        int first = 0;
        foreach (Extent extent in _sealedExtents)
        {
            _extents.AddRange(Remaining(new StreamRun(extent.Offset, extent.Length), ref first).Select(r => extent.Clip(r.Offset, r.End)));
        }

        first = 0;
        foreach (StreamRun kept in _sealedKept)
        {
            _kept.AddRange(Remaining(kept, ref first));
        }

        _sealedExtents = [];
        _sealedKept = [];
    }

    /// <summary>What is left of a range without what is discarded.</summary>
    /// <param name="range">The range; ascending from call to call.</param>
    /// <param name="first">The first discarded range that may still matter.</param>
    private List<StreamRun> Remaining(in StreamRun range, ref int first)
    {
        while (first < _discarded.Count && _discarded[first].End <= range.Offset)
        {
            first++;
        }

        var left = new List<StreamRun>();
        long at = range.Offset;
        for (int i = first; i < _discarded.Count && _discarded[i].Offset < range.End; i++)
        {
            if (_discarded[i].Offset > at)
            {
                left.Add(new StreamRun(at, _discarded[i].Offset - at));
            }

            at = Math.Max(at, _discarded[i].End);
        }

        if (at < range.End)
        {
            left.Add(new StreamRun(at, range.End - at));
        }

        return left;
    }
}
