using System.CommandLine;
using Holdfast.Actors.Restore;
using Holdfast.Actors.Supervision;
using Holdfast.KernelBridge;
using Holdfast.Runtime.Native;
using Holdfast.Runtime.Storage;
using Holdfast.Runtime.Supervision;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Cli.Commands;

/// <summary><c>holdfast restore</c>: brings an application back from a snapshot, and supervises it.</summary>
internal static class RestoreCommand
{
    private const string Name = "restore", Detach = "--detach";

    public static Command Build(Executor executor)
    {
        Argument<string?> address = new("NAME[@SNAPSHOT]")
        {
            Description = "The application and which snapshot: an id or its beginning, latest (the default), 1st, 2nd, -1",
            Arity = ArgumentArity.ZeroOrOne,
        };
        Option<string?> from = Options.Text("--from", "DIR", "A directory that 'dump' wrote, with the host's pids");
        Option<string?> to = Options.Text("--to", "PATH", "For a directory, a file or a block image: where it is put; a new path, an empty directory, or, for an image, a device");
        Option<string?> copy = Options.Text("--as", "NAME", "Restores a copy under another name, which may run beside the original");
        Option<bool> detach = Options.Flag(Detach, "Runs in the background; ends when the application runs again");
        Option<string?> log = Options.Text("--log", "FILE", "Where what was inherited as standard output and error is appended (with --detach: nowhere by default)");
        Option<string?> files = Options.ChangedFiles();
        Option<string[]> hook = new("--hook") { Description = "Adds an executable that is run before-restore, after-restore, or later before-freeze or after-resume; may be given several times", HelpName = "STAGE=FILE" };
        Option<bool> lazy = Options.Flag("--lazy", "Runs before its memory is loaded: pages come when they are needed, the rest in the background");
        Option<bool> rehearse = Options.Flag("--rehearse", "Builds and verifies everything, then removes it again: nothing runs, nothing is left");
        DocumentedCommand command = new(Name, "Restores an application from a snapshot: it goes on where it was. With --to, puts a directory, a file or an image back.")
        {
            Examples =
            [
                ("holdfast restore web", "from its latest snapshot, in the foreground"),
                ("holdfast restore web@1st --detach", "from its oldest, in the background"),
                ("holdfast restore web --as web2 --detach", "a copy of it, beside the original if that runs"),
                ("holdfast restore web --lazy --detach", "it runs at once, however large it is; 'holdfast show web' says how far its memory is loaded"),
                ("holdfast restore --from /tmp/dump --detach", "what 'holdfast dump' wrote"),
                ("holdfast restore web --rehearse", "whether it could be restored here; ends with 1 and says why when not"),
                ("holdfast restore data@-1 --to /srv/back", "the last but one snapshot of a directory"),
            ],
        };
        command.Arguments.Add(address);
        foreach (Option option in (Option[])[from, to, copy, detach, log, files, hook, lazy, rehearse])
        {
            command.Options.Add(option);
        }

        command.Validators.Add(result =>
        {
            if (result.GetValue(address) is null == result.GetValue(from) is null)
            {
                result.AddError("either the name of an application or --from is needed");
            }

            if (result.GetValue(to) is not null && (result.GetValue(from) is not null || result.GetValue(copy) is not null || result.GetValue(detach)))
            {
                result.AddError("--to is for directories, files and images, which neither come from a dump nor run nor have another name");
            }

            if (result.GetValue(lazy) && (result.GetValue(rehearse) || result.GetValue(to) is not null))
            {
                result.AddError("--lazy is for what runs: it goes with neither --rehearse nor --to");
            }

            if (result.GetValue(rehearse) && (result.GetValue(to) is not null || result.GetValue(detach) || result.GetValue(log) is not null || result.GetValue(copy) is not null || result.GetValue(hook)?.Length > 0))
            {
                result.AddError("--rehearse runs nothing: it takes no --as, --detach, --log, --hook or --to");
            }
        });
        command.SetAction(parsed => executor.Execute(parsed, !parsed.GetValue(detach) && !parsed.GetValue(rehearse) && parsed.GetValue(to) is null, session =>
        {
            if (parsed.GetValue(to) is { } path)
            {
                return Task.FromResult(SnapshotCommand.Restore(session, parsed.GetValue(address)!, path));
            }

            if (parsed.GetValue(rehearse))
            {
                return Task.FromResult(RehearsalRun.Run(session, parsed.GetValue(address), parsed.GetValue(from), ToRule(parsed.GetValue(files))));
            }

            int? report = parsed.GetValue(executor.Globals.DetachedReport);
            return parsed.GetValue(detach) && report is null
                ? Task.FromResult(DetachedOutcome.Show(
                    session.Output, Detached.Start([GlobalOptions.DetachedReportName, $"{Detached.ReportFd}", .. executor.Arguments], parsed.GetValue(log))))
                : RestoreAsync(session, new RestoreOptions(
                    parsed.GetValue(address), parsed.GetValue(from), parsed.GetValue(detach),
                    parsed.GetValue(detach) ? null : parsed.GetValue(log), ToRule(parsed.GetValue(files)), [.. (parsed.GetValue(hook) ?? []).Select(Hooks.Checked)], parsed.GetValue(copy), report)
                { Lazy = parsed.GetValue(lazy) });
        }));
        return command;
    }

