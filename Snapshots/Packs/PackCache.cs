using System.Collections.Concurrent;

namespace Holdfast.Snapshots;

/// <summary>The packs that a reader has open. Several threads may ask at once.</summary>
internal sealed class PackCache(string directory, Vault? vault) : IDisposable
{
    private readonly ConcurrentDictionary<PackId, Lazy<PackReader>> _packs = new();

    internal PackReader Get(PackId id)
    {
        if (_packs.TryGetValue(id, out Lazy<PackReader>? pack))
        {
            return pack.Value;
        }

        return _packs.GetOrAdd(id, new Lazy<PackReader>(() => new PackReader(directory, id, vault))).Value;
    }

    public void Dispose()
    {
        foreach (Lazy<PackReader> pack in _packs.Values)
        {
            if (pack.IsValueCreated)
            {
                pack.Value.Dispose();
            }
        }

        _packs.Clear();
    }
}
