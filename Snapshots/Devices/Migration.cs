using System.Globalization;

namespace Holdfast.Snapshots;

/// <summary>
/// Brings the snapshots of a storage object from a store to a device, each as the difference against the cheapest base that the device has by then.
/// Doing it again sends only what is missing; what was interrupted goes on.
/// </summary>
public sealed partial class Migration
{
    private const int HashesInQuestion = 4096;

    private readonly SnapshotStore _source;
    private readonly IStorageDevice _destination;
    private readonly MigrationOptions _options;
    private readonly RateLimit _limit;
    private readonly SendWindow _window;
    private readonly SemaphoreSlim _lanes;
    private readonly SemaphoreSlim _line = new(1);
    private long _sent;
    private int _interruptions;

    /// <summary>Makes one.</summary>
    /// <param name="source">The store that has the snapshots.</param>
    /// <param name="destination">Where they are to be.</param>
    /// <param name="options">Defaults when null.</param>
    public Migration(SnapshotStore source, IStorageDevice destination, MigrationOptions? options = null)
    {
        _source = source;
        _destination = destination;
        _options = options ?? new MigrationOptions();
        ArgumentOutOfRangeException.ThrowIfLessThan(_options.UnacknowledgedBytes, SendWindow.Smallest);
        _window = new SendWindow(_options.UnacknowledgedBytes);
        _limit = new RateLimit(_options.BytesPerSecond);
        ArgumentOutOfRangeException.ThrowIfLessThan(_options.Parallel, 1);
        _lanes = new SemaphoreSlim(_options.Parallel);
    }

    /// <summary>A live state that is at the destination already; a base like others.</summary>
    private LiveSnapshot? _live;

    private string PinOwner => $"migration to {_destination.Name}";

    /// <summary>Plans: which snapshots are missing there, in which order they go, and against which base.</summary>
    public Task<MigrationPlan> PlanAsync(string objectName, CancellationToken cancel = default) => PlanAsync(objectName, null, cancel);

    /// <summary>As above, after a live state was sent, or as if it was: it is a base too.</summary>
    /// <param name="objectName">The object.</param>
    /// <param name="live">The state; stays the caller's.</param>
    /// <param name="cancel">Cancels.</param>
    public async Task<MigrationPlan> PlanAsync(string objectName, LiveSnapshot? live, CancellationToken cancel = default)
    {
        _live = live;
        IReadOnlyList<SnapshotInfo> here = _source.List(objectName);
        IReadOnlyList<SnapshotInfo> known = await _destination.ListAsync(objectName, cancel).ConfigureAwait(false);
        SnapshotInfo.RequireNoConflict(here, known);
        HashSet<string> there = [.. known.Where(s => s.Damage is null).Select(s => s.Id)];
        if (here.FirstOrDefault(s => s.Damage is not null && !there.Contains(s.Id) && (_options.Only?.Contains(s.Id) ?? true)) is { } damaged)
        {
            throw new SnapshotStoreException("snapshot.damaged", $"{damaged.Address} cannot be sent: {damaged.Damage}; repair or forget it");
        }

        List<SnapshotInfo> common = [.. here.Where(s => there.Contains(s.Id) && s.Damage is null)];
        List<SnapshotInfo> missing = [.. here.Where(s => !there.Contains(s.Id) && (_options.Only is null || _options.Only.Contains(s.Id)))];
        int alreadyThere = common.Count;
        if (live is not null)
        {
            common.Add(live.Info);
            there.Remove(live.Info.Id);
        }

        if (_options.Order == MigrationOrder.Reverse)
        {
            missing.Reverse();
        }

        var steps = new List<MigrationStep>();
        foreach (SnapshotInfo snapshot in missing)
        {
            steps.Add(Step(snapshot, common));
            common.Add(snapshot);
        }

        return new MigrationPlan(objectName, steps, alreadyThere, there.Count(id => here.All(s => s.Id != id)));
    }

    /// <summary>Sends everything that the destination lacks.</summary>
    /// <exception cref="SnapshotStoreException">A snapshot cannot be read, the destination refuses, or the connection broke too often. What is confirmed stays.</exception>
    public Task<MigrationReport> RunAsync(string objectName, CancellationToken cancel = default) => RunAsync(objectName, null, cancel);

    /// <summary>As above, after a live state was sent: what is like it is not sent again.</summary>
    /// <param name="objectName">The object.</param>
    /// <param name="live">The state that <see cref="RunLiveAsync"/> sent; stays the caller's.</param>
    /// <param name="cancel">Cancels.</param>
    public async Task<MigrationReport> RunAsync(string objectName, LiveSnapshot? live, CancellationToken cancel = default)
    {
        using IDisposable tables = _source.OpenPacks.KeepLeaves();
        MigrationPlan plan = await PlanAsync(objectName, live, cancel).ConfigureAwait(false);

        // Until the last pair is confirmed, nothing that a later step starts from may go, here or there.
        var pinned = new List<SnapshotInfo>();
        try
        {
            foreach (MigrationStep step in plan.Steps)
            {
                Pin(pinned, step.Snapshot);
            }

            await SendAsync(plan, objectName, pinned, cancel).ConfigureAwait(false);
        }
        finally
        {
            foreach (SnapshotInfo snapshot in pinned)
            {
                _source.Unpin(snapshot, PinOwner);
            }
        }

        return new MigrationReport(plan.Steps.Count, Interlocked.Read(ref _sent), _interruptions);
    }

