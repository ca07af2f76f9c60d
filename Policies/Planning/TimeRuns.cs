using NodaTime;

namespace Holdfast.Policies;

/// <summary>
/// The spans of time during which any of some weekly windows is open, as disjoint runs [start, end) in seconds since 1970,
/// found as they are asked for. Questions must not go back before <c>from</c>.
/// </summary>
internal sealed class TimeRuns
{
    private readonly List<Source> _sources = [];
    private readonly List<long> _starts = [];
    private readonly List<long> _ends = [];
    private int _cursor;

    /// <param name="windows">The windows with their zones.</param>
    /// <param name="from">The first second that will be asked about.</param>
    public TimeRuns(IEnumerable<(WeeklyWindow Window, string Zone)> windows, long from)
    {
        foreach (var (window, zone) in windows)
        {
            if (window.Days != WeekDays.None)
            {
                _sources.Add(new Source(window, Zones.Get(zone), from));
            }
        }
    }

    /// <summary>Whether there are no windows at all.</summary>
    public bool IsEmpty => _sources.Count == 0;

    /// <summary>The run that contains the second, or null.</summary>
    public (long Start, long End)? At(long second)
    {
        var index = IndexFrom(second);
        return index >= 0 && _starts[index] <= second ? (_starts[index], _ends[index]) : null;
    }

    /// <summary>The first run that ends after the second, or null when there are no windows.</summary>
    public (long Start, long End)? FirstEndingAfter(long second)
    {
        var index = IndexFrom(second);
        return index >= 0 ? (_starts[index], _ends[index]) : null;
    }

    /// <summary>The latest second outside every run in [earliest, latest], or null.</summary>
    public long? LatestOutside(long earliest, long latest)
    {
        if (At(latest) is not { } run)
        {
            return latest >= earliest ? latest : null;
        }

        return run.Start - 1 >= earliest ? run.Start - 1 : null;
    }

    /// <summary>The first second at or after this one that is outside every run; <see cref="Obligations.Never"/> when there is none for four years.</summary>
    public long FirstOutside(long second)
    {
        var found = second;
        while (At(found) is { } run)
        {
            found = run.End;
            if (found - second > 4 * 366L * 86400)
            {
                return Obligations.Never;
            }
        }

        return found;
    }

    // The index of the first run with end > second; questions are mostly in order, so the cursor is near.
    private int IndexFrom(long second)
    {
        if (_sources.Count == 0)
        {
            return -1;
        }

        while (_ends.Count == 0 || _ends[^1] <= second)
        {
            Extend();
        }

        if (_cursor >= _ends.Count || (_cursor > 0 && _ends[_cursor - 1] > second))
        {
            var low = 0;
            var high = _ends.Count - 1;
            while (low < high)
            {
                var middle = (low + high) / 2;
                (low, high) = _ends[middle] > second ? (low, middle) : (middle + 1, high);
            }

            _cursor = low;
        }

        while (_ends[_cursor] <= second)
        {
            _cursor++;
        }

        return _cursor;
    }

    private void Extend()
    {
        var first = First();
        var (start, end) = first.Take();
        // Runs that touch are one: there is no second between them. A run that never ends is cut after a year and touches the next.
        for (var next = First(); next.Current.Start <= end && end - start < 366L * 86400; next = First())
        {
            end = Math.Max(end, next.Take().End);
        }

        if (_ends.Count > 0 && start <= _ends[^1])
        {
            // The cut of an endless run: continue it, so that it is one run however far it was looked at.
            _ends[^1] = Math.Max(_ends[^1], end);
            return;
        }

        _starts.Add(start);
        _ends.Add(end);
    }

    private Source First()
    {
        var best = _sources[0];
        foreach (var source in _sources)
        {
            if (source.Current.Start < best.Current.Start)
            {
                best = source;
            }
        }

        return best;
    }

    private sealed class Source
    {
        private readonly WeeklyWindow _window;
        private readonly DateTimeZone _zone;
        private LocalDate _date;

        public Source(WeeklyWindow window, DateTimeZone zone, long from)
        {
            _window = window;
            _zone = zone;
            // Two days early: an opening may cross midnight and the zones may be a day apart.
            _date = Instant.FromUnixTimeSeconds(from).InZone(zone).Date.PlusDays(-2);
            Current = Next();
        }

        public (long Start, long End) Current { get; private set; }

        public (long Start, long End) Take()
        {
            var taken = Current;
            Current = Next();
            return taken;
        }

        private (long Start, long End) Next()
        {
            while (true)
            {
                var opening = _window.On(_date, _zone);
                _date = _date.PlusDays(1);
                if (opening is { } found)
                {
                    return found;
                }
            }
        }
    }
}
