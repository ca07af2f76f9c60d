using System.CommandLine;
using System.CommandLine.Parsing;
using Holdfast.Runtime.Cli.Commands;
using Holdfast.Runtime.Native;

namespace Holdfast.Runtime.Cli;

/// <summary>The options that every command takes.</summary>
internal sealed class GlobalOptions
{
    /// <summary>The name of <see cref="DetachedReport"/>.</summary>
    public const string DetachedReportName = "--detached-report";

    public Option<string?> Store { get; } = new("--store")
    {
        Description = "The store (default: $HOLDFAST_STORE, else /var/lib/holdfast for root and ~/.local/share/holdfast for others)", HelpName = "DIR", Recursive = true,
    };

    public Option<string?> Key { get; } = new("--key")
    {
        Description = "The key file of an encrypted store (default: $HOLDFAST_KEY_FILE, else as configured)", HelpName = "FILE", Recursive = true,
    };

    public Option<string> Format { get; } = Choice("-o", "How results are written; json is one object per line", "text", "json");

    public Option<bool> Quiet { get; } = new("--quiet") { Description = "Only results and errors", Recursive = true };

    public Option<bool> Verbose { get; } = new("--verbose") { Description = "With an error, everything that is known about it", Recursive = true };

    /// <summary>For a detached supervisor: the pipe to the command that started it.</summary>
    public Option<int?> DetachedReport { get; } = new(DetachedReportName) { Hidden = true, Recursive = true };

    public IEnumerable<Option> All => [Store, Key, Format, Quiet, Verbose, DetachedReport];

    private static Option<string> Choice(string name, string description, params string[] values)
    {
        Option<string> option = new(name) { Description = description, HelpName = string.Join('|', values), Recursive = true, DefaultValueFactory = _ => values[0] };
        option.AcceptOnlyFromAmong(values);
        return option;
    }
}

/// <summary>The command line: parses, runs one command, and turns what comes of it into an exit status.</summary>
internal static class CommandLine
{
    public static int Run(string[] arguments)
    {
        RestoreCommand.GetReady(arguments);
        GlobalOptions globals = new();
        RootCommand root = new("Keeps unmodified Linux applications alive: checkpoints them while they run, restores them when they are lost.");
        foreach (Option option in globals.All)
        {
            root.Options.Add(option);
        }

        Executor executor = new(globals, arguments);
        foreach (Command command in (Command[])[
            DemoCommand.Build(executor), RunCommand.Build(executor), CheckpointCommand.Build(executor), RestoreCommand.Build(executor),
            DumpCommand.Build(executor), CheckCommand.Build(executor), ListCommands.List(executor), ListCommands.Show(executor),
            ListCommands.Snapshots(executor), InspectCommand.Build(executor), EndCommands.Stop(executor), EndCommands.Kill(executor),
            ForgetCommand.Build(executor), MaintenanceCommands.Verify(executor), MaintenanceCommands.Gc(executor),
            SnapshotCommand.Build(executor), DiffCommand.Build(executor), ApplyCommand.Build(executor), MigrateCommand.Build(executor),
            RepairCommand.Build(executor), KeyCommands.NewKey(executor), KeyCommands.RotateKey(executor), NodeCommand.Build(executor),
            PolicyCommand.Build(executor)])
        {
            root.Subcommands.Add(command);
        }

        ParseResult parsed = root.Parse(arguments, new ParserConfiguration { ResponseFileTokenReplacer = null, EnablePosixBundling = false });
        Output output = executor.OutputOf(parsed);
        if (HelpText.Wanted(parsed))
        {
            output.Text(HelpText.Of(parsed.CommandResult.Command, root));
            return ExitStatus.Done;
        }

        if (arguments.Length == 0)
        {
            output.Text(HelpText.Of(root, root));
            return ExitStatus.Done;
        }

        if (parsed.Errors.Count > 0)
        {
            return Usage(parsed, output);
        }

        return parsed.Invoke(new InvocationConfiguration
        {
            EnableDefaultExceptionHandler = false,
            // The signals are the application's, or end a command cleanly: see SignalWatch.
            ProcessTerminationTimeout = null,
            Output = new DescriptorWriter(1),
            Error = new DescriptorWriter(2),
        });
    }

    private static int Usage(ParseResult parsed, Output output)
    {
        Command command = parsed.CommandResult.Command;
        string path = command is RootCommand ? "" : $" {HelpText.PathOf(command)}";
        string message = LaterCommands.Explain(parsed)
            ?? string.Join(' ', parsed.Errors[0].Message.Split((char[])['\n', '\r', '\t'], StringSplitOptions.RemoveEmptyEntries)).TrimEnd('.');
        message = $"{(path.Length == 0 ? "" : $"{HelpText.PathOf(command)}: ")}{message}; see 'holdfast{path} --help'";
        bool own = command.Name == "run" && !parsed.Tokens.TakeWhile(t => t.Type != TokenType.DoubleDash).Any(t => t.Value == "--detach");
        output.Error(new HoldfastException("usage", message, ExitStatus.Usage));
        return own ? ExitStatus.HoldfastFailed : ExitStatus.Usage;
    }
}

/// <summary>Runs the body of a command.</summary>
internal sealed class Executor(GlobalOptions globals, string[] arguments)
{
    /// <summary>This program's arguments, as they were given.</summary>
    public IReadOnlyList<string> Arguments { get; } = arguments;

    public GlobalOptions Globals { get; } = globals;

    public Output OutputOf(ParseResult parsed)
    {
        string[] before = [.. parsed.Tokens.TakeWhile(t => t.Type != TokenType.DoubleDash).Select(t => t.Value)];
        return new Output(1, 2)
        {
            // Also when parsing failed: whoever asked for JSON gets the error in JSON.
            Json = before.Zip(before.Skip(1)).Any(p => p is ("-o", "json")) || before.Contains("-o=json") || before.Contains("-ojson"),
            Quiet = before.Contains("--quiet"),
            Verbose = before.Contains("--verbose"),
        };
    }

    /// <summary>Runs it and reports what goes wrong.</summary>
    /// <param name="parsed">The command line.</param>
    /// <param name="ownStatus">The exit status is the application's, so that errors of Holdfast's own are 125, 126 and 127.</param>
    /// <param name="body">The command.</param>
    public int Execute(ParseResult parsed, bool ownStatus, Func<Session, Task<int>> body)
    {
        Output output = OutputOf(parsed);
        using Session session = new(parsed.GetValue(Globals.Store), parsed.GetValue(Globals.Key), output);
        try
        {
            return body(session).GetAwaiter().GetResult();
        }
        catch (Exception e)
        {
            HoldfastException error = HoldfastException.From(e);
            if (parsed.GetValue(Globals.DetachedReport) is { } fd)
            {
                Supervision.Detached.Report(fd, new Supervision.DetachedReport(
                    Error: new ErrorJson(error.Code, error.Message, error.Phase, [.. error.Refusals.Select(Output.ToJson)]),
                    ErrorStatus: error.Status, Detail: error.Detail));
            }

            output.Error(error);
            return ownStatus && error.Status is not (ExitStatus.CannotExecute or ExitStatus.NotFound) ? ExitStatus.HoldfastFailed : error.Status;
        }
    }

    /// <summary>As above, for commands that SIGINT and SIGTERM call off.</summary>
    public int ExecuteCancellable(ParseResult parsed, Func<Session, CancellationToken, Task<int>> body) => Execute(parsed, false, async session =>
    {
        using CancellationTokenSource source = new();
        using SignalWatch watch = SignalWatch.Cancel(source);
        return await body(session, source.Token).ConfigureAwait(false);
    });
}
