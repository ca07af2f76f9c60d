using System.CommandLine;
using System.Globalization;
using Holdfast.Runtime.Storage;
using Holdfast.Runtime.Supervision;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Cli.Commands;

/// <summary><c>holdfast list</c>, <c>show</c> and <c>snapshots</c>: what there is.</summary>
internal static class ListCommands
{
    public static Command List(Executor executor)
    {
        DocumentedCommand command = new("list", "Lists the applications of the store, and what it has only snapshots of.")
        {
            Examples = [("holdfast list", "one row each"), ("holdfast -o json list", "one object a line")],
        };
        command.SetAction(parsed => executor.Execute(parsed, false, session => Task.FromResult(ListAll(session))));
        return command;
    }

    /// <summary>A command as it stands in a table: an argument may hold several lines, or what a terminal would obey.</summary>
    private static string OneLine(IReadOnlyList<string> command) => string.Concat(string.Join(' ', command).Select(letter => char.IsControl(letter) ? ' ' : letter));

    public static Command Show(Executor executor)
    {
        Argument<string> name = Options.Name();
        DocumentedCommand command = new("show", "Shows an application and its snapshots.") { Examples = [("holdfast show web", "all that is known about it")] };
        command.Arguments.Add(name);
        command.SetAction(parsed => executor.Execute(parsed, false, session => Task.FromResult(ShowOne(session, parsed.GetRequiredValue(name)))));
        return command;
    }

    public static Command Snapshots(Executor executor)
    {
        Argument<string> name = Options.Name();
        DocumentedCommand command = new("snapshots", "Lists the snapshots of an application, the oldest first.")
        {
            Examples = [("holdfast snapshots web", "one row each")],
        };
        command.Arguments.Add(name);
        command.SetAction(parsed => executor.Execute(parsed, false, session => Task.FromResult(ListSnapshots(session, parsed.GetRequiredValue(name)))));
        return command;
    }

    public static SnapshotJson ToJson(SnapshotInfo s) => new(
        s.Object, s.Id, s.Parent, s.CreatedAt, Integer(s, ApplicationSnapshots.ProcessesTag), Integer(s, ApplicationSnapshots.ThreadsTag),
        double.TryParse(s.Tags.GetValueOrDefault(ApplicationSnapshots.FreezeTag), CultureInfo.InvariantCulture, out double ms) ? ms : null,
        s.LogicalBytes, s.StoredBytes, s.Damage)
    {
        VolumesFreezeMs = double.TryParse(s.Tags.GetValueOrDefault(ApplicationSnapshots.VolumesFreezeTag), CultureInfo.InvariantCulture, out double inside) ? inside : null,
    };

    private static int? Integer(SnapshotInfo snapshot, string tag) =>
        int.TryParse(snapshot.Tags.GetValueOrDefault(tag), CultureInfo.InvariantCulture, out int value) ? value : null;

    private static int ListAll(Session session)
    {
        SnapshotStore? store = session.Store.ExistingSnapshots();
        List<ApplicationJson> all = [];
        foreach ((ApplicationDirectory directory, ApplicationRecord record) in session.Store.AllApplications())
        {
            bool runs = ApplicationDirectory.Runs(record);
            all.Add(new ApplicationJson(
                record.Name, runs ? "running" : "ended", runs ? record.MainPid : null, runs && IsSupervised(directory),
                runs ? null : ApplicationDirectory.ExitStatusOf(record), record.Started, record.Ended, store?.List(record.Name).Count ?? 0, record.Command)
            {
                Volumes = record.Volumes,
                Loading = runs ? LoadingOf(directory, record) : null,
            });
        }

        // What never ran here, or was moved here, has snapshots only.
        foreach (string name in (store?.Objects() ?? []).Except(all.Select(a => a.Name)))
        {
            IReadOnlyList<SnapshotInfo> snapshots = store!.List(name);
            if (snapshots.Count == 0)
            {
                continue;
            }

            IReadOnlyDictionary<string, string> tags = snapshots[^1].Tags;
            string what = tags.GetValueOrDefault(PathObject.PathTag) ?? tags.GetValueOrDefault(ApplicationSnapshots.CommandTag) ?? "";
            all.Add(new ApplicationJson(name, "stored", null, false, null, snapshots[0].CreatedAt, null, snapshots.Count, [what]));
        }

        if (session.Output.Json)
        {
            all.ForEach(a => session.Output.Result(a, OutputJson.Default.ApplicationJson, _ => ""));
        }
        else if (all.Count > 0)
        {
            session.Output.Text(Output.Table(
                ["NAME", "STATE", "PID", "SNAPSHOTS", "STARTED", "COMMAND"],
                all.Select(a => (string[])[a.Name, State(a.State, a.ExitStatus, a.Supervised, a.Loading), $"{a.Pid}", $"{a.Snapshots}", Output.Time(a.Started), OneLine(a.Command)])));
        }
        else
        {
            session.Output.Note($"no applications in {session.Store.Root}");
        }

        return ExitStatus.Done;
    }

