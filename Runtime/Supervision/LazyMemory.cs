using Holdfast.KernelBridge;
using Holdfast.Runtime.Cli;
using Holdfast.Runtime.Storage;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Supervision;

/// <summary>
/// The snapshot from which an application that was restored lazily still loads its memory: pinned from before its restore until all is in place or it has ended, so
/// that it is there for whoever goes on after a supervisor that died.
/// </summary>
internal static class LazyMemory
{
    /// <summary>Keeps the snapshot that a record names from being forgotten.</summary>
    public static void Pin(SnapshotStore store, ApplicationRecord record)
    {
        if (record.Loading is { } loading)
        {
            store.Pin(store.Find(loading.Object, loading.Snapshot), Owner(record));
        }
    }

    /// <summary>Lets it be forgotten again. Does nothing when it is not pinned.</summary>
    public static void Unpin(SnapshotStore store, ApplicationRecord record)
    {
        if (record.Loading is not null)
        {
            store.UnpinAll(Owner(record));
        }
    }

    /// <summary>Opens it for going on; null when nothing is missing.</summary>
    /// <param name="session">Store and settings.</param>
    /// <param name="record">The application.</param>
    /// <param name="opened">Is given the reader, which has to last until all is loaded.</param>
    public static Func<LoadingSource>? Source(Session session, ApplicationRecord record, Action<SnapshotReader> opened) => record.Loading is not { } loading ? null : () =>
    {
        SnapshotStore store = session.Store.Snapshots();
        SnapshotReader reader = store.OpenSnapshot(store.Find(loading.Object, loading.Snapshot));
        opened(reader);
        return new LoadingSource(reader.State, new SnapshotPages(reader)) { Rate = session.Settings.LoadingRate };
    };

    private static string Owner(ApplicationRecord record) => $"application {record.Name} is still loading its memory from it";
}
