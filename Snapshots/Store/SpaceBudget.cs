namespace Holdfast.Snapshots;

/// <summary>How much a writer may still add: what the quota leaves, and what the device has free beyond the reserve.</summary>
internal sealed class SpaceBudget
{
    /// <summary>Others write at the same time: look again after this many bytes.</summary>
    private const long LookAgain = 128 * 1024 * 1024;

    private readonly SnapshotStore _store;
    private readonly Lock _lock = new();
    private readonly long _before;
    private long _left;
    private long _own;
    private long _taken;

    internal SpaceBudget(SnapshotStore store)
    {
        _store = store;
        _before = store.Options.Quota is null ? 0 : store.PackBytes();
        _left = Math.Min(LookAgain, Available());
    }

    /// <exception cref="SnapshotStoreException">There is no room (<c>store.quota</c>, <c>store.full</c>).</exception>
    internal void Take(long bytes)
    {
        if (Interlocked.Add(ref _left, -bytes) < 0)
        {
            lock (_lock)
            {
                if (Interlocked.Read(ref _left) < 0)
                {
                    Interlocked.Exchange(ref _left, Math.Min(LookAgain + bytes, Available()));
                    if (Interlocked.Add(ref _left, -bytes) < 0)
                    {
                        throw Refusal(bytes);
                    }
                }
            }
        }

        Interlocked.Add(ref _own, bytes);
    }

    private long Available()
    {
        long available = new DriveInfo(_store.Layout.Packs).AvailableFreeSpace - _store.Options.MinimumFree;
        if (_store.Options.Quota is { } quota)
        {
            // What was taken before may not have been written yet.
            _taken = Math.Max(_store.PackBytes(), _before + Interlocked.Read(ref _own));
            available = Math.Min(available, quota - _taken);
        }

        return available;
    }

    private SnapshotStoreException Refusal(long bytes)
    {
        long free = new DriveInfo(_store.Layout.Packs).AvailableFreeSpace;
        return _store.Options.Quota is { } quota && quota - _taken < free - _store.Options.MinimumFree
            ? new SnapshotStoreException("store.quota", $"the store in {_store.Directory} takes {_taken} of {quota} bytes and {bytes} more are needed; forget snapshots and run gc, or raise the quota")
            : new SnapshotStoreException("store.full", $"the device of {_store.Directory} has {free} bytes free, of which {_store.Options.MinimumFree} are kept; forget snapshots and run gc, or free space");
    }
}
