using System.Diagnostics;
using System.Globalization;
using Holdfast.Runtime.Storage;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Cli.Commands;

/// <summary>One run of <c>holdfast migrate</c>: plans or sends or fetches, and says how far it is.</summary>
internal sealed class MigrationRun
{
    private const int IdLength = 11;

    private readonly Session _session;
    private readonly Device _device;
    private readonly MigrationOptions _options;
    private readonly bool _planOnly;
    private readonly long _began = Stopwatch.GetTimestamp();
    private int _snapshots;
    private long _bytes;
    private int _interruptions;
    private int _alreadyThere;
    private int _onlyThere;

    public MigrationRun(Session session, Device device, MigrationOptions options, bool planOnly)
    {
        _session = session;
        _device = device;
        _planOnly = planOnly;
        TransferProgress progress = new(session.Output);
        _options = options with { Progress = progress, Sent = ShowSent };
    }

    public async Task<int> SendAsync(string address, bool live, CancellationToken cancellation)
    {
        bool onlyLive = address.StartsWith(DiffCommand.LivePrefix, StringComparison.Ordinal);
        string name = onlyLive ? address[DiffCommand.LivePrefix.Length..] : address;
        SnapshotInfo? one = name.Contains('@') && !onlyLive ? _session.Store.Snapshot(name) : null;
        name = one?.Object ?? ApplicationName.Checked(name);
        SnapshotStore store = _session.Store.RequiredSnapshots();
        if (!onlyLive && !live && store.List(name).Count == 0)
        {
            throw new HoldfastException("snapshot.unknown", $"there is no snapshot of {name} in {store.Directory}");
        }

        MigrationOptions options = one is null ? _options : _options with { Only = [one.Id] };
        bool liveFirst = options.Order == MigrationOrder.Reverse;
        LiveState? state = null;
        try
        {
            if (onlyLive || (live && liveFirst))
            {
                state = await LiveState.TakeAsync(_session, name, cancellation).ConfigureAwait(false);
                await SendLiveAsync(store, name, options, state, cancellation).ConfigureAwait(false);
            }

            if (!onlyLive)
            {
                await SendSnapshotsAsync(store, name, options, state, cancellation).ConfigureAwait(false);
            }

            if (live && state is null)
            {
                // Taken as late as it can be.
                state = await LiveState.TakeAsync(_session, name, cancellation).ConfigureAwait(false);
                await SendLiveAsync(store, name, options, state, cancellation).ConfigureAwait(false);
            }
        }
        finally
        {
            if (state is not null)
            {
                await state.DisposeAsync().ConfigureAwait(false);
            }
        }

        return Finish(name);
    }

    public async Task<int> FetchAsync(string address, CancellationToken cancellation)
    {
        int at = address.IndexOf('@');
        string name = ApplicationName.Checked(at < 0 ? address : address[..at]);
        MigrationOptions options = _options;
        if (_device.Bucket is { } bucket)
        {
            await FetchFromBucketAsync(bucket, name, at < 0 ? null : address[(at + 1)..], cancellation).ConfigureAwait(false);
            return Finish(name);
        }

        IReadOnlyList<SnapshotInfo> there = [.. (await _device.Storage!.ListAsync(name, cancellation).ConfigureAwait(false)).Where(s => s.Damage is null)];
        if (there.Count == 0)
        {
            throw new HoldfastException("snapshot.unknown", $"there is no snapshot of {name} in {_device.Name}");
        }

        if (at >= 0)
        {
            options = options with { Only = [SnapshotStore.Choose(there, name, address[(at + 1)..], _device.Name).Id] };
        }

        SnapshotStore store = _session.Store.Snapshots();
        if (_device.Store is { } source)
        {
            await using StoreDevice here = new(store);
            Migration migration = new(source, here, options);
            await RunAsync(() => migration.PlanAsync(name, cancellation), () => migration.RunAsync(name, cancellation)).ConfigureAwait(false);
        }
        else
        {
            Retrieval retrieval = new(_device.Storage, store, options);
            await RunAsync(() => retrieval.PlanAsync(name, cancellation), () => retrieval.RunAsync(name, cancellation)).ConfigureAwait(false);
        }

        return Finish(name);
    }

    private async Task SendSnapshotsAsync(SnapshotStore store, string name, MigrationOptions options, LiveState? there, CancellationToken cancellation)
    {
        if (_device.Bucket is { } bucket)
        {
            await RunAsync(
                () => bucket.PlanAsync(store, name, options, null, cancellation), () => bucket.SendAsync(store, name, options, null, cancellation)).ConfigureAwait(false);
            return;
        }

        Migration migration = new(store, _device.Storage!, options);
        await RunAsync(
            () => migration.PlanAsync(name, there?.State, cancellation), () => migration.RunAsync(name, there?.State, cancellation)).ConfigureAwait(false);
    }