    /// <summary>Sends all steps, three at work at a time: one is made a snapshot at the destination, one is under way, one is worked out.</summary>
    private async Task SendAsync(MigrationPlan plan, string objectName, List<SnapshotInfo> pinned, CancellationToken cancel)
    {
        Task<Outgoing>? next = plan.Steps.Count > 0 ? PrepareAsync(plan.Steps[0], pinned, null, cancel) : null;
        Outgoing? last = null;
        Task completing = Task.CompletedTask;
        try
        {
            for (int i = 0; i < plan.Steps.Count; i++)
            {
                Outgoing outgoing = await next!.ConfigureAwait(false);
                outgoing.Number = i + 1;
                outgoing.Steps = plan.Steps.Count;
                next = i + 1 < plan.Steps.Count ? PrepareAsync(plan.Steps[i + 1], pinned, outgoing.TargetDigest, cancel) : null;
                try
                {
                    if (last is not null && outgoing.Source.Shares(last.Source))
                    {
                        // What both bring is known there only once the former is a snapshot.
                        await completing.ConfigureAwait(false);
                    }

                    string? session = await TransferAsync(outgoing, completing, cancel).ConfigureAwait(false);
                    await completing.ConfigureAwait(false);
                    (last, completing) = (outgoing, CompleteAsync(outgoing, session, objectName, cancel));
                }
                catch
                {
                    await outgoing.DisposeAsync().ConfigureAwait(false);
                    throw;
                }
            }

            await completing.ConfigureAwait(false);
        }
        finally
        {
            await completing.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (next is not null)
            {
                await ((Task)next).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
                if (next.IsCompletedSuccessfully)
                {
                    await next.Result.DisposeAsync().ConfigureAwait(false);
                }
            }
        }
    }

    private Task<Outgoing> PrepareAsync(MigrationStep step, List<SnapshotInfo> pinned, Task? before, CancellationToken cancel)
    {
        if (step.Base is { } start)
        {
            Pin(pinned, start);
        }

        return PrepareAsync(step, () => _source.OpenSnapshot(step.Snapshot), before, cancel);
    }

    /// <param name="step">What is to be sent.</param>
    /// <param name="open">Opens its snapshot.</param>
    /// <param name="before">The digest of the step before, which that of this one is brought forward from.</param>
    /// <param name="cancel">Cancels.</param>
    private async Task<Outgoing> PrepareAsync(MigrationStep step, Func<SnapshotReader> open, Task? before, CancellationToken cancel)
    {
        DifferenceSource source = await Task.Run(
            () => _source.OpenDifference(step.Base, step.Snapshot, null, open, step.Base is { } start ? () => Open(start) : null), cancel).ConfigureAwait(false);
        try
        {
            if (before is not null)
            {
                await before.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }

            byte[] baseDigest = await Task.Run(source.BaseDigest, cancel).ConfigureAwait(false);
            return new Outgoing(step, source, baseDigest, Task.Run(source.TargetDigest, cancel));
        }
        catch
        {
            source.Dispose();
            throw;
        }
    }

    /// <summary>Plans how the present state of an object would be sent.</summary>
    /// <param name="live">The state; stays the caller's.</param>
    /// <param name="cancel">Cancels.</param>
    public async Task<MigrationStep> PlanLiveAsync(LiveSnapshot live, CancellationToken cancel = default) =>
        Step(live.Info, await CommonAsync(live.Info.Object, cancel).ConfigureAwait(false), live.Reader);

    private async Task<List<SnapshotInfo>> CommonAsync(string objectName, CancellationToken cancel)
    {
        HashSet<string> there = [.. (await _destination.ListAsync(objectName, cancel).ConfigureAwait(false)).Where(s => s.Damage is null).Select(s => s.Id)];
        return [.. _source.List(objectName).Where(s => s.Damage is null && there.Contains(s.Id))];
    }

    /// <summary>
    /// Sends the present state of an object, which becomes a snapshot there and none here, against the nearest snapshot that both have.
    /// </summary>
    /// <param name="live">The state; stays the caller's.</param>
    /// <param name="cancel">Cancels.</param>
    public async Task<MigrationReport> RunLiveAsync(LiveSnapshot live, CancellationToken cancel = default)
    {
        MigrationStep step = await PlanLiveAsync(live, cancel).ConfigureAwait(false);
        var pinned = new List<SnapshotInfo>();
        try
        {
            if (step.Base is { } start)
            {
                Pin(pinned, start);
            }

            Outgoing outgoing = await PrepareAsync(step, live.Open, null, cancel).ConfigureAwait(false);
            string? session;
            try
            {
                session = await TransferAsync(outgoing, Task.CompletedTask, cancel).ConfigureAwait(false);
            }
            catch
            {
                await outgoing.DisposeAsync().ConfigureAwait(false);
                throw;
            }

            await CompleteAsync(outgoing, session, live.Info.Object, cancel).ConfigureAwait(false);
        }
        finally
        {
            pinned.ForEach(p => _source.Unpin(p, PinOwner));
        }

        return new MigrationReport(1, Interlocked.Read(ref _sent), _interruptions);
    }

