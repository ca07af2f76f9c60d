using System.Runtime.InteropServices;

namespace Holdfast.Snapshots;

/// <summary>The extents of one stream as they come in.</summary>
internal sealed class StreamBuilder
{
    private readonly Lock _lock = new();
    private readonly List<Extent> _extents = [];

    internal long NewBytes { get; private set; }

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

    /// <summary>The extents ascending, neighbours joined.</summary>
    internal Span<Extent> Finish(string name)
    {
        Span<Extent> extents = CollectionsMarshal.AsSpan(_extents);
        extents.Sort(static (a, b) => a.Offset.CompareTo(b.Offset));
        int used = 0;
        for (int i = 0; i < extents.Length; i++)
        {
            if (used > 0 && extents[used - 1].End > extents[i].Offset)
            {
                throw new SnapshotStoreException("stream.overlap", $"stream {name} was given offset {extents[i].Offset} twice");
            }

            if (used > 0 && extents[used - 1].Continues(extents[i]))
            {
                extents[used - 1] = extents[used - 1] with { Length = extents[used - 1].Length + extents[i].Length };
            }
            else
            {
                extents[used++] = extents[i];
            }
        }

        return extents[..used];
    }
}
