namespace Holdfast.Policies;

/// <summary>How bad a problem is.</summary>
public enum ProblemSeverity
{
    /// <summary>Worth knowing; the policy can be used.</summary>
    Warning,

    /// <summary>The policy cannot be used.</summary>
    Error,
}

/// <summary>Something wrong with a policy: where, which rule, what, and what to do.</summary>
/// <param name="Severity">How bad it is.</param>
/// <param name="Position">The file and line.</param>
/// <param name="Policy">The policy's name; empty when the text is not even that.</param>
/// <param name="Rule">The rule's name; empty when it is about the policy as a whole.</param>
/// <param name="Message">What is wrong and what to do.</param>
public sealed record PolicyProblem(ProblemSeverity Severity, SourcePosition Position, string Policy, string Rule, string Message)
{
    /// <inheritdoc/>
    public override string ToString()
    {
        var name = Policy.Length == 0 ? "" : Rule.Length == 0 ? $" {Policy}:" : $" {Policy}.{Rule}:";
        return $"{Position}:{name} {(Severity == ProblemSeverity.Error ? "error" : "warning")}: {Message}";
    }
}

/// <summary>What was read: the policies without errors, and every problem.</summary>
/// <param name="Policies">The policies that can be used, in the order of the text.</param>
/// <param name="Problems">Errors and warnings, in the order of the text.</param>
public sealed record PolicyReading(ValueList<Policy> Policies, ValueList<PolicyProblem> Problems)
{
    /// <summary>Whether anything cannot be used.</summary>
    public bool HasErrors => Problems.Any(p => p.Severity == ProblemSeverity.Error);
}
