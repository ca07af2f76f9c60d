using System.CommandLine;
using System.CommandLine.Parsing;

namespace Holdfast.Runtime.Cli;

/// <summary>Options that several commands have.</summary>
internal static class Options
{
    public static Option<TimeSpan?> Time(string name, string description) => new(name)
    {
        Description = description,
        HelpName = "TIME",
        CustomParser = result =>
        {
            string text = result.Tokens[0].Value;
            if (Duration.TryParse(text, out TimeSpan value))
            {
                return value;
            }

            result.AddError($"{name} '{text}' is no duration: write 250ms, 30s, 5m, 2h or 1d");
            return null;
        },
    };

    public static Option<bool> Flag(string name, string description) => new(name) { Description = description };

    public static Option<string?> Text(string name, string value, string description) => new(name) { Description = description, HelpName = value };

    public static Option<string?> ChangedFiles() => Choice(
        "--files", "Files that changed since the capture: as-is uses them, truncate cuts logs that only grew (default: the restore is refused)", "as-is", "truncate");

    public static Argument<string> Name(string what = "The application") => new("NAME") { Description = what };

    private static Option<string?> Choice(string name, string description, params string[] values)
    {
        Option<string?> option = new(name) { Description = description, HelpName = string.Join('|', values) };
        option.AcceptOnlyFromAmong(values);
        return option;
    }
}
