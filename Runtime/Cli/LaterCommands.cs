using System.CommandLine;

namespace Holdfast.Runtime.Cli;

/// <summary>What is asked for and does not exist in this version is refused by name: it must never look like a typing mistake, or be ignored.</summary>
internal static class LaterCommands
{
    private static readonly string[] Commands = ["node", "policy", "migrate", "diff", "apply", "move"];

    private static readonly string[] Options = ["--lazy", "--rehearse", "--tcp", "--volume", "--policy"];

    public static string? Explain(ParseResult parsed)
    {
        if (parsed.CommandResult.Command is RootCommand)
        {
            string? command = parsed.Tokens.Select(t => t.Value).FirstOrDefault(v => !v.StartsWith('-'));
            return Commands.Contains(command) ? $"'{command}' does not exist in this version; 'holdfast --help' shows what does" : null;
        }

        string? option = parsed.UnmatchedTokens.Select(v => v.Split('=')[0]).FirstOrDefault(Options.Contains);
        return option is null
            ? null
            : $"{option} does not exist in this version; see 'holdfast {parsed.CommandResult.Command.Name} --help'";
    }
}
