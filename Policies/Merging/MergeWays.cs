namespace Holdfast.Policies;

/// <summary>A kind of rule, for which a way of merging can be chosen.</summary>
public enum RuleKind
{
    /// <summary>When points are wanted.</summary>
    RecoveryPoint,

    /// <summary>How long they are kept.</summary>
    Retention,

    /// <summary>Where their copies go.</summary>
    Replication,

    /// <summary>What they hold together.</summary>
    Consistency,

    /// <summary>How they are stored.</summary>
    Storage,

    /// <summary>What is not allowed.</summary>
    Impact,
}

/// <summary>How rules of one kind become one.</summary>
public enum MergeWay
{
    /// <summary>The default: every rule holds for the points that serve it, points are shared, rules that others cover are dropped. Nothing is weakened.</summary>
    Sound,

    /// <summary>Every rule of the kind applies to every point; nothing is dropped as covered. Nothing is weakened; it costs more.</summary>
    Union,

    /// <summary>Each policy on its own: for recovery points, policies do not share them. Nothing is weakened; it costs as much as side by side.</summary>
    Each,

    /// <summary>The strongest single rule of the kind for all: the smallest interval, the longest retention.</summary>
    Strictest,

    /// <summary>The weakest single rule of the kind for all. What is weakened is named.</summary>
    Weakest,

    /// <summary>The rules of a stated policy for all. What is weakened is named.</summary>
    Stated,
}

/// <summary>The way of merging for each kind of rule.</summary>
/// <param name="RecoveryPoint">For recovery points.</param>
/// <param name="Retention">For retention.</param>
/// <param name="Replication">For copies.</param>
/// <param name="Consistency">For consistency.</param>
/// <param name="Storage">For storage.</param>
/// <param name="Impact">For limits; <see cref="MergeWay.Union"/> and <see cref="MergeWay.Each"/> mean the same as <see cref="MergeWay.Sound"/> here.</param>
/// <param name="StatedPolicy">The policy whose rules win where the way is <see cref="MergeWay.Stated"/>.</param>
public sealed record MergeWays(
    MergeWay RecoveryPoint = MergeWay.Sound,
    MergeWay Retention = MergeWay.Sound,
    MergeWay Replication = MergeWay.Sound,
    MergeWay Consistency = MergeWay.Sound,
    MergeWay Storage = MergeWay.Sound,
    MergeWay Impact = MergeWay.Sound,
    string? StatedPolicy = null)
{
    /// <summary>The sound way for every kind.</summary>
    public static MergeWays Default { get; } = new();

    /// <summary>The same with another way for one kind.</summary>
    public MergeWays With(RuleKind kind, MergeWay way) => kind switch
    {
        RuleKind.RecoveryPoint => this with { RecoveryPoint = way },
        RuleKind.Retention => this with { Retention = way },
        RuleKind.Replication => this with { Replication = way },
        RuleKind.Consistency => this with { Consistency = way },
        RuleKind.Storage => this with { Storage = way },
        _ => this with { Impact = way },
    };

    /// <summary>Reads <c>recovery-point=strictest,retention=stated:gold</c>, as given on a command line.</summary>
    /// <exception cref="FormatException">A kind or a way is not known, or two policies are stated.</exception>
    public static MergeWays Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        var ways = Default;
        foreach (var part in text.Split(',', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
        {
            var sides = part.Split('=', 2, StringSplitOptions.TrimEntries);
            var value = sides[^1].Split(':', 2, StringSplitOptions.TrimEntries);
            if (sides.Length != 2
                || !Enum.TryParse<RuleKind>(sides[0].Replace("-", "", StringComparison.Ordinal), ignoreCase: true, out var kind)
                || !Enum.TryParse<MergeWay>(value[0], ignoreCase: true, out var way)
                || value[0].Any(char.IsAsciiDigit)
                || (way == MergeWay.Stated) != (value.Length == 2))
            {
                throw new FormatException($"'{part}' is not KIND=WAY; kinds: recovery-point, retention, replication, consistency, storage, impact; ways: sound, union, each, strictest, weakest, stated:POLICY");
            }

            if (value.Length == 2)
            {
                if (ways.StatedPolicy is { } other && other != value[1])
                {
                    throw new FormatException($"only one policy can be stated, not both {other} and {value[1]}");
                }

                ways = ways with { StatedPolicy = value[1] };
            }

            ways = ways.With(kind, way);
        }

        return ways;
    }
}
