namespace Holdfast.Snapshots;

/// <summary>
/// Decoded leaves of extent tables, the newest ones: who goes through the snapshots of a chain needs each table twice or more, and to decode a large one takes longer than
/// all else that a small change needs. Several threads may use it at once.
/// </summary>
internal sealed class LeafCache
{
    /// <summary>About 15 MiB: a little more than a table of 1 GiB in which every page is an extent of its own.</summary>
    private const int MostExtents = 320_000;

    private readonly Lock _lock = new();
    private readonly Dictionary<(PackId Pack, long Position), Extent[]> _leaves = [];
    private readonly Queue<(PackId Pack, long Position)> _order = new();
    private int _extents;

    internal Extent[]? TryGet(PackId pack, long position)
    {
        lock (_lock)
        {
            return _leaves.GetValueOrDefault((pack, position));
        }
    }

    /// <summary>Keeps a leaf until so many others have come; it must not be changed any more.</summary>
    internal void Put(PackId pack, long position, Extent[] leaf)
    {
        lock (_lock)
        {
            if (!_leaves.TryAdd((pack, position), leaf))
            {
                return;
            }

            _order.Enqueue((pack, position));
            _extents += leaf.Length;
            while (_extents > MostExtents && _order.TryDequeue(out (PackId, long) oldest))
            {
                if (_leaves.Remove(oldest, out Extent[]? gone))
                {
                    _extents -= gone.Length;
                }
            }
        }
    }

    /// <summary>Forgets the leaves of a pack.</summary>
    internal void Remove(PackId pack)
    {
        lock (_lock)
        {
            foreach ((PackId Pack, long Position) key in _leaves.Keys.Where(k => k.Pack == pack).ToList())
            {
                _ = _leaves.Remove(key, out Extent[]? gone);
                _extents -= gone!.Length;
            }
        }
    }
}
