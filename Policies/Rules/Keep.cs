using NodaTime;

namespace Holdfast.Policies;

/// <summary>A calendar period of which one point is kept.</summary>
public enum KeepPeriod
{
    /// <summary>An hour; the hour that the clock repeats counts as two.</summary>
    Hour,

    /// <summary>A local day.</summary>
    Day,

    /// <summary>A week from Monday (ISO 8601).</summary>
    Week,

    /// <summary>A month.</summary>
    Month,

    /// <summary>A year.</summary>
    Year,
}

/// <summary>One point of each of the latest periods that have one: the first of the period that serves the rule, else the first of any.</summary>
/// <param name="Period">The period.</param>
/// <param name="Count">Of how many periods, at least 1.</param>
/// <param name="Zone">The IANA name of the time zone in which the periods begin.</param>
public sealed record KeepPer(KeepPeriod Period, int Count, string Zone) : IComparable<KeepPer>
{
    /// <inheritdoc/>
    public int CompareTo(KeepPer? other)
    {
        if (other is null)
        {
            return 1;
        }

        var byPeriod = Period.CompareTo(other.Period);
        var byZone = byPeriod != 0 ? byPeriod : string.CompareOrdinal(Zone, other.Zone);
        return byZone != 0 ? byZone : Count.CompareTo(other.Count);
    }

    /// <summary>The period that an instant lies in, as a number that grows with time.</summary>
    internal static long IndexOf(KeepPeriod period, DateTimeZone zone, long seconds)
    {
        var instant = Instant.FromUnixTimeSeconds(seconds);
        if (period == KeepPeriod.Hour)
        {
            // By elapsed hours, shifted by the part of the offset that is not whole hours (as in Kathmandu).
            return (long)Math.Floor((seconds + zone.GetUtcOffset(instant).Seconds % 3600) / 3600.0);
        }

        var date = instant.InZone(zone).Date;
        return period switch
        {
            KeepPeriod.Day => date.ToDateOnlyNumber(),
            KeepPeriod.Week => (date.ToDateOnlyNumber() + 3) / 7,
            KeepPeriod.Month => date.Year * 12L + date.Month - 1,
            _ => date.Year,
        };
    }

    /// <summary>The mean length of a period.</summary>
    public static Duration MeanLength(KeepPeriod period) => period switch
    {
        KeepPeriod.Hour => Duration.FromHours(1),
        KeepPeriod.Day => Duration.FromDays(1),
        KeepPeriod.Week => Duration.FromDays(7),
        KeepPeriod.Month => Duration.FromHours(24 * 365.2425 / 12),
        _ => Duration.FromHours(24 * 365.2425),
    };
}

/// <summary>How long the points that serve a rule are kept: as long as any part of this says.</summary>
/// <param name="For">Every point while it is younger than this; zero for none.</param>
/// <param name="Last">The newest so many points.</param>
/// <param name="Per">One point per calendar period; at most one entry for a period and zone.</param>
public sealed record Keep(Duration For, int Last, ValueList<KeepPer> Per)
{
    /// <summary>Nothing beyond the last good point, which is always kept.</summary>
    public static Keep Nothing { get; } = new(Duration.Zero, 0, []);

    /// <summary>The least that keeps what either keeps.</summary>
    public Keep Join(Keep other)
    {
        ArgumentNullException.ThrowIfNull(other);
        if (Equals(other))
        {
            return this;
        }

        var per = Per.Concat(other.Per)
            .GroupBy(p => (p.Period, p.Zone))
            .Select(g => new KeepPer(g.Key.Period, g.Max(p => p.Count), g.Key.Zone))
            .Order()
            .ToValueList();
        return new Keep(Duration.Max(For, other.For), Math.Max(Last, other.Last), per);
    }

    /// <summary>Whether this keeps whatever the other keeps of the same points.</summary>
    public bool Covers(Keep other)
    {
        ArgumentNullException.ThrowIfNull(other);
        if (For < other.For || Last < other.Last)
        {
            return false;
        }

        foreach (var wanted in other.Per)
        {
            var found = false;
            foreach (var own in Per)
            {
                found |= own.Period == wanted.Period && own.Zone == wanted.Zone && own.Count >= wanted.Count;
            }

            if (!found)
            {
                return false;
            }
        }

        return true;
    }
}

internal static class LocalDateNumbers
{
    private static readonly LocalDate Epoch = new(1970, 1, 1);

    /// <summary>Days since 1970-01-01 (a Thursday).</summary>
    public static long ToDateOnlyNumber(this LocalDate date) => Period.DaysBetween(Epoch, date);
}
