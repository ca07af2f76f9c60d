using NodaTime;

namespace Holdfast.Policies;

/// <summary>Predicts what a policy consumes from its own plan: the checkpoints it would take and how long each would be kept where.</summary>
public static class CostModel
{
    // Beyond this a prediction is the same prediction; what is kept forever is counted as kept for ten years.
    private static readonly double Longest = Duration.FromDays(3650).TotalSeconds;
    private const double MostPoints = 600_000;

    /// <summary>How long a plan must be for the cost to be representative: four weeks, thirteen months or three years, by the longest period of retention.</summary>
    public static Duration HorizonFor(IEnumerable<Policy> policies)
    {
        var rules = policies.SelectMany(p => p.Rules).ToList();
        var perDay = rules.Sum(r => r.Clause.Demand.PointsPerDay);
        var days = rules.Select(r => DaysFor(r.Clause)).DefaultIfEmpty(28).Max();
        return Duration.FromDays(Math.Clamp(perDay > 0 ? Math.Min(days, MostPoints / perDay) : days, 1, 1100));
    }

    /// <summary>Predicts the cost of a policy.</summary>
    /// <param name="policy">The policy, merged or not.</param>
    /// <param name="profile">The object.</param>
    /// <param name="from">Where the plan begins.</param>
    /// <param name="horizon">How long the plan is.</param>
    /// <param name="options">The reserve.</param>
    public static Cost Predict(Policy policy, ObjectProfile profile, Instant from, Duration horizon, PlanOptions? options = null) =>
        Of(Planner.Until(policy, PlanState.StartingAt(from), from, from + horizon, options), profile);

    /// <summary>The cost of carrying out a plan again and again.</summary>
    public static Cost Of(Plan plan, ObjectProfile profile)
    {
        ArgumentNullException.ThrowIfNull(plan);
        ArgumentNullException.ThrowIfNull(profile);
        var points = plan.Points;
        if (points.Count == 0)
        {
            return Cost.Zero;
        }

        var days = (plan.Until - plan.From).TotalDays;
        var start = plan.From.Seconds();
        var times = new long[points.Count];
        double freeze = 0, written = 0;
        var before = start;
        for (var i = 0; i < times.Length; i++)
        {
            times[i] = points[i].At.Seconds();
            freeze += profile.Freeze(times[i] - before);
            written += profile.Written(times[i] - before);
            before = times[i];
        }

        var lifetimes = new Lifetimes(plan, times);
        var stored = StoredDifferences(times, lifetimes.At(null), start, days, profile);
        double sent = 0;
        var devices = lifetimes.Devices;
        foreach (var device in devices)
        {
            var there = lifetimes.At(device);
            stored += StoredDifferences(times, there, start, days, profile);
            before = start;
            for (var i = 0; i < times.Length; i++)
            {
                if (there[i] >= 0)
                {
                    sent += profile.Written(times[i] - before);
                    before = times[i];
                }
            }
        }

        var full = profile.FullBytes * profile.StoredRatio * (1 + devices.Count);
        return new Cost(points.Count / days, freeze / days, written / days, full + stored, sent / days, full);
    }

    // At age a, what is stored are the differences between the points that live longer than a. So the long-run sum is an
    // integral over ages of a function that changes only where a lifetime ends.
    private static double StoredDifferences(long[] times, double[] lifetimes, long start, double days, ObjectProfile profile)
    {
        var ages = lifetimes.Where(l => l > 0).Distinct().Order().ToArray();
        double sum = 0, younger = 0;
        foreach (var age in ages)
        {
            double differences = 0;
            var before = start;
            for (var i = 0; i < times.Length; i++)
            {
                if (lifetimes[i] >= age)
                {
                    differences += profile.Written(times[i] - before);
                    before = times[i];
                }
            }

            sum += differences * (age - younger);
            younger = age;
        }

        return sum / (days * 86400);
    }

    private static double DaysFor(Clause clause)
    {
        var days = clause.Demand switch
        {
            CalendarDemand { Pattern.Period: AnchorPeriod.Year } => 1100,
            CalendarDemand { Pattern.Period: AnchorPeriod.Month } => 400,
            EveryDemand e => Math.Max(28, e.Interval.TotalDays * 8),
            _ => 28.0,
        };
        foreach (var per in clause.Keep.Per)
        {
            days = Math.Max(days, per.Period switch { KeepPeriod.Year => 1100, KeepPeriod.Month => 400, KeepPeriod.Week => 91, _ => 28 });
        }

        return days;
    }

    /// <summary>How long each point of a plan lives at each place, in seconds; -1 where it never was.</summary>
    private sealed class Lifetimes
    {
        private readonly Plan _plan;
        private readonly long[] _times;
        private readonly List<(PointRule Rule, List<int> Points)> _byRule;

        public Lifetimes(Plan plan, long[] times)
        {
            _plan = plan;
            _times = times;
            var byRule = new Dictionary<PointRule, List<int>>(ReferenceEqualityComparer.Instance);
            for (var i = 0; i < plan.Points.Count; i++)
            {
                foreach (var service in plan.Points[i].Serves.AsSpan())
                {
                    if (!byRule.TryGetValue(service.Rule, out var list))
                    {
                        byRule[service.Rule] = list = [];
                    }

                    list.Add(i);
                }
            }

            _byRule = [.. byRule.Select(p => (p.Key, p.Value))];
            Devices = _byRule.SelectMany(r => DevicesOf(r.Rule)).Distinct().Order(StringComparer.Ordinal).ToList();
        }

        public List<string> Devices { get; }

        public double[] At(string? device)
        {
            var lives = new double[_times.Length];
            Array.Fill(lives, device is null ? 0 : -1);
            foreach (var (rule, points) in _byRule)
            {
                if (device is null || DevicesOf(rule).Contains(device))
                {
                    Apply(rule, points, lives);
                }
            }

            return lives;
        }

        // Copies beyond the named devices go wherever there is room; they are counted as devices without a name.
        private static IEnumerable<string> DevicesOf(PointRule rule)
        {
            var copies = rule.Clause.Terms.Copies;
            return copies.To.Select(c => c.Device).Concat(Enumerable.Range(1, Math.Max(0, copies.AtLeast - copies.To.Count)).Select(n => $"(any {n})"));
        }

        private void Apply(PointRule rule, List<int> points, double[] lives)
        {
            var keep = rule.Clause.Keep;
            var days = (_plan.Until - _plan.From).TotalDays;
            var dense = Math.Max(keep.For.TotalSeconds, rule.Clause.Terms.Storage.ImmutableFor.TotalSeconds);
            dense = Math.Min(Longest, Math.Max(dense, keep.Last * days * 86400 / points.Count));
            foreach (var i in points)
            {
                lives[i] = Math.Max(lives[i], dense);
            }

            foreach (var per in keep.Per)
            {
                var zone = Zones.Get(per.Zone);
                var life = Math.Min(Longest, per.Count * KeepPer.MeanLength(per.Period).TotalSeconds);
                var current = KeepPer.IndexOf(per.Period, zone, _plan.From.Seconds());
                var first = points[0];
                var any = false;
                foreach (var i in points)
                {
                    var period = KeepPer.IndexOf(per.Period, zone, _times[i]);
                    if (period != current)
                    {
                        // Only periods that begin within the plan, or a part of one would count as a whole.
                        lives[i] = Math.Max(lives[i], life);
                        current = period;
                        any = true;
                    }
                }

                if (!any)
                {
                    lives[first] = Math.Max(lives[first], life);
                }
            }
        }
    }
}
