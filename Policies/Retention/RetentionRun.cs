using NodaTime;

namespace Holdfast.Policies;

/// <summary>Decides which snapshots stay: a function of what there is, the policy and the time, without a memory of its own.</summary>
public static class Retention
{
    /// <summary>Decides for the place where the snapshots were taken.</summary>
    /// <param name="snapshots">All snapshots of the object, in any order.</param>
    /// <param name="policy">The policy, merged or not.</param>
    /// <param name="now">The time, with what is thought of it.</param>
    public static RetentionDecision Decide(IEnumerable<SnapshotRecord> snapshots, Policy policy, TrustedTime now) =>
        new RetentionRun(snapshots, policy, now, device: null).Run();

    /// <summary>Decides for a device that holds copies: only the rules that want a copy there count.</summary>
    /// <param name="snapshots">The snapshots of the object that are on the device.</param>
    /// <param name="policy">The policy, merged or not.</param>
    /// <param name="now">The time, with what is thought of it.</param>
    /// <param name="device">The device's name.</param>
    public static RetentionDecision DecideFor(IEnumerable<SnapshotRecord> snapshots, Policy policy, TrustedTime now, string device)
    {
        ArgumentException.ThrowIfNullOrEmpty(device);
        return new RetentionRun(snapshots, policy, now, device).Run();
    }
}

internal sealed class RetentionRun
{
    private readonly SnapshotRecord[] _snapshots;
    private readonly Policy _policy;
    private readonly TrustedTime _time;
    private readonly string? _device;
    private readonly List<KeepReason>?[] _reasons;

    public RetentionRun(IEnumerable<SnapshotRecord> snapshots, Policy policy, TrustedTime time, string? device)
    {
        _snapshots = [.. snapshots.OrderBy(s => s.Taken).ThenBy(s => s.Id, StringComparer.Ordinal)];
        _policy = policy;
        _time = time;
        _device = device;
        _reasons = new List<KeepReason>?[_snapshots.Length];
    }

    private Instant Now => _time.Now;

    public RetentionDecision Run()
    {
        Protect();
        foreach (var rule in _policy.Rules.Where(Counts))
        {
            Apply(rule);
        }

        var kept = new List<KeptSnapshot>();
        var removed = new List<RemovedSnapshot>();
        for (var i = 0; i < _snapshots.Length; i++)
        {
            if (_reasons[i] is { } reasons)
            {
                kept.Add(new KeptSnapshot(_snapshots[i], reasons.ToValueList()));
            }
            else if (_time.Distrust is { } distrust)
            {
                kept.Add(new KeptSnapshot(_snapshots[i], [new KeepReason(null, distrust, null)]));
            }
            else
            {
                removed.Add(new RemovedSnapshot(_snapshots[i], WhyNot(_snapshots[i])));
            }
        }

        return new RetentionDecision(kept, removed, _time.Distrust);
    }

    private bool Counts(PointRule rule) => _device is null
        || rule.Clause.Terms.Copies.To.Any(c => c.Device == _device)
        || rule.Clause.Terms.Copies.AtLeast > rule.Clause.Terms.Copies.To.Count;

    private void Because(int index, PointRule? rule, string what, Instant? until) => (_reasons[index] ??= []).Add(new KeepReason(rule, what, until));

    private void Protect()
    {
        var lastGood = Array.FindLastIndex(_snapshots, s => s.Good && s.Taken <= Now);
        if (lastGood >= 0)
        {
            Because(lastGood, null, "it is the last good snapshot", null);
        }

        for (var i = 0; i < _snapshots.Length; i++)
        {
            var snapshot = _snapshots[i];
            if (snapshot.Taken > Now)
            {
                Because(i, null, $"it was taken at {snapshot.Taken}, which is later than now: one of the clocks was wrong", null);
            }

            if (snapshot.ImmutableUntil is { } until && until > Now)
            {
                Because(i, null, $"it is immutable until {until}", until);
            }

            if (snapshot.BaseFor is { Count: > 0 } devices)
            {
                Because(i, null, $"the replication to {string.Join(", ", devices)} still needs it", null);
            }

            if (snapshot.Origin == SnapshotOrigin.Hand && snapshot.Serves.Count == 0)
            {
                Because(i, null, "it was taken by hand and belongs to no policy", null);
            }

            if (!snapshot.Good && i > lastGood && snapshot.Taken <= Now)
            {
                Because(i, null, "it is newer than the last good snapshot and may yet be completed", null);
            }
        }
    }

    private bool Serves(SnapshotRecord snapshot, PointRule rule)
    {
        foreach (var served in snapshot.Serves.AsSpan())
        {
            foreach (var id in rule.Sources.AsSpan())
            {
                if (served.Rule == id)
                {
                    return true;
                }
            }
        }

        return false;
    }

