using NodaTime;

namespace Holdfast.Policies;

/// <summary>A span of seconds, both ends included, in which a rule wants a point.</summary>
/// <param name="Start">The first second that serves.</param>
/// <param name="Due">The last second at which to plan for it: the end less the reserve for a second try.</param>
/// <param name="End">The last second that serves.</param>
/// <param name="Occurrence">What identifies it: the anchor, the event, or for intervals the point.</param>
/// <param name="Interval">For what comes back this long after each point: how long; 0 for what comes once.</param>
/// <param name="Closes">For what comes back: the last second at which it still does.</param>
internal readonly record struct Obligation(long Start, long Due, long End, long Occurrence, long Interval = 0, long Closes = Obligations.Never);

/// <summary>
/// The obligations of one rule as a stream: the next that no point has met yet. Every rule is a family of intervals that a
/// point stabs, which is what makes the greedy choice of points exact.
/// </summary>
internal abstract class Obligations(PointRule rule)
{
    /// <summary>Never.</summary>
    public const long Never = long.MaxValue / 4;

    /// <summary>The rule.</summary>
    public PointRule Rule { get; } = rule;

    /// <summary>The unmet obligation that ends first; <see cref="Never"/> when there is none.</summary>
    public abstract Obligation Next { get; }

    /// <summary>Says that there is a point at this second, not before any earlier one; every obligation up to it is over.</summary>
    public abstract void Meet(long point);

    /// <summary>How far apart the two ends of an obligation can be when points of several rules are weighed: how far ahead one must look.</summary>
    public abstract long Width { get; }

    /// <summary>Whether an obligation that could not be met in time is made up for by a late point.</summary>
    public virtual bool MakesUp => true;

    /// <summary>Gives up the next obligation without a point; only where nothing makes up for it.</summary>
    public virtual void Skip() => throw new InvalidOperationException("this rule makes up for what it missed");

    /// <summary>Chooses, among the points of a plan, those that the rule needs.</summary>
    /// <param name="points">The plan's points in order.</param>
    /// <param name="plannedFor">When an obligation is planned for at the latest; a later point may be in time as well, but is not to be relied upon.</param>
    /// <param name="serve">Called with the index of the point, the obligation, and whether the point is too late for it.</param>
    public abstract void Choose(ReadOnlySpan<long> points, Func<Obligation, long> plannedFor, Action<int, Obligation, bool> serve);

    /// <summary>The end of an interval less the reserve for a second try; never less than half of it remains.</summary>
    protected static long Due(long start, long end, long reserve) => end - Math.Min(reserve, (end - start) / 2);
}

/// <summary>A point at most every T, always.</summary>
internal sealed class EveryObligations(PointRule rule, long last, long interval, long reserve) : Obligations(rule)
{
    private readonly long _step = interval - Math.Min(reserve, interval / 2);
    private readonly long _first = last;
    private long _last = last;

    public override Obligation Next => new(_last + 1, _last + _step, _last + interval, _last + _step, interval);

    public override long Width => 0;

    public override void Meet(long point) => _last = Math.Max(_last, point);

    public override void Choose(ReadOnlySpan<long> points, Func<Obligation, long> plannedFor, Action<int, Obligation, bool> serve)
    {
        var last = _first;
        var latest = plannedFor(new Obligation(last + 1, last + _step, last + interval, last, interval));
        for (var i = 0; i < points.Length; i++)
        {
            // The last point that is in time is the one that counts; a point before it is not needed.
            if (points[i] > last && (i + 1 == points.Length || points[i + 1] > latest))
            {
                serve(i, new Obligation(last + 1, last + _step, last + interval, points[i]), points[i] > last + interval);
                last = points[i];
                latest = plannedFor(new Obligation(last + 1, last + _step, last + interval, last, interval));
            }
        }
    }
}

/// <summary>A point at most every T within each opening of some windows.</summary>
internal sealed class WindowObligations : Obligations
{
    private readonly TimeRuns _runs;
    private readonly bool _outside;
    private readonly long _interval;
    private readonly long _reserve;
    private readonly long _first;
    private (long Start, long End) _opening;
    private long _last;

