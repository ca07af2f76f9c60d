namespace Holdfast.KernelBridge.Capture;

/// <summary>Ranges of addresses, ascending, neighbours joined.</summary>
internal sealed class PageRanges
{
    /// <summary>More than these (8 MiB of them) are not worth knowing one by one.</summary>
    public const int Most = 1 << 19;

    private readonly List<(ulong Start, ulong End)> ranges = [];

    public int Count => ranges.Count;

    /// <summary>There were more than <see cref="Most"/>: what it holds is not all.</summary>
    public bool IsFull { get; private set; }

    /// <summary>Bytes in all.</summary>
    public ulong Length { get; private set; }

    /// <summary>Adds a range that does not lie before any other.</summary>
    public void Append(ulong start, ulong end)
    {
        if (ranges.Count > 0 && ranges[^1].End >= start)
        {
            (ulong first, ulong last) = ranges[^1];
            Length += Math.Max(end, last) - last;
            ranges[^1] = (first, Math.Max(end, last));
            return;
        }

        if (ranges.Count == Most)
        {
            IsFull = true;
            return;
        }

        Length += end - start;
        ranges.Add((start, end));
    }

    /// <summary>These and others.</summary>
    public PageRanges Union(PageRanges other)
    {
        PageRanges union = new() { IsFull = IsFull || other.IsFull };
        for (int i = 0, j = 0; i < ranges.Count || j < other.ranges.Count;)
        {
            bool own = j == other.ranges.Count || (i < ranges.Count && ranges[i].Start <= other.ranges[j].Start);
            (ulong start, ulong end) = own ? ranges[i++] : other.ranges[j++];
            union.Append(start, end);
        }

        return union;
    }

    /// <summary>These without others.</summary>
    public PageRanges Without(PageRanges other)
    {
        PageRanges left = new();
        int next = 0;
        foreach ((ulong start, ulong end) in ranges)
        {
            while (next < other.ranges.Count && other.ranges[next].End <= start)
            {
                next++;
            }

            ulong at = start;
            for (int i = next; i < other.ranges.Count && other.ranges[i].Start < end; i++)
            {
                if (other.ranges[i].Start > at)
                {
                    left.Append(at, other.ranges[i].Start);
                }

                at = Math.Max(at, other.ranges[i].End);
            }

            if (at < end)
            {
                left.Append(at, end);
            }
        }

        return left;
    }

    /// <summary>Whether an address lies in one of the ranges.</summary>
    /// <param name="address">The address.</param>
    /// <param name="limit">Up to where the answer is wanted, above the address.</param>
    /// <param name="end">Up to where it holds.</param>
    public bool Contains(ulong address, ulong limit, out ulong end)
    {
        int low = 0;
        int high = ranges.Count;
        while (low < high)
        {
            int middle = (low + high) / 2;
            (low, high) = ranges[middle].End <= address ? (middle + 1, high) : (low, middle);
        }

        bool inside = low < ranges.Count && ranges[low].Start <= address;
        end = low == ranges.Count ? limit : Math.Min(limit, inside ? ranges[low].End : ranges[low].Start);
        return inside;
    }
}
