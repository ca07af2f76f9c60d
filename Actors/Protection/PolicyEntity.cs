using Akka.Actor;
using Akka.Persistence;
using Holdfast.Actors.Checkpoint;
using Holdfast.Actors.Supervision;
using Holdfast.Policies;
using NodaTime;

namespace Holdfast.Actors.Protection;

/// <summary>
/// Carries out the policies of one object: asks for checkpoints at the times of the plan, removes the snapshots that no rule needs any
/// more, watches triggers, and reports which promises were kept. Assignments are events in the journal. What is served is told by the tags
/// that are committed with the snapshots, so that it may die at any point and neither skips nor doubles a checkpoint.
/// </summary>
public sealed partial class PolicyEntity : ReceivePersistentActor, IWithTimers
{
    private const int EventsPerSnapshot = 200;

    // Timers run by a clock that stands still while the host sleeps: look again at least this often.
    private static readonly TimeSpan LongestWait = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan ClockTolerance = TimeSpan.FromMinutes(1);

    private readonly IProtectedObject _object;
    private readonly IProtectionClock _clock;
    private readonly ProtectionSettings _settings;
    private readonly ProtectionLedger _ledger;
    private readonly SortedDictionary<string, string> _troubles = new(StringComparer.Ordinal);
    private IActorRef? _supervisor;
    private bool _carriesOut;
    private (PlannedPoint Point, DateTimeOffset At)? _asked;
    private PlannedPoint? _next;
    private DateTimeOffset? _notBefore;
    private int _failures;

    /// <summary>Makes one.</summary>
    /// <param name="protectedObject">What it protects.</param>
    /// <param name="clock">The clocks.</param>
    /// <param name="settings">How.</param>
    public PolicyEntity(IProtectedObject protectedObject, IProtectionClock clock, ProtectionSettings settings)
    {
        ArgumentNullException.ThrowIfNull(protectedObject);
        _object = protectedObject;
        _clock = clock;
        _settings = settings;
        _ledger = new ProtectionLedger(_object.Name);
        PersistenceId = $"policy-{_object.Name}";

        Recover<SnapshotOffer>(offer => _ledger.Restore((ProtectionState)offer.Snapshot));
        Recover<IProtectionEvent>(_ledger.Apply);
        Recover<RecoveryCompleted>(_ =>
        {
            NoteUnreadable();
            Self.Tell(new BeginProtection());
        });

        Command<BeginProtection>(_ => Begin());
        Command<NoCheckpointUnderWay>(_ => List(reconcile: true));
        Command<SnapshotsListed>(m => m.Reconcile, Reconcile);
        Command<SnapshotsListed>(Tidy);
        Command<ListingFailed>(ListingFails);
        Command<SnapshotsGone>(Gone);
        Command<RetentionDue>(_ => List(reconcile: false));
        Command<CopiesDue>(_ => Copy());
        Command<CopiesTried>(Tried);
        Command<PointDue>(_ => Evaluate());
        Command<CheckpointTaken>(m => _asked is not null, Taken);
        Command<CheckpointFailed>(m => _asked is not null, Failed);
        Command<Terminated>(m => m.ActorRef.Equals(_supervisor), _ => Rest());

        Command<AssignPolicies>(Assign);
        Command<UnassignPolicy>(Unassign);
        Command<InheritPolicies>(Inherit);
        Command<GetProtection>(_ => Answer());
        Command<GetHandPoint>(_ => Sender.Tell(new HandPoint(HandTags()), Self));

        Command<WatchDue>(m => Observe(m.Rule));
        Command<TriggerObserved>(Observed);
        Command<TriggerBlind>(Blind);
        Command<PullTrigger>(Pull);

        Command<SaveSnapshotSuccess>(m =>
        {
            DeleteMessages(m.Metadata.SequenceNr);
            DeleteSnapshots(new SnapshotSelectionCriteria(m.Metadata.SequenceNr - 1));
        });
        CommandAny(_ => { });
    }

    /// <inheritdoc/>
    public override string PersistenceId { get; }

    /// <inheritdoc/>
    public ITimerScheduler Timers { get; set; } = null!;

    /// <summary>Makes its props.</summary>
    /// <param name="protectedObject">What it protects.</param>
    /// <param name="clock">The clocks.</param>
    /// <param name="settings">How.</param>
    public static Props Props(IProtectedObject protectedObject, IProtectionClock clock, ProtectionSettings settings) =>
        ActorProps.Of(() => new PolicyEntity(protectedObject, clock, settings));

    /// <inheritdoc/>
    protected override void PostStop()
    {
        StopWatching();
        StopCopying();
    }

    private Instant Now => Instant.FromDateTimeOffset(_clock.Now);

    /// <summary>First of all a checkpoint that a predecessor asked for has to end: what it fulfils must not be asked for again.</summary>
    private void Begin()
    {
        if (_object.Supervisor is not { } supervisor || _carriesOut)
        {
            return;
        }

        if (!supervisor.Equals(_supervisor))
        {
            _supervisor = Context.Watch(supervisor);
        }

        supervisor.Tell(new AwaitNoCheckpoint(), Self);
    }

