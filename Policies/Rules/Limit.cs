using NodaTime;

namespace Holdfast.Policies;

/// <summary>What a policy does not allow, whoever asks for it.</summary>
public abstract record Limit;

/// <summary>The application is stopped at most this long for one checkpoint.</summary>
/// <param name="AtMost">More than zero.</param>
public sealed record FreezeLimit(Duration AtMost) : Limit;

/// <summary>Copies to other devices move at most so much. A checkpoint is written while the application stands: slowing it would lengthen the freeze.</summary>
/// <param name="BytesPerSecond">At least 1.</param>
public sealed record BandwidthLimit(long BytesPerSecond) : Limit;

/// <summary>No checkpoints in these hours.</summary>
/// <param name="Window">The hours.</param>
/// <param name="Zone">The IANA name of their time zone.</param>
public sealed record BlackoutLimit(WeeklyWindow Window, string Zone) : Limit;

/// <summary>A rule of a policy about its impact.</summary>
/// <param name="Sources">The rules that say this: itself, or those it was merged from.</param>
/// <param name="Limit">What it says.</param>
/// <param name="Position">Where it was written.</param>
public sealed record LimitRule(ValueList<RuleId> Sources, Limit Limit, SourcePosition Position)
{
    /// <summary>All names, for people.</summary>
    public string Title => string.Join(" + ", Sources);

    /// <inheritdoc/>
    public bool Equals(LimitRule? other) => other is not null && Sources.Equals(other.Sources) && Limit.Equals(other.Limit);

    /// <inheritdoc/>
    public override int GetHashCode() => HashCode.Combine(Sources, Limit);
}
