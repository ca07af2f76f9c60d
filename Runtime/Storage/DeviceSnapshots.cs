using Holdfast.Actors.Protection;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Storage;

/// <summary>The snapshots on a device of any kind: what there is, taking some away, giving their space back.</summary>
/// <param name="device">The device.</param>
/// <param name="own">This store: a bucket belongs to it. Null when there is none, which only a bucket minds.</param>
internal sealed class DeviceSnapshots(Device device, SnapshotStore? own)
{
    /// <summary>Headers of a bucket's snapshots that were fetched, by id: they never change.</summary>
    public IDictionary<string, SnapshotInfo>? Fetched { get; init; }

    private SnapshotStore Own => own ?? throw new HoldfastException("store.missing", $"{device.Name} holds a store's own files, and there is no store here; name it with --store");

    /// <summary>Why a snapshot must not go yet; null when it may.</summary>
    public static string? MustStay(SnapshotInfo snapshot) => SnapshotPolicyTag.In(snapshot.Tags)?.ImmutableUntil is { } until && until > TimeProvider.System.GetUtcNow()
        ? $"{snapshot.Address} is immutable until {until:yyyy-MM-dd HH:mm:ss} UTC, by a policy"
        : null;

    /// <summary>The snapshots of an object that are there, in the order of their creation, damaged ones too.</summary>
    public Task<IReadOnlyList<SnapshotInfo>> ListAsync(string name, CancellationToken cancel) => device.Bucket is { } bucket
        ? bucket.ListAsync(Own, name, Fetched, cancel)
        : device.Storage!.ListAsync(name, cancel);

    /// <summary>Takes a snapshot away there.</summary>
    /// <exception cref="SnapshotStoreException">It is not there (<c>snapshot.unknown</c>), somebody needs it (<c>snapshot.pinned</c>), or it is immutable (<c>snapshot.immutable</c>).</exception>
    public Task ForgetAsync(SnapshotInfo snapshot, CancellationToken cancel)
    {
        // Nodes and directories look at what they have themselves.
        if (device.Bucket is not { } bucket)
        {
            return device.Storage!.ForgetAsync(snapshot.Object, snapshot.Id, cancel);
        }

        return MustStay(snapshot) is { } why
            ? throw new SnapshotStoreException("snapshot.immutable", why)
            : bucket.ForgetAsync(Own, snapshot.Object, snapshot.Id, cancel);
    }

    /// <summary>Gives back the space of what no snapshot there refers to.</summary>
    public Task<CollectionReport> CollectAsync(CancellationToken cancel) => device.Bucket is { } bucket
        ? bucket.CollectAsync(Own, cancel)
        : device.Storage!.CollectAsync(cancel);
}
