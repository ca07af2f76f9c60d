using Akka.Actor;
using Holdfast.Policies;
using NodaTime;

namespace Holdfast.Actors.Protection;

/// <content>Copies on other devices: brought there after each point, and again after a failure, and kept there as long as the rules say.</content>
public sealed partial class PolicyEntity
{
    private readonly Dictionary<string, HashSet<string>> _present = new(StringComparer.Ordinal);
    private readonly Dictionary<string, HashSet<string>> _settled = new(StringComparer.Ordinal);
    private readonly Dictionary<string, DeviceCopies> _copies = new(StringComparer.Ordinal);
    private readonly HashSet<(string Device, string Snapshot, string Rule)> _lateCopies = [];
    private static readonly TimeSpan LongestCopyWait = TimeSpan.FromDays(1);

    private DateTimeOffset _begun;
    private CancellationTokenSource? _copying;
    private bool _copyAgain;

    /// <summary>Brings every device up to date, one after the other, unless that is being done.</summary>
    private void Copy()
    {
        if (!_carriesOut)
        {
            return;
        }

        if (_copying is not null)
        {
            _copyAgain = true;
            return;
        }

        string[] devices = [.. Devices()];
        foreach (string gone in _copies.Keys.Except(devices).ToList())
        {
            _copies.Remove(gone);
            _present.Remove(gone);
            _settled.Remove(gone);
            _troubles.Remove($"copies on {gone}");
        }

        if (devices.Length == 0)
        {
            return;
        }

        _copying = new CancellationTokenSource();
        CancellationToken stop = _copying.Token;
        IProtectedObject protectedObject = _object;
        Policy policy = _ledger.Policy;
        TrustedTime time = Look();
        Task.Run(() => CopyAsync(protectedObject, policy, time, devices, stop), stop).PipeTo(
            Self, failure: e => new CopiesTried([], e.Message));
    }

    private static async Task<CopiesTried> CopyAsync(
        IProtectedObject protectedObject, Policy policy, TrustedTime time, IReadOnlyList<string> devices, CancellationToken stop)
    {
        var tried = new List<CopiesOnDevice>();
        long? limit = policy.Limits.Select(l => l.Limit).OfType<BandwidthLimit>().Min(l => (long?)l.BytesPerSecond);
        foreach (string device in devices)
        {
            IReadOnlyList<StoredSnapshot> here = protectedObject.Snapshots();
            StoredSnapshot[] wanted = [.. here.Where(s => RulesFor(policy, s, device).Any())];
            DateTimeOffset? over = null;
            bool encrypted = policy.Rules.Any(r => r.Clause.Terms.Storage.Encrypted && Wants(r, device));
            CopyOrder order = new(device, limit, encrypted, there =>
            {
                RetentionDecision decision = Decide(wanted, there, policy, time, device);
                over = FirstOver(decision, time);
                return Choose(decision, here, there, policy);
            });
            CopyOutcome outcome;
            try
            {
                outcome = await protectedObject.CopyAsync(order, stop).ConfigureAwait(false);
            }
            catch (OperationCanceledException) when (stop.IsCancellationRequested)
            {
                break;
            }

            tried.Add(new CopiesOnDevice(device, wanted, outcome, over));
        }

        return new CopiesTried(tried);
    }

    private static RetentionDecision Decide(
        IReadOnlyList<StoredSnapshot> wanted, IReadOnlyList<StoredSnapshot> there, Policy policy, TrustedTime time, string device)
    {
        HashSet<string> present = [.. there.Select(s => s.Id)];
        return Retention.DecideFor(there.Concat(wanted.Where(w => !present.Contains(w.Id))).Select(SnapshotPolicyTag.RecordOf), policy, time, device);
    }

    /// <summary>
    /// What is kept there decides what is sent: nothing goes only to be removed. What is only there and serves none of these rules is somebody else's, and stays.
    /// </summary>
    private static CopyChoice Choose(RetentionDecision decision, IReadOnlyList<StoredSnapshot> here, IReadOnlyList<StoredSnapshot> there, Policy policy)
    {
        HashSet<string> present = [.. there.Select(s => s.Id)];
        HashSet<string> ours = [.. here.Select(s => s.Id), .. there.Where(s => SnapshotPolicyTag.In(s.Tags)?.Serves.Any(r => policy.Find(RuleId.Parse(r.Rule)) is not null) == true).Select(s => s.Id)];
        return new CopyChoice(
            [.. decision.Keep.Select(k => k.Snapshot.Id).Where(id => !present.Contains(id))],
            [.. decision.Remove.Select(r => r.Snapshot.Id).Where(id => present.Contains(id) && ours.Contains(id))]);
    }

    /// <summary>When the first reason to keep a copy ends by itself; null when none does.</summary>
    private static DateTimeOffset? FirstOver(RetentionDecision decision, TrustedTime time) => decision.Keep
        .Select(k => k.Until).Where(until => until > time.Now).Min()?.ToDateTimeOffset();

