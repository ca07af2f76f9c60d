using System.Globalization;

namespace Holdfast.EndToEnd.Tests;

/// <summary>
/// The README's table beside other tools is made of the state programs: our column of what the scenarios require of them, that of CRIU of what a run of the same programs under it
/// gave (tests/programs/peers). HOLDFAST_UPDATE=1 writes it anew.
/// </summary>
public sealed class ComparisonTests
{
    private const string Begin = "<!-- made by ComparisonTests; HOLDFAST_UPDATE=1 writes it anew -->\n", End = "<!-- end -->\n";

    private static readonly string Peers = Path.Combine(Repository.Programs, "peers");

    [Fact]
    public void The_table_in_the_README_is_that_of_the_programs()
    {
        var path = Path.Combine(Repository.Root, "README.md");
        var text = File.ReadAllText(path);
        var from = text.IndexOf(Begin, StringComparison.Ordinal) + Begin.Length;
        var to = text.IndexOf(End, StringComparison.Ordinal);
        Assert.True(from > Begin.Length && to >= from, "README.md has no place for the table");
        var table = Table();
        if (Environment.GetEnvironmentVariable("HOLDFAST_UPDATE") == "1")
        {
            File.WriteAllText(path, text[..from] + table + text[to..]);
            return;
        }

        Assert.Equal(table, text[from..to]);
    }

    [Fact]
    public void Every_state_program_stands_in_one_row()
    {
        Assert.Equal(
            StateProgram.All.Where(program => program.Suite.Length == 0).Select(program => program.Name).Order(StringComparer.Ordinal),
            Rows().SelectMany(row => row.Programs).Select(program => program.Name).Order(StringComparer.Ordinal));
    }

    private static string Table()
    {
        var criu = File.ReadLines(Path.Combine(Peers, "criu.tsv")).Where(line => !line.StartsWith('#')).Select(line => line.Split('\t'))
            .ToDictionary(words => (words[0], words[1]), words => words[2]);
        List<string> lines = ["| resource (state programs, cases) | Holdfast | CRIU 3.17.1 | DMTCP |\n", "|---|---|---|---|\n"];
        foreach (var (resource, programs, dmtcp) in Rows())
        {
            (string Name, string Case, bool Refused)[] cases = [.. programs.SelectMany(program => program.Cases.Select(word => (program.Name, word, program.Refused)))];
            var refused = cases.Count(one => one.Refused);
            // Programs that are not refused must pass in every scenario: otherwise a test fails.
            var ours = refused == 0 ? $"yes, {cases.Length} of {cases.Length}" : refused == cases.Length ? "refused by name" : string.Create(CultureInfo.InvariantCulture, $"{cases.Length - refused} of {cases.Length}, the others refused by name");
            lines.Add($"| {resource} ({cases.Length}) | {ours} | {Criu(cases.Select(one => criu.GetValueOrDefault((one.Name, one.Case), "")))} | {dmtcp} |\n");
        }

        return string.Concat(lines);
    }

    /// <summary>How often it passed; what was refused; and what came back wrong, or not at all.</summary>
    private static string Criu(IEnumerable<string> outcomes)
    {
        string[] known = [.. outcomes.Where(outcome => outcome is not ("" or "skipped"))];
        if (known.Length == 0)
        {
            return "not run";
        }

        List<string> said = [$"{known.Count(outcome => outcome == "passed")} of {known.Length}"];
        foreach (var (outcome, text) in (ReadOnlySpan<(string, string)>)[("refused", "refused"), ("not restored", "not restored"), ("wrong", "restored wrong")])
        {
            if (known.Count(one => one == outcome) is > 0 and var count)
            {
                said.Add($"{count} {text}");
            }
        }

        return string.Join(", ", said);
    }

    private static IEnumerable<(string Resource, IReadOnlyList<StateProgram> Programs, string Dmtcp)> Rows() =>
        File.ReadLines(Path.Combine(Peers, "resources.tsv")).Where(line => !line.StartsWith('#')).Select(line => line.Split('\t'))
            .Select(words => (words[0], (IReadOnlyList<StateProgram>)[.. words[1].Split(' ').Select(StateProgram.Named)], words[2]));
}
