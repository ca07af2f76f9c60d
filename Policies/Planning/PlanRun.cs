using NodaTime;

namespace Holdfast.Policies;

/// <summary>One computation of a plan.</summary>
internal sealed class PlanRun
{
    private readonly Policy _policy;
    private readonly PlanState _state;
    private readonly long _from;
    private readonly long _until;
    private readonly long _reserve;
    private readonly LimitRule[] _blackouts;
    private readonly TimeRuns _forbidden;
    private readonly List<Obligations> _sources = [];
    private readonly PointTerms _ofEvery;
    private readonly List<PointRule> _anyPoint = [];
    private readonly Dictionary<Obligations, (int Times, long From, long Until, HashSet<LimitRule> Limits)> _conflicts = [];
    private readonly Dictionary<Obligations, long> _lastNoted = [];
    private readonly Dictionary<Obligations, long[]> _seen = [];
    private TimeRuns[]? _blackoutRuns;

    public PlanRun(Policy policy, PlanState state, Instant from, Instant until, PlanOptions options)
    {
        _policy = policy;
        _state = state;
        _from = from.Seconds();
        _until = until.Seconds();
        _reserve = options.Reserve.Seconds();
        _blackouts = policy.Limits.Where(l => l.Limit is BlackoutLimit).ToArray();
        // From the earliest that an obligation can begin: a rule may be due since long before the plan.
        _forbidden = new TimeRuns(_blackouts.Select(l => (((BlackoutLimit)l.Limit).Window, ((BlackoutLimit)l.Limit).Zone)), _from);
        _ofEvery = PointTerms.Least;
        foreach (var rule in policy.Rules)
        {
            if (rule.Clause.Demand is AnyPointDemand)
            {
                _anyPoint.Add(rule);
                _ofEvery = _ofEvery.Join(rule.Clause.Terms);
            }
            else
            {
                _sources.Add(Obligate(rule));
            }
        }
    }

    /// <summary>The seconds of the points, one too many at the end so that it is decided which point is the last in time.</summary>
    public long[] Points()
    {
        // Anchored rules choose the nearest point within their tolerance, so the plan must reach past the tolerance.
        var horizon = _until + _sources.Select(s => s.Width).DefaultIfEmpty().Max();
        return _policy.Sharing switch
        {
            Sharing.FewestPoints => Stab(_sources, [], horizon),
            Sharing.LongestKeptFirst => Layered(horizon),
            _ => throw new InvalidOperationException("policies that do not share are planned one by one"),
        };
    }

    public Plan Run()
    {
        IReadOnlyList<PlannedPoint> points;
        if (_policy.Sharing == Sharing.PerPolicy)
        {
            var all = new List<PlannedPoint>();
            foreach (var group in _sources.GroupBy(s => s.Rule.Id.Policy))
            {
                var own = group.ToList();
                all.AddRange(Serve(own, Stab(own, [], _until + own.Max(s => s.Width))));
            }

            // Policies may each want a point at the same second: two points, in an order that does not depend on when they were planned.
            points = [.. all.OrderBy(p => p.At).ThenBy(p => p.Serves[0].Rule.Id)];
        }
        else
        {
            points = Serve(_sources, Points());
        }

        var missed = _sources.OfType<CalendarObligations>()
            .SelectMany(s => s.Missed.Select(m => new Missed(s.Rule, m.Occurrence.ToInstant(), m.Due.ToInstant())))
            .ToValueList();
        return new Plan(_policy, _from.ToInstant(), _until.ToInstant(), points, Conflicts(), missed);
    }

    private Obligations Obligate(PointRule rule)
    {
        var served = _state.ServedThrough(rule);
        switch (rule.Clause.Demand)
        {
            case EveryDemand { Windows: null } every:
                return new EveryObligations(rule, served, every.Interval.Seconds(), _reserve);
            case EveryDemand every:
                // Openings that were over before the plan began are lost; what is left to ask for begins with the current one.
                return new WindowObligations(rule, every.Windows!, Math.Max(served, _from - every.Interval.Seconds() - 8 * 86400), every.Interval.Seconds(), _reserve);
            case CalendarDemand calendar:
                return new CalendarObligations(rule, calendar, served, _from, _reserve);
            case TriggerDemand trigger:
                return new EventObligations(rule, _state.Pending.Where(e => rule.Sources.Contains(e.Rule)).Select(e => e.At.Seconds()).Distinct(), trigger.Within.Seconds());
            default:
                throw new InvalidOperationException($"no obligations for {rule.Clause.Demand.GetType().Name}");
        }
    }

