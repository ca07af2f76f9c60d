using NodaTime;

namespace Holdfast.Policies;

/// <summary>When a rule wants recovery points.</summary>
public abstract record Demand
{
    /// <summary>How many points a day the rule asks for at the most, on its own; 0 for what cannot be foreseen.</summary>
    public abstract double PointsPerDay { get; }
}

/// <summary>
/// A recovery point at most every so often: at no instant at which the rule applies is the newest point older than
/// <paramref name="Interval"/>. With windows, the time counts within each opening: a point within the interval after it
/// opens, none further apart, and at least one in an opening that is shorter than the interval.
/// </summary>
/// <param name="Interval">At least one second.</param>
/// <param name="Windows">When the rule applies, or null for always.</param>
public sealed record EveryDemand(Duration Interval, TimeWindows? Windows = null) : Demand
{
    /// <inheritdoc/>
    public override double PointsPerDay => Duration.FromDays(1) / Interval;
}

/// <summary>A recovery point at each occurrence of a calendar pattern, no earlier and no later than the tolerance says.</summary>
/// <param name="Pattern">The anchors.</param>
/// <param name="Zone">The IANA name of their time zone.</param>
/// <param name="Before">How much too early a point may be.</param>
/// <param name="After">How much too late a point may be.</param>
/// <param name="CatchUp">Whether a missed occurrence is made up for by one late point.</param>
public sealed record CalendarDemand(CalendarPattern Pattern, string Zone, Duration Before, Duration After, bool CatchUp = true) : Demand
{
    /// <inheritdoc/>
    public override double PointsPerDay => Duration.FromDays(1) / Pattern.MeanPeriod;
}

/// <summary>A recovery point after an event, at most so often.</summary>
/// <param name="Condition">The event.</param>
/// <param name="AtMostEvery">Events within this time after one that fired do not fire again.</param>
/// <param name="Within">How soon after the event the point is wanted; a point planned within that time serves.</param>
public sealed record TriggerDemand(TriggerCondition Condition, Duration AtMostEvery, Duration Within) : Demand
{
    /// <inheritdoc/>
    public override double PointsPerDay => 0;
}

/// <summary>No points of its own: the rule's terms apply to every point that another rule, or a person, asks for.</summary>
public sealed record AnyPointDemand : Demand
{
    /// <inheritdoc/>
    public override double PointsPerDay => 0;
}

/// <summary>What a trigger watches.</summary>
public enum TriggerKind
{
    /// <summary>The share of the processors that the object uses, 0 to 100 percent of all of them.</summary>
    Cpu,

    /// <summary>Memory changed since the last point, in bytes.</summary>
    MemoryChange,

    /// <summary>Network traffic, in bytes per second.</summary>
    Network,

    /// <summary>The share of the storage that is used, 0 to 100 percent.</summary>
    Storage,

    /// <summary>The share of time in which something of the object waits for a resource, 0 to 100 percent.</summary>
    Pressure,

    /// <summary>A configuration file was changed.</summary>
    ConfigurationChange,

    /// <summary>An external program ended with a given exit status.</summary>
    Program,

    /// <summary>An administrator asked for it.</summary>
    Administrator,
}

/// <summary>The event of a trigger.</summary>
/// <param name="Kind">What is watched.</param>
/// <param name="Above">For thresholds: the value above which it fires, in the unit of the kind.</param>
/// <param name="Sustained">For thresholds: how long the value must stay above.</param>
/// <param name="Target">The path of the file, the command line of the program, or the resource whose pressure is meant: <c>cpu</c>, <c>memory</c> or <c>io</c>.</param>
/// <param name="ExitStatus">For programs: the status that fires, 0 to 255.</param>
/// <param name="Poll">For programs: how often it is run.</param>
public sealed record TriggerCondition(TriggerKind Kind, double Above, Duration Sustained, string Target, int ExitStatus, Duration Poll);
