using System.CommandLine;
using Holdfast.Actors.Protection;
using Holdfast.Runtime.Storage;
using Holdfast.Runtime.Supervision;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Cli.Commands;

/// <summary><c>holdfast forget</c>: deletes snapshots.</summary>
internal static class ForgetCommand
{
    public static Command Build(Executor executor)
    {
        Argument<string> address = new("NAME[@SNAPSHOT]") { Description = "A snapshot; or, with --all, an application that has ended" };
        Option<bool> everything = Options.Flag("--all", "All snapshots of an application that has ended, and what is known about it");
        Option<bool> pinned = Options.Flag("--pinned", "Also a snapshot that an interrupted migration still needs; that one then starts anew");
        DocumentedCommand command = new("forget", "Deletes a snapshot. Others are not harmed; 'holdfast gc' gives the space back.")
        {
            Examples = [("holdfast forget web@1st", "deletes the oldest"), ("holdfast forget web --all", "deletes everything about web"), ("holdfast forget web@1st --pinned", "also when a migration was never brought to its end")],
        };
        command.Arguments.Add(address);
        command.Options.Add(everything);
        command.Options.Add(pinned);
        command.Validators.Add(result =>
        {
            string text = result.GetValue(address) ?? "";
            if (text.Contains('@') == result.GetValue(everything))
            {
                result.AddError("either NAME@SNAPSHOT, or NAME with --all");
            }
        });
        command.SetAction(parsed => executor.Execute(parsed, false, session => Task.FromResult(parsed.GetValue(everything)
            ? ForgetAll(session, parsed.GetRequiredValue(address), parsed.GetValue(pinned))
            : ForgetOne(session, parsed.GetRequiredValue(address), parsed.GetValue(pinned)))));
        return command;
    }

    private static int ForgetOne(Session session, string address, bool pinned)
    {
        SnapshotInfo snapshot = session.Store.Snapshot(address);
        RefuseImmutable(snapshot);
        Forget(session.Store.Snapshots(), snapshot, pinned);
        Confirm(session, snapshot);
        return ExitStatus.Done;
    }

    private static void Forget(SnapshotStore store, SnapshotInfo snapshot, bool pinned)
    {
        foreach (string owner in pinned ? store.PinsOf(snapshot) : [])
        {
            store.Unpin(snapshot, owner);
        }

        store.Forget(snapshot);
    }

    private static int ForgetAll(Session session, string name, bool pinned)
    {
        ApplicationDirectory directory = session.Store.Application(name);
        SnapshotStore? store = session.Store.ExistingSnapshots();
        IReadOnlyList<SnapshotInfo> snapshots = store?.List(name) ?? [];
        if (!directory.Exists && snapshots.Count == 0)
        {
            throw new HoldfastException("app.unknown", $"there is neither an application {name} nor a snapshot of one in {session.Store.Root}");
        }

        using ApplicationLock? held = directory.Exists
            ? ApplicationSlot.Take(directory)?.Lock ?? throw new HoldfastException("app.running", $"{name} runs; 'holdfast kill {name}' ends it first")
            : null;
        Remains.Remove(session, directory.Read());
        foreach (SnapshotInfo snapshot in snapshots)
        {
            RefuseImmutable(snapshot);
        }

        foreach (SnapshotInfo snapshot in snapshots)
        {
            Forget(store!, snapshot, pinned);
            Confirm(session, snapshot);
        }

        directory.Delete();
        session.Output.Confirm(new ForgottenJson(name, null), OutputJson.Default.ForgottenJson, f => $"{f.Name} is forgotten");
        return ExitStatus.Done;
    }

    private static void RefuseImmutable(SnapshotInfo snapshot)
    {
        if (SnapshotPolicyTag.In(snapshot.Tags)?.ImmutableUntil is { } until && until > TimeProvider.System.GetUtcNow())
        {
            throw new HoldfastException("snapshot.immutable", $"{snapshot.Address} is immutable until {until:yyyy-MM-dd HH:mm:ss} UTC, by a policy");
        }
    }

    private static void Confirm(Session session, SnapshotInfo snapshot) => session.Output.Confirm(
        new ForgottenJson(snapshot.Object, snapshot.Id), OutputJson.Default.ForgottenJson, f => $"{f.Name}@{f.Snapshot} is forgotten");
}
