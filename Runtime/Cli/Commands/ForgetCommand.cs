using System.CommandLine;
using Holdfast.KernelBridge.Spaces;
using Holdfast.Runtime.Storage;
using Holdfast.Runtime.Supervision;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Cli.Commands;

/// <summary><c>holdfast forget</c>: deletes snapshots.</summary>
internal static class ForgetCommand
{
    public static Command Build(Executor executor)
    {
        Argument<string[]> addresses = new("NAME[@SNAPSHOT]") { Description = "Snapshots; or, with --all, applications that have ended", Arity = ArgumentArity.OneOrMore };
        Option<bool> everything = Options.Flag("--all", "All snapshots of an application that has ended, and what is known about it");
        Option<bool> pinned = Options.Flag("--pinned", "Also a snapshot that an interrupted migration still needs; that one then starts anew");
        Option<string?> on = Options.Text("--on", "DEVICE", "Deletes on another device: a directory, https://HOST:PORT or s3://BUCKET/PREFIX (default: in this store)");
        DeviceOptions device = new();
        DocumentedCommand command = new("forget", "Deletes snapshots. Others are not harmed; 'holdfast gc' gives the space back.")
        {
            Examples = [("holdfast forget web@1st", "deletes the oldest"), ("holdfast forget web@1st web@2nd", "deletes the two oldest"), ("holdfast forget web --all", "deletes everything about web"), ("holdfast forget web@1st --on s3://backup/web", "deletes the oldest copy there; 'holdfast gc --on' gives its space back"), ("holdfast forget web@1st --pinned", "also when a migration was never brought to its end")],
        };
        command.Arguments.Add(addresses);
        command.Options.Add(everything);
        command.Options.Add(pinned);
        command.Options.Add(on);
        foreach (Option option in device.All)
        {
            command.Options.Add(option);
        }

        command.Validators.Add(result =>
        {
            bool all = result.GetValue(everything);
            if ((result.GetValue(addresses) ?? []).Any(text => text.Contains('@') == all))
            {
                result.AddError("either NAME@SNAPSHOT, or NAME with --all");
            }

            if (result.GetValue(on) is not null && (all || result.GetValue(pinned)))
            {
                result.AddError("--on deletes NAME@SNAPSHOT, and only what nobody needs there");
            }
        });
        command.SetAction(parsed => executor.Execute(parsed, false, async session =>
        {
            string[] named = parsed.GetRequiredValue(addresses);
            if (parsed.GetValue(on) is { } there)
            {
                await ForgetOnAsync(session, there, device.Read(parsed, session), named, CancellationToken.None).ConfigureAwait(false);
                return ExitStatus.Done;
            }

            if (!parsed.GetValue(everything))
            {
                ForgetEach(session, named, parsed.GetValue(pinned));
                return ExitStatus.Done;
            }

            foreach (string name in named)
            {
                ForgetAll(session, name, parsed.GetValue(pinned));
            }

            return ExitStatus.Done;
        }));
        return command;
    }

    private static void ForgetEach(Session session, string[] addresses, bool pinned)
    {
        // All are found before the first goes: a number such as 2nd means what it meant when the command was given.
        List<SnapshotInfo> snapshots = [.. addresses.Select(session.Store.Snapshot).DistinctBy(snapshot => snapshot.Address)];
        snapshots.ForEach(RefuseImmutable);
        foreach (SnapshotInfo snapshot in snapshots)
        {
            Forget(session, session.Store.Snapshots(), snapshot, pinned);
            KeptConnections.Drop(session.Store.Application(snapshot.Object).Connections(snapshot.Id));
            Confirm(session, snapshot);
        }
    }

    private static async Task ForgetOnAsync(Session session, string device, DeviceAccess access, string[] addresses, CancellationToken cancel)
    {
        await using Device opened = Device.Open(device, access, session.StoreOptions(), AbsentStore.Refused);
        DeviceSnapshots there = new(opened, session.Store.ExistingSnapshots());
        Dictionary<string, IReadOnlyList<SnapshotInfo>> listed = [];
        List<SnapshotInfo> snapshots = [];
        foreach (string address in addresses)
        {
            int at = address.IndexOf('@');
            string name = ApplicationName.Checked(address[..at]);
            listed.TryAdd(name, listed.GetValueOrDefault(name) ?? await there.ListAsync(name, cancel).ConfigureAwait(false));
            snapshots.Add(SnapshotStore.Choose(listed[name], name, address[(at + 1)..], opened.Name));
        }

        foreach (SnapshotInfo snapshot in snapshots.DistinctBy(s => s.Address))
        {
            await there.ForgetAsync(snapshot, cancel).ConfigureAwait(false);
            Confirm(session, snapshot);
        }
    }

    private static void Forget(Session session, SnapshotStore store, SnapshotInfo snapshot, bool pinned)
    {
        LazyMemory.RemoveStale(session, store, snapshot);
        foreach (string owner in pinned ? store.PinsOf(snapshot) : [])
        {
            store.Unpin(snapshot, owner);
        }

        store.Forget(snapshot);
    }

    private static void ForgetAll(Session session, string name, bool pinned)
    {
        ApplicationDirectory directory = session.Store.Application(name);
        SnapshotStore? store = session.Store.ExistingSnapshots();
        IReadOnlyList<SnapshotInfo> snapshots = store?.List(name) ?? [];
        if (!directory.Exists && snapshots.Count == 0)
        {
            throw new HoldfastException("app.unknown", $"there is neither an application {name} nor a snapshot of one in {session.Store.Root}");
        }

        using ApplicationLock? held = directory.Exists
            ? ApplicationSlot.Take(directory, session.Settings.ConnectTimeout)?.Lock ?? throw new HoldfastException("app.running", $"{name} runs; 'holdfast kill {name}' ends it first")
            : null;
        Remains.Remove(session, directory.Read());
        foreach (SnapshotInfo snapshot in snapshots)
        {
            RefuseImmutable(snapshot);
        }

        foreach (SnapshotInfo snapshot in snapshots)
        {
            Forget(session, store!, snapshot, pinned);
            Confirm(session, snapshot);
        }

        directory.DropConnections(except: null);
        directory.Delete();
        session.Output.Confirm(new ForgottenJson(name, null), OutputJson.Default.ForgottenJson, f => $"{f.Name} is forgotten");
    }

    private static void RefuseImmutable(SnapshotInfo snapshot)
    {
        if (DeviceSnapshots.MustStay(snapshot) is { } why)
        {
            throw new HoldfastException("snapshot.immutable", why);
        }
    }

    private static void Confirm(Session session, SnapshotInfo snapshot) => session.Output.Confirm(
        new ForgottenJson(snapshot.Object, snapshot.Id), OutputJson.Default.ForgottenJson, f => $"{f.Name}@{f.Snapshot} is forgotten");
}
