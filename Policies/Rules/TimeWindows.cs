using NodaTime;

namespace Holdfast.Policies;

/// <summary>Days of the week as a set.</summary>
[Flags]
public enum WeekDays
{
    /// <summary>No day.</summary>
    None = 0,

    /// <summary>Monday.</summary>
    Monday = 1,

    /// <summary>Tuesday.</summary>
    Tuesday = 2,

    /// <summary>Wednesday.</summary>
    Wednesday = 4,

    /// <summary>Thursday.</summary>
    Thursday = 8,

    /// <summary>Friday.</summary>
    Friday = 16,

    /// <summary>Saturday.</summary>
    Saturday = 32,

    /// <summary>Sunday.</summary>
    Sunday = 64,

    /// <summary>Every day.</summary>
    All = 127,
}

/// <summary>A span of local time that comes back on days of the week: from <paramref name="From"/> until just before <paramref name="To"/>.</summary>
/// <param name="Days">The days on which it opens.</param>
/// <param name="From">When it opens.</param>
/// <param name="To">When it closes; not later than <paramref name="From"/> means on the day after.</param>
public sealed record WeeklyWindow(WeekDays Days, LocalTime From, LocalTime To)
{
    /// <summary>The opening that belongs to a local date, in seconds since 1970, or null when it does not open then.</summary>
    internal (long Start, long End)? On(LocalDate date, DateTimeZone zone)
    {
        if ((Days & (WeekDays)(1 << ((int)date.DayOfWeek - 1))) == 0)
        {
            return null;
        }

        var start = Zones.ToSeconds(zone, date.At(From));
        var end = Zones.ToSeconds(zone, (To <= From ? date.PlusDays(1) : date).At(To));
        return start < end ? (start, end) : null;
    }

    /// <summary>The length on a day without a change of the clock.</summary>
    public Duration NominalLength => Duration.FromTicks((To - From).ToDuration().BclCompatibleTicks + (To <= From ? Duration.FromDays(1).BclCompatibleTicks : 0));
}

/// <summary>When a rule applies: inside the windows, or outside them.</summary>
/// <param name="Windows">The windows; they may overlap.</param>
/// <param name="Zone">The IANA name of their time zone.</param>
/// <param name="Outside">True: the rule applies whenever none of the windows is open.</param>
public sealed record TimeWindows(ValueList<WeeklyWindow> Windows, string Zone, bool Outside);
