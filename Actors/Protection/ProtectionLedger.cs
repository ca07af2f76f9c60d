using Holdfast.Policies;
using NodaTime;

namespace Holdfast.Actors.Protection;

/// <summary>What the events in the journal come to.</summary>
internal sealed class ProtectionLedger(string name)
{
    private const int MostBreaks = 100;
    private const int MostPoints = 500;

    private readonly SortedDictionary<string, PolicyAssignment> _assignments = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, DateTimeOffset> _served = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, DateTimeOffset> _lastFired = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, DateTimeOffset> _reported = new(StringComparer.Ordinal);
    private readonly SortedDictionary<string, (long Kept, long Broken)> _promises = new(StringComparer.Ordinal);
    private readonly List<TriggerFired> _pending = [];
    private readonly Queue<PromiseBroken> _breaks = [];
    private readonly Queue<PointTaken> _points = [];
    private readonly Dictionary<string, DateTimeOffset> _since = new(StringComparer.Ordinal);
    private readonly Dictionary<string, string> _unreadable = [];
    private long _pointsTaken;
    private long _snapshotsRemoved;

    /// <summary>The policies of the object as one, with every rule of all of them.</summary>
    public Policy Policy { get; private set; } = new(name, [], []);

    public IReadOnlyCollection<PolicyAssignment> Assignments => _assignments.Values;

    /// <summary>The assigned policies that this version cannot read, with the reason.</summary>
    public IReadOnlyDictionary<string, string> Unreadable => _unreadable;

    public PointFailed? Failure { get; private set; }

    public ClockNoted? Clock { get; private set; }

    public PolicyAssignment? Find(string policy) => _assignments.GetValueOrDefault(policy);

    public TriggerState TriggerStateOf(string rule, DateTimeOffset? aboveSince) => new(
        _lastFired.TryGetValue(rule, out DateTimeOffset at) ? Instant.FromDateTimeOffset(at) : null,
        aboveSince is { } since ? Instant.FromDateTimeOffset(since) : null);

    /// <summary>Whether an obligation was reported as broken already.</summary>
    public bool IsReported(string rule, Instant key) =>
        _reported.TryGetValue(rule, out DateTimeOffset known) && key.ToDateTimeOffset() <= known;

    /// <summary>Up to where a rule is served: what a point fulfilled, or since when it is assigned.</summary>
    public DateTimeOffset ServedThrough(string rule)
    {
        DateTimeOffset since = _since.GetValueOrDefault(rule, DateTimeOffset.MinValue);
        return _served.TryGetValue(rule, out DateTimeOffset served) && served > since ? served : since;
    }

    /// <summary>Whether it belongs to a rule of the object that has not been served so far.</summary>
    public bool IsNews(ServedTag tag) => _since.ContainsKey(tag.Rule) && tag.Occurrence > ServedThrough(tag.Rule);

    /// <summary>What a plan must know.</summary>
    public PlanState PlanState()
    {
        Instant since = _since.Count == 0 ? Instant.MinValue : Instant.FromDateTimeOffset(_since.Values.Min());
        PlanState state = Holdfast.Policies.PlanState.After(
            since, _since.Keys.Select(rule => new ServedRule(RuleId.Parse(rule), Instant.FromDateTimeOffset(ServedThrough(rule)))));
        return _pending.Aggregate(state, (s, e) => s.Fired(RuleId.Parse(e.Rule), Instant.FromDateTimeOffset(e.At)));
    }

    /// <summary>The rules, and the waiting events, that are ahead of a clock by more than what an early point explains.</summary>
    public IReadOnlyList<string> AheadOf(DateTimeOffset now, TimeSpan tolerance)
    {
        List<string> ahead = [];
        foreach (PointRule rule in Policy.Rules)
        {
            TimeSpan early = rule.Clause.Demand is CalendarDemand calendar ? calendar.Before.ToTimeSpan() : TimeSpan.Zero;
            ahead.AddRange(rule.Sources.Select(s => s.ToString()).Where(id => ServedThrough(id) > now + early + tolerance || _pending.Exists(e => e.Rule == id && e.At > now + tolerance)));
        }

        return ahead;
    }

    public void Apply(IProtectionEvent e)
    {
        switch (e)
        {
            case PolicyAssigned m:
                // A policy that is changed goes on where its rules stand; one that is assigned anew begins now.
                _assignments[m.Policy] = new PolicyAssignment(m.Policy, m.Text, m.Source, m.At);
                Rebuild();
                break;

            case PolicyUnassigned m:
                _assignments.Remove(m.Policy);
                Rebuild();
                break;

            case TriggerFired m:
                _lastFired[m.Rule] = m.At;
                _pending.Add(m);
                break;

            case PointTaken m:
                Take(m);
                break;

            case PointFailed m:
                Failure = m;
                break;

            case PromiseBroken m:
                _reported[m.Rule] = _reported.TryGetValue(m.Rule, out DateTimeOffset known) && known > m.Key ? known : m.Key;
                Count(m.Rule, 0, 1);
                Bounded(_breaks, m, MostBreaks);
                break;

            case SnapshotsRemoved m:
                _snapshotsRemoved += m.Snapshots.Count;
                break;

            case ClockNoted m:
                Clock = m;
                break;

            case ClockWentBack m:
                GoBack(m);
                break;

            default:
                throw new InvalidOperationException($"{e.GetType().Name} is no event of protection");
        }
    }

