using System.CommandLine;
using System.CommandLine.Parsing;
using Holdfast.Actors.Protection;
using Holdfast.Actors.Supervision;
using Holdfast.KernelBridge;
using Holdfast.Runtime.Native;
using Holdfast.Runtime.Protection;
using Holdfast.Runtime.Storage;
using Holdfast.Runtime.Supervision;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Cli.Commands;

/// <summary><c>holdfast run</c>: starts an application under supervision, or takes over one whose supervisor died.</summary>
internal static class RunCommand
{
    private static readonly string[] Namespaces = ["pid", "mount", "uts", "ipc", "time", "shm", "net"];

    public static Command Build(Executor executor)
    {
        Option<string?> name = Options.Text("--name", "NAME", "What it is called (default: after the command)");
        Option<TimeSpan?> every = Options.Time("--every", "Takes a checkpoint this often");
        Option<string?> isolate = Options.Text("--isolate", "LIST", "Its own namespaces, of pid,mount,uts,ipc,time,net, and shm for /dev/shm (default: all but net; pid and mount always)");
        Option<bool> detach = Options.Flag("--detach", "Runs in the background; ends when the application runs");
        Option<string?> log = Options.Text("--log", "FILE", "Where its standard output and error are appended (default: inherited; with --detach: nowhere)");
        Option<bool> intercept = Options.Flag("--intercept", "Loads a library into its dynamic programs that takes part in checkpoints: hooks, critical sections, buffered output");
        Option<string[]> policy = new("--policy") { Description = "Assigns the policies of a file to it before it runs; may be given several times", HelpName = "FILE" };
        Option<string[]> label = new("--label") { Description = "Marks it, so that it has the policies of that group; may be given several times", HelpName = "KEY=VALUE" };
        Option<string[]> volume = new("--volume") { Description = "A directory whose files belong to its snapshots and are put back by every restore; may be given several times", HelpName = "DIR" };
        Option<string[]> hook = new("--hook") { Description = "Runs an executable before-freeze, after-resume, before-restore or after-restore; may be given several times", HelpName = "STAGE=FILE" };
        Option<string?> adopt = Options.Text("--adopt", "NAME", "Supervises a running application whose supervisor died, instead of starting one");
        Argument<string[]> words = new("COMMAND") { Description = "The program and its arguments", CaptureRemainingTokens = true, Arity = ArgumentArity.ZeroOrMore };
        DocumentedCommand command = new("run", "Starts an unmodified application under supervision. Terminal, signals and exit status pass through.")
        {
            Examples =
            [
                ("holdfast run --name web -- python3 -m http.server", "in the foreground, under the name web"),
                ("holdfast run --name batch --every 30s --detach --log batch.log -- ./job.sh", "in the background, with a checkpoint every 30 seconds"),
                ("holdfast run --name web --policy gold.conf -- ./web.sh", "under the policies of a file: checkpoints, retention and triggers"),
                ("holdfast run --name db --volume /srv/db --detach -- postgres -D /srv/db", "with its files: memory and files of a snapshot are of one moment"),
                ("holdfast run --hook before-freeze=./flush.sh --hook after-resume=./go.sh -- ./web.sh", "with executables that are run around the freeze of each checkpoint"),
                ("holdfast run --name db --intercept --detach -- ./server", "with checkpoints that its processes take part in: ckpt-kmod/intercept/holdfast.h is what they can ask for"),
                ("holdfast run --adopt web", "supervises web again after its supervisor was lost"),
            ],
        };
        foreach (Option option in (Option[])[name, every, isolate, detach, log, volume, hook, intercept, policy, label, adopt])
        {
            command.Options.Add(option);
        }

        command.Arguments.Add(words);
        command.Validators.Add(result =>
        {
            string[] line = result.GetValue(words) ?? [];
            bool adopts = result.GetValue(adopt) is not null;
            if (line.Length == 0 && !adopts)
            {
                result.AddError("a command is missing");
            }
            else if (adopts && (line.Length > 0 || result.GetValue(name) is not null || result.GetValue(isolate) is not null || result.GetValue(log) is not null || result.GetValue(volume)?.Length > 0 || result.GetValue(hook)?.Length > 0 || result.GetValue(intercept) || result.GetValue(label)?.Length > 0))
            {
                result.AddError("--adopt takes the name of an application and neither a command nor --name, --isolate, --log, --volume, --hook, --intercept or --label");
            }
            else if (line.Length > 0 && line[0].StartsWith('-') && executor.Arguments[^(line.Length + 1)] != "--")
            {
                // What follows the first word is the application's; that word itself is a mistyped option of ours.
                result.AddError(LaterCommands.Explain(line[0]) ?? $"{line[0]} is no option of run; write -- before a command that begins with '-'");
            }
            else if (result.GetValue(intercept) && result.GetValue(isolate)?.Split(',').Contains("shm") == false)
            {
                result.AddError("--intercept needs a /dev/shm of its own: leave shm in --isolate");
            }
            else if (result.GetValue(isolate)?.Split(',').FirstOrDefault(n => !Namespaces.Contains(n)) is { } unknown)
            {
                result.AddError($"--isolate: '{unknown}' is none of {string.Join(", ", Namespaces)}");
            }
        });
        command.SetAction(parsed => executor.Execute(parsed, !parsed.GetValue(detach), session =>
        {
            RunOrder order = new(
                parsed.GetValue(name), parsed.GetValue(every), parsed.GetValue(isolate), parsed.GetValue(detach),
                parsed.GetValue(log), parsed.GetValue(adopt), parsed.GetValue(words) ?? [], parsed.GetValue(executor.Globals.DetachedReport))
            {
                Policies = parsed.GetValue(policy) ?? [],
                Volumes = parsed.GetValue(volume) ?? [],
                Intercept = parsed.GetValue(intercept) || session.Settings.Intercept,
                Hooks = [.. (parsed.GetValue(hook) ?? []).Select(Hooks.Checked)],
                Labels = [.. (parsed.GetValue(label) ?? []).Select(PolicyTarget.CheckedLabel)],
            };
            return order.Detach && order.ReportFd is null ? Task.FromResult(StartDetached(session, executor, order)) : SuperviseAsync(session, order);
        }));
        return command;
    }