    /// <param name="rule">The rule.</param>
    /// <param name="windows">Its windows.</param>
    /// <param name="last">The last point that served it, or when it was assigned.</param>
    /// <param name="interval">T, in seconds.</param>
    /// <param name="reserve">The reserve for a second try, in seconds.</param>
    public WindowObligations(PointRule rule, TimeWindows windows, long last, long interval, long reserve)
        : base(rule)
    {
        _runs = new TimeRuns(windows.Windows.Select(w => (w, windows.Zone)), last);
        _outside = windows.Outside;
        _interval = interval;
        _reserve = reserve;
        _first = last;
        _last = last;
        _opening = OpeningAfter(last);
    }

    public override long Width => 0;

    public override Obligation Next => Find(ref _opening, _last);

    public override void Meet(long point)
    {
        _last = Math.Max(_last, point);
        while (_opening.End <= _last)
        {
            _opening = OpeningAfter(_opening.End);
        }
    }

    public override void Choose(ReadOnlySpan<long> points, Func<Obligation, long> plannedFor, Action<int, Obligation, bool> serve)
    {
        var opening = OpeningAfter(_first);
        var last = _first;
        var i = 0;
        while (i < points.Length)
        {
            var obligation = Find(ref opening, last);
            if (obligation.Due >= Never)
            {
                return;
            }

            while (i < points.Length && points[i] < obligation.Start)
            {
                i++;
            }

            var latest = plannedFor(obligation);
            while (i + 1 < points.Length && points[i + 1] <= latest)
            {
                i++;
            }

            if (i < points.Length)
            {
                serve(i, obligation with { Occurrence = points[i] }, points[i] > obligation.End);
                last = points[i];
            }
        }
    }

    // Advances to the first opening with something left to ask for, given the last point.
    private Obligation Find(ref (long Start, long End) opening, long last)
    {
        while (opening.Start < Never)
        {
            var (start, end) = opening;
            var closes = end - 1;
            var since = Math.Max(start, _first);
            if (last >= start && last > _first)
            {
                if (last + _interval <= closes)
                {
                    return Whole(last, closes);
                }
            }
            else if (since + _interval <= closes)
            {
                return Whole(since, closes);
            }
            else if (start >= _first)
            {
                // Shorter than the interval: one point in the opening. An opening in which the rule began asks for nothing more.
                var due = Due(start, closes, _reserve);
                return new Obligation(start, due, closes, due);
            }

            opening = OpeningAfter(end);
        }

        return new Obligation(Never, Never, Never, Never);
    }

    private Obligation Whole(long last, long closes)
    {
        var end = last + _interval;
        var due = Due(last, end, _reserve);
        return new Obligation(last + 1, due, end, due, _interval, closes);
    }

    private (long Start, long End) OpeningAfter(long second)
    {
        if (!_outside)
        {
            return _runs.FirstEndingAfter(second) ?? (Never, Never);
        }

        if (_runs.IsEmpty)
        {
            return (second, Never);
        }

        var start = _runs.FirstOutside(second);
        if (start == second && _runs.At(second - 1) is null)
        {
            // In the middle of an opening: what matters is that it began earlier.
            start = second - 1;
        }

        return (start, _runs.FirstEndingAfter(Math.Max(start, second))!.Value.Start);
    }
}

/// <summary>A point near each anchor.</summary>
internal sealed class CalendarObligations : Obligations
{
    private readonly CalendarDemand _demand;
    private readonly DateTimeZone _zone;
    private readonly long _before;
    private readonly long _after;
    private readonly long _reserve;
    private readonly long _now;
    private readonly IEnumerator<long> _anchors;
    private readonly Queue<Obligation> _open = new();
    private readonly List<Obligation> _all = [];

