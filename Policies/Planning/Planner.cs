using NodaTime;

namespace Holdfast.Policies;

/// <summary>
/// Turns a policy into checkpoints. Every rule is a family of intervals of time, each of which wants a point; choosing the
/// fewest points that meet all of them is interval stabbing, and the latest allowed second of the interval that ends first
/// is always among the best choices.
/// </summary>
public static class Planner
{
    private static readonly Duration LongestHorizon = Duration.FromDays(366 * 40);

    /// <summary>Plans until an instant.</summary>
    /// <param name="policy">The policy, merged or not.</param>
    /// <param name="state">What is already served.</param>
    /// <param name="from">The first instant at which a checkpoint can be taken: now.</param>
    /// <param name="until">The end; later than <paramref name="from"/>, at most 40 years.</param>
    /// <param name="options">The reserve.</param>
    /// <exception cref="ArgumentOutOfRangeException">The horizon is empty or longer than 40 years.</exception>
    public static Plan Until(Policy policy, PlanState state, Instant from, Instant until, PlanOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(policy);
        ArgumentNullException.ThrowIfNull(state);
        if (until <= from || until - from > LongestHorizon)
        {
            throw new ArgumentOutOfRangeException(nameof(until), "a plan ends after it begins and within 40 years");
        }

        return new PlanRun(policy, state, from, until, options ?? PlanOptions.Default).Run();
    }

    /// <summary>Plans the next checkpoints.</summary>
    /// <param name="policy">The policy, merged or not.</param>
    /// <param name="state">What is already served.</param>
    /// <param name="from">The first instant at which a checkpoint can be taken: now.</param>
    /// <param name="count">How many, at least 1; fewer come back when the policy asks for fewer within 40 years.</param>
    /// <param name="options">The reserve.</param>
    public static Plan Next(Policy policy, PlanState state, Instant from, int count, PlanOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(policy);
        ArgumentOutOfRangeException.ThrowIfLessThan(count, 1);
        var perDay = policy.Rules.Select(r => r.Clause.Demand.PointsPerDay).DefaultIfEmpty().Max();
        var hasEvents = state.Pending.Count > 0;
        if (perDay == 0 && !hasEvents)
        {
            return Until(policy, state, from, from + Duration.FromSeconds(1), options);
        }

        var span = Duration.Max(Duration.FromSeconds(60), Duration.FromDays(perDay == 0 ? 1 : Math.Min(count / perDay * 1.2, 14000)));
        while (true)
        {
            var horizon = Duration.Min(span, LongestHorizon);
            var plan = Until(policy, state, from, from + horizon, options);
            if (plan.Points.Count >= count)
            {
                return plan with { Points = plan.Points.Take(count).ToList(), Until = plan.Points[count - 1].At };
            }

            if (horizon == LongestHorizon || perDay == 0)
            {
                return plan;
            }

            span *= 4;
        }
    }
}
