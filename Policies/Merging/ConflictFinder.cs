using NodaTime;

namespace Holdfast.Policies;

/// <summary>
/// Finds the rules that a limit keeps from being kept, without planning: from the hours in which checkpoints are not
/// allowed, and from what checkpoints of the object are predicted to take.
/// </summary>
public static class ConflictFinder
{
    /// <summary>Five years: every daylight-saving change and a leap day are among them.</summary>
    public static Duration Horizon { get; } = Duration.FromDays(5 * 365 + 2);

    /// <summary>Finds all conflicts.</summary>
    /// <param name="policy">The policy, joined or not.</param>
    /// <param name="profile">The object, for limits on freeze time and bandwidth; null to leave those out.</param>
    /// <param name="from">From when on to look.</param>
    /// <param name="horizon">For how long; null for <see cref="Horizon"/>.</param>
    public static ValueList<Conflict> Find(Policy policy, ObjectProfile? profile, Instant from, Duration? horizon = null)
    {
        ArgumentNullException.ThrowIfNull(policy);
        if (policy.Limits.Count == 0)
        {
            return [];
        }

        var finder = new Finder(policy, from.Seconds(), (from + (horizon ?? Horizon)).Seconds());
        var found = finder.Blackouts();
        if (profile is not null)
        {
            found = found.Concat(finder.Impact(profile));
        }

        return found.OrderBy(c => c.Rule.Title, StringComparer.Ordinal).ToValueList();
    }

    private sealed class Finder(Policy policy, long from, long until)
    {
        private readonly LimitRule[] _blackouts = policy.Limits.Where(l => l.Limit is BlackoutLimit).ToArray();

        public IEnumerable<Conflict> Blackouts()
        {
            if (_blackouts.Length == 0)
            {
                return [];
            }

            return policy.Rules.Select(Blackout).OfType<Conflict>();
        }

        public IEnumerable<Conflict> Impact(ObjectProfile profile)
        {
            foreach (var limit in policy.Limits)
            {
                foreach (var rule in policy.Rules.Where(r => r.Clause.Demand is EveryDemand or CalendarDemand))
                {
                    var interval = 86400 / rule.Clause.Demand.PointsPerDay;
                    if (limit.Limit is FreezeLimit freeze && profile.Freeze(interval) > freeze.AtMost.TotalSeconds)
                    {
                        yield return Predicted(rule, limit, $"a checkpoint every {Span(interval)} is predicted to freeze the application for {profile.Freeze(interval) * 1000:0} ms; {limit.Title} allows {freeze.AtMost.TotalMilliseconds:0} ms");
                    }

                    if (limit.Limit is BandwidthLimit bandwidth && Bandwidth(rule, bandwidth, profile, interval) is { } what)
                    {
                        yield return Predicted(rule, limit, what + $" at the {Quantity.FormatSize(bandwidth.BytesPerSecond)}/s that {limit.Title} allows");
                    }
                }
            }
        }

        private static string? Bandwidth(PointRule rule, BandwidthLimit limit, ObjectProfile profile, double interval)
        {
            var seconds = profile.Written(interval) / limit.BytesPerSecond;
            if (seconds > interval)
            {
                return $"what changes in {Span(interval)} takes {Span(seconds)} to write";
            }

            var copies = rule.Clause.Terms.Copies;
            foreach (var copy in copies.To)
            {
                if (seconds > copy.Lag.TotalSeconds)
                {
                    return $"the copy on {copy.Device} takes {Span(seconds)}, longer than its lag of {Quantity.Format(copy.Lag)},";
                }
            }

            return copies.AtLeast > copies.To.Count && seconds > copies.Lag.TotalSeconds
                ? $"a copy takes {Span(seconds)}, longer than the lag of {Quantity.Format(copies.Lag)}," : null;
        }

        private static string Span(double seconds) => Quantity.Format(Duration.FromSeconds(seconds < 10 ? Math.Round(seconds, 1) : Math.Round(seconds)));

        private Conflict Predicted(PointRule rule, LimitRule limit, string what) => new(rule, [limit], from.ToInstant(), until.ToInstant(), 1, what);

