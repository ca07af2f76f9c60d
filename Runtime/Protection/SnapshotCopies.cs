using Holdfast.Actors.Protection;
using Holdfast.Runtime.Storage;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Protection;

/// <summary>Brings an application's snapshots to the devices that its policies name, as <c>holdfast migrate</c> does.</summary>
internal sealed class SnapshotCopies(string name, SnapshotStore store, StoreOptions own, DeviceAccess access)
{
    private readonly Dictionary<string, SnapshotInfo> _fetched = new(StringComparer.Ordinal);

    /// <summary>Devices on which something was removed whose space has not come back yet.</summary>
    private readonly HashSet<string> _uncollected = new(StringComparer.Ordinal);

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

            DeviceSnapshots snapshots = new(device, store) { Fetched = _fetched };
            IReadOnlyList<SnapshotInfo> there = await PresentAsync(snapshots, cancel).ConfigureAwait(false);
            before = Ids(there);
            CopyChoice choice = order.Choose([.. there.Select(s => ProtectedApplication.Of(s, []))]);
            await SendAsync(device, new MigrationOptions { BytesPerSecond = order.BytesPerSecond, Only = choice.Send }, cancel).ConfigureAwait(false);
            string? trouble = await RemoveAsync(device.Name, snapshots, [.. there.Where(s => choice.Remove.Contains(s.Id))], cancel).ConfigureAwait(false);
            return new CopyOutcome(before, Ids(await PresentAsync(snapshots, cancel).ConfigureAwait(false)), trouble);
        }
        catch (Exception e) when (e is not OperationCanceledException)
        {
            // Whatever it is, it is told and tried again. What was confirmed before it broke is found then.
            return new CopyOutcome(before, before, e.Message);
        }
    }

    private async Task SendAsync(Device device, MigrationOptions options, CancellationToken cancel)
    {
        if (options.Only is not { Count: > 0 })
        {
            return;
        }

        if (device.Bucket is { } bucket)
        {
            await bucket.SendAsync(store, name, options, null, cancel).ConfigureAwait(false);
        }
        else
        {
            await new Migration(store, device.Storage!, options).RunAsync(name, cancel).ConfigureAwait(false);
        }
    }

    private async Task<IReadOnlyList<SnapshotInfo>> PresentAsync(DeviceSnapshots snapshots, CancellationToken cancel) =>
        [.. (await snapshots.ListAsync(name, cancel).ConfigureAwait(false)).Where(s => s.Damage is null)];

    private static IReadOnlyList<string> Ids(IReadOnlyList<SnapshotInfo> snapshots) => [.. snapshots.Select(s => s.Id)];

    /// <summary>Copies go when no rule needs them there, and their space comes back.</summary>
    /// <returns>What kept it from being so, beyond what the next time brings; null for nothing.</returns>
    private async Task<string?> RemoveAsync(string device, DeviceSnapshots snapshots, IReadOnlyList<SnapshotInfo> expendable, CancellationToken cancel)
    {
        foreach (SnapshotInfo snapshot in expendable)
        {
            try
            {
                await snapshots.ForgetAsync(snapshot, cancel).ConfigureAwait(false);
                _uncollected.Add(device);
            }
            catch (SnapshotStoreException e) when (e.Code is "snapshot.unknown" or "snapshot.pinned" or "snapshot.immutable")
            {
                // Somebody needs it there, or was faster: it is looked at again next time.
            }
            catch (SnapshotStoreException e) when (e.Code == "request.unknown")
            {
                return $"{device} has an older version of this program, which removes nothing for others";
            }
        }

        if (!_uncollected.Contains(device))
        {
            return null;
        }

        try
        {
            CollectionReport report = await snapshots.CollectAsync(cancel).ConfigureAwait(false);
            if (report.Damaged.Count > 0)
            {
                return $"no space is given back on {device}: {report.Damaged[0].Message}";
            }

            _uncollected.Remove(device);
            return null;
        }
        catch (SnapshotStoreException e) when (e.Code is "store.busy" or "device.busy")
        {
            // Somebody sends there or collects: the next time.
            return null;
        }
        catch (SnapshotStoreException e) when (e.Code == "device.references")
        {
            return e.Message;
        }
    }
}