    /// <summary>Records what was committed and not recorded, because something died in between.</summary>
    private void Reconcile(SnapshotsListed message)
    {
        _troubles.Remove("store");
        List<IProtectionEvent> missing = [.. message.Snapshots
            .Where(s => s.Good)
            .OrderBy(s => s.Taken)
            .Select(s => (Snapshot: s, Tag: SnapshotPolicyTag.In(s.Tags)))
            .Where(s => s.Tag is not null && s.Tag.Serves.Any(_ledger.IsNews))
            .Select(s => new PointTaken(s.Snapshot.Id, s.Tag!.Planned, s.Tag.Asked, s.Tag.Serves, CostOf(s.Snapshot)))];
        Keep(missing, () =>
        {
            if (_carriesOut)
            {
                return;
            }

            _carriesOut = true;
            _begun = _clock.Now;
            Watch();
            Evaluate();
            Copy();
            List(reconcile: false);
        });
    }

    private void Rest()
    {
        _carriesOut = false;
        _asked = null;
        _next = null;
        _supervisor = null;
        Timers.CancelAll();
        StopWatching();
        StopCopying();
    }

    /// <summary>Looks what is to be done now, and when to look again.</summary>
    private void Evaluate()
    {
        if (!_carriesOut || _asked is not null)
        {
            return;
        }

        Timers.Cancel("next");
        DateTimeOffset now = _clock.Now;
        if (_ledger.AheadOf(now, ClockTolerance) is { Count: > 0 } ahead)
        {
            Keep([new ClockWentBack(now, ahead)], Evaluate);
            return;
        }

        if (_notBefore > now + _settings.RetryLast)
        {
            _notBefore = null;
        }

        Instant from = Instant.FromDateTimeOffset(_notBefore > now ? _notBefore.Value : now);
        Plan plan = Planner.Next(_ledger.Policy, _ledger.PlanState(), from, 1, new PlanOptions(Duration.FromTimeSpan(_settings.Reserve)));
        if (BrokenIn(plan, now) is { Count: > 0 } broken)
        {
            Keep(broken, Evaluate);
            return;
        }

        _next = plan.Points.Count > 0 ? plan.Points[0] : null;
        if (_next is null)
        {
            return;
        }

        TimeSpan wait = _next.At.ToDateTimeOffset() - now;
        if (wait <= TimeSpan.Zero)
        {
            Ask(_next, now);
        }
        else
        {
            Timers.StartSingleTimer("next", new PointDue(), wait < LongestWait ? wait : LongestWait);
        }
    }

    private void Ask(PlannedPoint point, DateTimeOffset now)
    {
        _asked = (point, now);
        _supervisor!.Tell(new TakeCheckpoint { Tags = SnapshotPolicyTag.Of(point, now).ToTags(), Compression = point.Terms.Storage.Compression }, Self);
    }

    private void Taken(CheckpointTaken message)
    {
        (PlannedPoint point, DateTimeOffset at) = _asked!.Value;
        SnapshotPolicyTag tag = SnapshotPolicyTag.Of(point, at);
        PointCost cost = new(message.FreezeTime.TotalMilliseconds, message.TotalTime.TotalMilliseconds, message.Pages.BytesScanned, message.Receipt.BytesStored);
        List<IProtectionEvent> events = [new PointTaken(message.Receipt.Snapshot, tag.Planned, at, tag.Serves, cost)];
        events.AddRange(BrokenLimits(message, at));
        events.Add(NoteClock());
        Keep(events, () =>
        {
            _asked = null;
            _notBefore = null;
            _failures = 0;
            PointWasTaken();
            Evaluate();
            Copy();
            List(reconcile: false);
        });
    }

    private void Failed(CheckpointFailed message)
    {
        _asked = null;
        if (message.Failure.Code == "application.ended")
        {
            Rest();
            return;
        }

        DateTimeOffset now = _clock.Now;
        _failures++;
        double factor = Math.Pow(2, Math.Min(_failures - 1, 30));
        TimeSpan pause = TimeSpan.FromTicks((long)Math.Min(_settings.RetryLast.Ticks, _settings.RetryFirst.Ticks * factor));
        _notBefore = now + pause;
        Keep([new PointFailed(now, message.Failure.Code, message.Failure.Message, _failures)], Evaluate);
    }

    /// <summary>Persists events one after the other, applies them, and goes on when all are durable.</summary>
    private void Keep(IReadOnlyList<IProtectionEvent> events, Action then)
    {
        int left = events.Count;
        if (left == 0)
        {
            then();
            return;
        }

        PersistAll(events, e =>
        {
            _ledger.Apply(e);
            if (--left > 0)
            {
                return;
            }

            if (LastSequenceNr / EventsPerSnapshot != (LastSequenceNr - events.Count) / EventsPerSnapshot)
            {
                SaveSnapshot(_ledger.ToState());
            }

            then();
        });
    }

    private void Answer() => Sender.Tell(State(), Self);

    private ProtectionState State() => _ledger.ToState() with
    {
        CarriedOut = _carriesOut,
        Next = _next is null ? null : new NextPoint(_next.At.ToDateTimeOffset(), [.. _next.Serves.Select(s => s.Rule.Title)]),
        Watched = [.. _watched.Where(w => w.Value.Seen is not null).Select(w => w.Value.Seen!).OrderBy(s => s.Rule, StringComparer.Ordinal)],
        Copies = [.. _copies.Values.OrderBy(c => c.Device, StringComparer.Ordinal)],
        Troubles = [.. _troubles.Values],
    };

    private static PointCost CostOf(StoredSnapshot snapshot) => new(
        Number(snapshot, "freeze-ms"), Number(snapshot, "total-ms"), snapshot.ChangedBytes, snapshot.StoredBytes);

    private static double Number(StoredSnapshot snapshot, string tag) =>
        double.TryParse(snapshot.Tags.GetValueOrDefault(tag), System.Globalization.CultureInfo.InvariantCulture, out double value) ? value : 0;
}
