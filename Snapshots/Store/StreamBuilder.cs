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
    private readonly List<(StreamRun Range, Original Of)> _repeated = [];

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

    /// <summary>A range, above 0 bytes, in which another stream's extents are taken over.</summary>
    internal void Repeat(in StreamRun range, string name, StreamBuilder original)
    {
        lock (_lock)
        {
            Span<(StreamRun Range, Original Of)> repeated = CollectionsMarshal.AsSpan(_repeated);
            if (repeated.Length > 0 && repeated[^1].Range.End == range.Offset && repeated[^1].Of.Builder == original)
            {
                repeated[^1].Range = repeated[^1].Range with { Length = repeated[^1].Range.Length + range.Length };
            }
            else
            {
                _repeated.Add((range, new Original(name, original)));
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
    /// <param name="parentTable">The parent's table of a stream.</param>
    internal IEnumerable<ReadOnlyMemory<Extent>> Finish(string name, Func<string, ExtentTable?> parentTable)
    {
        var joined = new Extent[PartLength];
        int count = 0;
        foreach (ReadOnlyMemory<Extent> part in InOrder(parentTable(name), parentTable))
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

    /// <summary>What came in, what is repeated and what is kept, ascending. What is kept is in order in itself, and joined.</summary>
    /// <param name="parent">The parent's table of this stream.</param>
    /// <param name="parentTable">The same of another; null: without what is repeated.</param>
    private IEnumerable<ReadOnlyMemory<Extent>> InOrder(ExtentTable? parent, Func<string, ExtentTable?>? parentTable)
    {
        TakeInSealed();
        _extents.Sort(static (a, b) => a.Offset.CompareTo(b.Offset));
        _kept.Sort(static (a, b) => a.Offset.CompareTo(b.Offset));
        _repeated.Sort(static (a, b) => a.Range.Offset.CompareTo(b.Range.Offset));
        using IEnumerator<Extent> next = (parentTable is null || _repeated.Count == 0 ? Added() : InOrder(Added(), Repeated(parentTable))).GetEnumerator();
        bool more = next.MoveNext();
        var one = new Extent[1];
        foreach (ReadOnlyMemory<Extent> kept in parent is null ? [] : _kept.SelectMany(range => parent.Parts(range.Offset, range.End)))
        {
            for (ReadOnlyMemory<Extent> rest = kept; rest.Length > 0;)
            {
                int before = more ? Before(rest.Span, next.Current.Offset) : rest.Length;
                if (before > 0)
                {
                    yield return rest[..before];
                    rest = rest[before..];
                }
                else
                {
                    one[0] = next.Current;
                    more = next.MoveNext();
                    yield return one;
                }
            }
        }

        for (; more; more = next.MoveNext())
        {
            one[0] = next.Current;
            yield return one;
        }
    }

    private IEnumerable<Extent> Added()
    {
        for (int i = 0; i < _extents.Count; i++)
        {
            yield return _extents[i];
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

    private static IEnumerable<Extent> InOrder(IEnumerable<Extent> first, IEnumerable<Extent> second)
    {
        using IEnumerator<Extent> other = second.GetEnumerator();
        bool more = other.MoveNext();
        foreach (Extent extent in first)
        {
            for (; more && other.Current.Offset < extent.Offset; more = other.MoveNext())
            {
                yield return other.Current;
            }

            yield return extent;
        }

        for (; more; more = other.MoveNext())
        {
            yield return other.Current;
        }
    }

    private IEnumerable<Extent> Repeated(Func<string, ExtentTable?> parentTable)
    {
        Dictionary<StreamBuilder, Reading> originals = [];
        try
        {
            foreach ((StreamRun range, Original of) in _repeated)
            {
                if (!originals.TryGetValue(of.Builder, out Reading? reading))
                {
                    originals[of.Builder] = reading = new Reading(of, parentTable);
                }

                foreach (Extent extent in reading.Range(range))
                {
                    yield return extent;
                }
            }
        }
        finally
        {
            foreach (Reading reading in originals.Values)
            {
                reading.Dispose();
            }
        }
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

    private readonly record struct Original(string Name, StreamBuilder Builder);

    /// <summary>Goes through a stream that others repeat, once, from range to range.</summary>
    private sealed class Reading : IDisposable
    {
        private readonly Original _of;
        private readonly IEnumerator<Extent> _extents;
        private bool _more;
        private int _repeated;

        internal Reading(Original of, Func<string, ExtentTable?> parentTable)
        {
            _of = of;
            _extents = of.Builder.InOrder(parentTable(of.Name), null).SelectMany(MemoryMarshal.ToEnumerable).GetEnumerator();
            _more = _extents.MoveNext();
        }

        public void Dispose() => _extents.Dispose();

        /// <summary>The extents in a range, which does not lie before that of an earlier call.</summary>
        internal IEnumerable<Extent> Range(StreamRun range)
        {
            List<(StreamRun Range, Original Of)> borrowed = _of.Builder._repeated;
            while (_repeated < borrowed.Count && borrowed[_repeated].Range.End <= range.Offset)
            {
                _repeated++;
            }

            if (_repeated < borrowed.Count && borrowed[_repeated].Range.Offset < range.End)
            {
                throw new SnapshotStoreException("stream.repeat", $"stream {_of.Name} is repeated at offset {range.Offset}, where it repeats another itself");
            }

            for (; _more && _extents.Current.Offset < range.End; _more = _extents.MoveNext())
            {
                if (_extents.Current.End > range.Offset)
                {
                    yield return _extents.Current.Clip(range.Offset, range.End);
                }

                if (_extents.Current.End > range.End)
                {
                    yield break;
                }
            }
        }
    }
}