    private long[] Stab(List<Obligations> sources, ReadOnlySpan<long> given, long horizon)
    {
        var points = new List<long>();
        var anchorsOnly = sources.TrueForAll(s => s is CalendarObligations);
        var earliest = _from;
        var g = 0;
        while (true)
        {
            var best = Obligations.Never;
            Obligations? first = null;
            foreach (var source in sources)
            {
                var deadline = Deadline(source, earliest, horizon);
                if (deadline < best)
                {
                    best = deadline;
                    first = source;
                }
            }

            if (first is null)
            {
                return [.. points];
            }

            // A point that exists anyway and is early enough comes first; it may meet what is due.
            if (g < given.Length && given[g] <= best)
            {
                foreach (var source in sources)
                {
                    source.Meet(given[g]);
                }

                earliest = Math.Max(earliest, given[g]);
                g++;
                continue;
            }

            var point = anchorsOnly ? Pulled(sources, first, earliest, best) : best;
            points.Add(point);
            foreach (var source in sources)
            {
                source.Meet(point);
            }

            earliest = point + 1;
            if (point > horizon)
            {
                return [.. points];
            }
        }
    }

    // When the source's next obligation is planned for; when it cannot be met, the first second at which it can be made up for.
    private long Deadline(Obligations source, long earliest, long horizon)
    {
        while (true)
        {
            var next = source.Next;
            if (next.Due >= Obligations.Never)
            {
                return Obligations.Never;
            }

            var start = Math.Max(next.Start, earliest);
            if (_forbidden.IsEmpty || start > horizon)
            {
                return Math.Max(start, next.Due);
            }

            var latest = LatestAllowed(start, next);
            if (latest <= next.End || next.End < start)
            {
                return latest;
            }

            Note(source, next, source.MakesUp ? latest : next.End + 1);
            if (source.MakesUp)
            {
                return latest;
            }

            source.Skip();
        }
    }

    private long PlannedFor(Obligation obligation) =>
        _forbidden.IsEmpty ? obligation.Due : LatestAllowed(Math.Max(obligation.Start, _from), obligation);

    // The last allowed second of an obligation, less the reserve; when there is none, the first after it.
    private long LatestAllowed(long start, Obligation obligation)
    {
        if (_forbidden.LatestOutside(start, obligation.Due) is not { } latest)
        {
            return _forbidden.FirstOutside(Math.Max(start, obligation.Due));
        }

        if (latest == obligation.Due)
        {
            return latest;
        }

        // Just before hours that are not allowed there would be no time for a second try: leave the reserve there too, but stay
        // so late that the interval carries across those hours, if it can at all.
        var opens = _forbidden.FirstOutside(obligation.Due);
        var early = latest - Math.Min(obligation.End - obligation.Due, _reserve);
        if (obligation.Interval == 0)
        {
            var half = Math.Max(early, latest - (latest - start) / 2);
            return _forbidden.LatestOutside(start, half) ?? _forbidden.FirstOutside(half);
        }

        var needed = Math.Min(opens, obligation.Closes + 1) - obligation.Interval;
        var target = needed <= latest ? Math.Max(needed, early) : early;
        if (target < start)
        {
            // There is a point within the reserve before those hours already. One more would not carry any further, or is not needed.
            if (obligation.End >= opens || needed > latest)
            {
                return opens;
            }

            target = start;
        }

        return _forbidden.FirstOutside(target);
    }

    // With anchors alone, a point may be anywhere where the obligations that it meets overlap, without a change in their
    // number: as near to the anchor as possible then, as an operator expects of "at 01:00".
    private long Pulled(List<Obligations> sources, Obligations first, long earliest, long latest)
    {
        var next = first.Next;
        if (latest > next.End)
        {
            return latest;
        }

        var lowest = Math.Max(earliest, next.Start);
        foreach (var source in sources)
        {
            lowest = Math.Max(lowest, ((CalendarObligations)source).LatestStartUpTo(latest));
        }

        var wanted = Math.Clamp(next.Occurrence, lowest, latest);
        return _forbidden.LatestOutside(lowest, wanted) ?? Math.Min(latest, _forbidden.FirstOutside(wanted));
    }

