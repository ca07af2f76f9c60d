using System.Collections.Concurrent;
using Akka.Actor;
using Akka.Configuration;
using Akka.TestKit;
using Holdfast.Actors.Checkpoint;
using Holdfast.Actors.Protection;
using Holdfast.Actors.Supervision;
using Holdfast.KernelBridge;
using Holdfast.Policies;
using NodaTime;
using Duration = NodaTime.Duration;

namespace Holdfast.Actors.Tests.Protection;

/// <summary>One protected object over virtual time: an entity, a supervisor that does as the test says, a store in memory.</summary>
internal sealed class ProtectedWorld : IProtectedObject, IProtectionClock, IAsyncDisposable
{
    public static readonly DateTimeOffset Start = new(2026, 1, 5, 0, 0, 0, TimeSpan.Zero);

    private const string Hocon = """
        akka {
          loglevel = OFF, stdout-loglevel = OFF
          scheduler.implementation = "Akka.TestKit.TestScheduler, Akka.TestKit"
          actor {
            serializers { protection = "Holdfast.Actors.Protection.ProtectionEventSerializer, Holdfast.Actors" }
            serialization-bindings {
              "Holdfast.Actors.Protection.IProtectionEvent, Holdfast.Actors" = protection
              "Holdfast.Actors.Protection.ProtectionState, Holdfast.Actors" = protection
            }
          }
        }
        """;

    private readonly ActorSystem _system = ActorSystem.Create("test", ConfigurationFactory.ParseString(Hocon));
    private readonly ConcurrentDictionary<string, StoredSnapshot> _snapshots = new();
    private readonly TestScheduler _scheduler;
    private readonly ProtectionSettings _settings;
    private int _entities;

    public ProtectedWorld(TimeSpan? reserve = null)
    {
        _scheduler = (TestScheduler)_system.Scheduler;
        _settings = new ProtectionSettings
        {
            Reserve = reserve ?? TimeSpan.Zero,
            RetryFirst = TimeSpan.FromSeconds(1),
            RetryLast = TimeSpan.FromMinutes(1),
            Watch = TimeSpan.FromSeconds(5),
            CollectGarbage = TimeSpan.FromHours(1),
        };
        Supervisor = _system.ActorOf(Props.CreateBy(new Producer(() => new Supervising(this))));
        Entity = Born();
    }

    public string Name => "app";

    public IActorRef? Supervisor { get; set; }

    public IActorRef Entity { get; private set; }

    /// <summary>Every snapshot that was ever committed, in order, with what it serves.</summary>
    public List<(string Id, DateTimeOffset At, SnapshotPolicyTag Tag)> Committed { get; } = [];

    /// <summary>What becomes of a checkpoint; by default it is committed at once.</summary>
    public Func<TakeCheckpoint, CheckpointFate> OnCheckpoint { get; set; } = _ => CheckpointFate.Committed;

    /// <summary>The freeze time of the checkpoints to come.</summary>
    public TimeSpan Freeze { get; set; } = TimeSpan.FromMilliseconds(10);

    public ConcurrentDictionary<string, string> Pinned { get; } = new();

    public Dictionary<TriggerKind, FakeWatcher> Watchers { get; } = [];

    /// <summary>How far the wall clock is off.</summary>
    public TimeSpan WallJump { get; set; }

    public int Collections { get; private set; }

    /// <summary>What is on the one device for copies.</summary>
    public ConcurrentDictionary<string, StoredSnapshot> Copies { get; } = new();

    public int CopiesSent { get; private set; }

    public long? CopyBandwidth { get; private set; }

    public volatile bool DeviceIsDown;

    public DateTimeOffset Now => Start + _scheduler.MonotonicClock + WallJump;

    public string Boot { get; set; } = "boot";

    public TimeSpan SinceBoot => _scheduler.MonotonicClock;

    public IEnumerable<string> Kept => _snapshots.Keys.Order(StringComparer.Ordinal);

    public static PolicyText Text(string name, string body)
    {
        PolicyReading reading = PolicyReader.ReadText($"policies {{ {name} {{ {body} }} }}", "test.conf");
        Assert.False(reading.HasErrors, string.Join("\n", reading.Problems));
        return new PolicyText(name, PolicyWriter.Write(reading.Policies[0]));
    }