    /// <summary>Whoever restores reads an image soon: what describes its form is composed beside, as soon as the process has begun.</summary>
    public static void GetReady(string[] arguments)
    {
        if (arguments.Contains(Name) && (arguments.Contains(GlobalOptions.DetachedReportName) || !arguments.Contains(Detach)))
        {
            PtraceBridge.GetReadyToRestore();
        }
    }

    private static async Task<int> RestoreAsync(Session session, RestoreOptions options)
    {
        (Store? dump, SnapshotReader reader) = Open(session, options.Address, options.From);
        using Store? closed = dump;
        using SnapshotReader open = reader;
        SnapshotInfo snapshot = reader.Info;
        session.Store.Snapshots();

        string name = ApplicationName.Checked(options.Copy ?? snapshot.Object);
        ApplicationRecord? original = options.Copy is null ? null : session.Store.Application(ApplicationName.Checked(snapshot.Object)).Read();
        if (options.Copy is not null && (session.Store.Application(name).Exists || session.Store.Snapshots().Objects().Contains(name)))
        {
            throw new HoldfastException("app.exists", $"there is an application {name} already: --as takes a new name");
        }

        (ApplicationDirectory directory, ApplicationLock held, bool isNew) = ApplicationSlot.Take(session.Store.Application(name), session.Settings.ConnectTimeout)
            ?? throw Running(name);
        reader.OpenAhead();
        IReadOnlyList<string> volumes = Volumes.Paths(reader);
        ApplicationRecord? before = directory.Read(), known = before ?? original;
        try
        {
            VolumePaths.RequireRestorable(volumes, session.Store, name, before);
        }
        catch when (isNew)
        {
            directory.Delete();
            throw;
        }

        int log = options.Log is null ? -1 : LogFile.Open(options.Log);
        RestoreRequest request = new()
        {
            Name = name,
            Image = reader.State,
            Pages = new SnapshotPages(reader),
            StateDirectory = directory.Path,
            Detach = options.Detach,
            Files = options.Files,
            Volumes = volumes,
            Lazy = options.Lazy,
            LoadingRate = session.Settings.LoadingRate,
            KeptConnections = options.Copy is null && options.From is null ? directory.Connections(snapshot.Id) : null,
            StandardStreams = log < 0 ? [0, 1, 2] : [0, log, log],
        };
        Remains.Remove(session, before);
        directory.DropConnections(except: snapshot.Id);
        string command = snapshot.Tags.GetValueOrDefault(ApplicationSnapshots.CommandTag, name);
        ApplicationRecord template = new()
        {
            Name = name,
            Command = known?.Command ?? [command],
            Target = ApplicationSlot.NoTarget,
            Started = TimeProvider.System.GetUtcNow(),
            RestoredFrom = snapshot.Id,
            Loading = options.Lazy && dump is null ? new LoadingRecord(snapshot.Object, snapshot.Id) : null,
            SupervisorPid = Environment.ProcessId,
            EverySeconds = known?.EverySeconds,
            Labels = known?.Labels ?? [],
            WorkingDirectory = known?.WorkingDirectory,
            Volumes = volumes,
            Hooks = [.. (known?.Hooks ?? []).Union(options.Hooks)],
        };
        return await Supervision.Supervision.RunAsync(session, new SupervisionOrder
        {
            Directory = directory,
            Lock = held,
            IsNew = isNew,
            Start = new RestoreApplication(request)
            {
                PutVolumesBack = volumes.Count == 0 ? null : cancellation =>
                {
                    // Known from here on as its own: a restore that fails later is no reason to take them for somebody else's.
                    directory.Write((before ?? template) with { Volumes = [.. volumes.Union(before?.Volumes ?? [])], Ended = before?.Ended ?? template.Started });
                    Volumes.PutBack(reader, cancellation);
                },
            },
            Every = known?.EverySeconds is { } seconds ? TimeSpan.FromSeconds(seconds) : null,
            Started = (answer, warning) => Report(session, options, ToJson(name, snapshot.Id, answer) with { Warning = warning, Lazy = options.Lazy }),
            Template = template,
        }).ConfigureAwait(false);
    }

