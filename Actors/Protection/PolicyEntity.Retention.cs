using Akka.Actor;
using Holdfast.Policies;
using NodaTime;

namespace Holdfast.Actors.Protection;

/// <content>Which snapshots stay.</content>
public sealed partial class PolicyEntity
{
    private static readonly TimeSpan LongestRetentionWait = TimeSpan.FromHours(1);

    private static readonly TimeSpan OneMoment = TimeSpan.FromSeconds(1);

    private ClockEvidence? _evidence;
    private string _evidenceBoot = "";
    private TimeSpan _evidenceSince;
    private bool _tidying;
    private bool _tidyAgain;
    private DateTimeOffset _collected = DateTimeOffset.MinValue;

    private void List(bool reconcile)
    {
        if (!reconcile)
        {
            if (_tidying)
            {
                _tidyAgain = true;
                return;
            }

            _tidying = true;
        }

        IProtectedObject protectedObject = _object;
        Task.Run(protectedObject.Snapshots).PipeTo(
            Self, success: all => new SnapshotsListed(all, reconcile), failure: e => new ListingFailed(e, reconcile));
    }

    private void ListingFails(ListingFailed message)
    {
        _troubles["store"] = $"the snapshots cannot be listed: {message.Cause.Message}";
        if (message.Reconcile)
        {
            Timers.StartSingleTimer("begin", new BeginProtection(), _settings.RetryLast);
            return;
        }

        _tidying = false;
        Timers.StartSingleTimer("retention", new RetentionDue(), _settings.RetryLast);
    }

    private void Tidy(SnapshotsListed message)
    {
        _troubles.Remove("store");
        // Without a rule there is nobody to say what is needed: what there is stays.
        if (!_carriesOut || _ledger.Policy.Rules.Count == 0)
        {
            _tidying = false;
            return;
        }

        TrustedTime time = Look();
        RetentionDecision decision = Retention.Decide(WithCopies(message.Snapshots).Select(SnapshotPolicyTag.RecordOf), _ledger.Policy, time);
        if (decision.Suspended is { } why)
        {
            _troubles["clock"] = why;
        }
        else
        {
            _troubles.Remove("clock");
        }

        Schedule(decision, time.Now);
        List<string> remove = [.. decision.Remove.Select(r => r.Snapshot.Id)];
        if (remove.Count == 0)
        {
            Tidied();
            return;
        }

        IProtectedObject protectedObject = _object;
        bool collect = _clock.Now - _collected >= _settings.CollectGarbage || _clock.Now < _collected;
        _collected = collect ? _clock.Now : _collected;
        Task.Run(() => Removed(protectedObject, remove, collect)).PipeTo(
            Self, failure: e => new SnapshotsGone([], $"snapshots cannot be removed: {e.Message}"));
    }

    private static SnapshotsGone Removed(IProtectedObject protectedObject, List<string> snapshots, bool collect)
    {
        List<string> gone = [];
        string? trouble = null;
        foreach (string snapshot in snapshots)
        {
            if (protectedObject.Remove(snapshot) is { } why)
            {
                trouble = why;
            }
            else
            {
                gone.Add(snapshot);
            }
        }

        if (collect && gone.Count > 0)
        {
            protectedObject.CollectGarbage();
        }

        return new SnapshotsGone(gone, trouble);
    }

    private void Gone(SnapshotsGone message)
    {
        if (message.Trouble is { } trouble)
        {
            _troubles["retention"] = trouble;
        }
        else
        {
            _troubles.Remove("retention");
        }

        Keep(message.Snapshots.Count == 0 ? [] : [new SnapshotsRemoved(message.Snapshots, _clock.Now)], Tidied);
    }

    private void Tidied()
    {
        _tidying = false;
        if (_tidyAgain)
        {
            _tidyAgain = false;
            List(reconcile: false);
        }
    }

    // Counts change when a point comes; durations end by themselves.
    private void Schedule(RetentionDecision decision, Instant now)
    {
        TimeSpan wait = LongestRetentionWait;
        foreach (KeptSnapshot kept in decision.Keep)
        {
            if (kept.Until is { } until && until > now && (until - now).ToTimeSpan() is var left && left < wait)
            {
                wait = left;
            }
        }

        // A moment later, when the age is certainly over.
        Timers.StartSingleTimer("retention", new RetentionDue(), wait + TimeSpan.FromMilliseconds(1));
    }

    private TrustedTime Look()
    {
        string boot = _clock.Boot;
        (Instant wall, TimeSpan since) = BothClocks();
        if (_evidence is null && _ledger.Clock is { } noted)
        {
            _evidence = ClockEvidence.First(Instant.FromDateTimeOffset(noted.Trusted));
            _evidenceBoot = noted.Boot;
            _evidenceSince = noted.SinceBoot;
        }

        Duration? elapsed = _evidence is null ? Duration.Zero : boot == _evidenceBoot ? Duration.FromTimeSpan(since - _evidenceSince) : null;
        TrustedTime time = TrustedClock.Default.Look(_evidence ?? ClockEvidence.First(wall), wall, elapsed);
        _evidence = time.Evidence;
        _evidenceBoot = boot;
        _evidenceSince = since;
        return time;
    }

    /// <summary>Reads both clocks for one moment: a host that slept between the two would look like one whose clock was set back.</summary>
    private (Instant Wall, TimeSpan SinceBoot) BothClocks()
    {
        for (int tries = 1; ; tries++)
        {
            TimeSpan before = _clock.SinceBoot;
            Instant wall = Now;
            TimeSpan after = _clock.SinceBoot;
            if (after - before < OneMoment || tries == 10)
            {
                return (wall, after);
            }
        }
    }

    private ClockNoted NoteClock() => new(Look().Now.ToDateTimeOffset(), _evidenceBoot, _evidenceSince);
}
