using NodaTime;

namespace Holdfast.Policies;

/// <summary>What is remembered of a trigger between two observations.</summary>
/// <param name="LastFired">When it last fired, or null.</param>
/// <param name="AboveSince">For thresholds: since when the value has been above, or null when it is not.</param>
public sealed record TriggerState(Instant? LastFired, Instant? AboveSince)
{
    /// <summary>Nothing seen yet.</summary>
    public static TriggerState Initial { get; } = new(null, null);
}

/// <summary>What an observation means.</summary>
/// <param name="Fires">Whether a point is now wanted; the event is then passed to <see cref="PlanState.Fired"/>.</param>
/// <param name="Next">What to remember.</param>
/// <param name="Why">Why it fires or not, as a sentence.</param>
public sealed record TriggerStep(bool Fires, TriggerState Next, string Why);

/// <summary>Decides whether an event fires a trigger rule: how long a threshold must be exceeded, and how often it may fire.</summary>
public static class TriggerGate
{
    /// <summary>A value of what a threshold trigger watches.</summary>
    /// <param name="demand">The rule.</param>
    /// <param name="state">What was remembered.</param>
    /// <param name="value">The value, in the unit of the kind.</param>
    /// <param name="at">When it was measured; not earlier than the observation before.</param>
    public static TriggerStep Sample(TriggerDemand demand, TriggerState state, double value, Instant at)
    {
        ArgumentNullException.ThrowIfNull(demand);
        ArgumentNullException.ThrowIfNull(state);
        if (value <= demand.Condition.Above)
        {
            return new TriggerStep(false, state with { AboveSince = null }, "the value is not above the threshold");
        }

        var since = state.AboveSince ?? at;
        var above = state with { AboveSince = since };
        return at - since < demand.Condition.Sustained
            ? new TriggerStep(false, above, $"the value has been above the threshold for {Quantity.Format(at - since)}, not yet for {Quantity.Format(demand.Condition.Sustained)}")
            : Event(demand, above, at);
    }

    /// <summary>Something happened: a file was changed, a program ended with the status, an administrator asked.</summary>
    /// <param name="demand">The rule.</param>
    /// <param name="state">What was remembered.</param>
    /// <param name="at">When it happened.</param>
    public static TriggerStep Event(TriggerDemand demand, TriggerState state, Instant at)
    {
        ArgumentNullException.ThrowIfNull(demand);
        ArgumentNullException.ThrowIfNull(state);
        // A clock that went back must not silence the trigger until it has caught up.
        if (state.LastFired is { } last && at >= last && at - last < demand.AtMostEvery)
        {
            return new TriggerStep(false, state, $"it fired {Quantity.Format(at - last)} ago and may only every {Quantity.Format(demand.AtMostEvery)}");
        }

        return new TriggerStep(true, state with { LastFired = at }, "it fires");
    }
}
