using System.CommandLine;
using Holdfast.Actors.Supervision;
using Holdfast.KernelBridge;
using Holdfast.Runtime.Native;
using Holdfast.Runtime.Storage;
using Holdfast.Runtime.Supervision;

namespace Holdfast.Runtime.Cli.Commands;

/// <summary><c>holdfast dump</c>: one process tree that Holdfast did not start, into a directory that holds all of it.</summary>
internal static class DumpCommand
{
    public static Command Build(Executor executor)
    {
        Argument<int> pid = new("PID") { Description = "The root of the process tree" };
        Option<string> to = new("--to") { Description = "The directory; made, or empty", HelpName = "DIR", Required = true };
        Option<bool> leave = Options.Flag("--leave-running", "Lets the processes go on; otherwise they end once the dump is complete");
        Option<TimeSpan?> timeout = Options.Time("--timeout", "Gives up, and lets the processes go on, after this time");
        DocumentedCommand command = new("dump", "Writes one process tree that Holdfast did not start into a directory.")
        {
            Examples =
            [
                ("holdfast dump 4711 --to /tmp/dump --leave-running", "a copy; the processes go on"),
                ("holdfast dump 4711 --to /tmp/dump && holdfast restore --from /tmp/dump --detach", "ends them and brings them back with the same pids"),
            ],
        };
        command.Arguments.Add(pid);
        foreach (Option option in (Option[])[to, leave, timeout])
        {
            command.Options.Add(option);
        }

        command.SetAction(parsed => executor.ExecuteCancellable(parsed, (session, cancellation) => DumpAsync(
            session, parsed.GetRequiredValue(pid), parsed.GetRequiredValue(to), parsed.GetValue(leave), parsed.GetValue(timeout), cancellation)));
        return command;
    }

    private static async Task<int> DumpAsync(Session session, int pid, string to, bool leave, TimeSpan? timeout, CancellationToken cancellation)
    {
        ApplicationTarget target = Tree(pid);
        Session.RequireRights(target);
        bool made = !Directory.Exists(to);
        if (!made && Directory.EnumerateFileSystemEntries(to).Any())
        {
            throw new HoldfastException("dump.exists", $"{to} is not empty; name a directory that is new or empty");
        }

        try
        {
            using Store store = new(to, session.StoreOptions);
            ApplicationRecord record = new()
            {
                Name = Named(pid), Command = Host.CommandLine(pid) ?? [], Target = target, MainPid = pid,
            };
            await using SupervisorHost host = new(session, store.Snapshots(), store.Application(record.Name), record, every: null, keepsRecord: false);
            await host.StartAsync(new AdoptApplication(target), cancellation).ConfigureAwait(false);
            CheckpointJson taken = await host.CheckpointAsync(new CheckpointOrder(!leave, timeout), new ProgressLine(session.Output).Show, cancellation).ConfigureAwait(false);
            session.Output.Confirm(taken, OutputJson.Default.CheckpointJson, CheckpointCommand.Text);
            return ExitStatus.Done;
        }
        catch
        {
            Remove(to, made);
            throw;
        }
    }

    private static ApplicationTarget Tree(int pid)
    {
        if (pid == Environment.ProcessId)
        {
            throw new HoldfastException("process.self", $"process {pid} is this command", ExitStatus.Usage);
        }

        ulong started = Host.StartTime(pid) ?? throw new HoldfastException("process.gone", $"there is no process {pid}");
        return new ApplicationTarget(ApplicationScope.Tree, pid, started, Host.BootId());
    }

    private static string Named(int pid)
    {
        string end = $"-{pid}";
        string name = ApplicationName.From(Host.Name(pid) ?? "process");
        return name + end;
    }

    // An incomplete dump is of no use, and the directory would not be empty for the next try.
    private static void Remove(string directory, bool made)
    {
        if (!Directory.Exists(directory))
        {
            return;
        }

        if (made)
        {
            Directory.Delete(directory, true);
            return;
        }

        foreach (string entry in Directory.EnumerateFileSystemEntries(directory))
        {
            if (Directory.Exists(entry))
            {
                Directory.Delete(entry, true);
            }
            else
            {
                File.Delete(entry);
            }
        }
    }
}
