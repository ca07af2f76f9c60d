namespace Holdfast.Snapshots;

/// <content>Writing only what differs from the parent.</content>
public sealed partial class SnapshotWriter
{
    private const int PageSize = 4096;
    private const int CompareWindow = 1024 * 1024;

    /// <summary>
    /// Adds bytes to a stream as <see cref="Write"/> does, but whole pages of 4096 bytes that the parent has, with the same bytes at the same place, are
    /// only referred to. What of the parent cannot be read is stored anew. Without a parent this is <see cref="Write"/>.
    /// </summary>
    /// <param name="stream">The stream's name, the same in the parent.</param>
    /// <param name="offset">Offset of the first byte, 0 or above.</param>
    /// <param name="data">The bytes; only used during the call. Ranges of one stream must not overlap.</param>
    /// <exception cref="SnapshotStoreException">They could not be written (<c>store.full</c>, <c>store.io</c>); the snapshot cannot be committed any more.</exception>
    public void WriteChanged(string stream, long offset, ReadOnlySpan<byte> data)
    {
        if (_parent?.Table(stream) is null)
        {
            Write(stream, offset, data);
            return;
        }

        byte[] before = LargeArrays.Rent(Math.Min(data.Length, CompareWindow));
        try
        {
            while (data.Length > 0)
            {
                int length = (int)Math.Min(data.Length, CompareWindow - (offset % CompareWindow));
                WriteChanged(stream, offset, data[..length], before.AsSpan(0, length));
                offset += length;
                data = data[length..];
            }
        }
        finally
        {
            LargeArrays.Return(before);
        }
    }

    /// <summary>Whether the parent has these bytes in a range; what it does not store there counts as zeros.</summary>
    /// <param name="stream">The stream's name.</param>
    /// <param name="offset">Offset of the first byte, 0 or above.</param>
    /// <param name="data">The bytes; only used during the call.</param>
    /// <exception cref="SnapshotDamagedException">The parent cannot be read there.</exception>
    public bool ParentHolds(string stream, long offset, ReadOnlySpan<byte> data)
    {
        byte[] before = LargeArrays.Rent(data.Length);
        try
        {
            Span<byte> known = before.AsSpan(0, data.Length);
            known.Clear();
            _ = ReadParent(stream, offset, known);
            return known.SequenceEqual(data);
        }
        finally
        {
            LargeArrays.Return(before);
        }
    }

    private void WriteChanged(string stream, long offset, ReadOnlySpan<byte> data, Span<byte> before)
    {
        List<StreamRun> known;
        try
        {
            known = ReadParent(stream, offset, before);
        }
        catch (SnapshotDamagedException)
        {
            // Nothing new is built on what is damaged.
            known = [];
        }

        // Neighbouring pages of one sort go together.
        int from = 0;
        bool keeps = false;
        int run = 0;
        for (int at = 0; at < data.Length;)
        {
            int end = (int)Math.Min(data.Length, at + PageSize - ((offset + at) % PageSize));
            while (run < known.Count && known[run].End <= offset + at)
            {
                run++;
            }

            bool same = run < known.Count && known[run].Offset <= offset + at && known[run].End >= offset + end
                && data[at..end].SequenceEqual(before[at..end]);
            if (same != keeps)
            {
                Put(stream, offset + from, data[from..at], keeps);
                (from, keeps) = (at, same);
            }

            at = end;
        }

        Put(stream, offset + from, data[from..], keeps);
    }

    private void Put(string stream, long offset, ReadOnlySpan<byte> data, bool keep)
    {
        if (keep)
        {
            Keep(stream, offset, data.Length);
        }
        else
        {
            Write(stream, offset, data);
        }
    }
}
