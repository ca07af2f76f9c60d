using System.Collections.Concurrent;

namespace Holdfast.Snapshots;

/// <summary>The packs that a reader uses. Several threads may ask at once.</summary>
internal sealed class PackCache : IDisposable
{
    private readonly OpenPacks _open;
    private readonly bool _alone;
    private readonly ConcurrentDictionary<PackId, Lazy<OpenPacks.Entry>> _packs = new();

    /// <summary>Shares the packs with all readers of the store in this process.</summary>
    internal PackCache(OpenPacks open) => _open = open;

    /// <summary>Opens all packs itself, and closes them when it is disposed of.</summary>
    internal PackCache(SnapshotStore store)
    {
        _open = new OpenPacks(store.Layout.Packs, () => store.Vault);
        _alone = true;
    }

    /// <inheritdoc cref="OpenPacks.Leaves"/>
    internal LeafCache? Leaves => _open.Leaves;

    internal PackReader Get(PackId id)
    {
        if (!_packs.TryGetValue(id, out Lazy<OpenPacks.Entry>? pack))
        {
            pack = _packs.GetOrAdd(id, new Lazy<OpenPacks.Entry>(() => _open.Acquire(id)));
        }

        return pack.Value.Pack;
    }

    public void Dispose()
    {
        foreach (Lazy<OpenPacks.Entry> pack in _packs.Values)
        {
            if (pack.IsValueCreated)
            {
                _open.Release(pack.Value);
            }
        }

        _packs.Clear();
        if (_alone)
        {
            _open.Dispose();
        }
    }
}
