using System.CommandLine;
using System.Globalization;
using Holdfast.KernelBridge;
using Holdfast.Runtime.Native;
using Holdfast.Runtime.Storage;
using Holdfast.Runtime.Supervision;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Cli.Commands;

/// <summary><c>holdfast check</c>: what this host can do, or what a checkpoint of an application would say. Changes nothing.</summary>
internal static class CheckCommand
{
    public static Command Build(Executor executor)
    {
        Argument<string?> what = new("PID|NAME") { Description = "A process tree or an application (default: this host)", Arity = ArgumentArity.ZeroOrOne };
        DocumentedCommand command = new("check", "Says what this host can do, or what of an application can be captured. Changes nothing. Ends with 1 when something cannot.")
        {
            Examples =
            [
                ("holdfast check", "a row per capability, with the remedy where it is missing"),
                ("holdfast check web", "a row per resource of the application"),
                ("holdfast -o json check 4711", "the same for a process tree and a script"),
            ],
        };
        command.Arguments.Add(what);
        command.SetAction(parsed => executor.Execute(parsed, false, session => Task.FromResult(Check(session, parsed.GetValue(what)))));
        return command;
    }

    private static int Check(Session session, string? what)
    {
        IReadOnlyList<CheckRow> rows = what is null ? session.Bridge.CheckHost() : Application(session, what);
        if (session.Output.Json)
        {
            foreach (CheckRow row in rows)
            {
                session.Output.Result(
                    new CheckJson(row.Subject, row.Verdict.ToString().ToLowerInvariant(), row.What, row.Remedy, row.Code), OutputJson.Default.CheckJson, _ => "");
            }
        }
        else
        {
            session.Output.Text(Output.Table(
                ["WHAT", "", "FOUND", "REMEDY"],
                rows.Where(r => !session.Output.Quiet || r.Verdict != CheckVerdict.Yes)
                    .Select(r => (string[])[r.Subject, r.Verdict.ToString().ToLowerInvariant(), r.What, r.Remedy])));
        }

        return rows.Any(r => r.Verdict == CheckVerdict.No) ? ExitStatus.Failed : ExitStatus.Done;
    }

    private static IReadOnlyList<CheckRow> Application(Session session, string what)
    {
        ApplicationTarget target = Target(session, what);
        Session.RequireRights(target);
        return [.. session.Bridge.CheckApplication(target), .. VolumeRows(session, what)];
    }

    private static IEnumerable<CheckRow> VolumeRows(Session session, string what)
    {
        if (int.TryParse(what, NumberStyles.None, CultureInfo.InvariantCulture, out _))
        {
            return [];
        }

        (_, ApplicationRecord record) = session.Store.Existing(what);
        return record.Volumes.Select(volume => !Directory.Exists(volume)
            ? new CheckRow($"volume {volume}", CheckVerdict.No, "it is not there", "make it again", "volume.missing")
            : new CheckRow($"volume {volume}", CheckVerdict.Yes, Volumes.CanClone(volume)
                ? "files that change during a checkpoint are cloned while the application stands"
                : "files that change during a checkpoint are copied while the application stands"));
    }

    private static ApplicationTarget Target(Session session, string what)
    {
        if (int.TryParse(what, NumberStyles.None, CultureInfo.InvariantCulture, out int pid))
        {
            return new ApplicationTarget(
                ApplicationScope.Tree, pid, Host.StartTime(pid) ?? throw new HoldfastException("process.gone", $"there is no process {pid}"), Host.BootId());
        }

        (_, ApplicationRecord record) = session.Store.Existing(what);
        return ApplicationDirectory.Runs(record) ? record.Target : throw ApplicationAccess.Ended(record);
    }
}
