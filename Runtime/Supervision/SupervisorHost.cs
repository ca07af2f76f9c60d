using Akka.Actor;
using Holdfast.Actors;
using Holdfast.Actors.Checkpoint;
using Holdfast.Actors.Protection;
using Holdfast.Actors.Restore;
using Holdfast.Actors.Supervision;
using Holdfast.KernelBridge;
using Holdfast.KernelBridge.Spaces;
using Holdfast.Runtime.Cli;
using Holdfast.Runtime.Hosting;
using Holdfast.Runtime.Native;
using Holdfast.Runtime.Protection;
using Holdfast.Runtime.Storage;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Supervision;

/// <summary>Supervises one application in this process: its actors, its record in the store. Made by who holds its lock.</summary>
internal sealed class SupervisorHost : IApplicationControl, IApplicationHost
{
    private readonly ActorNode _node;
    private readonly IActorRef _supervisor;
    private readonly ApplicationDirectory _directory;
    private readonly ApplicationRecord _template;
    private readonly TimeProvider _time = TimeProvider.System;
    private readonly bool _keepsRecord;
    private readonly bool _tracks;
    private readonly Session _session;
    private readonly SnapshotStore _store;
    private readonly ApplicationSnapshots _snapshots;
    private readonly IdleCollection _garbage;
    private readonly Lock _gate = new();
    private ProtectionHost? _protection;
    private bool _runs;
    private readonly Lock _ending = new();
    private ApplicationRecord? _record;
    private Action<string, long>? _progress;
    private Action<LoadingReported>? _loading;
    private SnapshotReader? _reader;

    /// <summary>Makes one; nothing runs yet.</summary>
    /// <param name="session">Settings, bridge, store.</param>
    /// <param name="snapshots">Where its snapshots go.</param>
    /// <param name="directory">Its directory.</param>
    /// <param name="template">Its record, but for what is known once it runs.</param>
    /// <param name="every">How often it takes a checkpoint by itself; null for never.</param>
    /// <param name="tracks">It lives from one checkpoint to the next, so that it pays to know what is written to in between.</param>
    /// <param name="keepsRecord">False for a process tree that is dumped: it is not the store's to keep.</param>
    public SupervisorHost(
        Session session, SnapshotStore snapshots, ApplicationDirectory directory, ApplicationRecord template, TimeSpan? every, bool keepsRecord = true, bool tracks = false)
    {
        _directory = directory;
        _template = template;
        _keepsRecord = keepsRecord;
        _tracks = tracks;
        _session = session;
        _store = snapshots;
        _snapshots = new ApplicationSnapshots(snapshots, template.Name)
        {
            Command = template.Command, Volumes = template.Volumes, Options = session.Settings.Storage.Checkpoints, Incremental = session.Settings.Storage.Incremental,
        };
        Hooks = new Hooks(session.Settings.Hooks, template.Hooks, template.Name, session.Store.Root, () => _record ?? directory.Read());
        _node = new ActorNode(Journal.In(ProtectionHost.JournalOf(directory), session.Settings.Config));
        ApplicationServices services = new(
            session.Bridge, _snapshots, this,
            tracks && session.Settings.Storage.Incremental ? session.Settings.Checkpoints : session.Settings.Checkpoints with { TrackWrites = WriteTracking.Off },
            session.Settings.Restores, _time);
        _supervisor = _node.System.ActorOf(ApplicationSupervisor.Props(services, every), "application");
        _garbage = new IdleCollection(_time);
        _node.Subscribe<CheckpointProgress>(Report);
        _node.Subscribe<RestoreProgress>(p => _progress?.Invoke(p.Step.ToString(), p.BytesRead));
        _node.Subscribe<LoadingReported>(p =>
        {
            _progress?.Invoke("Loading", p.Progress.Loaded);
            _loading?.Invoke(p);
        });
    }

    public string Name => _template.Name;

    /// <summary>What is run around its checkpoints and restores.</summary>
    public Hooks Hooks { get; }

    IApplicationHooks? IApplicationHost.Hooks => Hooks.AroundFreeze ? Hooks : null;

    /// <summary>Calls back when a checkpoint that nobody waits for is over.</summary>
    public void OnPeriodicCheckpoint(Action<object> handler) => _node.Subscribe<PeriodicCheckpointDone>(m => handler(m.Outcome));

    private void Report(CheckpointProgress progress)
    {
        if (progress.Phase == CheckpointPhase.Finish)
        {
            _garbage.Over();
        }
        else
        {
            _garbage.Busy();
        }

        _progress?.Invoke(progress.Phase.ToString(), progress.BytesWritten);
    }

    public void OnProgress(Action<string, long>? handler) => _progress = handler;

    /// <summary>Calls back while the memory of an application that runs already is loaded, and when that is done.</summary>
    public void OnLoading(Action<LoadingReported> handler) => _loading = handler;

    /// <summary>What of its memory cannot be had, so that it was ended; null for nothing.</summary>
    public OperationFailure? Lost { get; private set; }

