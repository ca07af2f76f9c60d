using Holdfast.Policies;

namespace Holdfast.Runtime.Protection;

/// <summary>Reads policies from the files that a command names.</summary>
internal static class PolicyFiles
{
    /// <summary>Reads them all; what is wrong is among the problems.</summary>
    /// <exception cref="HoldfastException">A file cannot be read at all (<c>policy.unreadable</c>).</exception>
    public static PolicyReading Read(IEnumerable<string> files)
    {
        List<Policy> policies = [];
        List<PolicyProblem> problems = [];
        foreach (string file in files)
        {
            PolicyReading reading = PolicyReader.ReadText(Text(file), file);
            problems.AddRange(reading.Problems);
            foreach (Policy policy in reading.Policies)
            {
                if (policies.Find(p => p.Name == policy.Name) is { } same)
                {
                    problems.Add(new PolicyProblem(
                        ProblemSeverity.Error, PositionOf(policy, file), policy.Name, "", $"there is another policy of this name ({PositionOf(same, "an earlier file")}); give one another name"));
                }

                policies.Add(policy);
            }
        }

        return new PolicyReading(policies.ToValueList(), problems.ToValueList());
    }

    /// <summary>Reads them all, or throws with every error.</summary>
    /// <exception cref="HoldfastException">Something is wrong with a policy (<c>policy.invalid</c>), or a file cannot be read (<c>policy.unreadable</c>).</exception>
    public static ValueList<Policy> ReadValid(IEnumerable<string> files)
    {
        PolicyReading reading = Read(files);
        return reading.HasErrors ? throw Invalid(reading.Problems) : reading.Policies;
    }

    /// <summary>The error that shows every problem that is one, a line each.</summary>
    public static HoldfastException Invalid(IEnumerable<PolicyProblem> problems) =>
        new("policy.invalid", string.Join('\n', problems.Where(p => p.Severity == ProblemSeverity.Error)));

    private static SourcePosition PositionOf(Policy policy, string file) =>
        policy.Rules.Select(r => r.Position).Concat(policy.Limits.Select(l => l.Position)).FirstOrDefault(new SourcePosition(file, 1, 1));

    private static string Text(string file)
    {
        try
        {
            return File.ReadAllText(file);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            string why = e is FileNotFoundException or DirectoryNotFoundException ? "there is no such file" : e.Message;
            throw new HoldfastException("policy.unreadable", $"{file}: {why}", inner: e);
        }
    }
}
