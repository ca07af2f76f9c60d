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
    private const string Prefix = "application ", Suffix = " is still loading its memory from it";

    /// <summary>Keeps the snapshot that a record names from being forgotten.</summary>
    public static void Pin(SnapshotStore store, ApplicationRecord record)
    {
        if (record.Loading is { } loading)
        {
            store.Pin(store.Find(loading.Object, loading.Snapshot), Owner(record));
        }
    }

    /// <summary>Lets it be forgotten again. Does nothing when it is not pinned.</summary>
    public static void Unpin(SnapshotStore store, ApplicationRecord record) => store.UnpinAll(Owner(record));

    /// <summary>Takes away what a restore left that died before its application was on record, or a supervisor that died just after the last page.</summary>
    public static void RemoveStale(Session session, SnapshotStore store, SnapshotInfo snapshot)
    {
        foreach (string owner in store.PinsOf(snapshot))
        {
            if (owner.StartsWith(Prefix, StringComparison.Ordinal) && owner.EndsWith(Suffix, StringComparison.Ordinal)
                && owner[Prefix.Length..^Suffix.Length] is var name && ApplicationName.IsValid(name) && IsStale(session.Store.Application(name)))
            {
                store.Unpin(snapshot, owner);
            }
        }
    }

    private static bool IsStale(ApplicationDirectory directory)
    {
        if (!directory.Exists)
        {
            return true;
        }

        // Who holds the lock may be restoring it at this moment.
        using ApplicationLock? held = directory.TryLock();
        return held is not null && (directory.Read() is not { Loading: not null } record || !ApplicationDirectory.Runs(record));
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

    private static string Owner(ApplicationRecord record) => Prefix + record.Name + Suffix;
}