    private long[] Layered(long horizon)
    {
        long[] points = [];
        foreach (var source in _sources.OrderByDescending(s => Memory(s.Rule)).ThenBy(s => s.Rule.Title, StringComparer.Ordinal))
        {
            var own = Stab([source], points, horizon);
            points = [.. points.Concat(own).Distinct().Order()];
            // A rule counts on the points that were there when it chose, not on those that later rules add: or a plan made after
            // some of them were taken would be another one.
            _seen[source] = points;
        }

        return points;
    }

    /// <summary>For how long a rule keeps its points densely, in seconds.</summary>
    private static double Memory(PointRule rule)
    {
        var keep = rule.Clause.Keep;
        var perDay = rule.Clause.Demand.PointsPerDay;
        var last = perDay > 0 ? keep.Last / perDay * 86400 : 0;
        var per = keep.Per.Select(p => p.Count * KeepPer.MeanLength(p.Period).TotalSeconds).DefaultIfEmpty().Max();
        return Math.Max(Math.Max(keep.For.TotalSeconds, last), per);
    }

    private PlanPoints Serve(List<Obligations> sources, long[] points)
    {
        var served = new List<Served>(points.Length);
        for (var s = 0; s < sources.Count; s++)
        {
            var index = s;
            var seen = _seen.GetValueOrDefault(sources[s], points);
            sources[s].Choose(seen, PlannedFor, (point, obligation, late) => served.Add(new Served(
                ReferenceEquals(seen, points) ? point : Array.BinarySearch(points, seen[point]), index, obligation.Start, obligation.Due, obligation.Occurrence, late)));
        }

        if (sources.Count > 1)
        {
            served.Sort((a, b) => a.Point != b.Point ? a.Point.CompareTo(b.Point) : a.Source != b.Source ? a.Source.CompareTo(b.Source) : a.Occurrence.CompareTo(b.Occurrence));
        }

        return new PlanPoints(points, served, _until, sources, _anyPoint, _ofEvery);
    }

    private void Note(Obligations source, Obligation lost, long until)
    {
        // What could have been met before the plan began is late, not in conflict.
        if (lost.Start > _until || lost.Start < _from)
        {
            return;
        }

        if (!_conflicts.TryGetValue(source, out var known))
        {
            known = (0, lost.Start, until, []);
        }
        else if (_lastNoted[source] == until)
        {
            // The same obligation, looked at again while other rules were served.
            return;
        }

        _blackoutRuns ??= [.. _blackouts.Select(l => new TimeRuns([(((BlackoutLimit)l.Limit).Window, ((BlackoutLimit)l.Limit).Zone)], _from))];
        for (var i = 0; i < _blackouts.Length; i++)
        {
            if (_blackoutRuns[i].FirstEndingAfter(Math.Max(lost.Start, _from)) is { } run && run.Start <= lost.End)
            {
                known.Limits.Add(_blackouts[i]);
            }
        }

        // Hours that never end: the conflict lasts as long as the plan.
        var shown = until >= Obligations.Never ? _until : until;
        _conflicts[source] = (known.Times + 1, known.From, known.Times == 0 ? shown : known.Until, known.Limits);
        _lastNoted[source] = until;
    }

    private ValueList<Conflict> Conflicts() => _conflicts
        .Select(c => new Conflict(
            c.Key.Rule,
            c.Value.Limits.OrderBy(l => l.Title, StringComparer.Ordinal).ToValueList(),
            c.Value.From.ToInstant(),
            c.Value.Until.ToInstant(),
            c.Value.Times,
            $"no checkpoint is allowed from {c.Value.From.ToInstant()} until {c.Value.Until.ToInstant()}, where {c.Key.Rule.Title} needs one"))
        .OrderBy(c => c.Rule.Title, StringComparer.Ordinal)
        .ToValueList();
}
