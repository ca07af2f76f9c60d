namespace Holdfast.Policies;

/// <summary>The name of a rule: that of its policy and its own within it.</summary>
/// <param name="Policy">The policy's name.</param>
/// <param name="Rule">The rule's name within the policy.</param>
public readonly record struct RuleId(string Policy, string Rule) : IComparable<RuleId>
{
    /// <inheritdoc/>
    public int CompareTo(RuleId other)
    {
        var byPolicy = string.CompareOrdinal(Policy, other.Policy);
        return byPolicy != 0 ? byPolicy : string.CompareOrdinal(Rule, other.Rule);
    }

    /// <summary>Reads <c>policy.rule</c>; the policy's name ends at the first dot.</summary>
    /// <exception cref="FormatException">There is no dot with a name on each side.</exception>
    public static RuleId Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        var dot = text.IndexOf('.');
        return dot > 0 && dot < text.Length - 1 ? new RuleId(text[..dot], text[(dot + 1)..]) : throw new FormatException($"'{text}' is not policy.rule");
    }

    /// <inheritdoc/>
    public override string ToString() => $"{Policy}.{Rule}";
}