    public async Task<T> Ask<T>(object message) => Assert.IsType<T>(await Entity.Ask<object>(message, Harness.Patience));

    public Task<ProtectionState> State() => Ask<ProtectionState>(new GetProtection());

    public Task<ProtectionState> Assign(params PolicyText[] policies) => Ask<ProtectionState>(new AssignPolicies(policies));

    /// <summary>Lets time pass, point by point: time stands while something is being done.</summary>
    public Task Pass(TimeSpan time) => Pass(Now + time);

    /// <summary>Lets time pass until then, or until a checkpoint hangs.</summary>
    /// <remarks>
    /// A minute at a time, since that is how often the entity looks: it begins to look in the midst of a longer step, while the clock goes on, takes the time that
    /// was, and waits from the time that is.
    /// </remarks>
    public async Task Pass(DateTimeOffset end)
    {
        while (true)
        {
            ProtectionState state = await Settle();
            DateTimeOffset next = state.Next?.At is { } at && at < end ? at : end;
            next = next > Now + TimeSpan.FromMinutes(1) ? Now + TimeSpan.FromMinutes(1) : next;
            if (Now >= end || await Hangs())
            {
                return;
            }

            Advance(next > Now ? next - Now : TimeSpan.FromMilliseconds(1));
        }
    }

    /// <summary>Moves the clock in one go, as a host does that slept.</summary>
    public void Advance(TimeSpan time) => _scheduler.Advance(time);

    /// <summary>Waits until nothing is left to be done at this moment.</summary>
    public async Task<ProtectionState> Settle()
    {
        DateTime began = DateTime.UtcNow;
        while (true)
        {
            ProtectionState state = await State();
            bool waitsForRetry = state.Failure is not null && state.Next is { } n && n.At > Now;
            if ((Supervisor is null || state.CarriedOut) && (state.Next is null || state.Next.At > Now || waitsForRetry))
            {
                return state;
            }

            if (await Hangs())
            {
                return state;
            }

            Assert.True(DateTime.UtcNow - began < Harness.Patience, $"it never came to rest: at {Now:O}, supervised {Supervisor is not null}, next {state.Next}, failure {state.Failure}, carried out {state.CarriedOut}");
            await Task.Yield();
        }
    }

    /// <summary>Waits, while time stands, until something holds.</summary>
    public static async Task Until(Func<Task<bool>> condition, string what)
    {
        DateTime began = DateTime.UtcNow;
        while (!await condition())
        {
            Assert.True(DateTime.UtcNow - began < Harness.Patience, $"never came: {what}");
            await Task.Yield();
        }
    }

    /// <summary>Whether a checkpoint hangs.</summary>
    public async Task<bool> Hangs() => Supervisor is { } supervisor && await supervisor.Ask<bool>("holds", Harness.Patience);

    /// <summary>Waits until what triggers saw has reached the entity.</summary>
    public Task Looked(int every) => Until(
        async () => (await State()).Watched is var seen && seen.Count == Watchers.Count && seen.All(s => Now - s.At < TimeSpan.FromSeconds(every)), "every look is over");

    /// <summary>The entity dies where it stands; another takes its place.</summary>
    public async Task Reborn()
    {
        await Entity.GracefulStop(Harness.Patience);
        Entity = Born();
    }

    public void Commit(TakeCheckpoint message, out CheckpointTaken taken)
    {
        SnapshotPolicyTag tag = SnapshotPolicyTag.In(message.Tags)!;
        string id = $"s{Committed.Count:0000}";
        _snapshots[id] = new StoredSnapshot(id, Now, true, message.Tags, [], 1 << 20, 1 << 16, 1 << 15);
        Committed.Add((id, Now, tag));
        taken = new CheckpointTaken(new SnapshotReceipt(id, null, 1 << 15), 1, 1, Freeze, Freeze, new PageCounts(1 << 16, 1 << 15, 0, 0, 0));
    }

    /// <summary>Lets a checkpoint that hangs come to its end.</summary>
    public Task EndHanging(bool committed) => Supervisor!.Ask<string>(committed ? "commit" : "drop", Harness.Patience);

