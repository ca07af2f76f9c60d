using Akka.Actor;
using Holdfast.Policies;
using NodaTime;

namespace Holdfast.Actors.Protection;

/// <content>Events beside time.</content>
public sealed partial class PolicyEntity
{
    private readonly Dictionary<string, WatchedTrigger> _watched = [];
    private int _generation;

    /// <summary>Watches what the rules name now. A rule that is watched already goes on: how long its value has been above is not forgotten.</summary>
    private void Watch()
    {
        Dictionary<string, PointRule> wanted = _ledger.Policy.Rules
            .Where(r => r.Clause.Demand is TriggerDemand { Condition.Kind: not TriggerKind.Administrator })
            .ToDictionary(r => r.Title);
        foreach (string old in _watched.Keys.Where(k => !wanted.TryGetValue(k, out PointRule? rule) || !rule.Clause.Demand.Equals(_watched[k].Demand)).ToList())
        {
            StopWatching(old);
        }

        foreach ((string title, PointRule rule) in wanted)
        {
            if (_watched.ContainsKey(title))
            {
                continue;
            }

            TriggerDemand demand = (TriggerDemand)rule.Clause.Demand;
            _watched[title] = new WatchedTrigger(rule, demand, _object.Watch(demand.Condition), ++_generation);
            TimeSpan every = demand.Condition.Poll > Duration.Zero ? demand.Condition.Poll.ToTimeSpan() : _settings.Watch;
            Timers.StartPeriodicTimer($"watch:{title}", new WatchDue(title), TimeSpan.Zero, every);
        }
    }

    private void StopWatching()
    {
        foreach (string rule in _watched.Keys.ToList())
        {
            StopWatching(rule);
        }
    }

    private void StopWatching(string rule)
    {
        Timers.Cancel($"watch:{rule}");
        _troubles.Remove($"watch:{rule}");
        _watched[rule].Watcher.Dispose();
        _watched.Remove(rule);
    }

    private void Observe(string rule)
    {
        if (!_watched.TryGetValue(rule, out WatchedTrigger? watched) || watched.IsLooking)
        {
            return;
        }

        watched.IsLooking = true;
        ITriggerWatcher watcher = watched.Watcher;
        IProtectionClock clock = _clock;
        int generation = watched.Generation;
        Task.Run(watcher.ObserveAsync).PipeTo(
            Self,
            success: seen => new TriggerObserved(rule, generation, seen, clock.Now),
            failure: e => new TriggerBlind(rule, generation, e));
    }

    private void Blind(TriggerBlind message)
    {
        if (Current(message.Rule, message.Generation) is { } watched)
        {
            watched.IsLooking = false;
            watched.Seen = new TriggerSeen(message.Rule, 0, _clock.Now);
            _troubles[$"watch:{message.Rule}"] = $"the trigger {message.Rule} cannot be watched: {message.Cause.Message}";
        }
    }

    private void Observed(TriggerObserved message)
    {
        if (Current(message.Rule, message.Generation) is not { } watched)
        {
            return;
        }

        watched.IsLooking = false;
        watched.Seen = new TriggerSeen(message.Rule, message.Observation.Value, message.At);
        _troubles.Remove($"watch:{message.Rule}");
        bool isThreshold = watched.Demand.Condition.Kind <= TriggerKind.Pressure;
        if (!isThreshold && !message.Observation.Happened)
        {
            return;
        }

        Instant at = Instant.FromDateTimeOffset(message.At);
        TriggerState state = _ledger.TriggerStateOf(watched.Rule.Id.ToString(), watched.AboveSince);
        TriggerStep step = isThreshold
            ? TriggerGate.Sample(watched.Demand, state, message.Observation.Value, at)
            : TriggerGate.Event(watched.Demand, state, at);
        watched.AboveSince = step.Next.AboveSince?.ToDateTimeOffset();
        if (step.Fires)
        {
            Keep(Fired(watched.Rule, message.At), Evaluate);
        }
    }

    private void Pull(PullTrigger message)
    {
        List<PointRule> rules = [.. _ledger.Policy.Rules.Where(r =>
            r.Clause.Demand is TriggerDemand { Condition.Kind: TriggerKind.Administrator }
            && (message.Rule is null || r.Sources.Any(s => s.ToString() == message.Rule)))];
        if (rules.Count == 0)
        {
            Sender.Tell(
                new ProtectionRefused(
                    "policy.no-trigger",
                    message.Rule is null
                        ? $"no policy of {_object.Name} has a trigger for an administrator; 'holdfast checkpoint {_object.Name}' takes a snapshot without one"
                        : $"{_object.Name} has no administrator's trigger {message.Rule}"),
                Self);
            return;
        }

        DateTimeOffset now = _clock.Now;
        List<IProtectionEvent> events = [];
        List<string> fired = [];
        List<HeldTrigger> held = [];
        foreach (PointRule rule in rules)
        {
            TriggerStep step = TriggerGate.Event((TriggerDemand)rule.Clause.Demand, _ledger.TriggerStateOf(rule.Id.ToString(), null), Instant.FromDateTimeOffset(now));
            if (step.Fires)
            {
                events.AddRange(Fired(rule, now));
                fired.Add(rule.Title);
            }
            else
            {
                held.Add(new HeldTrigger(rule.Title, step.Why));
            }
        }

        // Acknowledged when it is durable: whatever dies now, the point will be taken.
        Keep(events, () =>
        {
            Sender.Tell(new TriggerPulled(fired, held), Self);
            Evaluate();
        });
    }

    // Under the names of all its policies: each may be taken away before the point is there. In whole seconds, as plans count.
    private static List<IProtectionEvent> Fired(PointRule rule, DateTimeOffset at) =>
        [.. rule.Sources.Select(id => new TriggerFired(id.ToString(), DateTimeOffset.FromUnixTimeSeconds(at.ToUnixTimeSeconds())))];

    private void PointWasTaken()
    {
        foreach (WatchedTrigger watched in _watched.Values)
        {
            watched.Watcher.PointTaken();
        }
    }

    private WatchedTrigger? Current(string rule, int generation) =>
        _watched.TryGetValue(rule, out WatchedTrigger? watched) && watched.Generation == generation ? watched : null;

    private sealed class WatchedTrigger(PointRule rule, TriggerDemand demand, ITriggerWatcher watcher, int generation)
    {
        public PointRule Rule { get; } = rule;

        public TriggerDemand Demand { get; } = demand;

        public ITriggerWatcher Watcher { get; } = watcher;

        public int Generation { get; } = generation;

        public DateTimeOffset? AboveSince { get; set; }

        public TriggerSeen? Seen { get; set; }

        public bool IsLooking { get; set; }
    }
}
