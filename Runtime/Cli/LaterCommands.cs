using System.CommandLine;

namespace Holdfast.Runtime.Cli;

/// <summary>What is asked for and does not exist in this version is refused by name: it must never look like a typing mistake, or be ignored.</summary>
internal static class LaterCommands
{
    private static readonly string[] Commands = ["move"];

    private static readonly string[] Options = ["--tcp"];

    /// <summary>Explains an option; null when it is none of those.</summary>
    public static string? Explain(string option) =>
        Options.Contains(option.Split('=')[0]) ? $"{option.Split('=')[0]} does not exist in this version" : null;

    /// <summary>Explains why a command line was not understood; null when it is a typing mistake.</summary>
    public static string? Explain(ParseResult parsed)
    {
        if (parsed.CommandResult.Command is not RootCommand && !parsed.UnmatchedTokens.Take(1).Any(Commands.Contains))
        {
            return parsed.UnmatchedTokens.Select(Explain).FirstOrDefault(e => e is not null);
        }

        string? command = parsed.UnmatchedTokens.FirstOrDefault(v => !v.StartsWith('-'));
        return Commands.Contains(command)
            ? $"'{command}' does not exist in this version"
            : command is null ? null : $"there is no command '{command}'";
    }
}