    /// <param name="rule">The rule.</param>
    /// <param name="demand">Its demand.</param>
    /// <param name="servedThrough">The last anchor that was served, or when the rule was assigned less one second.</param>
    /// <param name="now">When the plan begins.</param>
    /// <param name="reserve">The reserve for a second try, in seconds.</param>
    public CalendarObligations(PointRule rule, CalendarDemand demand, long servedThrough, long now, long reserve)
        : base(rule)
    {
        _demand = demand;
        _zone = Zones.Get(demand.Zone);
        _before = demand.Before.Seconds();
        _after = demand.After.Seconds();
        _reserve = reserve;
        _now = now;
        _anchors = demand.Pattern.From(servedThrough + 1, _zone).GetEnumerator();
        _anchors.MoveNext();
        SkipMissed();
    }

    /// <summary>The anchors that were missed before the plan began, each with its deadline.</summary>
    public List<Obligation> Missed { get; } = [];

    public override long Width => _before + _after;

    public override bool MakesUp => _demand.CatchUp;

    public override void Skip() => _open.Dequeue();

    /// <summary>The latest beginning of an unmet obligation that is not after a second; the least number when there is none.</summary>
    public long LatestStartUpTo(long second)
    {
        while (_anchors.Current - _before <= second)
        {
            Pull();
        }

        var latest = long.MinValue;
        foreach (var obligation in _open)
        {
            if (obligation.Start <= second)
            {
                latest = Math.Max(latest, obligation.Start);
            }
        }

        return latest;
    }

    public override Obligation Next
    {
        get
        {
            if (_open.Count == 0)
            {
                Pull();
            }

            return _open.Peek();
        }
    }

    public override void Meet(long point)
    {
        while (Next.Start <= point)
        {
            _open.Dequeue();
        }
    }

    public override void Choose(ReadOnlySpan<long> points, Func<Obligation, long> plannedFor, Action<int, Obligation, bool> serve)
    {
        var low = 0;
        foreach (var obligation in _all)
        {
            while (low < points.Length && points[low] < obligation.Start)
            {
                low++;
            }

            if (low == points.Length)
            {
                return;
            }

            // Nearest to the anchor, so that rules with the same anchor agree on a point.
            var best = low;
            var latest = plannedFor(obligation);
            for (var i = low + 1; i < points.Length && points[i] <= latest; i++)
            {
                if (Math.Abs(points[i] - obligation.Occurrence) < Math.Abs(points[best] - obligation.Occurrence))
                {
                    best = i;
                }
            }

            if (points[best] <= obligation.End || MakesUp)
            {
                serve(best, obligation, points[best] > obligation.End);
            }
        }
    }

    private void Pull()
    {
        var anchor = _anchors.Current;
        _anchors.MoveNext();
        var start = anchor - _before;
        Add(new Obligation(start, Due(start, anchor + _after, _reserve), anchor + _after, anchor));
    }

    private void Add(Obligation obligation)
    {
        _open.Enqueue(obligation);
        _all.Add(obligation);
    }

    private void SkipMissed()
    {
        while (_anchors.Current + _after < _now)
        {
            var anchor = _anchors.Current;
            Missed.Add(new Obligation(anchor - _before, anchor + _after, anchor + _after, anchor));
            _anchors.MoveNext();
        }

        // One late point makes up for all that was missed, for the latest of them: no storm after a pause.
        if (_demand.CatchUp && Missed.Count > 0)
        {
            Add(Missed[^1]);
        }
    }
}

/// <summary>A point soon after each event that has fired.</summary>
internal sealed class EventObligations(PointRule rule, IEnumerable<long> events, long within) : Obligations(rule)
{
    private readonly List<long> _events = [.. events.Order()];
    private int _index;

    public override Obligation Next => _index < _events.Count ? Of(_events[_index]) : new Obligation(Never, Never, Never, Never);

    public override long Width => 0;

    public override void Meet(long point)
    {
        while (_index < _events.Count && _events[_index] <= point)
        {
            _index++;
        }
    }

    public override void Choose(ReadOnlySpan<long> points, Func<Obligation, long> plannedFor, Action<int, Obligation, bool> serve)
    {
        foreach (var at in _events)
        {
            var i = points.BinarySearch(at);
            i = i < 0 ? ~i : i;
            if (i < points.Length)
            {
                serve(i, Of(at), points[i] > at + within);
            }
        }
    }

    private Obligation Of(long at) => new(at, at + within, at + within, at);
}
