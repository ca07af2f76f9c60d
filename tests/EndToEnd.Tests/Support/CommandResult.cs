using System.Text.Json;

namespace Holdfast.EndToEnd.Tests.Support;

/// <summary>What one command did. With <c>-o json</c>, each line of its output that is an object is in <see cref="Objects"/>.</summary>
internal sealed record CommandResult(string CommandLine, int ExitCode, bool TimedOut, string Output, string Error)
{
    public IReadOnlyList<JsonElement> Objects { get; } = Parse(Output + "\n" + Error);

    public bool Succeeded => ExitCode == 0 && !TimedOut;

    /// <summary>The stable code of an error, if the command printed one as JSON.</summary>
    public string? ErrorCode => Text("error");

    public string? Text(string field)
    {
        foreach (var item in Objects)
        {
            if (item.TryGetProperty(field, out var value))
            {
                return value.ValueKind == JsonValueKind.String ? value.GetString() : value.GetRawText();
            }
        }

        return null;
    }

    public double Number(string field) =>
        double.TryParse(Text(field), out var value) ? value : throw new EndToEndException($"No number \"{field}\" in: {this}");

    /// <returns>Itself, when the command succeeded.</returns>
    public CommandResult Required() => Succeeded ? this : throw new EndToEndException(ToString());

    /// <summary>A refusal or failure as it must be: exit status 1, 4 or 5, an error in words, no stack trace, no death by a signal.</summary>
    public CommandResult RequiredToBeRefused()
    {
        var whole = Output + Error;
        var orderly = !TimedOut && ExitCode is 1 or 4 or 5 && whole.Length > 0
            && !whole.Contains("Unhandled exception", StringComparison.Ordinal) && !whole.Contains("   at ", StringComparison.Ordinal);
        return orderly ? this : throw new EndToEndException($"Not an orderly refusal: {this}");
    }

    public override string ToString() =>
        $"{CommandLine}\n  ended with {(TimedOut ? "a time-out" : ExitCode.ToString(System.Globalization.CultureInfo.InvariantCulture))}\n  output: {Output.Trim()}\n  error: {Error.Trim()}";

    private static List<JsonElement> Parse(string text)
    {
        List<JsonElement> objects = [];
        foreach (var line in text.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            if (!line.StartsWith('{'))
            {
                continue;
            }

            try
            {
                objects.Add(JsonDocument.Parse(line).RootElement.Clone());
            }
            catch (JsonException)
            {
                // Not every line that starts with a brace is ours: a program's own output may be among them.
            }
        }

        return objects;
    }
}
