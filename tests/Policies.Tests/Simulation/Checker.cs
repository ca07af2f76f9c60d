using NodaTime;

namespace Holdfast.Policies.Tests;

/// <summary>
/// Says whether the rules of a policy held in a simulation, from the log alone and without the planner's own code. A rule is excused
/// where the world gave no chance: where no allowed span of at least one retry was left between the moment it was planned for and its end.
/// </summary>
internal sealed class Checker(IReadOnlyList<Taken> log, ValueList<LimitRule> limits, long start, long end, long reserve, long retry, World world)
{
    private readonly List<(long Start, long End)> _forbidden = Forbidden(limits, start, end);

    /// <summary>Every violation of the rule, excused or not.</summary>
    public List<(string What, bool Excused)> Check(PointRule rule)
    {
        var served = log.Where(t => t.Record.Serves.Any(s => rule.Sources.Contains(s.Rule))).ToList();
        var violations = new List<(string, bool)>();
        foreach (var taken in served.Where(t => !t.Record.Terms.Covers(rule.Clause.Terms)))
        {
            violations.Add(($"{rule.Title}: the point at {taken.Point.At} is {taken.Record.Terms}, not {rule.Clause.Terms}", false));
        }

        var times = served.Select(t => t.At).ToList();
        switch (rule.Clause.Demand)
        {
            case EveryDemand { Windows: null } every:
                Gaps(rule, times, start, end, every.Interval, violations);
                break;
            case EveryDemand every:
                foreach (var (open, close) in Openings(every.Windows!))
                {
                    Opening(rule, times, open, close, every.Interval, violations);
                }

                break;
            case CalendarDemand calendar:
                Anchors(rule, served, calendar, violations);
                break;
            case AnyPointDemand:
                violations.AddRange(log.Except(served).Select(t => ($"{rule.Title} does not count the point at {t.Point.At}", false)));
                break;
        }

        return violations;
    }

    /// <summary>Whether a point was tried in hours that are not allowed.</summary>
    public IEnumerable<string> Trespasses(IEnumerable<long> attempts) =>
        attempts.Where(a => _forbidden.Exists(f => f.Start <= a && a < f.End)).Select(a => $"a checkpoint at {Instant.FromUnixTimeSeconds(a)}, in hours that are not allowed");

    /// <summary>Whether what a rule keeps is still there.</summary>
    public static IEnumerable<string> Retained(PointRule rule, IEnumerable<Taken> log, Instant now, IReadOnlyList<SnapshotRecord> kept)
    {
        var ids = kept.Select(k => k.Id).ToHashSet();
        var served = log.Where(t => t.Record.Serves.Any(s => rule.Sources.Contains(s.Rule))).ToList();
        var keep = rule.Clause.Keep;
        for (var i = 0; i < served.Count; i++)
        {
            var age = now - served[i].Record.Taken;
            if ((age < keep.For || age < rule.Clause.Terms.Storage.ImmutableFor || i >= served.Count - keep.Last) && !ids.Contains(served[i].Record.Id))
            {
                yield return $"{rule.Title}: the point at {served[i].Record.Taken} is gone at {now}";
            }
        }

        foreach (var per in keep.Per)
        {
            var zone = DateTimeZoneProviders.Tzdb[per.Zone];
            var have = kept.Where(k => k.Terms.Covers(rule.Clause.Terms)).Select(k => Label(per.Period, k.Taken, zone)).ToHashSet();
            var wanted = served.Select(t => Label(per.Period, t.Record.Taken, zone)).Distinct().TakeLast(per.Count);
            foreach (var missing in wanted.Where(w => !have.Contains(w)))
            {
                // The latest periods are those of any point, so a period of its own may be older than all of them.
                var newer = log.Where(t => t.Record.Terms.Covers(rule.Clause.Terms)).Select(t => Label(per.Period, t.Record.Taken, zone)).Distinct().TakeLast(per.Count);
                if (newer.Contains(missing))
                {
                    yield return $"{rule.Title}: no point of {per.Period} {missing} at {now}";
                }
            }
        }
    }

