using Akka.Actor;
using Holdfast.Actors.Protection;
using Holdfast.Policies;
using Holdfast.Runtime.Protection.Triggers;
using Holdfast.Runtime.Storage;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Protection;

/// <summary>An application with its snapshots, as the entity that carries its policies out sees it.</summary>
internal sealed class ProtectedApplication(string name, SnapshotStore? store, Func<ApplicationRecord?> record, SnapshotCopies? copies = null) : IProtectedObject
{
    private volatile IActorRef? _supervisor;

    public string Name => name;

    /// <summary>Set once the application runs.</summary>
    public IActorRef? Supervisor
    {
        get => _supervisor;
        set => _supervisor = value;
    }

    public IReadOnlyList<StoredSnapshot> Snapshots() => Of(store, name);

    /// <summary>The snapshots that can be read; a damaged one may yet be repaired and is nobody's to remove by a rule.</summary>
    public static IReadOnlyList<StoredSnapshot> Of(SnapshotStore? store, string name) => store is null ? [] :
    [
        .. store.List(name).Where(s => s.Damage is null).Select(s => Of(store, s)),
    ];

    public static StoredSnapshot Of(SnapshotStore store, SnapshotInfo s) => Of(s, store.PinsOf(s));

    public static StoredSnapshot Of(SnapshotInfo s, IReadOnlyList<string> pins) => new(
        s.Id, s.CreatedAt, true, s.Tags, pins, s.LogicalBytes, s.NewBytes, s.StoredBytes);

    public string? Remove(string snapshot)
    {
        try
        {
            store!.Forget(store.Find(name, snapshot));
            return null;
        }
        catch (SnapshotStoreException e) when (e.Code == "snapshot.unknown")
        {
            return null;
        }
        catch (SnapshotStoreException e)
        {
            return $"{name}@{snapshot} cannot be removed: {e.Message}";
        }
    }

    public void CollectGarbage() => store!.CollectGarbage();

    public Task<CopyOutcome> CopyAsync(CopyOrder order, CancellationToken cancel) =>
        copies?.CopyAsync(order, cancel) ?? throw new InvalidOperationException($"{name} has no store to copy from");

    public ITriggerWatcher Watch(TriggerCondition condition) => condition.Kind switch
    {
        TriggerKind.Cpu => new CpuWatcher(record),
        TriggerKind.MemoryChange => new MemoryWatcher(record),
        TriggerKind.Network => new NetworkWatcher(record),
        TriggerKind.Storage => new StorageWatcher(record),
        TriggerKind.Pressure => new PressureWatcher(record, condition.Target),
        TriggerKind.ConfigurationChange => new FileWatcher(condition.Target),
        TriggerKind.Program => new ProgramWatcher(condition.Target, condition.ExitStatus, condition.Poll.ToTimeSpan()),
        _ => throw new InvalidOperationException($"{condition.Kind} is watched by nobody"),
    };
}
