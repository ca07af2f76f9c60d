using System.Runtime.InteropServices;

namespace Holdfast.Snapshots;

/// <summary>What one stream consists of, as it comes in: extents, and ranges that are as they were in the parent.</summary>
internal sealed class StreamBuilder
{
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

    /// <summary>The extents ascending, neighbours joined. The parent's are read as they are passed on: there may be millions.</summary>
    /// <param name="name">The stream's name, for an error.</param>
    /// <param name="parentTable">The parent's table of a stream.</param>
    internal IEnumerable<Extent> Finish(string name, Func<string, ExtentTable?> parentTable)
    {
        Extent last = default;
        foreach (Extent extent in InOrder(parentTable(name), parentTable))
        {
            if (last.Length > 0 && last.End > extent.Offset)
            {
                throw new SnapshotStoreException("stream.overlap", $"stream {name} was given offset {extent.Offset} twice");
            }

            Reached = extent.Offset;
            if (last.Length > 0 && last.Continues(extent))
            {
                last = last with { Length = last.Length + extent.Length };
                continue;
            }

            if (last.Length > 0)
            {
                yield return last;
            }

            last = extent;
        }

        if (last.Length > 0)
        {
            yield return last;
        }
    }

    /// <param name="parent">The parent's table of this stream.</param>
    /// <param name="parentTable">The same of another; null: without what is repeated.</param>
    private IEnumerable<Extent> InOrder(ExtentTable? parent, Func<string, ExtentTable?>? parentTable)
    {
        TakeInSealed();
        _extents.Sort(static (a, b) => a.Offset.CompareTo(b.Offset));
        _kept.Sort(static (a, b) => a.Offset.CompareTo(b.Offset));
        _repeated.Sort(static (a, b) => a.Range.Offset.CompareTo(b.Range.Offset));
        int next = 0;
        foreach (Extent taken in parentTable is null ? Kept(parent) : InOrder(Kept(parent), Repeated(parentTable)))
        {
            while (next < _extents.Count && _extents[next].Offset < taken.Offset)
            {
                yield return _extents[next++];
            }

            yield return taken;
        }

        while (next < _extents.Count)
        {
            yield return _extents[next++];
        }
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

    private IEnumerable<Extent> Kept(ExtentTable? parent) => parent is null ? [] : _kept.SelectMany(range => parent.Range(range.Offset, range.End));

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
            _extents = of.Builder.InOrder(parentTable(of.Name), null).GetEnumerator();
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
