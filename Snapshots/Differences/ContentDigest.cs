using System.Buffers.Binary;
using System.Numerics;
using System.Runtime.ExceptionServices;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;

namespace Holdfast.Snapshots;

/// <summary>
/// A cryptographic digest of a snapshot's content that does not depend on how a store keeps it, and that is brought from one snapshot to the next
/// at a cost that grows with the change. Pages of 4096 bytes of each stream are hashed, then groups of 16 pages, then nodes of 16 groups, then streams, then the snapshot.
/// </summary>
internal sealed class ContentDigest
{
    private const int Page = 4096;
    private const int Group = 16;
    private const int Groups = 16;
    private const int Pages = Group * Groups;
    private const int Entry = 1 + Hash.Size;

    /// <summary>Pages that are read at once, of one group: they stay in the second-level cache until they are hashed.</summary>
    private const int Together = Group;

    /// <summary>Fewer parts than this are hashed by one processor.</summary>
    private const int WorthSharing = 4;

    private const int MostAtOnce = 4;

    private readonly Dictionary<string, Dictionary<long, Node>> _streams;
    private byte[] _state = SHA256.HashData([]);

    private ContentDigest(Dictionary<string, Dictionary<long, Node>> streams) => _streams = streams;

    /// <summary>An empty snapshot's.</summary>
    internal static ContentDigest Empty() => new(new Dictionary<string, Dictionary<long, Node>>(StringComparer.Ordinal));

    /// <summary>Reads all of a snapshot.</summary>
    internal static ContentDigest Of(SnapshotReader snapshot)
    {
        ContentDigest digest = Empty();
        digest.Advance(snapshot, snapshot.Streams.ToDictionary(s => s.Name, s => snapshot.Runs(s.Name)));
        return digest;
    }

    /// <summary>Brings the digest to another snapshot.</summary>
    /// <param name="snapshot">The snapshot whose digest it is to be.</param>
    /// <param name="changed">Ranges by stream where it differs from the one before: changed, added or removed.</param>
    internal void Advance(SnapshotReader snapshot, IReadOnlyDictionary<string, IReadOnlyList<StreamRun>> changed)
    {
        _state = SHA256.HashData(snapshot.State.Span);
        foreach (string gone in _streams.Keys.Where(s => snapshot.Table(s) is null).ToList())
        {
            _streams.Remove(gone);
        }

        foreach (StreamInfo stream in snapshot.Streams)
        {
            if (!_streams.TryGetValue(stream.Name, out Dictionary<long, Node>? nodes))
            {
                _streams.Add(stream.Name, nodes = []);
            }

            if (changed.TryGetValue(stream.Name, out IReadOnlyList<StreamRun>? ranges))
            {
                Update(snapshot, stream.Name, nodes, ranges);
            }
        }
    }

    /// <summary>The digest: 32 bytes.</summary>
    internal byte[] Value()
    {
        using var all = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Span<byte> number = stackalloc byte[8];
        all.AppendData(_state);
        foreach ((string name, Dictionary<long, Node> nodes) in _streams.OrderBy(s => s.Key, StringComparer.Ordinal))
        {
            byte[] bytes = Encoding.UTF8.GetBytes(name);
            BinaryPrimitives.WriteInt64LittleEndian(number, bytes.Length);
            all.AppendData(number);
            all.AppendData(bytes);
            BinaryPrimitives.WriteInt64LittleEndian(number, nodes.Count);
            all.AppendData(number);
            foreach ((long index, Node node) in nodes.OrderBy(n => n.Key))
            {
                BinaryPrimitives.WriteInt64LittleEndian(number, index);
                all.AppendData(number);
                all.AppendData(node.Value());
            }
        }

        return all.GetHashAndReset();
    }

    private static void Update(SnapshotReader snapshot, string stream, Dictionary<long, Node> nodes, IReadOnlyList<StreamRun> ranges)
    {
        var work = new List<(long First, long End)>();
        long done = 0;
        foreach (StreamRun range in ranges)
        {
            long first = Math.Max(done, range.Offset / Page);
            long end = ((range.End - 1) / Page) + 1;
            while (first < end)
            {
                long until = Math.Min(end, first + Together - (first % Together));
                work.Add((first, until));
                if (!nodes.TryGetValue(first / Pages, out Node? node))
                {
                    nodes.Add(first / Pages, node = new Node());
                }

                // All of them are in one group.
                node.Changes((int)(first % Pages) / Group);

                first = until;
            }

            done = Math.Max(done, end);
        }

        // Parts do not overlap, and no two write the same entry of a node.
        List<List<(long First, long End)>> batches = Batches(work);
        ParallelOptions parallel = new() { MaxDegreeOfParallelism = batches.Count < WorthSharing ? 1 : Math.Min(MostAtOnce, Environment.ProcessorCount) };
        try
        {
            Parallel.ForEach(
                batches,
                parallel,
                static () => LargeArrays.Rent(Together * Page),
                (batch, _, buffer) =>
                {
                    UpdateBatch(snapshot, stream, nodes, batch, buffer);
                    return buffer;
                },
                static buffer => LargeArrays.Return(buffer));
        }
        catch (AggregateException e)
        {
            ExceptionDispatchInfo.Throw(e.InnerExceptions[0]);
        }

        foreach ((long first, _) in work)
        {
            if (nodes.TryGetValue(first / Pages, out Node? node) && node.Entries.AsSpan().IndexOfAnyExcept((byte)0) < 0)
            {
                nodes.Remove(first / Pages);
            }
        }
    }

