using System.CommandLine;
using System.CommandLine.Help;
using System.Text;

namespace Holdfast.Runtime.Cli;

/// <summary>A command with examples in its help.</summary>
internal sealed class DocumentedCommand(string name, string description) : Command(name, description)
{
    public required IReadOnlyList<(string Line, string What)> Examples { get; init; }
}

/// <summary>Help, written without looking at the terminal.</summary>
internal static class HelpText
{
    private const string ExitStatuses = """
        Exit status:
          0 done; 1 refused or failed; 2 wrong usage; 3 cannot connect; 4 not permitted; 5 timed out.
          run and a foreground restore end as the application does (128+n for signal n), and with
          125 (Holdfast failed), 126 (cannot be executed) or 127 (not found) for errors of their own.
        """;

    public static bool Wanted(ParseResult parsed) => parsed.Action is HelpAction;

    public static string Of(Command command, RootCommand root)
    {
        StringBuilder text = new();
        bool isRoot = command == root;
        text.AppendLine(command.Description).AppendLine().AppendLine("Usage:");
        text.AppendLine(isRoot ? "  holdfast COMMAND [options]" : $"  holdfast {PathOf(command)}{(command.Subcommands.Count > 0 ? " COMMAND" : "")}{Synopsis(command)} [options]").AppendLine();
        Section(text, "Commands", command.Subcommands.Where(c => !c.Hidden).Select(c => (c.Name, c.Description)));
        Section(text, "Arguments", command.Arguments.Select(a => (a.Name, a.Description)));
        Section(text, "Options", Visible(command).Concat(isRoot ? [] : Visible(root).Where(o => o.Recursive && o is not HelpOption)).Select(o => (Label(o), o.Description)));
        if (command is DocumentedCommand documented)
        {
            text.AppendLine("Examples:");
            foreach ((string line, string what) in documented.Examples)
            {
                text.AppendLine($"  {line}").AppendLine($"      {what}");
            }

            text.AppendLine();
        }

        return text.AppendLine(isRoot ? ExitStatuses : "").ToString().TrimEnd() + "\n";
    }

    /// <summary>Its name with those of the commands that it belongs to.</summary>
    public static string PathOf(Command command) =>
        command.Parents.OfType<Command>().FirstOrDefault(c => c is not RootCommand) is { } parent ? $"{PathOf(parent)} {command.Name}" : command.Name;

    private static IEnumerable<Option> Visible(Command command) => command.Options.Where(o => !o.Hidden);

    private static string Synopsis(Command command) => string.Concat(command.Arguments.Select(a => a.Arity.MinimumNumberOfValues == 0
        ? $" [{a.Name}]"
        : a.Arity.MaximumNumberOfValues > 1 ? $" [--] {a.Name}..." : $" {a.Name}"));

    private static string Label(Option option)
    {
        string names = string.Join(", ", option.Aliases.Where(a => !a.StartsWith('/') && a != "-?").Prepend(option.Name).Distinct());
        return option.ValueType == typeof(bool) || option is HelpOption or VersionOption ? names : $"{names} {option.HelpName ?? "VALUE"}";
    }

    private static void Section(StringBuilder text, string title, IEnumerable<(string Name, string? Description)> rows)
    {
        List<(string Name, string? Description)> all = [.. rows];
        if (all.Count == 0)
        {
            return;
        }

        int width = all.Max(r => r.Name.Length);
        text.AppendLine($"{title}:");
        foreach ((string name, string? description) in all)
        {
            text.AppendLine($"  {name.PadRight(width)}  {description}");
        }

        text.AppendLine();
    }
}