    private static int ShowOne(Session session, string name)
    {
        (ApplicationDirectory directory, ApplicationRecord record) = session.Store.Existing(name);
        bool runs = ApplicationDirectory.Runs(record);
        bool supervised = runs && IsSupervised(directory);
        IReadOnlyList<SnapshotJson> snapshots = [.. (session.Store.ExistingSnapshots()?.List(name) ?? []).Select(ToJson)];
        ApplicationDetailJson detail = new(
            name, runs ? "running" : "ended", runs ? record.MainPid : null, supervised, supervised ? record.SupervisorPid : null,
            runs ? null : ApplicationDirectory.ExitStatusOf(record), record.Started, record.Ended, record.Command, record.RestoredFrom,
            record.EverySeconds, directory.Path, snapshots)
        {
            Volumes = record.Volumes,
            Intercepted = record.Intercepted,
            Loading = runs ? LoadingOf(directory, record) : null,
            EndedBecause = record.EndedBecause,
        };
        session.Output.Result(detail, OutputJson.Default.ApplicationDetailJson, d => Output.Table(
            ["name", d.Name],
            ((string[][])[
                ["state", State(d.State, d.ExitStatus, d.Supervised, d.Loading)],
                ["ended because", d.EndedBecause ?? ""],
                ["pid", $"{d.Pid}"],
                ["supervisor", d.SupervisorPid is { } pid ? $"pid {pid}" : d.State == "running" ? "none; 'holdfast run --adopt' is one" : ""],
                ["command", OneLine(d.Command)],
                ["started", Output.Time(d.Started)],
                ["ended", d.Ended is { } ended ? Output.Time(ended) : ""],
                ["restored from", d.RestoredFrom ?? ""],
                ["checkpoint every", d.EverySeconds is { } s ? string.Create(CultureInfo.InvariantCulture, $"{s:0.###} s") : ""],
                ["volumes", string.Join(", ", d.Volumes)],
                ["intercepted", d.Intercepted ? "yes; 'holdfast check' says which processes" : ""],
                ["directory", d.Directory],
                ["snapshots", $"{d.Snapshots.Count}"],
            ]).Where(r => r[1].Length > 0)));
        return ExitStatus.Done;
    }

    private static int ListSnapshots(Session session, string name)
    {
        ApplicationName.Checked(name);
        IReadOnlyList<SnapshotInfo> all = session.Store.ExistingSnapshots()?.List(name) ?? [];
        if (all.Count == 0 && !session.Store.Application(name).Exists)
        {
            throw new HoldfastException("app.unknown", $"there is neither an application {name} nor a snapshot of one in {session.Store.Root}");
        }

        if (session.Output.Json)
        {
            foreach (SnapshotInfo snapshot in all)
            {
                session.Output.Result(ToJson(snapshot), OutputJson.Default.SnapshotJson, _ => "");
            }
        }
        else if (all.Count == 0)
        {
            session.Output.Note($"{name} has no snapshots");
        }
        else
        {
            session.Output.Text(Output.Table(
                ["SNAPSHOT", "CREATED", "PROCESSES", "FROZEN", "SIZE", "STORED", ""],
                all.Select(ToJson).Select(s => (string[])[
                    s.Snapshot, s.Damage is null ? Output.Time(s.Created) : "", $"{s.Processes}", s.FreezeMs is { } ms ? Output.Milliseconds(ms) : "",
                    Output.Bytes(s.BytesLogical), Output.Bytes(s.BytesStored), s.Damage is null ? "" : $"damaged: {s.Damage}"])));
        }

        return ExitStatus.Done;
    }

    /// <summary>How far the memory of a running application is loaded; null when all is in place. Without a supervisor nobody knows how far.</summary>
    private static LoadingJson? LoadingOf(ApplicationDirectory directory, ApplicationRecord record)
    {
        if (record.Loading is null)
        {
            return null;
        }

        return AskAsync().GetAwaiter().GetResult();

        async Task<LoadingJson?> AskAsync()
        {
            if (RemoteSupervisor.TryConnect(directory.Socket, record.Name) is not { } supervisor)
            {
                return new LoadingJson(0, 0, 0, 0, $"nobody loads it; 'holdfast run --adopt {record.Name}' goes on");
            }

            await using (supervisor.ConfigureAwait(false))
            {
                try
                {
                    return await supervisor.LoadingAsync(CancellationToken.None).ConfigureAwait(false);
                }
                catch (HoldfastException)
                {
                    // It ended at this moment.
                    return null;
                }
            }
        }
    }

    private static string State(string state, int? exitStatus, bool supervised, LoadingJson? loading) => state == "stored"
        ? state
        : state == "running"
        ? (supervised ? "running" : "running, not supervised") + (loading is null ? "" : loading.Held is { } held ? $", memory missing: {held}" : string.Create(CultureInfo.InvariantCulture, $", loading {loading.Percent} %"))
        : exitStatus is { } status ? $"ended ({status})" : "ended";

    private static bool IsSupervised(ApplicationDirectory directory)
    {
        using ApplicationLock? held = directory.TryLock();
        return held is null;
    }
}
