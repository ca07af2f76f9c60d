using System.Globalization;
using System.Text.RegularExpressions;

namespace Holdfast.EndToEnd.Tests.Support;

/// <summary>A state program, as the comment at the top of its source describes it (tests/programs/README.md).</summary>
public sealed partial record StateProgram(string Name, IReadOnlyList<string> Cases, bool WritesFiles, bool AboutTime, bool CapturesStreams, bool Refused, string Suite)
{
    /// <summary>Reads the lines " * Key: value" of a source text.</summary>
    public static StateProgram Parse(string name, string source)
    {
        Dictionary<string, string> keys = [];
        foreach (var line in source.Split('\n'))
        {
            if (line.StartsWith(" */", StringComparison.Ordinal))
            {
                break;
            }

            var colon = line.IndexOf(": ", StringComparison.Ordinal);
            if (line.StartsWith(" * ", StringComparison.Ordinal) && colon > 0)
            {
                keys.TryAdd(line[3..colon], line[(colon + 2)..].Trim());
            }
        }

        var cases = keys.GetValueOrDefault("Cases", "").Split(' ', StringSplitOptions.RemoveEmptyEntries);
        return new StateProgram(
            name,
            cases.Length == 0 ? [""] : cases,
            keys.GetValueOrDefault("Files") == "written",
            keys.GetValueOrDefault("Seconds") == "yes",
            keys.GetValueOrDefault("Streams") == "captured",
            keys.GetValueOrDefault("Refused") == "yes",
            keys.GetValueOrDefault("Suite", ""))
        {
            // What others of it do from the beginning may be looked at after it, too: whatever they write, and whatever they wait for but the word to go.
            HugePages = int.Parse(keys.GetValueOrDefault("Huge", "0"), CultureInfo.InvariantCulture),
            MeetsByFiles = UseOfFiles().IsMatch(source[Math.Max(0, source.IndexOf("state_wait_go()", StringComparison.Ordinal))..]) || MeetingByFiles().IsMatch(source),
        };
    }

    /// <summary>Whether its processes meet by files of the work directory while they check themselves: two of it there would take each other's.</summary>
    public bool MeetsByFiles { get; private init; }

    /// <summary>How many huge pages of 2 MiB the host should have for it and a copy beside it.</summary>
    public int HugePages { get; private init; }

    public static IReadOnlyList<StateProgram> All { get; } =
    [
        .. Directory.EnumerateFiles(Repository.Programs, "*.c")
            .Order(StringComparer.Ordinal)
            .Select(path => Parse(Path.GetFileNameWithoutExtension(path), File.ReadAllText(path))),
    ];

    public static StateProgram Named(string name) => All.Single(program => program.Name == name);

    /// <summary>Program and case, for theories.</summary>
    public static TheoryData<string, string> Rows(Func<StateProgram, bool> chosen)
    {
        TheoryData<string, string> rows = [];
        foreach (var program in All.Where(chosen))
        {
            foreach (var name in program.Cases)
            {
                rows.Add(program.Name, name);
            }
        }

        return rows;
    }

    [GeneratedRegex("""state_(awaitf?|exists|markf?|put)\(|state_read\((?!")""")]
    private static partial Regex UseOfFiles();

    [GeneratedRegex("""state_put\(|state_exists\((?!"go"\))""")]
    private static partial Regex MeetingByFiles();
}
