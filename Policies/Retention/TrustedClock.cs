using NodaTime;

namespace Holdfast.Policies;

/// <summary>
/// What is known about the wall clock from the last time it was looked at. Retention goes by ages, so a wall clock that
/// jumps would make snapshots look old; this is what tells a jump from the passing of time.
/// </summary>
/// <param name="Wall">The trusted time then.</param>
/// <param name="Doubted">For how long a clock that disagrees has been seen to go steadily; zero when it agrees.</param>
/// <param name="DoubtedWall">What that clock showed, or null.</param>
public sealed record ClockEvidence(Instant Wall, Duration Doubted, Instant? DoubtedWall)
{
    /// <summary>The evidence of a first look: there is nothing to compare with, and the clock is believed.</summary>
    public static ClockEvidence First(Instant wall) => new(wall, Duration.Zero, null);
}

/// <summary>A time that may be used for ages, or the reason why there is none.</summary>
/// <param name="Now">The time.</param>
/// <param name="Distrust">Why ages must not be acted on, or null.</param>
/// <param name="Evidence">What to remember until the next look.</param>
public sealed record TrustedTime(Instant Now, string? Distrust, ClockEvidence Evidence);

/// <summary>Compares the wall clock with a clock that only goes forward (CLOCK_BOOTTIME, clock_gettime(2)).</summary>
/// <param name="Tolerance">How far the two may drift apart between two looks without being doubted.</param>
/// <param name="LongestAbsence">How far the wall clock may advance while nobody could watch it (a reboot) and still be believed.</param>
/// <param name="BelieveAfter">How long a doubted clock must go steadily until it is believed.</param>
public sealed record TrustedClock(Duration Tolerance, Duration LongestAbsence, Duration BelieveAfter)
{
    /// <summary>A minute of drift, a week of absence, a day until belief.</summary>
    public static TrustedClock Default { get; } = new(Duration.FromMinutes(1), Duration.FromDays(7), Duration.FromDays(1));

    /// <summary>Looks at the clock.</summary>
    /// <param name="before">What was known.</param>
    /// <param name="wall">The wall clock now.</param>
    /// <param name="elapsed">How much time really passed since, or null when that is not known because the host was restarted.</param>
    public TrustedTime Look(ClockEvidence before, Instant wall, Duration? elapsed)
    {
        ArgumentNullException.ThrowIfNull(before);
        var expected = before.Wall + (elapsed ?? Duration.Zero);
        var off = wall - expected;
        var agrees = elapsed is null ? off >= -Tolerance && off <= LongestAbsence : off >= -Tolerance && off <= Tolerance;
        if (agrees)
        {
            // Never backwards: a small step back must not make a snapshot younger than it was said to be.
            var now = Instant.Max(wall, before.Wall);
            return new TrustedTime(now, null, new ClockEvidence(now, Duration.Zero, null));
        }

        var steady = Duration.Zero;
        if (before.DoubtedWall is { } doubted && elapsed is { } passed)
        {
            var drift = wall - (doubted + passed);
            if (drift >= -Tolerance && drift <= Tolerance)
            {
                steady = before.Doubted + passed;
            }
        }

        if (steady >= BelieveAfter)
        {
            return new TrustedTime(wall, null, ClockEvidence.First(wall));
        }

        var what = off < Duration.Zero
            ? $"the clock went back by {Quantity.Format(-off)}"
            : $"the clock went forward by {Quantity.Format(off)} more than the time that passed";
        return new TrustedTime(expected, $"{what}; nothing is removed until it has gone steadily for {Quantity.Format(BelieveAfter)}", new ClockEvidence(expected, steady, wall));
    }
}