    private bool IsLive(SnapshotInfo snapshot) => _live is not null && _live.Info.Id == snapshot.Id;

    private SnapshotReader Open(SnapshotInfo snapshot) => IsLive(snapshot) ? _live!.Open() : _source.OpenSnapshot(snapshot);

    private void Pin(List<SnapshotInfo> pinned, SnapshotInfo snapshot)
    {
        // A live state is held by whoever has it.
        if (!IsLive(snapshot) && !pinned.Contains(snapshot))
        {
            _source.Pin(snapshot, PinOwner);
            pinned.Add(snapshot);
        }
    }

    /// <summary>Looks at the nearest bases by creation time on either side and the parent, and takes the one with the least to send.</summary>
    private MigrationStep Step(SnapshotInfo snapshot, List<SnapshotInfo> common, SnapshotReader? live = null)
    {
        SnapshotInfo? before = common.Where(s => s.CreatedAt <= snapshot.CreatedAt).MaxBy(s => s.CreatedAt);
        SnapshotInfo? after = common.Where(s => s.CreatedAt > snapshot.CreatedAt).MinBy(s => s.CreatedAt);
        SnapshotInfo? parent = common.FirstOrDefault(s => s.Id == snapshot.Parent);
        var candidates = new List<SnapshotInfo>();
        foreach (SnapshotInfo? candidate in (SnapshotInfo?[])[before, parent, after])
        {
            if (candidate is not null && candidates.TrueForAll(c => c.Id != candidate.Id))
            {
                candidates.Add(candidate);
            }
        }

        if (candidates.Count == 0)
        {
            return new MigrationStep(snapshot, null, snapshot.LogicalBytes, "the destination has no snapshot of this object: in full, without extents that it has already");
        }

        if (candidates is [var only] && only.Id == snapshot.Parent)
        {
            // Nothing to choose from, and what it wrote against its parent is known.
            return new MigrationStep(snapshot, only, snapshot.NewBytes, "its parent, the nearest snapshot there");
        }

        (SnapshotInfo Base, long Bytes)[] costs = [.. candidates.Select(c => (c, Cost(c, snapshot, live)))];
        (SnapshotInfo best, long bytes) = costs.MinBy(c => c.Bytes);
        string others = string.Join(", ", costs.Where(c => c.Base.Id != best.Id).Select(c => string.Create(CultureInfo.InvariantCulture, $"{c.Base.Id}: {c.Bytes}")));
        string nearest = best.Id == before?.Id ? "the nearest older snapshot there" : best.Id == after?.Id ? "the nearest newer snapshot there" : "its parent";
        return new MigrationStep(snapshot, best, bytes, others.Length == 0 ? nearest : $"{nearest}, and the cheapest ({others})");
    }

    private long Cost(SnapshotInfo from, SnapshotInfo to, SnapshotReader? live)
    {
        using SnapshotReader earlier = Open(from);
        using SnapshotReader? later = live is null ? _source.OpenSnapshot(to) : null;
        return SnapshotDifference.Compare(earlier, live ?? later!, new DifferenceOptions { CompareContent = false }).Streams.Sum(s => s.BytesAdded + s.BytesChanged);
    }

    /// <summary>True for what may be over when it is tried again: a broken connection, a receiver that started anew.</summary>
    private static bool IsBroken(Exception e) => e switch
    {
        SnapshotStoreException store => store.Code is "transfer.unknown" or "transfer.incomplete" or "device.unreachable",
        HttpRequestException or IOException or OperationCanceledException => true,
        _ => false,
    };

    /// <summary>A step that is worked out.</summary>
    /// <param name="Step">The step.</param>
    /// <param name="Source">Its records. Disposed with this.</param>
    /// <param name="BaseDigest">Digest of the base's content; empty without one.</param>
    /// <param name="TargetDigest">Digest of the snapshot's content, worked out while it is sent.</param>
    private sealed record Outgoing(MigrationStep Step, DifferenceSource Source, byte[] BaseDigest, Task<byte[]> TargetDigest) : IAsyncDisposable
    {
        private long _sent;

        /// <summary>Its place among the steps, from 1.</summary>
        internal int Number { get; set; } = 1;

        /// <summary>All steps.</summary>
        internal int Steps { get; set; } = 1;

        /// <summary>Bytes of it that were sent.</summary>
        internal long Sent => Interlocked.Read(ref _sent);

        /// <summary>Records that the destination had when it was last asked.</summary>
        internal long Stored { get; set; }

        internal void Count(long bytes) => Interlocked.Add(ref _sent, bytes);

        public async ValueTask DisposeAsync()
        {
            await ((Task)TargetDigest).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            Source.Dispose();
        }
    }
}