    public IReadOnlyList<StoredSnapshot> Snapshots() => [.. _snapshots.Values.Select(s => s with { BaseFor = Pinned.TryGetValue(s.Id, out string? by) ? [by] : [] })];

    public string? Remove(string snapshot)
    {
        _snapshots.TryRemove(snapshot, out _);
        return null;
    }

    public void CollectGarbage() => Collections++;

    public Task<CopyOutcome> CopyAsync(CopyOrder order, CancellationToken cancel)
    {
        if (DeviceIsDown)
        {
            return Task.FromResult(new CopyOutcome(null, null, "it is down"));
        }

        CopyBandwidth = order.BytesPerSecond;
        string[] before = [.. Copies.Keys];
        CopyChoice choice = order.Choose([.. Copies.Values]);
        foreach (string id in choice.Send)
        {
            CopiesSent++;
            Copies[id] = _snapshots[id];
        }

        foreach (string id in choice.Remove)
        {
            Copies.TryRemove(id, out _);
        }

        return Task.FromResult(new CopyOutcome(before, [.. Copies.Keys], null));
    }

    public ITriggerWatcher Watch(TriggerCondition condition) => Watchers[condition.Kind];

    public async ValueTask DisposeAsync() => await _system.Terminate().WaitAsync(Harness.Patience);

    private IActorRef Born() => _system.ActorOf(PolicyEntity.Props(this, this, _settings), $"entity-{_entities++}");

    private sealed class Producer(Func<ActorBase> create) : IIndirectActorProducer
    {
        public Type ActorType => typeof(Supervising);

        public ActorBase Produce() => create();

        public void Release(ActorBase actor)
        {
        }
    }

    /// <summary>In the place of the ApplicationSupervisor.</summary>
    private sealed class Supervising : ReceiveActor, IWithUnboundedStash
    {
        private (TakeCheckpoint Message, IActorRef Asker)? _hanging;

        public Supervising(ProtectedWorld world)
        {
            Receive<AwaitNoCheckpoint>(_ =>
            {
                if (_hanging is null)
                {
                    Sender.Tell(new NoCheckpointUnderWay());
                }
                else
                {
                    Stash.Stash();
                }
            });
            Receive<TakeCheckpoint>(m =>
            {
                if (_hanging is not null)
                {
                    Stash.Stash();
                    return;
                }

                CheckpointFate fate = world.OnCheckpoint(m);
                switch (fate)
                {
                    case CheckpointFate.Committed:
                        world.Commit(m, out CheckpointTaken taken);
                        Sender.Tell(taken);
                        break;
                    case CheckpointFate.Failed:
                        Sender.Tell(new CheckpointFailed(new OperationFailure("Quiesce", "freeze.timeout", "it did not stop")));
                        break;
                    case CheckpointFate.CommittedUnheard:
                        world.Commit(m, out _);
                        _hanging = (m, ActorRefs.Nobody);
                        break;
                    default:
                        _hanging = (m, Sender);
                        break;
                }
            });
            Receive<string>(m => m == "holds", _ => Sender.Tell(_hanging is not null));
            Receive<string>(m =>
            {
                if (m == "commit" && _hanging is { } hanging && !hanging.Asker.IsNobody())
                {
                    world.Commit(hanging.Message, out CheckpointTaken taken);
                    hanging.Asker.Tell(taken);
                }

                _hanging = null;
                Stash.UnstashAll();
                Sender.Tell("ended");
            });
        }

        public IStash Stash { get; set; } = null!;
    }
}

/// <summary>What becomes of a checkpoint.</summary>
internal enum CheckpointFate
{
    Committed,
    Failed,
    Hangs,
    CommittedUnheard,
}

/// <summary>A trigger watcher that sees what a test says.</summary>
internal sealed class FakeWatcher : ITriggerWatcher
{
    public TriggerObservation Sees { get; set; } = TriggerObservation.Nothing;

    public Exception? Fails { get; set; }

    public int Points { get; private set; }

    public Task<TriggerObservation> ObserveAsync() => Fails is { } e ? Task.FromException<TriggerObservation>(e) : Task.FromResult(Sees);

    public void PointTaken() => Points++;

    public void Dispose()
    {
    }
}