    /// <summary>The message that adopts the application of the record; goes on to load what it lacks.</summary>
    public AdoptApplication Adoption() => new(_template.Target) { Pages = LazyMemory.Source(_session, _template, reader => _reader = reader) };

    /// <summary>Starts, restores or adopts the application.</summary>
    public async Task<ApplicationStarted> StartAsync(StartApplication message, CancellationToken cancellation)
    {
        using CancellationTokenRegistration _ = cancellation.Register(() => _supervisor.Tell(new CancelStart(), ActorRefs.NoSender));
        ApplicationStarted started = Expect<ApplicationStarted>(await Ask(message).ConfigureAwait(false));
        lock (_gate)
        {
            _runs = true;
            _protection?.Begin(_supervisor);
        }

        _garbage.Over();
        if (_tracks)
        {
            PtraceBridge.GetReadyToCheckpoint();
        }

        return started;
    }

    /// <summary>
    /// Its policies: those that it is given now, those that it had before, those of its groups. Asked for before it runs, so that what
    /// cannot be assigned keeps it from starting; carried out from its start on.
    /// </summary>
    public async Task ProtectAsync(IReadOnlyList<PolicyText> policies)
    {
        IReadOnlyList<InheritedPolicy> inherited = await PolicyGroups.OfAsync(_session, _template).ConfigureAwait(false);
        if (policies.Count == 0 && inherited.Count == 0 && !File.Exists(ProtectionHost.JournalOf(_directory)))
        {
            return;
        }

        await Protection().AskAsync(new PolicyOrder("inherit", Inherited: inherited)).ConfigureAwait(false);
        if (policies.Count > 0)
        {
            await Protection().AskAsync(new PolicyOrder("assign", policies)).ConfigureAwait(false);
        }
    }

    public Task<PolicyAnswer> PolicyAsync(PolicyOrder order, CancellationToken cancellation) => Protection().AskAsync(order);

    private ProtectionHost Protection()
    {
        lock (_gate)
        {
            if (_protection is null)
            {
                SnapshotCopies copies = new(Name, _store, _session.StoreOptions(), new DeviceAccess(null, _session.Settings.Storage.Tls, null));
                _protection = new ProtectionHost(
                    _node, new ProtectedApplication(Name, _store, () => _record, copies), _session.Settings.Protection);
                if (_runs)
                {
                    _protection.Begin(_supervisor);
                }
            }

            return _protection;
        }
    }

    public async Task<CheckpointJson> CheckpointAsync(CheckpointOrder order, Action<string, long>? progress, CancellationToken cancellation)
    {
        using CancellationTokenRegistration _ = cancellation.Register(() => _supervisor.Tell(new CancelCheckpoint(), ActorRefs.NoSender));
        _progress = progress ?? _progress;
        TakeCheckpoint message = new(order.EndAfterwards, order.Timeout) { Full = order.Full, KeepConnections = order.KeepConnections };
        if (_protection is not null)
        {
            message = message with { Tags = await _protection.HandTagsAsync().ConfigureAwait(false) };
        }

        CheckpointTaken taken = Expect<CheckpointTaken>(await Ask(message).ConfigureAwait(false));
        if (order.EndAfterwards)
        {
            RecordEnd(128 + Libc.SIGKILL);
        }

        return ToJson(Name, taken);
    }

    public async Task<string> TakeLiveAsync(Action<string, long>? progress, CancellationToken cancellation)
    {
        using CancellationTokenRegistration _ = cancellation.Register(() => _supervisor.Tell(new CancelCheckpoint(), ActorRefs.NoSender));
        _progress = progress ?? _progress;
        return Expect<CheckpointTaken>(await Ask(new TakeCheckpoint(Live: true)).ConfigureAwait(false)).Receipt.Live!;
    }

    public void ReleaseLive(string live) => _snapshots.Release(live);

    public async Task<int> StopAsync(TimeSpan grace, CancellationToken cancellation) => await EndAsync(new StopApplication(grace), cancellation).ConfigureAwait(false);

    public async Task<int> KillAsync(CancellationToken cancellation) => await EndAsync(new KillApplication(), cancellation).ConfigureAwait(false);

    /// <summary>Recorded before it is answered: the next command must not find it running.</summary>
    private async Task<int> EndAsync(object message, CancellationToken cancellation)
    {
        int status = Expect<ApplicationExited>(await Ask(message).WaitAsync(cancellation).ConfigureAwait(false)).Status;
        RecordEnd(status);
        return status;
    }

    public async Task<int> WaitForExitAsync() => Expect<ApplicationExited>(await Ask(new WaitForExit()).ConfigureAwait(false)).Status;

    public void Signal(int signal) => _supervisor.Tell(new SendSignal(signal), ActorRefs.NoSender);