    /// <summary>Opens the snapshot of an application that the command line names; the caller disposes of both.</summary>
    internal static (Store? Dump, SnapshotReader Reader) Open(Session session, string? address, string? from)
    {
        Session.RequireRights();
        Store? dump = from is null ? null : DumpStore(session, from);
        SnapshotInfo snapshot = dump is null ? session.Store.Snapshot(address!) : Only(dump, from!);
        return snapshot.Kind == Store.ApplicationKind
            ? (dump, (dump ?? session.Store).Snapshots().OpenSnapshot(snapshot))
            : throw new HoldfastException("snapshot.kind", $"{snapshot.Address} is no application's: say where it is put with --to PATH");
    }

    internal static HoldfastException Running(string name) =>
        new("app.running", $"{name} still runs; 'holdfast stop {name}' or 'holdfast kill {name}' ends it first");

    private static ChangedFiles ToRule(string? word) => word switch
    {
        "as-is" => ChangedFiles.AsIs,
        "truncate" => ChangedFiles.Truncate,
        _ => ChangedFiles.Refuse,
    };

    private static void Report(Session session, RestoreOptions options, RestoreJson restored)
    {
        if (options.ReportFd is { } fd)
        {
            Detached.Report(fd, new DetachedReport(Restored: restored));
        }
        else
        {
            session.Output.Remark(restored, OutputJson.Default.RestoreJson, DetachedOutcome.Text);
        }
    }

    private static RestoreJson ToJson(string name, string snapshot, ApplicationStarted answer)
    {
        RestoreReport report = answer.Restore!;
        return new RestoreJson(
            name, snapshot, report.Processes, report.Threads, Math.Round(report.ResumeTime.TotalMilliseconds, 3),
            Math.Round(report.TotalTime.TotalMilliseconds, 3), report.BytesRead, answer.MainPid)
        {
            Loading = answer.Loading is { } progress ? SupervisorHost.ToJson(progress) : null,
            ConnectionsKept = report.ConnectionsKept > 0 ? report.ConnectionsKept : null,
        };
    }

    private static Store DumpStore(Session session, string directory) => Directory.Exists(directory)
        ? new Store(directory, session.StoreOptions)
        : throw new HoldfastException("dump.missing", $"there is no directory {directory}");

    private static SnapshotInfo Only(Store dump, string directory)
    {
        SnapshotStore store = dump.ExistingSnapshots()
            ?? throw new HoldfastException("dump.missing", $"{directory} holds no dump; 'holdfast dump PID --to {directory}' writes one");
        return store.Objects() switch
        {
            [var one] => store.Find(one),
            [] => throw new HoldfastException("dump.missing", $"{directory} holds no snapshot: the dump was not completed"),
            var several => throw new HoldfastException(
                "dump.several", $"{directory} holds {several.Count} applications ({string.Join(", ", several)}); use --store {directory} and name one"),
        };
    }

    private sealed record RestoreOptions(string? Address, string? From, bool Detach, string? Log, ChangedFiles Files, IReadOnlyList<string> Hooks, string? Copy, int? ReportFd)
    {
        public bool Lazy { get; init; }
    }
}
