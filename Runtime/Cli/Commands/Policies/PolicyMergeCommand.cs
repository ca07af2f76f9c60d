using System.CommandLine;
using Holdfast.Policies;
using Holdfast.Runtime.Protection;

namespace Holdfast.Runtime.Cli.Commands;

/// <summary><c>holdfast policy merge</c>: one policy that keeps every rule of several and costs less than a threshold.</summary>
internal static class PolicyMergeCommand
{
    public static Command Build(Executor executor)
    {
        Argument<string[]> files = PolicyCommand.Files();
        Option<string?> threshold = Options.Text("--threshold", "LIST", "What it may cost: checkpoints<=24/d, freeze<5s/d, written<=1GiB/d, stored<=80%, all<100% (default: nowhere more than side by side, somewhere less)");
        Option<string?> ways = Options.Text("--ways", "LIST", "How rules of a kind are merged, such as retention=strictest,impact=stated:gold (default: sound for all)");
        Option<string?> name = Options.Text("--name", "NAME", "What the merged policy is called (default: merged)");
        Option<string?> ofObject = PolicyCommand.Object();
        DocumentedCommand command = new("merge", "Merges all policies of the files into one, as HOCON, with what became of every rule and what it costs.")
        {
            Examples =
            [
                ("holdfast policy merge gold.conf daily.conf >both.conf", "a policy that can be assigned; the costs stand in it as comments"),
                ("holdfast policy merge gold.conf daily.conf --threshold 'checkpoints<=24/d,stored<=80%'", "refused when it costs more, with what would fit"),
                ("holdfast -o json policy merge gold.conf daily.conf --object web", "for a script, with costs measured on web"),
            ],
        };
        command.Arguments.Add(files);
        foreach (Option option in (Option[])[threshold, ways, name, ofObject])
        {
            command.Options.Add(option);
        }

        command.SetAction(parsed => executor.Execute(parsed, false, session => Task.FromResult(Merge(
            session, parsed.GetRequiredValue(files), parsed.GetValue(threshold), parsed.GetValue(ways), parsed.GetValue(name) ?? "merged", parsed.GetValue(ofObject)))));
        return command;
    }

    private static int Merge(Session session, string[] files, string? threshold, string? ways, string name, string? ofObject)
    {
        if (name.Length == 0 || name.Any(c => c == '.' || char.IsWhiteSpace(c)))
        {
            throw new HoldfastException("usage", $"policy merge: --name '{name}' cannot be the name of a policy: no dots, no blanks", ExitStatus.Usage);
        }

        MergeReport report;
        try
        {
            report = Merger.Merge(new MergeRequest(name, PolicyFiles.ReadValid(files), SystemInstant.Now)
            {
                Threshold = threshold is null ? Threshold.Default : Threshold.Parse(threshold),
                Ways = ways is null ? MergeWays.Default : MergeWays.Parse(ways),
                Profile = ofObject is null ? ObjectProfile.Default : ObjectHistory.Of(session, ofObject).Profile,
            });
        }
        catch (Exception e) when (e is FormatException or ArgumentException)
        {
            throw new HoldfastException("usage", $"policy merge: {e.Message}", ExitStatus.Usage);
        }

        if (session.Output.Json)
        {
            session.Output.Text(PolicyJson.Line(report));
        }
        else if (report.Accepted)
        {
            session.Output.Text(Comment(MergeText.Write(report)) + PolicyWriter.Write(report.Reduced));
        }
        else
        {
            session.Output.Text(MergeText.Write(report));
        }

        return report.Refusal is { } refusal
            ? throw new HoldfastException("policy.threshold", $"the merged policy is refused: {string.Join("; ", refusal.Breaches)}")
            : ExitStatus.Done;
    }

    private static string Comment(string text) => string.Concat(text.TrimEnd('\n').Split('\n').Select(line => line.Length == 0 ? "#\n" : $"# {line.TrimEnd()}\n"));
}