    /// <summary>Parts that are read together.</summary>
    private static List<List<(long First, long End)>> Batches(List<(long First, long End)> work)
    {
        var batches = new List<List<(long First, long End)>>();
        long room = 0;
        foreach ((long first, long end) in work)
        {
            if (end - first > room)
            {
                batches.Add([]);
                room = Together;
            }

            batches[^1].Add((first, end));
            room -= end - first;
        }

        return batches;
    }

    /// <summary>Hashes pages again. What was stored by one writer lies side by side in its pack, although the pages are far from one another: it is read at once.</summary>
    private static void UpdateBatch(SnapshotReader snapshot, string stream, Dictionary<long, Node> nodes, List<(long First, long End)> batch, byte[] buffer)
    {
        var extents = new List<Extent>();
        var whole = new List<(long First, long End)>();
        foreach ((long first, long end) in batch)
        {
            if (snapshot.TryAddExtents(stream, first * Page, end * Page, extents))
            {
                whole.Add((first, end));
            }
            else
            {
                UpdatePages(snapshot, stream, nodes[first / Pages].Entries, first, end, buffer);
            }
        }

        ReadOnlySpan<byte> rest = buffer;
        snapshot.Read(stream, CollectionsMarshal.AsSpan(extents), buffer);
        foreach ((long first, long end) in whole)
        {
            byte[] node = nodes[first / Pages].Entries;
            for (long page = first; page < end; page++)
            {
                Span<byte> entry = node.AsSpan((int)(page % Pages) * Entry, Entry);
                entry[0] = 1;
                SHA256.HashData(rest[..Page], entry[1..]);
                rest = rest[Page..];
            }
        }
    }

    /// <summary>Hashes a few pages of one node again, of which some bytes are not stored.</summary>
    private static void UpdatePages(SnapshotReader snapshot, string stream, byte[] node, long first, long end, byte[] buffer)
    {
        List<StreamRun> runs = snapshot.ReadIn(stream, first * Page, buffer.AsSpan(0, (int)(end - first) * Page));
        int at = 0;
        for (long page = first; page < end; page++)
        {
            Span<byte> entry = node.AsSpan((int)(page % Pages) * Entry, Entry);
            long start = page * Page;
            while (at < runs.Count && runs[at].End <= start)
            {
                at++;
            }

            if (at == runs.Count || runs[at].Offset >= start + Page)
            {
                entry.Clear();
            }
            else if (runs[at].Offset <= start && runs[at].End >= start + Page)
            {
                entry[0] = 1;
                SHA256.HashData(buffer.AsSpan((int)(start - (first * Page)), Page), entry[1..]);
            }
            else
            {
                entry[0] = 2;
                HashPartial(runs, at, start, buffer.AsSpan((int)(start - (first * Page)), Page), entry[1..]);
            }
        }
    }

    private static void HashPartial(List<StreamRun> runs, int at, long start, ReadOnlySpan<byte> page, Span<byte> into)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        Span<byte> where = stackalloc byte[4];
        for (; at < runs.Count && runs[at].Offset < start + Page; at++)
        {
            int from = (int)(Math.Max(runs[at].Offset, start) - start);
            int to = (int)(Math.Min(runs[at].End, start + Page) - start);
            BinaryPrimitives.WriteUInt16LittleEndian(where, (ushort)from);
            BinaryPrimitives.WriteUInt16LittleEndian(where[2..], (ushort)(to - from));
            hash.AppendData(where);
            hash.AppendData(page[from..to]);
        }

        hash.GetHashAndReset(into);
    }

    /// <summary>The entries of 256 pages, the hashes of their groups, and the node's. Worked out again is only what changed.</summary>
    private sealed class Node
    {
        private readonly byte[] _groups = new byte[Groups * Hash.Size];
        private ushort _changed = ushort.MaxValue;
        private byte[]? _hash;

        internal byte[] Entries { get; } = new byte[Pages * Entry];

        internal byte[] Value()
        {
            for (; _changed != 0; _changed &= (ushort)(_changed - 1))
            {
                int group = BitOperations.TrailingZeroCount(_changed);
                SHA256.HashData(Entries.AsSpan(group * Group * Entry, Group * Entry), _groups.AsSpan(group * Hash.Size, Hash.Size));
            }

            return _hash ??= SHA256.HashData(_groups);
        }

        /// <summary>Entries of a group are not what they were.</summary>
        internal void Changes(int group)
        {
            _changed |= (ushort)(1 << group);
            _hash = null;
        }
    }
}
