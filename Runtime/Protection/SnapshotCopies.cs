using Holdfast.Actors.Protection;
using Holdfast.Runtime.Storage;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Protection;

/// <summary>Brings an application's snapshots to the devices that its policies name, as <c>holdfast migrate</c> does.</summary>
internal sealed class SnapshotCopies(string name, SnapshotStore store, StoreOptions own, DeviceAccess access)
{
    /// <summary>Brings the device up to date. What is there stays known when the device breaks in the middle.</summary>
    public async Task<CopyOutcome> CopyAsync(CopyOrder order, CancellationToken cancel)
    {
        IReadOnlyList<string>? before = null;
        try
        {
            await using Device device = Device.Open(order.Device, access, own, AbsentStore.Made);
            if (order.Encrypted && device.Store is { IsEncrypted: false })
            {
                throw new HoldfastException("policy.encryption", $"encryption is required, and the store in {order.Device} is not encrypted");
            }

            MigrationOptions options = new() { BytesPerSecond = order.BytesPerSecond };
            if (device.Bucket is { } bucket)
            {
                options = options with { Only = order.Choose([]).Send };
                HashSet<string> missing = [.. (await bucket.PlanAsync(store, name, options, null, cancel).ConfigureAwait(false)).Steps.Select(s => s.Snapshot.Id)];
                before = [.. options.Only.Where(s => !missing.Contains(s))];
                await bucket.SendAsync(store, name, options, null, cancel).ConfigureAwait(false);
                return new CopyOutcome(before, [.. options.Only], null);
            }

            IStorageDevice storage = device.Storage!;
            IReadOnlyList<SnapshotInfo> there = await PresentAsync(storage, cancel).ConfigureAwait(false);
            before = Ids(there);
            CopyChoice choice = order.Choose([.. there.Select(s => ProtectedApplication.Of(s, []))]);
            if (choice.Send.Count > 0)
            {
                await new Migration(store, storage, options with { Only = choice.Send }).RunAsync(name, cancel).ConfigureAwait(false);
            }

            if (device.Store is { } its)
            {
                Remove(its, choice.Remove);
            }

            return new CopyOutcome(before, Ids(await PresentAsync(storage, cancel).ConfigureAwait(false)), null);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            // Whatever it is, it is told and tried again. What was confirmed before it broke is found then.
            return new CopyOutcome(before, before, e.Message);
        }
    }

    private async Task<IReadOnlyList<SnapshotInfo>> PresentAsync(IStorageDevice storage, CancellationToken cancel) =>
        [.. (await storage.ListAsync(name, cancel).ConfigureAwait(false)).Where(s => s.Damage is null)];

    private static IReadOnlyList<string> Ids(IReadOnlyList<SnapshotInfo> snapshots) => [.. snapshots.Select(s => s.Id)];

    /// <summary>A directory's copies go when no rule needs them there.</summary>
    private void Remove(SnapshotStore there, IReadOnlyList<string> expendable)
    {
        foreach (string id in expendable)
        {
            try
            {
                there.Forget(there.Find(name, id));
            }
            catch (SnapshotStoreException e) when (e.Code is "snapshot.unknown" or "snapshot.pinned")
            {
                // Somebody needs it there, or was faster: it is looked at again next time.
            }
        }

        if (expendable.Count > 0)
        {
            there.CollectGarbage();
        }
    }
}