    /// <summary>Notes in the record that it has ended, once.</summary>
    public void RecordEnd(int status)
    {
        using Lock.Scope scope = _ending.EnterScope();
        if (_keepsRecord && _record is { Ended: null })
        {
            if (_record.Loading is not null)
            {
                LazyMemory.Unpin(_store, _record);
            }

            _record = _record with { Ended = _time.GetUtcNow(), ExitStatus = status < 0 ? null : status, Loading = null };
            _directory.Write(_record);
        }
    }

    void IApplicationHost.Started(IRunningApplication application)
    {
        _record = _template with { Target = application.Target, MainPid = application.MainPid, Intercepted = IsIntercepted(application.Target) };
        if (_keepsRecord)
        {
            _directory.Write(_record);
        }
    }

    private bool IsIntercepted(ApplicationTarget target)
    {
        try
        {
            using IRendezvous? rendezvous = _session.Bridge.BeginRendezvous(target);
            return rendezvous is not null;
        }
        catch (BridgeException)
        {
            // A checkpoint will say what is wrong with it.
            return true;
        }
    }

    void IApplicationHost.MemoryLoaded()
    {
        if (_keepsRecord && _record is { Loading: not null } record)
        {
            // Unpinned last: until then somebody may have to go on.
            _record = record with { Loading = null };
            _directory.Write(_record);
            LazyMemory.Unpin(_store, record);
        }
    }

    void IApplicationHost.MemoryLost(OperationFailure failure)
    {
        Lost = failure;
        if (_keepsRecord && _record is not null)
        {
            _record = _record with { EndedBecause = failure.Message };
            _directory.Write(_record);
        }
    }

    public async Task<LoadingJson?> LoadingAsync(CancellationToken cancellation)
    {
        ApplicationStatus status = Expect<ApplicationStatus>(await Ask(new GetStatus()).WaitAsync(cancellation).ConfigureAwait(false));
        return status is { Loading: null, Held: null } ? null : ToJson(status.Loading ?? default, status.Held);
    }

    public static LoadingJson ToJson(KernelBridge.LoadingProgress progress, OperationFailure? held = null) =>
        new(held is null ? progress.Percent : 0, progress.Loaded, progress.Total, progress.Faults, held?.Message);

    void IApplicationHost.KillStanding(IReadOnlyList<int> pids)
    {
        foreach (int pid in pids)
        {
            _ = Libc.kill(pid, Libc.SIGKILL);
        }
    }

    int IApplicationHost.KillStanding(IReadOnlyList<int> pids, ApplicationImage image, string snapshot, TimeSpan time)
    {
        using KeptConnections kept = KeptConnections.Keep(_directory.Connections(snapshot), image, pids, time);
        ((IApplicationHost)this).KillStanding(pids);
        kept.Confirm();
        return kept.Count;
    }

    public async ValueTask DisposeAsync()
    {
        await _node.DisposeAsync().ConfigureAwait(false);
        _garbage.Dispose();
        _reader?.Dispose();
        _snapshots.Dispose();
    }

    public static CheckpointJson ToJson(string name, CheckpointTaken taken) => new(
        name, taken.Receipt.Snapshot, taken.Receipt.Parent, taken.Processes, taken.Threads,
        Math.Round(taken.FreezeTime.TotalMilliseconds, 3), Math.Round(taken.TotalTime.TotalMilliseconds, 3),
        taken.Pages.BytesScanned, taken.Receipt.BytesStored, taken.Pages.PagesZero, taken.Pages.PagesShared, taken.Pages.PagesUnchanged)
    {
        Volumes = taken.Receipt.Volumes is { } v
            ? new VolumeCountsJson(v.Volumes, v.Files, v.BytesBefore, v.BytesInside, v.Clones, Math.Round(v.Inside.TotalMilliseconds, 3))
            : null,
        Intercepted = taken.Gathered is { } g
            ? new InterceptedJson(g.Ready, g.Unflushed, Math.Round(g.Time.TotalMilliseconds, 3), g.Without, g.Late)
            : null,
        Warning = taken.Warning,
        ConnectionsKept = taken.ConnectionsKept > 0 ? taken.ConnectionsKept : null,
        Kind = taken.Pages.BytesKept > 0 ? "incremental" : "full",
        Base = taken.Pages.BytesKept > 0 ? taken.Receipt.Parent : null,
        BytesChanged = taken.Pages.BytesWritten,
        PreCopy = taken.PreCopy is { } rounds ? new PreCopyJson(rounds.Rounds, rounds.AllBytes, rounds.PredictedBytes) : null,
    };

    private static T Expect<T>(object answer) => answer switch
    {
        T expected => expected,
        StartFailed m => throw new HoldfastException(m.Failure),
        CheckpointFailed m => throw new HoldfastException(m.Failure),
        EndFailed m => throw new HoldfastException(m.Failure),
        _ => throw new InvalidOperationException($"{answer.GetType().Name} is no answer"),
    };

    private Task<object> Ask(object message) => _supervisor.Ask<object>(message, Timeout.InfiniteTimeSpan);
}
