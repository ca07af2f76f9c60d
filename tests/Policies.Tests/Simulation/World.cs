using NodaTime;

namespace Holdfast.Policies.Tests;

/// <summary>The times at which checkpoints fail or nobody is there to take them: disjoint spans [start, end) of seconds, in order.</summary>
internal sealed class World
{
    private readonly List<(long Start, long End)> _outages = [];

    public World(IEnumerable<(long Start, long End)> outages)
    {
        foreach (var outage in outages.OrderBy(o => o.Start))
        {
            if (_outages.Count > 0 && outage.Start <= _outages[^1].End)
            {
                _outages[^1] = (_outages[^1].Start, Math.Max(_outages[^1].End, outage.End));
            }
            else
            {
                _outages.Add(outage);
            }
        }
    }

    public override string ToString() => string.Join(", ", _outages.Select(o => $"{Instant.FromUnixTimeSeconds(o.Start)}+{o.End - o.Start}s"));

    /// <summary>The outage that covers or follows a second.</summary>
    public (long Start, long End)? EndingAfter(long second)
    {
        var low = 0;
        var high = _outages.Count;
        while (low < high)
        {
            var middle = (low + high) / 2;
            (low, high) = _outages[middle].End > second ? (low, middle) : (middle + 1, high);
        }

        return low < _outages.Count ? _outages[low] : null;
    }

    public bool Fails(long second) => EndingAfter(second) is { } o && o.Start <= second;

    public bool Touches(long from, long to) => EndingAfter(from) is { } o && o.Start <= to;
}

/// <summary>A snapshot that was committed in a simulation.</summary>
internal sealed record Taken(long At, PlannedPoint Point, SnapshotRecord Record);

/// <summary>Carries a policy out in a world, as a node would: plan, try, try again, commit, apply retention.</summary>
internal sealed class Simulation(Policy policy, Instant start, Instant end, PlanOptions options, long retry, World world)
{
    public List<Taken> Log { get; } = [];

    public List<long> Attempts { get; } = [];

    public List<SnapshotRecord> Kept { get; private set; } = [];

    public HashSet<string> PlanConflicts { get; } = [];

    /// <summary>Called after each application of retention: the time and what is left.</summary>
    public Action<Instant, IReadOnlyList<SnapshotRecord>>? AfterRetention { get; init; }

    public int RetentionEvery { get; init; } = 50;

    public void Run()
    {
        var state = PlanState.StartingAt(start);
        var now = start;
        while (now < end)
        {
            var plan = Planner.Until(policy, state, now, end, options);
            PlanConflicts.UnionWith(plan.Conflicts.Select(c => c.Rule.Title));
            var failed = false;
            var tags = new List<ServedRule>();
            foreach (var point in plan.Points)
            {
                var at = point.At.ToUnixTimeSeconds();
                Attempts.Add(at);
                if (world.Fails(at))
                {
                    // It is tried again every so often; the tries within an outage all fail, so only the one after it is simulated.
                    var over = world.EndingAfter(at)!.Value.End;
                    now = Instant.FromUnixTimeSeconds(at + (over - at + retry - 1) / retry * retry);
                    failed = true;
                    break;
                }

                Commit(point, at);
                tags.AddRange(point.Tags);
            }

            state = state.With(tags);
            if (!failed)
            {
                break;
            }
        }
    }

    private void Commit(PlannedPoint point, long at)
    {
        var record = new SnapshotRecord($"s{Log.Count}", point.At, true, point.Terms, point.Tags);
        Log.Add(new Taken(at, point, record));
        Kept.Add(record);
        if (Log.Count % RetentionEvery == 0)
        {
            Kept = Retention.Decide(Kept, policy, Times.Trusted(point.At)).Keep.Select(k => k.Snapshot).ToList();
            AfterRetention?.Invoke(point.At, Kept);
        }
    }
}
