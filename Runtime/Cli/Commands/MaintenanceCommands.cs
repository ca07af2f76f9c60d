using System.CommandLine;
using Holdfast.Runtime.Storage;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Cli.Commands;

/// <summary><c>holdfast verify</c> and <c>gc</c>: look after the store.</summary>
internal static class MaintenanceCommands
{
    public static Command Verify(Executor executor)
    {
        Option<bool> rebuild = Options.Flag("--rebuild", "First makes anew, from packs and manifests alone, the catalogue, and the header where it is damaged");
        DocumentedCommand command = new("verify", "Reads everything in the store and reports what is damaged. Ends with 1 when something is.")
        {
            Examples =
            [
                ("holdfast verify", "one line for each damage; 'holdfast repair --from DEVICE' heals with a second copy"),
                ("holdfast verify --rebuild", "when the catalogue or the header is lost or damaged"),
            ],
        };
        command.Options.Add(rebuild);
        command.SetAction(parsed => executor.Execute(parsed, false, session =>
        {
            if (parsed.GetValue(rebuild))
            {
                Rebuild(session);
            }

            return Task.FromResult(Verify(session));
        }));
        return command;
    }

    public static Command Gc(Executor executor)
    {
        DocumentedCommand command = new("gc", "Gives back the space of what no snapshot refers to. May run while others read and write.")
        {
            Examples = [("holdfast gc", "after 'holdfast forget'"), ("holdfast gc --on https://node2:7420", "the same on another node"), ("holdfast gc --abandon 7d", "also what came of migrations to here that were broken off a week ago")],
        };
        Option<TimeSpan?> abandon = Options.Time("--abandon", "Also gives up transfers into this store to which nothing was added for this long");
        Option<string?> on = Options.Text("--on", "DEVICE", "On another device: a directory, https://HOST:PORT or s3://BUCKET/PREFIX (default: in this store)");
        DeviceOptions device = new();
        foreach (Option option in (Option[])[abandon, on, .. device.All])
        {
            command.Options.Add(option);
        }

        command.Validators.Add(result =>
        {
            if (result.GetValue(on) is not null && result.GetValue(abandon) is not null)
            {
                result.AddError("transfers into a device are given up there: --abandon is without --on");
            }
        });
        command.SetAction(parsed => executor.Execute(parsed, false, async session =>
        {
            if (parsed.GetValue(on) is { } there)
            {
                await using Device opened = Device.Open(there, device.Read(parsed, session), session.StoreOptions(), AbsentStore.Refused);
                return Report(session, await new DeviceSnapshots(opened, session.Store.ExistingSnapshots()).CollectAsync(CancellationToken.None).ConfigureAwait(false));
            }

            if (parsed.GetValue(abandon) is { } idle)
            {
                Store(session).AbandonTransfers(idle);
            }

            return Report(session, Store(session).CollectGarbage());
        }));
        return command;
    }

    private static int Report(Session session, CollectionReport report)
    {
        session.Output.Confirm(
            new GcJson(report.PacksRemoved, report.PacksTrimmed, report.PacksBusy, report.BytesFreed, report.Damaged.Count), OutputJson.Default.GcJson,
            g => $"{Output.Bytes(g.BytesFreed)} freed: {g.PacksRemoved} packs removed, {g.PacksTrimmed} trimmed{(g.PacksBusy > 0 ? $", {g.PacksBusy} in use" : "")}");
        foreach (SnapshotDamagedException damaged in report.Damaged)
        {
            // What it refers to is not known, so nothing was given back.
            session.Output.Note($"no pack is touched while a snapshot cannot be read: {damaged.Message}; repair or forget it");
        }

        return report.Damaged.Count == 0 ? ExitStatus.Done : ExitStatus.Failed;
    }

    private static void Rebuild(Session session)
    {
        SnapshotStore? store;
        try
        {
            store = session.Store.ExistingSnapshots();
        }
        catch (SnapshotDamagedException)
        {
            store = null;
        }

        if (store is not null)
        {
            store.Rebuild();
            return;
        }

        // Without a header, a directory with packs is a store that lost it; one without is none.
        if (!Directory.Exists(Path.Combine(session.Store.Root, "packs")))
        {
            throw new HoldfastException("store.missing", $"there is no store in {session.Store.Root}; name one with --store");
        }

        SnapshotStore.RebuildHeader(session.Store.Root).Dispose();
    }

    private static int Verify(Session session)
    {
        ProgressLine progress = new(session.Output);
        VerifyReport report = Store(session).Verify(bytes => progress.Show("verify", bytes));
        session.Output.Result(
            new VerifyJson(report.IsSound, report.Snapshots, report.Packs, report.BytesRead, [.. report.Findings.Select(ToJson)]), OutputJson.Default.VerifyJson,
            v => string.Join('\n', report.Findings.Select(f => f.Message).Append(
                $"{v.Snapshots} snapshots, {v.Packs} packs, {Output.Bytes(v.BytesRead)} read: {(v.Sound ? "sound" : $"{v.Findings.Count} findings")}")));
        return report.IsSound ? ExitStatus.Done : ExitStatus.Failed;
    }

    private static FindingJson ToJson(VerifyFinding f) => new(f.Code, f.File, f.Position, f.Snapshot, f.Stream, f.Offset, f.Length, f.Message);

    private static SnapshotStore Store(Session session) => session.Store.ExistingSnapshots()
        ?? throw new HoldfastException("store.missing", $"there is no store in {session.Store.Root}; name one with --store");
}