    public ProtectionState ToState() => new()
    {
        Object = name,
        Assignments = [.. _assignments.Values],
        Served = [.. _served.Select(s => new ServedTag(s.Key, s.Value))],
        Pending = [.. _pending],
        LastFired = [.. _lastFired.Select(f => new TriggerFired(f.Key, f.Value))],
        Reported = [.. _reported.Select(r => new ServedTag(r.Key, r.Value))],
        Since = [.. _since.Select(s => new ServedTag(s.Key, s.Value)).OrderBy(s => s.Rule, StringComparer.Ordinal)],
        Promises = [.. _promises.Select(p => new PromiseCount(p.Key, p.Value.Kept, p.Value.Broken))],
        Breaks = [.. _breaks],
        Points = [.. _points],
        PointsTaken = _pointsTaken,
        SnapshotsRemoved = _snapshotsRemoved,
        Failure = Failure,
        Clock = Clock,
    };

    /// <summary>Takes over what was kept.</summary>
    public void Restore(ProtectionState state)
    {
        _assignments.Clear();
        foreach (PolicyAssignment assignment in state.Assignments)
        {
            _assignments[assignment.Policy] = assignment;
        }

        Rebuild();
        foreach (ServedTag since in state.Since.Where(s => _since.ContainsKey(s.Rule)))
        {
            _since[since.Rule] = since.Occurrence;
        }

        Replace(_served, state.Served.Select(s => (s.Rule, s.Occurrence)));
        Replace(_lastFired, state.LastFired.Select(f => (f.Rule, f.At)));
        Replace(_reported, state.Reported.Select(r => (r.Rule, r.Occurrence)));
        Replace(_promises, state.Promises.Select(p => (p.Rule, (p.Kept, p.Broken))));
        _pending.Clear();
        _pending.AddRange(state.Pending);
        _breaks.Clear();
        _points.Clear();
        foreach (PromiseBroken broken in state.Breaks)
        {
            _breaks.Enqueue(broken);
        }

        foreach (PointTaken point in state.Points)
        {
            _points.Enqueue(point);
        }

        _pointsTaken = state.PointsTaken;
        _snapshotsRemoved = state.SnapshotsRemoved;
        Failure = state.Failure;
        Clock = state.Clock;
    }

    private static void Replace<T>(SortedDictionary<string, T> into, IEnumerable<(string Key, T Value)> values)
    {
        into.Clear();
        foreach ((string key, T value) in values)
        {
            into[key] = value;
        }
    }

    private static void Bounded<T>(Queue<T> queue, T item, int most)
    {
        queue.Enqueue(item);
        if (queue.Count > most)
        {
            queue.Dequeue();
        }
    }

    private void Take(PointTaken m)
    {
        foreach (ServedTag tag in m.Serves.Where(t => _since.ContainsKey(t.Rule)))
        {
            _served[tag.Rule] = _served.TryGetValue(tag.Rule, out DateTimeOffset known) && known > tag.Occurrence ? known : tag.Occurrence;
            Count(tag.Rule, tag.Late ? 0 : 1, 0);
        }

        _pending.RemoveAll(e => _served.TryGetValue(e.Rule, out DateTimeOffset at) && at >= e.At);
        Failure = null;
        _pointsTaken++;
        Bounded(_points, m, MostPoints);
    }

    private void GoBack(ClockWentBack m)
    {
        foreach (string rule in m.Rules)
        {
            if (_since.TryGetValue(rule, out DateTimeOffset since) && since > m.At)
            {
                _since[rule] = m.At;
            }

            if (_served.TryGetValue(rule, out DateTimeOffset served) && served > m.At)
            {
                _served[rule] = m.At;
            }

            if (_reported.TryGetValue(rule, out DateTimeOffset reported) && reported > m.At)
            {
                _reported[rule] = m.At;
            }

            for (int i = 0; i < _pending.Count; i++)
            {
                _pending[i] = _pending[i].Rule == rule && _pending[i].At > m.At ? _pending[i] with { At = m.At } : _pending[i];
            }
        }
    }

    private void Count(string rule, long kept, long broken)
    {
        (long k, long b) = _promises.GetValueOrDefault(rule);
        _promises[rule] = (k + kept, b + broken);
    }

    private void Rebuild()
    {
        List<Policy> policies = [];
        Dictionary<string, DateTimeOffset> since = [];
        _unreadable.Clear();
        foreach (PolicyAssignment assignment in _assignments.Values)
        {
            PolicyReading reading = PolicyReader.ReadText(assignment.Text, assignment.Policy);
            if (reading.HasErrors || reading.Policies.Count != 1)
            {
                _unreadable[assignment.Policy] = string.Join("; ", reading.Problems);
                continue;
            }

            policies.Add(reading.Policies[0]);
            foreach (string id in reading.Policies[0].Rules.SelectMany(r => r.Sources).Select(s => s.ToString()))
            {
                // A rule that was there before the change counts from where it did.
                DateTimeOffset from = _since.TryGetValue(id, out DateTimeOffset known) ? known : assignment.At;
                since[id] = since.TryGetValue(id, out DateTimeOffset other) && other < from ? other : from;
            }
        }

        _since.Clear();
        foreach ((string id, DateTimeOffset at) in since)
        {
            _since[id] = at;
        }

        foreach (string gone in _served.Keys.Concat(_lastFired.Keys).Concat(_reported.Keys).Where(k => !_since.ContainsKey(k)).Distinct().ToList())
        {
            _served.Remove(gone);
            _lastFired.Remove(gone);
            _reported.Remove(gone);
        }

        _pending.RemoveAll(e => !_since.ContainsKey(e.Rule));
        Policy = PolicyMerge.Join(name, policies);
    }
}