    private void Apply(PointRule rule)
    {
        var keep = rule.Clause.Keep;
        var immutable = rule.Clause.Terms.Storage.ImmutableFor;
        var left = keep.Last;
        for (var i = _snapshots.Length - 1; i >= 0; i--)
        {
            var snapshot = _snapshots[i];
            if (!snapshot.Good || !Serves(snapshot, rule))
            {
                continue;
            }

            if (keep.For > Duration.Zero && Age(snapshot) < keep.For)
            {
                Because(i, rule, keep.For >= Quantity.Forever ? $"{rule.Title} keeps its points forever" : $"{rule.Title} keeps its points for {Quantity.Format(keep.For)}", End(snapshot, keep.For));
            }

            if (immutable > Duration.Zero && Age(snapshot) < immutable)
            {
                Because(i, rule, $"{rule.Title} makes its points immutable for {Quantity.Format(immutable)}", End(snapshot, immutable));
            }

            if (left > 0)
            {
                left--;
                Because(i, rule, $"{rule.Title} keeps its last {keep.Last}", null);
            }
        }

        foreach (var per in keep.Per)
        {
            ApplyPer(rule, per);
        }
    }

    private Duration Age(SnapshotRecord snapshot) => Now - snapshot.Taken;

    private static Instant? End(SnapshotRecord snapshot, Duration kept) => kept >= Quantity.Forever ? null : snapshot.Taken + kept;

    // One of each period. The first of the period that serves the rule, and while there is none the first of any: the choice
    // then changes at most once, when the rule's own point comes, and never goes back to a snapshot that was let go.
    private void ApplyPer(PointRule rule, KeepPer per)
    {
        var zone = Zones.Get(per.Zone);
        var chosen = new List<int>();
        var current = long.MaxValue;
        var ownFound = false;
        for (var i = 0; i < _snapshots.Length; i++)
        {
            var snapshot = _snapshots[i];
            if (!snapshot.Good || snapshot.Taken > Now)
            {
                continue;
            }

            var own = Serves(snapshot, rule);
            if (!own && !snapshot.Terms.Covers(rule.Clause.Terms))
            {
                continue;
            }

            var period = KeepPer.IndexOf(per.Period, zone, snapshot.Taken.Seconds());
            if (period != current)
            {
                current = period;
                ownFound = own;
                chosen.Add(i);
            }
            else if (own && !ownFound)
            {
                ownFound = true;
                chosen[^1] = i;
            }
        }

        for (var k = Math.Max(0, chosen.Count - per.Count); k < chosen.Count; k++)
        {
            Because(chosen[k], rule, $"{rule.Title} keeps one point of each of the latest {per.Count} {Plural(per.Period)}", null);
        }
    }

    private static string Plural(KeepPeriod period) => period switch
    {
        KeepPeriod.Hour => "hours",
        KeepPeriod.Day => "days",
        KeepPeriod.Week => "weeks",
        KeepPeriod.Month => "months",
        _ => "years",
    };

    private ValueList<string> WhyNot(SnapshotRecord snapshot)
    {
        var why = new List<string>();
        if (!snapshot.Good)
        {
            why.Add("it is not good, and a newer snapshot is");
        }

        foreach (var served in snapshot.Serves)
        {
            var rule = _policy.Find(served.Rule);
            if (rule is null)
            {
                why.Add($"{served.Rule} is no longer a rule of the object");
            }
            else if (!Counts(rule))
            {
                why.Add($"{served.Rule} wants no copy on {_device}");
            }
            else
            {
                why.Add(Expired(served.Rule, rule.Clause.Keep, snapshot));
            }
        }

        if (why.Count == 0)
        {
            why.Add("no rule ever asked for it");
        }

        return why.Distinct().ToValueList();
    }

    private string Expired(RuleId id, Keep keep, SnapshotRecord snapshot)
    {
        if (keep.Equals(Keep.Nothing))
        {
            return $"{id} keeps nothing but the last";
        }

        var parts = new List<string>();
        if (keep.For > Duration.Zero)
        {
            parts.Add($"its points for {Quantity.Format(keep.For)}, and this one is {Quantity.Format(Duration.FromSeconds(Math.Floor(Age(snapshot).TotalSeconds)))} old");
        }

        if (keep.Last > 0)
        {
            parts.Add($"its last {keep.Last}, and there are as many newer ones");
        }

        parts.AddRange(keep.Per.Select(p => $"one of each of the latest {p.Count} {Plural(p.Period)}, and another stands for this one's or it is older"));
        return $"{id} keeps {string.Join("; ", parts)}";
    }
}
