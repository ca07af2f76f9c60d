using System.CommandLine;
using Holdfast.Policies;
using Holdfast.Runtime.Protection;
using NodaTime;

namespace Holdfast.Runtime.Cli.Commands;

/// <summary><c>holdfast policy check</c>: errors, and what is valid and yet not what was meant.</summary>
internal static class PolicyCheckCommand
{
    public static Command Build(Executor executor)
    {
        Argument<string[]> files = PolicyCommand.Files();
        Option<string?> ofObject = PolicyCommand.Object();
        DocumentedCommand command = new("check", "Checks policies, one by one and together: errors, rules that can never matter, over-protection, conflicts.")
        {
            Examples =
            [
                ("holdfast policy check gold.conf daily.conf", "a line for each problem: FILE:LINE: POLICY.RULE: error or warning: what"),
                ("holdfast policy check gold.conf --object web", "also whether web can be checkpointed as often as that"),
            ],
        };
        command.Arguments.Add(files);
        command.Options.Add(ofObject);
        command.SetAction(parsed => executor.Execute(parsed, false, session =>
            Task.FromResult(Check(session, parsed.GetRequiredValue(files), parsed.GetValue(ofObject)))));
        return command;
    }

    private static int Check(Session session, string[] files, string? name)
    {
        PolicyReading reading = PolicyFiles.Read(files);
        ObjectProfile? profile = name is null ? null : ObjectHistory.Of(session, name).Profile;
        List<PolicyProblem> problems = [.. reading.Problems];
        if (reading.Policies.Select(p => p.Name).Distinct().Count() == reading.Policies.Count)
        {
            problems.AddRange(PolicyCheck.Check(reading.Policies, profile, SystemInstant.Now));
        }

        if (session.Output.Json)
        {
            WriteLines(session, PolicyJson.Lines(problems));
        }
        else if (problems.Count > 0)
        {
            session.Output.Text(string.Join('\n', problems));
        }
        else
        {
            session.Output.Note($"{string.Join(", ", reading.Policies.Select(p => p.Name))}: nothing to remark");
        }

        int errors = problems.Count(p => p.Severity == ProblemSeverity.Error);
        return errors == 0 ? ExitStatus.Done : throw new HoldfastException("policy.invalid", errors == 1 ? "1 error" : $"{errors} errors");
    }

    /// <summary>Writes what is complete lines already; nothing when there are none.</summary>
    public static void WriteLines(Session session, string lines)
    {
        if (lines.Length > 0)
        {
            session.Output.Text(lines);
        }
    }
}

/// <summary>The clock of the policies' own kind.</summary>
internal static class SystemInstant
{
    public static Instant Now => Instant.FromDateTimeOffset(TimeProvider.System.GetUtcNow());
}