    private async Task SendLiveAsync(SnapshotStore store, string name, MigrationOptions options, LiveState live, CancellationToken cancellation)
    {
        if (_device.Bucket is { } bucket)
        {
            options = options with { Only = [] };
            await RunAsync(
                () => bucket.PlanAsync(store, name, options, live.State, cancellation),
                () => bucket.SendAsync(store, name, options, live.State, cancellation)).ConfigureAwait(false);
            return;
        }

        Migration migration = new(store, _device.Storage!, options);
        await RunAsync(
            async () => new MigrationPlan(name, [await migration.PlanLiveAsync(live.State, cancellation).ConfigureAwait(false)], 0, 0),
            () => migration.RunLiveAsync(live.State, cancellation)).ConfigureAwait(false);
    }

    /// <summary>Fetches straight into this store when that is the bucket's own or none yet; otherwise through a copy beside it.</summary>
    private async Task FetchFromBucketAsync(BucketMirror bucket, string name, string? which, CancellationToken cancellation)
    {
        if (_planOnly)
        {
            throw new HoldfastException("migrate.plan", "what a bucket holds is only known once it is fetched: there is no --plan for --from s3://", ExitStatus.Usage);
        }

        if (which is { Length: not IdLength })
        {
            throw new HoldfastException("snapshot.unknown", $"from a bucket a snapshot is fetched by its whole id, not by '{which}'", ExitStatus.Usage);
        }

        IReadOnlyCollection<string>? only = which is null ? null : [which];
        StoreOptions own = _session.StoreOptions();
        string root = _session.Store.Root;
        SnapshotStore? existing = _session.Store.ExistingSnapshots();
        if (existing is null || await bucket.IsOfAsync(existing, cancellation).ConfigureAwait(false))
        {
            int before = existing?.List(name).Count ?? 0;
            using SnapshotStore fetched = await bucket.FetchAsync(root, own, name, only, cancellation).ConfigureAwait(false);
            _snapshots = fetched.List(name).Count - before;
            _bytes = bucket.BytesFetched;
            return;
        }

        string beside = Path.Combine(root, $"fetched-{Environment.ProcessId}");
        try
        {
            using SnapshotStore copy = await bucket.FetchAsync(beside, own, name, only, cancellation).ConfigureAwait(false);
            await using StoreDevice here = new(_session.Store.Snapshots());
            MigrationReport report = await new Migration(copy, here, _options).RunAsync(name, cancellation).ConfigureAwait(false);
            (_snapshots, _bytes) = (report.Snapshots, bucket.BytesFetched);
        }
        finally
        {
            if (Directory.Exists(beside))
            {
                Directory.Delete(beside, true);
            }
        }
    }

    private async Task RunAsync(Func<Task<MigrationPlan>> plan, Func<Task<MigrationReport>> run)
    {
        if (_planOnly)
        {
            MigrationPlan made = await plan().ConfigureAwait(false);
            foreach (MigrationStep step in made.Steps)
            {
                _session.Output.Result(
                    new PlanStepJson(made.Object, step.Snapshot.Id, step.Base?.Id, step.Bytes, step.Reason), StorageJson.Default.PlanStepJson,
                    s => $"{s.Name}@{s.Snapshot}: {Output.Bytes(s.Bytes)} {(s.Base is null ? "in full" : $"against {s.Base}")}: {s.Reason}");
            }

            _snapshots += made.Steps.Count;
            _bytes += made.Bytes;
            _alreadyThere += made.AlreadyThere;
            _onlyThere += made.OnlyThere;
            return;
        }

        MigrationReport report = await run().ConfigureAwait(false);
        _snapshots += report.Snapshots;
        _bytes += report.BytesSent;
        _interruptions += report.Interruptions;
    }

    private int Finish(string name)
    {
        if (_planOnly)
        {
            _session.Output.Result(
                new PlanJson(name, _device.Name, _snapshots, _bytes, _alreadyThere, _onlyThere), StorageJson.Default.PlanJson,
                p => $"{p.Snapshots} snapshots, {Output.Bytes(p.Bytes)} to send; {p.AlreadyThere} are there already, {p.OnlyThere} are only there and left alone");
        }
        else
        {
            _session.Output.Confirm(
                new MigratedJson(name, _device.Name, _snapshots, _bytes, _interruptions, Math.Round(Stopwatch.GetElapsedTime(_began).TotalMilliseconds, 3)),
                StorageJson.Default.MigratedJson,
                m => $"{m.Name}: {m.Snapshots} snapshots, {Output.Bytes(m.BytesSent)} in {Output.Milliseconds(m.TotalMs)}{(m.Interruptions > 0 ? $", gone on {m.Interruptions} times" : "")}");
        }

        return ExitStatus.Done;
    }

    private void ShowSent(MigrationStep step, int number, int steps, long bytes)
    {
        if (_session.Output.Json)
        {
            _session.Output.Result(
                new SentJson(step.Snapshot.Object, step.Snapshot.Id, step.Base?.Id, bytes, number, steps), StorageJson.Default.SentJson, _ => "");
        }
        else
        {
            _session.Output.Note($"{step.Snapshot.Address}: {Output.Bytes(bytes)} ({number.ToString(CultureInfo.InvariantCulture)} of {steps})");
        }
    }
}
