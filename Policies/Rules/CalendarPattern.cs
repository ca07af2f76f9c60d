using NodaTime;

namespace Holdfast.Policies;

/// <summary>How often an anchor comes back.</summary>
public enum AnchorPeriod
{
    /// <summary>Every hour at a minute.</summary>
    Hour,

    /// <summary>On days of the week at a time.</summary>
    Day,

    /// <summary>On a day of the month at a time.</summary>
    Month,

    /// <summary>On a day of a month at a time.</summary>
    Year,
}

/// <summary>
/// The times at which an anchored rule wants its points, in local time. A day that a month does not have means its last
/// day (31 in April, 29 in February of a common year); a time that daylight saving skips is moved forward by the gap.
/// </summary>
/// <param name="Period">How often it comes back.</param>
/// <param name="Time">The time of day; for <see cref="AnchorPeriod.Hour"/> only its minutes count.</param>
/// <param name="Days">For <see cref="AnchorPeriod.Day"/>: on which days of the week.</param>
/// <param name="DayOfMonth">For months and years: 1 to 31; 31 is always the last day.</param>
/// <param name="Month">For years: 1 to 12.</param>
public sealed record CalendarPattern(AnchorPeriod Period, LocalTime Time, WeekDays Days = WeekDays.All, int DayOfMonth = 1, int Month = 1)
{
    /// <summary>Every hour at this minute.</summary>
    public static CalendarPattern Hourly(int minute) => new(AnchorPeriod.Hour, new LocalTime(0, minute));

    /// <summary>On these days at this time.</summary>
    public static CalendarPattern Daily(LocalTime time, WeekDays days = WeekDays.All) => new(AnchorPeriod.Day, time, days);

    /// <summary>On this day of every month.</summary>
    public static CalendarPattern Monthly(int day, LocalTime time) => new(AnchorPeriod.Month, time, WeekDays.All, day);

    /// <summary>On this day of every year.</summary>
    public static CalendarPattern Yearly(int month, int day, LocalTime time) => new(AnchorPeriod.Year, time, WeekDays.All, day, month);

    /// <summary>The mean time between two occurrences.</summary>
    public Duration MeanPeriod => Period switch
    {
        AnchorPeriod.Hour => Duration.FromHours(1),
        AnchorPeriod.Day => Duration.FromDays(7) / Math.Max(1, System.Numerics.BitOperations.PopCount((uint)Days)),
        AnchorPeriod.Month => Duration.FromHours(24 * 365.2425 / 12),
        _ => Duration.FromHours(24 * 365.2425),
    };

    /// <summary>The occurrences at or after an instant, in order, without an end.</summary>
    internal IEnumerable<long> From(long from, DateTimeZone zone)
    {
        if (Period == AnchorPeriod.Hour)
        {
            return Hours(from, zone);
        }

        return Dates(Instant.FromUnixTimeSeconds(from).InZone(zone).Date.PlusDays(-1))
            .Select(date => Zones.ToSeconds(zone, date.At(Time)))
            .Where(at => at >= from);
    }

    private IEnumerable<LocalDate> Dates(LocalDate date)
    {
        switch (Period)
        {
            case AnchorPeriod.Day:
                for (; ; date = date.PlusDays(1))
                {
                    if ((Days & (WeekDays)(1 << ((int)date.DayOfWeek - 1))) != 0)
                    {
                        yield return date;
                    }
                }

            case AnchorPeriod.Month:
                for (var month = new LocalDate(date.Year, date.Month, 1); ; month = month.PlusMonths(1))
                {
                    yield return Clamped(month.Year, month.Month);
                }

            default:
                for (var year = date.Year; ; year++)
                {
                    yield return Clamped(year, Month);
                }
        }
    }

    private LocalDate Clamped(int year, int month) => new(year, month, Math.Min(DayOfMonth, CalendarSystem.Iso.GetDaysInMonth(year, month)));

    // An hourly anchor is about elapsed hours: the day that the clock is set back has 25 of them. So it walks the intervals of
    // constant offset instead of local dates.
    private IEnumerable<long> Hours(long from, DateTimeZone zone)
    {
        var at = from;
        while (true)
        {
            var interval = zone.GetZoneInterval(Instant.FromUnixTimeSeconds(at));
            var offset = interval.WallOffset.Seconds;
            var end = interval.HasEnd ? interval.End.ToUnixTimeSeconds() : long.MaxValue;
            var minute = (long)Time.Minute * 60;
            var occurrence = at + (((minute - (at + offset)) % 3600) + 3600) % 3600;
            for (; occurrence < end; occurrence += 3600)
            {
                yield return occurrence;
            }

            at = end;
        }
    }
}
