using System.Collections.Concurrent;

namespace Holdfast.Snapshots;

/// <summary>Where in a store the bytes with a certain hash are: for deduplication and for what need not be sent.</summary>
/// <remarks>It may be out of date: whoever uses an entry pins the pack and checks the bytes first.</remarks>
internal sealed class ContentIndex
{
    private readonly ConcurrentDictionary<Hash, Place> _places = new();

    internal int Count => _places.Count;

    internal static ContentIndex Load(StoreLayout layout, Vault? vault)
    {
        var index = new ContentIndex();
        foreach (PackId id in layout.PackIds())
        {
            try
            {
                using var pack = new PackReader(layout.Packs, id, vault);
                for (int row = 0; row < pack.Count; row++)
                {
                    index.Add(pack, row);
                }
            }
            catch (SnapshotStoreException)
            {
                // A pack that cannot be read offers nothing; verify names it.
            }
        }

        return index;
    }

    internal void Add(Hash hash, Place place) => _places.TryAdd(hash, place);

    internal bool TryGet(Hash hash, out Place place) => _places.TryGetValue(hash, out place);

    internal void Remove(Hash hash, Place place) => _places.TryRemove(new KeyValuePair<Hash, Place>(hash, place));

    private void Add(PackReader pack, int row)
    {
        ReadOnlySpan<byte> hash = pack.HashOf(row);
        if (!hash.IsEmpty)
        {
            PackRow found = pack.Row(row);
            Add(Hash.From(hash), new Place(pack.Id, found.Position, (int)found.Logical, !found.IsRaw));
        }
    }

    /// <summary>An extent of known content.</summary>
    internal readonly record struct Place(PackId Pack, long Position, int Length, bool Encoded);
}
