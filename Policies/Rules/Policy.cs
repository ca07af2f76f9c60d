namespace Holdfast.Policies;

/// <summary>How the rules of a policy share their points.</summary>
public enum Sharing
{
    /// <summary>Every point serves every rule that it can: the fewest points there can be.</summary>
    FewestPoints,

    /// <summary>
    /// The rules whose points are kept longest choose first and the others use those points where they can: a few more
    /// points, but a rule with a long memory never keeps more of them than it would on its own.
    /// </summary>
    LongestKeptFirst,

    /// <summary>The rules of one source policy share points, those of different policies do not: side by side.</summary>
    PerPolicy,
}

/// <summary>A named set of rules.</summary>
/// <param name="Name">The name; not empty, no dots.</param>
/// <param name="Rules">The rules about points.</param>
/// <param name="Limits">The rules about impact.</param>
/// <param name="Sharing">How the rules share points.</param>
public sealed record Policy(string Name, ValueList<PointRule> Rules, ValueList<LimitRule> Limits, Sharing Sharing = Sharing.FewestPoints)
{
    /// <summary>Whether it asks for nothing and forbids nothing.</summary>
    public bool IsEmpty => Rules.Count == 0 && Limits.Count == 0;

    /// <summary>The rule that a name belongs to, or null.</summary>
    public PointRule? Find(RuleId id) => Rules.FirstOrDefault(r => r.Sources.Contains(id));
}