        private Conflict? Blackout(PointRule rule)
        {
            var runs = new TimeRuns(_blackouts.Select(l => (((BlackoutLimit)l.Limit).Window, ((BlackoutLimit)l.Limit).Zone)), from);
            var lost = rule.Clause.Demand switch
            {
                EveryDemand { Windows: null } every => Always(runs, every.Interval.Seconds()),
                EveryDemand every => InWindows(runs, every),
                CalendarDemand calendar => Calendar(runs, calendar),
                TriggerDemand trigger => Events(runs, trigger.Within.Seconds()),
                _ => [],
            };
            var times = 0;
            (long Start, long End)? first = null;
            var limits = new HashSet<LimitRule>();
            var own = _blackouts.Select(l => new TimeRuns([(((BlackoutLimit)l.Limit).Window, ((BlackoutLimit)l.Limit).Zone)], from)).ToArray();
            foreach (var (start, end) in lost)
            {
                first ??= (start, end);
                times++;
                for (var i = 0; i < own.Length; i++)
                {
                    if (own[i].FirstEndingAfter(Math.Max(from, start)) is { } run && run.Start < end)
                    {
                        limits.Add(_blackouts[i]);
                    }
                }
            }

            return first is not { } f ? null : new Conflict(
                rule,
                limits.OrderBy(l => l.Title, StringComparer.Ordinal).ToValueList(),
                f.Start.ToInstant(),
                f.End.ToInstant(),
                times,
                $"{string.Join(" and ", limits.Select(l => l.Title).Order(StringComparer.Ordinal))} allow no checkpoint from {f.Start.ToInstant()} until {f.End.ToInstant()}, where {rule.Title} needs one");
        }

        private IEnumerable<(long Start, long End)> Runs(TimeRuns runs)
        {
            for (var run = runs.FirstEndingAfter(from); run is { } r && r.Start < until; run = runs.FirstEndingAfter(r.End))
            {
                // An endless run grows as it is looked at.
                var end = Math.Min(runs.FirstOutside(r.Start), until + 366L * 86400);
                yield return (r.Start, end);
                if (end >= until)
                {
                    yield break;
                }
            }
        }

        private IEnumerable<(long Start, long End)> Always(TimeRuns runs, long interval) => Runs(runs).Where(r => r.End - (r.Start - 1) > interval);

        // A trigger cannot choose its time: any run that is longer than it may wait can be in its way.
        private IEnumerable<(long Start, long End)> Events(TimeRuns runs, long within) => Runs(runs).Where(r => r.End - r.Start > within);

        private IEnumerable<(long Start, long End)> Calendar(TimeRuns runs, CalendarDemand demand)
        {
            foreach (var anchor in demand.Pattern.From(from, Zones.Get(demand.Zone)))
            {
                if (anchor > until)
                {
                    yield break;
                }

                var start = Math.Max(from, anchor - demand.Before.Seconds());
                var end = anchor + demand.After.Seconds();
                if (runs.LatestOutside(start, end) is null)
                {
                    yield return (start, end + 1);
                }
            }
        }

        private IEnumerable<(long Start, long End)> InWindows(TimeRuns runs, EveryDemand demand)
        {
            var interval = demand.Interval.Seconds();
            foreach (var (start, end) in Openings(demand.Windows!))
            {
                var closes = end - 1;
                if (start + interval > closes)
                {
                    if (runs.LatestOutside(Math.Max(from, start), closes) is null)
                    {
                        yield return (start, end);
                    }

                    continue;
                }

                var at = Math.Max(from, start);
                while (runs.FirstEndingAfter(at) is { } run && run.Start <= closes)
                {
                    var before = Math.Max(start, run.Start - 1);
                    if (run.End > closes ? before + interval <= closes : run.End - before > interval)
                    {
                        yield return (Math.Max(start, run.Start), Math.Min(end, run.End));
                    }

                    at = run.End;
                }
            }
        }

        private IEnumerable<(long Start, long End)> Openings(TimeWindows windows)
        {
            var runs = new TimeRuns(windows.Windows.Select(w => (w, windows.Zone)), from);
            if (!windows.Outside)
            {
                return Runs(runs);
            }

            return Complement(runs);
        }

        private IEnumerable<(long Start, long End)> Complement(TimeRuns runs)
        {
            for (var start = runs.FirstOutside(from); start < until;)
            {
                var next = runs.FirstEndingAfter(start);
                yield return (start, next?.Start ?? until);
                start = next is { } n ? runs.FirstOutside(n.Start) : until;
            }
        }
    }
}
