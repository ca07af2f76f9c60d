using Holdfast.Actors.Checkpoint;
using Holdfast.Policies;
using NodaTime;

namespace Holdfast.Actors.Protection;

/// <content>Which promises were not kept.</content>
public sealed partial class PolicyEntity
{
    /// <summary>What of a plan says that a rule was broken and has not been reported.</summary>
    private List<IProtectionEvent> BrokenIn(Plan plan, DateTimeOffset now)
    {
        List<IProtectionEvent> broken = [];
        foreach (Missed missed in plan.Missed)
        {
            Add(missed.Rule, missed.Occurrence, missed.Due, $"nothing was taken for {missed.Occurrence}");
        }

        // A late point that is due now says so before it is taken: it may fail again and again.
        foreach (Service service in plan.Points.Count > 0 && plan.Points[0].At.ToDateTimeOffset() <= now + ClockTolerance ? plan.Points[0].Serves : [])
        {
            if (service.Late && IsTooLate(service, plan.Points[0].At))
            {
                bool recurs = service.Rule.Clause.Demand is EveryDemand;
                Add(
                    service.Rule, recurs ? service.From : service.Occurrence, service.Due,
                    recurs ? $"no point was taken from {service.From} until {plan.Points[0].At}" : $"the point for {service.Occurrence} comes late, at {plan.Points[0].At}");
            }
        }

        return broken;

        void Add(PointRule rule, Instant key, Instant due, string what)
        {
            foreach (string id in rule.Sources.Select(s => s.ToString()).Where(id => !_ledger.IsReported(id, key)))
            {
                broken.Add(new PromiseBroken(id, key.ToDateTimeOffset(), due.ToDateTimeOffset(), now, what));
            }
        }
    }

    // An event is noticed a moment after it happened, and its point is asked for a moment later: that much is no delay.
    private bool IsTooLate(Service service, Instant at) =>
        service.Rule.Clause.Demand is not TriggerDemand trigger || at > service.Occurrence + trigger.Within + Duration.FromTimeSpan(_settings.Reserve);

    /// <summary>Limits that a checkpoint was measured to break.</summary>
    private IEnumerable<IProtectionEvent> BrokenLimits(CheckpointTaken taken, DateTimeOffset at)
    {
        foreach (LimitRule rule in _ledger.Policy.Limits)
        {
            if (rule.Limit is FreezeLimit freeze && taken.FreezeTime > freeze.AtMost.ToTimeSpan())
            {
                foreach (RuleId id in rule.Sources)
                {
                    yield return new PromiseBroken(
                        id.ToString(), at, at, at,
                        $"the checkpoint {taken.Receipt.Snapshot} froze the application for {taken.FreezeTime.TotalMilliseconds:0} ms; the limit is {freeze.AtMost.TotalMilliseconds:0} ms");
                }
            }
        }
    }
}