    private static string Label(KeepPeriod period, Instant at, DateTimeZone zone)
    {
        var local = at.InZone(zone);
        return period switch
        {
            KeepPeriod.Hour => at.Plus(Duration.FromSeconds(local.Offset.Seconds % 3600)).ToString("yyyy-MM-dd HH", null),
            KeepPeriod.Day => local.Date.ToString("yyyy-MM-dd", null),
            KeepPeriod.Week => local.Date.PlusDays(1 - (int)local.DayOfWeek).ToString("yyyy-MM-dd", null),
            KeepPeriod.Month => local.Date.ToString("yyyy-MM", null),
            _ => local.Date.ToString("yyyy", null),
        };
    }

    private static List<(long Start, long End)> Forbidden(ValueList<LimitRule> limits, long start, long end)
    {
        var spans = new List<(long Start, long End)>();
        foreach (var limit in limits.Select(l => l.Limit).OfType<BlackoutLimit>())
        {
            spans.AddRange(Spans([limit.Window], limit.Zone, start, end));
        }

        return Union(spans);
    }

    private static List<(long Start, long End)> Spans(IEnumerable<WeeklyWindow> windows, string zoneId, long start, long end)
    {
        var zone = DateTimeZoneProviders.Tzdb[zoneId];
        var first = Instant.FromUnixTimeSeconds(start).InZone(zone).Date.PlusDays(-2);
        var last = Instant.FromUnixTimeSeconds(end).InZone(zone).Date.PlusDays(2);
        var spans = new List<(long Start, long End)>();
        foreach (var window in windows)
        {
            for (var date = first; date <= last; date = date.PlusDays(1))
            {
                if (((int)window.Days >> ((int)date.DayOfWeek - 1) & 1) == 1)
                {
                    var from = zone.AtLeniently(date + window.From).ToInstant().ToUnixTimeSeconds();
                    var to = zone.AtLeniently((window.To <= window.From ? date.PlusDays(1) : date) + window.To).ToInstant().ToUnixTimeSeconds();
                    if (from < to)
                    {
                        spans.Add((from, to));
                    }
                }
            }
        }

        return Union(spans);
    }

    private static List<(long Start, long End)> Union(List<(long Start, long End)> spans)
    {
        var union = new List<(long Start, long End)>();
        foreach (var span in spans.Order())
        {
            if (union.Count > 0 && span.Start <= union[^1].End)
            {
                union[^1] = (union[^1].Start, Math.Max(union[^1].End, span.End));
            }
            else
            {
                union.Add(span);
            }
        }

        return union;
    }

    private List<(long Start, long End)> Openings(TimeWindows windows)
    {
        var inside = Spans(windows.Windows, windows.Zone, start, end);
        if (!windows.Outside)
        {
            return inside.Where(s => s.End > start && s.Start < end).ToList();
        }

        var outside = new List<(long Start, long End)>();
        for (var i = 0; i + 1 < inside.Count; i++)
        {
            if (inside[i + 1].Start > start && inside[i].End < end)
            {
                outside.Add((inside[i].End, inside[i + 1].Start));
            }
        }

        return outside;
    }

    private void Gaps(PointRule rule, List<long> times, long from, long to, Duration interval, List<(string, bool)> violations)
    {
        var seconds = (long)interval.TotalSeconds;
        var last = from;
        foreach (var at in times.Append(long.MaxValue))
        {
            if (at <= last)
            {
                continue;
            }

            if (Math.Min(at, to + 1) - last > seconds)
            {
                var due = last + seconds - Math.Min(reserve, seconds / 2);
                violations.Add(($"{rule.Title}: nothing between {Show(last)} and {(at > to ? "the end" : Show(at))}", NoChance(last + 1, due, last + seconds, seconds, rule.Clause.Demand is EveryDemand { Windows: null } ? long.MaxValue - 1 : to)));
            }

            last = at;
            if (at > to)
            {
                return;
            }
        }
    }

    private void Opening(PointRule rule, List<long> times, long open, long close, Duration interval, List<(string, bool)> violations)
    {
        var seconds = (long)interval.TotalSeconds;
        var closes = close - 1;
        var since = Math.Max(open, start);
        if (closes > end)
        {
            return;
        }

        var own = times.Where(t => t >= open && t <= closes).ToList();
        if (since + seconds <= closes)
        {
            Gaps(rule, own, since, closes, interval, violations);
        }
        else if (open >= start && own.Count == 0)
        {
            violations.Add(($"{rule.Title}: nothing in the opening from {Show(open)} until {Show(close)}", NoChance(open, closes - Math.Min(reserve, (closes - open) / 2), closes)));
        }
    }