    private static int StartDetached(Session session, Executor executor, RunOrder order)
    {
        if (order.Adopt is null)
        {
            ProgramFile.Check(order.Command[0]);
        }

        return DetachedOutcome.Show(session.Output, Detached.Start([GlobalOptions.DetachedReportName, $"{Detached.ReportFd}", .. executor.Arguments], order.Log));
    }

    private static Task<int> SuperviseAsync(Session session, RunOrder order)
    {
        Action<ApplicationStarted, string?> started = (answer, _) => DetachedOutcome.Report(order.ReportFd, new StartedJson(order.Name ?? order.Adopt!, answer.MainPid, "running"));
        if (order.Adopt is not null)
        {
            return AdoptAsync(session, order, started);
        }

        ProgramFile.Check(order.Command[0]);
        Session.RequireRights();
        SnapshotStore snapshots = session.Store.Snapshots();
        IReadOnlyList<PolicyText> policies = order.Policies.Length == 0 ? [] : PolicySupport.Supported(PolicyFiles.ReadValid(order.Policies), snapshots, session.Settings.Storage.Tls, order.Volumes.Length > 0);
        IReadOnlyList<string> volumes = VolumePaths.Checked(order.Volumes, session.Store, order.Name ?? "");
        (ApplicationDirectory directory, ApplicationLock held, bool isNew) = ApplicationSlot.Take(session.Store, order.Name, order.Command[0], session.Settings.ConnectTimeout);
        Remains.Remove(session, directory.Read());
        directory.DropConnections(except: null);
        order = order with { Name = directory.Name };
        int log = order.Log is not null && !order.Detach ? LogFile.Open(order.Log) : -1;
        LaunchRequest request = new()
        {
            Name = directory.Name,
            Command = order.Command,
            Environment = ProcessEnvironment.All(),
            WorkingDirectory = Environment.CurrentDirectory,
            StateDirectory = directory.Path,
            Detach = order.Detach,
            StandardStreams = log < 0 ? [0, 1, 2] : [0, log, log],
            Intercept = order.Intercept,
            Isolate = order.Isolate is null ? Defaults() : [.. order.Isolate.Split(','), "pid", "mount"],
        };
        return Supervision.Supervision.RunAsync(session, new SupervisionOrder
        {
            Directory = directory,
            Lock = held,
            IsNew = isNew,
            Every = order.Every,
            Policies = policies,
            Start = new LaunchApplication(request),
            Started = (answer, _) => DetachedOutcome.Report(order.ReportFd, new StartedJson(directory.Name, answer.MainPid, "running")),
            Template = new ApplicationRecord
            {
                Name = directory.Name,
                Command = order.Command,
                Target = ApplicationSlot.NoTarget,
                Started = TimeProvider.System.GetUtcNow(),
                SupervisorPid = Environment.ProcessId,
                EverySeconds = order.Every?.TotalSeconds,
                Labels = order.Labels,
                WorkingDirectory = Environment.CurrentDirectory,
                Volumes = volumes,
                Hooks = order.Hooks,
            },
        });
    }

    private static async Task<int> AdoptAsync(Session session, RunOrder order, Action<ApplicationStarted, string?> started)
    {
        (ApplicationDirectory directory, ApplicationRecord record) = session.Store.Existing(order.Adopt!);
        if (ApplicationDirectory.Runs(record))
        {
            Session.RequireRights(record.Target);
        }

        IReadOnlyList<PolicyText> policies = order.Policies.Length == 0 ? [] : PolicySupport.Supported(PolicyFiles.ReadValid(order.Policies), session.Store.Snapshots(), session.Settings.Storage.Tls, record.Volumes.Count > 0);
        ApplicationLock held = await ApplicationAccess.TryLockAsync(directory, order.Adopt!, session.Settings.ConnectTimeout).ConfigureAwait(false)
            ?? throw new HoldfastException("app.supervised", $"{order.Adopt} is supervised already (by pid {record.SupervisorPid})");
        record = directory.Read()!;
        if (!ApplicationDirectory.Runs(record))
        {
            held.Dispose();
            throw ApplicationAccess.Ended(record);
        }

        TimeSpan? every = order.Every ?? (record.EverySeconds is { } seconds ? TimeSpan.FromSeconds(seconds) : null);
        return await Supervision.Supervision.RunAsync(session, new SupervisionOrder
        {
            Directory = directory,
            Lock = held,
            Every = every,
            Policies = policies,
            Start = new AdoptApplication(record.Target),
            Adopts = true,
            Started = started,
            Template = record with { SupervisorPid = Environment.ProcessId, EverySeconds = every?.TotalSeconds },
        }).ConfigureAwait(false);
    }

    private static HashSet<string> Defaults() => [.. Namespaces.Except(["net"])];

    private sealed record RunOrder(
        string? Name, TimeSpan? Every, string? Isolate, bool Detach, string? Log, string? Adopt, string[] Command, int? ReportFd)
    {
        public string[] Policies { get; init; } = [];

        public string[] Volumes { get; init; } = [];

        public string[] Labels { get; init; } = [];

        public string[] Hooks { get; init; } = [];

        public bool Intercept { get; init; }
    }
}
