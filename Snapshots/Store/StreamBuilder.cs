using System.Runtime.InteropServices;

namespace Holdfast.Snapshots;

/// <summary>What one stream consists of, as it comes in: extents, and ranges that are as they were in the parent.</summary>
internal sealed class StreamBuilder
{
    private readonly Lock _lock = new();
    private readonly List<Extent> _extents = [];
    private readonly List<StreamRun> _kept = [];

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

    /// <summary>The extents ascending, neighbours joined. The parent's are read as they are passed on: there may be millions.</summary>
    /// <param name="name">The stream's name, for an error.</param>
    /// <param name="parent">The parent's table of the stream.</param>
    internal IEnumerable<Extent> Finish(string name, ExtentTable? parent)
    {
        Extent last = default;
        foreach (Extent extent in InOrder(parent))
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

    private IEnumerable<Extent> InOrder(ExtentTable? parent)
    {
        _extents.Sort(static (a, b) => a.Offset.CompareTo(b.Offset));
        _kept.Sort(static (a, b) => a.Offset.CompareTo(b.Offset));
        int next = 0;
        if (parent is not null)
        {
            foreach (StreamRun range in _kept)
            {
                foreach (Extent kept in parent.Range(range.Offset, range.End))
                {
                    while (next < _extents.Count && _extents[next].Offset < kept.Offset)
                    {
                        yield return _extents[next++];
                    }

                    yield return kept;
                }
            }
        }

        while (next < _extents.Count)
        {
            yield return _extents[next++];
        }
    }
}