    private void Anchors(PointRule rule, List<Taken> served, CalendarDemand demand, List<(string, bool)> violations)
    {
        var zone = DateTimeZoneProviders.Tzdb[demand.Zone];
        foreach (var anchor in Occurrences(demand.Pattern, zone))
        {
            var from = anchor - (long)demand.Before.TotalSeconds;
            var to = anchor + (long)demand.After.TotalSeconds;
            // One that had begun when the rule was assigned may be met or not.
            if (anchor < start + 1 || to > end)
            {
                continue;
            }

            var occurrence = Instant.FromUnixTimeSeconds(anchor);
            if (!served.Exists(t => t.At >= from && t.At <= to && t.Record.Serves.Any(s => rule.Sources.Contains(s.Rule) && s.Occurrence == occurrence)))
            {
                var first = Math.Max(from, start);
                violations.Add(($"{rule.Title}: nothing for {occurrence}", NoChance(first, to - Math.Min(reserve, (to - from) / 2), to)));
            }
        }
    }

    private IEnumerable<long> Occurrences(CalendarPattern pattern, DateTimeZone zone)
    {
        if (pattern.Period == AnchorPeriod.Hour)
        {
            for (var at = start / 60 * 60; at <= end; at += 60)
            {
                if (Instant.FromUnixTimeSeconds(at).InZone(zone).Minute == pattern.Time.Minute)
                {
                    yield return at;
                }
            }

            yield break;
        }

        var last = Instant.FromUnixTimeSeconds(end).InZone(zone).Date.PlusDays(1);
        for (var date = Instant.FromUnixTimeSeconds(start).InZone(zone).Date.PlusDays(-1); date <= last; date = date.PlusDays(1))
        {
            var day = Math.Min(pattern.DayOfMonth, date.Calendar.GetDaysInMonth(date.Year, date.Month));
            var hit = pattern.Period switch
            {
                AnchorPeriod.Day => ((int)pattern.Days >> ((int)date.DayOfWeek - 1) & 1) == 1,
                AnchorPeriod.Month => date.Day == day,
                _ => date.Month == pattern.Month && date.Day == day,
            };
            if (hit)
            {
                yield return zone.AtLeniently(date + pattern.Time).ToInstant().ToUnixTimeSeconds();
            }
        }
    }

    // No allowed span of at least a retry without an outage from where it was planned until it ended. Where it was planned just
    // before hours that are not allowed, the chance was there.
    private bool NoChance(long first, long due, long last, long interval = 0, long closes = 0)
    {
        var planned = due;
        if (_forbidden.Find(f => f.Start <= due && due < f.End) is { End: > 0 } run && run.Start - 1 >= first)
        {
            planned = run.Start - 1 - Math.Min(Math.Min(reserve, last - due), interval > 0 ? long.MaxValue : (run.Start - 1 - first) / 2);
            var carried = Math.Min(run.End, closes + 1) - interval;
            if (interval > 0 && carried <= run.Start - 1)
            {
                planned = Math.Max(planned, carried);
            }

            planned = planned < first ? run.End : planned;
        }

        if (!world.Touches(Math.Max(start, planned - retry), last))
        {
            return false;
        }

        var at = planned;
        while (at <= last)
        {
            if (_forbidden.Find(f => f.Start <= at && at < f.End) is { End: > 0 } forbidden)
            {
                at = forbidden.End;
                continue;
            }

            if (world.Fails(at))
            {
                at = world.EndingAfter(at)!.Value.End;
                continue;
            }

            var until = Math.Min(last + 1, Math.Min(world.EndingAfter(at)?.Start ?? long.MaxValue, _forbidden.Where(f => f.Start > at).Select(f => f.Start).DefaultIfEmpty(long.MaxValue).First()));
            if (until - at > retry)
            {
                return false;
            }

            at = until;
        }

        return true;
    }

    private static string Show(long second) => Instant.FromUnixTimeSeconds(second).ToString();
}
