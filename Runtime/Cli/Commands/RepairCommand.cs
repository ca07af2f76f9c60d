using System.CommandLine;
using Holdfast.Runtime.Storage;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Cli.Commands;

/// <summary><c>holdfast repair</c>: heals what a verification finds, from another device.</summary>
internal static class RepairCommand
{
    public static Command Build(Executor executor)
    {
        Option<string> from = new("--from") { Description = "A device that has the same snapshots: a directory, https://HOST:PORT, or s3://BUCKET/PREFIX", HelpName = "DEVICE", Required = true };
        DeviceOptions devices = new();
        DocumentedCommand command = new("repair", "Verifies the store and heals what is damaged with what another device has. Ends with 1 when something stays damaged.")
        {
            Examples = [("holdfast repair --from /mnt/backup", "from the store in another directory"), ("holdfast repair --from https://node2:7420", "from a node")],
        };
        command.Options.Add(from);
        foreach (Option option in devices.All)
        {
            command.Options.Add(option);
        }

        command.SetAction(parsed => executor.ExecuteCancellable(parsed, async (session, cancellation) =>
        {
            SnapshotStore store = session.Store.RequiredSnapshots();
            await using Device device = Device.Open(parsed.GetRequiredValue(from), devices.Read(parsed, session), session.StoreOptions(), AbsentStore.Refused);
            ProgressLine progress = new(session.Output);
            VerifyReport found = store.Verify(bytes => progress.Show("verify", bytes));
            RepairReport report = await RepairAsync(session, store, device, found, cancellation).ConfigureAwait(false);
            VerifyReport after = found.IsSound ? found : store.Verify(bytes => progress.Show("verify again", bytes));
            session.Output.Result(
                new RepairJson(after.IsSound, report.Healed, [.. report.Failed.Select(f => new UnhealedJson(f.Snapshot, f.Reason))], after.Findings.Count, report.BytesFetched),
                StorageJson.Default.RepairJson,
                r => string.Join('\n', r.Healed.Select(h => $"{h} is healed").Concat(r.Failed.Select(f => $"{f.Snapshot} stays damaged: {f.Reason}"))
                    .Concat(after.Findings.Select(f => f.Message))
                    .Append($"{Output.Bytes(r.BytesFetched)} fetched: {(r.Sound ? "sound" : $"{r.Findings} findings remain")}")));
            return after.IsSound ? ExitStatus.Done : ExitStatus.Failed;
        }));
        return command;
    }

    private static async Task<RepairReport> RepairAsync(Session session, SnapshotStore store, Device device, VerifyReport found, CancellationToken cancellation)
    {
        if (found.IsSound)
        {
            return new RepairReport([], [], 0);
        }

        if (device.Bucket is not { } bucket)
        {
            return await store.RepairAsync(device.Storage!, found, cancellation).ConfigureAwait(false);
        }

        // A bucket keeps files: those of the damaged objects are fetched, and read as a store.
        string beside = Path.Combine(store.Directory, $"fetched-{Environment.ProcessId}");
        try
        {
            foreach (string name in store.Objects())
            {
                using SnapshotStore copy = await bucket.FetchAsync(beside, session.StoreOptions(), name, cancel: cancellation).ConfigureAwait(false);
            }

            using SnapshotStore all = SnapshotStore.Open(beside, session.StoreOptions() with { Create = false });
            await using StoreDevice source = new(all);
            return await store.RepairAsync(source, found, cancellation).ConfigureAwait(false);
        }
        finally
        {
            if (Directory.Exists(beside))
            {
                Directory.Delete(beside, true);
            }
        }
    }
}
