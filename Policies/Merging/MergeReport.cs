using NodaTime;

namespace Holdfast.Policies;

/// <summary>What became of a rule of one of the merged policies.</summary>
/// <param name="Rule">The rule as its policy has it.</param>
/// <param name="What">"carried", "the same as …", "covered by …", or how it was weakened.</param>
/// <param name="By">The rule of the merged policy that stands for it, or null.</param>
public sealed record RuleFate(RuleId Rule, string What, PointRule? By);

/// <summary>The cost of one of the policies on its own.</summary>
/// <param name="Policy">Its name.</param>
/// <param name="Cost">Under the limits of all the policies and their rules for every point, which hold on the object whoever asks.</param>
public sealed record PolicyCost(string Policy, Cost Cost);

/// <summary>What a rule costs beyond what the others cost anyway.</summary>
/// <param name="Rule">The rule.</param>
/// <param name="Saving">What is saved in each dimension when the rule is taken away.</param>
public sealed record RuleCost(PointRule Rule, Cost Saving);

/// <summary>One way to weaken one rule by one step.</summary>
/// <param name="Rule">The rule.</param>
/// <param name="What">The step, as a sentence.</param>
/// <param name="Saving">What is saved in each dimension; negative where it costs more.</param>
public sealed record Relaxation(PointRule Rule, string What, Cost Saving);

/// <summary>The policy within the threshold that takes the fewest steps of relaxation.</summary>
/// <param name="Policy">The policy.</param>
/// <param name="Steps">The steps, in the order of the rules.</param>
/// <param name="Cost">What it costs.</param>
public sealed record NearestFit(Policy Policy, ValueList<string> Steps, Cost Cost);

/// <summary>Why a merged policy is refused, and what would fit.</summary>
/// <param name="Breaches">Where it is not below the threshold.</param>
/// <param name="Costly">The rules, the one that costs most in the dimensions of the breaches first.</param>
/// <param name="Relaxations">Each single step, the one that saves most first.</param>
/// <param name="Nearest">The nearest policy that fits, or null when none was found.</param>
/// <param name="Search">How far was looked for it, as a sentence.</param>
public sealed record MergeRefusal(
    ValueList<Breach> Breaches, ValueList<RuleCost> Costly, ValueList<Relaxation> Relaxations, NearestFit? Nearest, string Search);

/// <summary>What to merge, and how.</summary>
/// <param name="Name">The name of the merged policy.</param>
/// <param name="Policies">The policies; their names are distinct.</param>
/// <param name="From">When the prediction begins; the same instant gives the same answer.</param>
public sealed record MergeRequest(string Name, ValueList<Policy> Policies, Instant From)
{
    /// <summary>The object.</summary>
    public ObjectProfile Profile { get; init; } = ObjectProfile.Default;

    /// <summary>What the result may cost.</summary>
    public Threshold Threshold { get; init; } = Threshold.Default;

    /// <summary>How rules of each kind are merged.</summary>
    public MergeWays Ways { get; init; } = MergeWays.Default;

    /// <summary>How long the plans are that the costs come from; null for <see cref="CostModel.HorizonFor"/>.</summary>
    public Duration? Horizon { get; init; }

    /// <summary>How the points are planned.</summary>
    public PlanOptions Options { get; init; } = PlanOptions.Default;

    /// <summary>How many policies the search for the nearest fit may try.</summary>
    public int MostTried { get; init; } = 4000;
}

/// <summary>The result of a merge.</summary>
/// <param name="Full">The merged policy with every rule: the form to carry out.</param>
/// <param name="Reduced">The merged policy without covered rules: the form to write down.</param>
/// <param name="Fates">What became of every rule.</param>
/// <param name="Weakened">The rules that a chosen way of merging weakens; empty for the sound ways.</param>
/// <param name="Conflicts">The rules that cannot hold because of a limit.</param>
/// <param name="Alone">What each policy costs on its own.</param>
/// <param name="SideBySide">What they cost side by side.</param>
/// <param name="Cost">What the merged policy costs.</param>
/// <param name="Overlaps">
/// Whether the policies share points. They do not where that would cost more somewhere: when one of them keeps none of its points, say, and the other would
/// have to take, and keep, its own more often to share them.
/// </param>
/// <param name="Refusal">Why it is refused, or null when it is below the threshold.</param>
public sealed record MergeReport(
    Policy Full,
    Policy Reduced,
    ValueList<RuleFate> Fates,
    ValueList<Weakened> Weakened,
    ValueList<Conflict> Conflicts,
    ValueList<PolicyCost> Alone,
    Cost SideBySide,
    Cost Cost,
    bool Overlaps,
    MergeRefusal? Refusal)
{
    /// <summary>Whether the merged policy is below the threshold.</summary>
    public bool Accepted => Refusal is null;
}