    private void Tried(CopiesTried message)
    {
        _copying?.Dispose();
        _copying = null;
        List<IProtectionEvent> broken = [];
        bool failed = message.Trouble is not null;
        Trouble("copies", message.Trouble is { } why ? $"copies cannot be made: {why}" : null);
        foreach (CopiesOnDevice tried in message.Devices)
        {
            broken.AddRange(LateOn(tried));
            if (tried.Outcome.Present is { } present)
            {
                // What is complete has nothing to wait for, also where the device need not have it any more.
                _present[tried.Device] = [.. present];
                _settled[tried.Device] = tried.Outcome.Trouble is null ? [.. present, .. tried.Wanted.Select(w => w.Id)] : _present[tried.Device];
            }

            HashSet<string> settled = _settled.GetValueOrDefault(tried.Device) ?? [];
            _copies[tried.Device] = new DeviceCopies(
                tried.Device, _present.GetValueOrDefault(tried.Device)?.Count ?? 0, tried.Wanted.Count(w => !settled.Contains(w.Id)));
            failed |= tried.Outcome.Trouble is not null;
            Trouble($"copies on {tried.Device}", tried.Outcome.Trouble is { } trouble ? $"the copies on {tried.Device} are not complete: {trouble}" : null);
        }

        if (failed)
        {
            Timers.StartSingleTimer("copy", new CopiesDue(), _settings.RetryLast);
        }

        // A point that comes copies anyway; what ends by itself does not wait for one.
        Timers.Cancel("copies over");
        if (message.Devices.Select(d => d.FirstOver).Min() is { } over)
        {
            TimeSpan wait = over - _clock.Now + TimeSpan.FromMilliseconds(1);
            Timers.StartSingleTimer("copies over", new CopiesDue(), wait < TimeSpan.Zero ? TimeSpan.Zero : wait < LongestCopyWait ? wait : LongestCopyWait);
        }

        Keep(broken, () =>
        {
            if (_copyAgain)
            {
                _copyAgain = false;
                Copy();
            }

            // What was only kept because its copy was missing may go now.
            List(reconcile: false);
        });
    }

    private void Trouble(string what, string? sentence)
    {
        if (sentence is null)
        {
            _troubles.Remove(what);
        }
        else
        {
            _troubles[what] = sentence;
        }
    }

    /// <summary>
    /// Promises about the lag that were broken, each said once: of copies that came just now, and, when it failed, of those that this entity saw
    /// taken and that have not come. What was there before, or need not come any more, is no matter.
    /// </summary>
    private IEnumerable<IProtectionEvent> LateOn(CopiesOnDevice tried)
    {
        DateTimeOffset now = _clock.Now;
        HashSet<string> came = [.. tried.Outcome.Present ?? []];
        came.ExceptWith(tried.Outcome.Before ?? []);
        HashSet<string> settled = _settled.GetValueOrDefault(tried.Device) ?? [];
        foreach (StoredSnapshot snapshot in tried.Wanted)
        {
            bool isMissing = tried.Outcome.Trouble is not null && snapshot.Taken >= _begun
                && !settled.Contains(snapshot.Id) && tried.Outcome.Before?.Contains(snapshot.Id) != true;
            if (!came.Contains(snapshot.Id) && !isMissing)
            {
                continue;
            }

            foreach (PointRule rule in RulesFor(_ledger.Policy, snapshot, tried.Device))
            {
                Duration lag = rule.Clause.Terms.Copies.To.First(c => c.Device == tried.Device).Lag;
                if (lag >= Quantity.Forever || now - snapshot.Taken <= lag.ToTimeSpan())
                {
                    continue;
                }

                foreach (RuleId id in rule.Sources.Where(id => _lateCopies.Add((tried.Device, snapshot.Id, id.ToString()))))
                {
                    yield return new PromiseBroken(
                        id.ToString(), snapshot.Taken, snapshot.Taken + lag.ToTimeSpan(), now,
                        $"the copy of {snapshot.Id} on {tried.Device} was not there after {Quantity.Format(lag)}");
                }
            }
        }
    }

    /// <summary>For each snapshot the devices that must have it before it goes here, or that the next copy is a difference against it.</summary>
    private IReadOnlyList<StoredSnapshot> WithCopies(IReadOnlyList<StoredSnapshot> snapshots)
    {
        string[] devices = [.. Devices()];
        if (devices.Length == 0)
        {
            return snapshots;
        }

        Dictionary<string, string?> bases = devices.ToDictionary(
            d => d, d => _present.TryGetValue(d, out HashSet<string>? there) ? snapshots.Where(s => there.Contains(s.Id)).MaxBy(s => s.Taken)?.Id : null);
        return [.. snapshots.Select(s => s with
        {
            BaseFor = [.. s.BaseFor, .. devices.Where(d => bases[d] == s.Id
                || (RulesFor(_ledger.Policy, s, d).Any() && _settled.GetValueOrDefault(d)?.Contains(s.Id) != true))],
        })];
    }

    private IEnumerable<string> Devices() => _ledger.Policy.Rules.SelectMany(r => r.Clause.Terms.Copies.To).Select(c => c.Device).Distinct().Order(StringComparer.Ordinal);

    /// <summary>The rules that a snapshot serves and that want a copy of their points on a device.</summary>
    private static IEnumerable<PointRule> RulesFor(Policy policy, StoredSnapshot snapshot, string device) =>
        (SnapshotPolicyTag.In(snapshot.Tags)?.Serves ?? []).Select(s => policy.Find(RuleId.Parse(s.Rule))).OfType<PointRule>().Distinct().Where(r => Wants(r, device));

    private static bool Wants(PointRule rule, string device) => rule.Clause.Terms.Copies.To.Any(c => c.Device == device);

    private void StopCopying()
    {
        _copying?.Cancel();
        _copyAgain = false;
    }
}
