using System.Collections.Immutable;
using Akka.Actor;
using Holdfast.KernelBridge;

namespace Holdfast.Actors.Checkpoint;

internal sealed partial class CheckpointCoordinator
{
    private State<CheckpointPhase, CheckpointData> Prepare(Event<CheckpointData> e)
    {
        CheckpointData data = e.StateData;
        switch (e.FsmEvent)
        {
            case SnapshotBegun m:
                _sink.Attach(m.Writer);
                return Prepared(data with { WriterPending = false, Writer = m.Writer });

            case RendezvousOpened m:
                return Prepared(data with { RendezvousPending = false, Rendezvous = m.Rendezvous });

            case SnapshotRefused m:
                return Abort(data with { WriterPending = false }, OperationFailure.From(StateName.ToString(), m.Cause));

            case ProcessesFound m:
                data = m.Pids.Aggregate(data.Answered(0), Open);
                return Prepared(AskAll(new FlushResources(CheckpointPhase.Prepare), data));

            // It still runs, and may have been seen in the middle of an exec or of its end: only what is found twice counts here.
            case ResourcesFlushed m when m.Refusals.Count > 0 && data.Processes[m.Pid].Suspected is null:
                return LookAgain(data, m.Pid, m.Refusals);

            case StepFailed m when m.Pid != 0 && data.Processes[m.Pid].Suspected is null:
                return LookAgain(data, m.Pid, []);

            case ResourcesFlushed m:
                return Prepared(data.Answered(m.Pid) with
                {
                    Refusals = data.Refusals.AddRange(m.Refusals.Where(r => data.Processes[m.Pid].Suspected!.Contains(r))),
                });

            case ProcessGone m:
                return Prepared(Drop(data, m.Pid));

            default:
                return null!;
        }
    }

    private State<CheckpointPhase, CheckpointData> LookAgain(CheckpointData data, int pid, IReadOnlyList<Refusal> suspected)
    {
        data.Processes[pid].Supervisor.Tell(new FlushResources(CheckpointPhase.Prepare));
        return Stay().Using(data.With(pid, p => p with { Suspected = [.. suspected] }));
    }

    private State<CheckpointPhase, CheckpointData> Prepared(CheckpointData data)
    {
        if (!data.Waiting.IsEmpty || data.WriterPending || data.RendezvousPending)
        {
            return Stay().Using(data);
        }

        return data.Refusals.IsEmpty ? EnterNext(data) : Abort(data, OperationFailure.Refused(StateName.ToString(), data.Refusals));
    }

    private CheckpointData Open(CheckpointData data, int pid)
    {
        // Numbered, since a name is free again only after its holder has stopped, and a pid may come back sooner.
        IActorRef supervisor = Context.Watch(Context.ActorOf(
            ActorProps.Of(() => new ProcessSupervisor(pid, _checkpoint)), $"process-{pid}-{++_processNumber}"));
        return data with { Processes = data.Processes.SetItem(pid, new ProcessEntry(pid, supervisor)) };
    }

    /// <summary>A process that simply exited before it was caught is no part of the snapshot.</summary>
    private CheckpointData Drop(CheckpointData data, int pid)
    {
        if (!data.Processes.TryGetValue(pid, out ProcessEntry? entry))
        {
            return data;
        }

        Context.Unwatch(entry.Supervisor);
        Context.Stop(entry.Supervisor);
        return data.Answered(pid) with { Processes = data.Processes.Remove(pid) };
    }

    private State<CheckpointPhase, CheckpointData> Locate(Event<CheckpointData> e)
    {
        CheckpointData data = e.StateData;
        switch (e.FsmEvent)
        {
            case ResourcesFlushed m:
                data = AskNext(data.Answered(m.Pid).With(m.Pid, p => p with { Facts = m.Facts }));
                return Stay().Using(data.Waiting.IsEmpty
                    ? AskApplication(new LocateShared([.. data.Processes.Values.Select(p => p.Facts!)]), data)
                    : data);

            case SharedLocated m:
                ImmutableList<Refusal> refusals = [.. data.Processes.Values.SelectMany(p => p.Facts!.Refusals), .. m.Refusals];
                return refusals.IsEmpty ? EnterNext(data.Answered(0)) : Abort(data, OperationFailure.Refused(StateName.ToString(), refusals));

            default:
                return null!;
        }
    }

    private CheckpointData StartHooks(CheckpointData data)
    {
        CallHooks(hooks => hooks.BeforeFreeze(_calledOff.Token));
        return data with { HooksPending = true, AfterResumeIsDue = true };
    }

    private State<CheckpointPhase, CheckpointData> Hooks(Event<CheckpointData> e)
    {
        if (e.FsmEvent is not HooksDone m)
        {
            return null!;
        }

        CheckpointData data = e.StateData with { HooksPending = false };
        return m.Cause is null ? EnterNext(data) : Abort(data, OperationFailure.From(StateName.ToString(), m.Cause));
    }

    private CheckpointData StartAfterResume(CheckpointData data, bool captured)
    {
        if (!data.AfterResumeIsDue)
        {
            return data;
        }

        CallHooks(hooks => hooks.AfterResume(captured));
        return data with { HooksPending = true, AfterResumeIsDue = false };
    }

    private void CallHooks(Action<IApplicationHooks> call)
    {
        IApplicationHooks hooks = _request.Host.Hooks!;
        Attempt(
            () =>
            {
                call(hooks);
                return new HooksDone(null);
            },
            cause => new HooksDone(cause));
    }

    private CheckpointData StartVolumes(CheckpointData data)
    {
        IVolumeCapture volumes = data.Writer!.Volumes!;
        Attempt(
            () =>
            {
                volumes.CopyFirst(_calledOff.Token);
                return new VolumesCopied();
            },
            cause => new VolumesFailed(cause));
        return data with { VolumesPending = true };
    }

    private State<CheckpointPhase, CheckpointData> Volumes(Event<CheckpointData> e) =>
        e.FsmEvent is VolumesCopied ? EnterNext(e.StateData with { VolumesPending = false }) : null!;

    private CheckpointData StartRendezvous(CheckpointData data)
    {
        IRendezvous rendezvous = data.Rendezvous!;
        // Who holds still does so until everything stands, and a little longer: after that it runs only when it is let go, or nobody came.
        RendezvousOrder order = new(
            _settings.Deadline(CheckpointPhase.Rendezvous) * ShareOfBridge, _settings.Deadline(CheckpointPhase.Quiesce) + holdLonger, _settings.WithoutTheLate);
        Attempt(() => new RendezvousDone(rendezvous.Gather(order, _calledOff.Token), null), cause => new RendezvousDone(null, cause));
        return data with { RendezvousPending = true, LetGoIsDue = true };
    }

    private State<CheckpointPhase, CheckpointData> Rendezvous(Event<CheckpointData> e)
    {
        if (e.FsmEvent is not RendezvousDone { Report: { } report })
        {
            return null!;
        }

        CheckpointData data = e.StateData with { RendezvousPending = false, Gathered = report };
        return EnterNext(data.Warned(report.Late.Count == 0 ? null : string.Join("; ", report.Late)));
    }

    private CheckpointData StartLetGo(CheckpointData data)
    {
        if (!data.LetGoIsDue)
        {
            return data;
        }

        IRendezvous rendezvous = data.Rendezvous!;
        Attempt(
            () =>
            {
                rendezvous.Release();
                return new RendezvousOver(null);
            },
            cause => new RendezvousOver(cause));
        return data with { RendezvousPending = true, LetGoIsDue = false };
    }

    private CheckpointData StartVolumeChanges(CheckpointData data)
    {
        if (data.Writer?.Volumes is not { } volumes)
        {
            return data;
        }

        Attempt(
            () =>
            {
                volumes.CaptureChanges(_calledOff.Token);
                return new VolumesCaptured();
            },
            cause => new VolumesFailed(cause));
        return data with { VolumesPending = true };
    }

    /// <summary>Files and memory are of one moment: nobody goes on before both are captured.</summary>
    private State<CheckpointPhase, CheckpointData> Captured(CheckpointData data) =>
        data.VolumesPending || data.Image is null || !data.Waiting.IsEmpty ? Stay().Using(data) : EnterNext(data);

    private State<CheckpointPhase, CheckpointData> Capture(Event<CheckpointData> e)
    {
        CheckpointData data = e.StateData;
        switch (e.FsmEvent)
        {
            case VolumesCaptured:
                return Captured(data with { VolumesPending = false });

            case StateCaptured m:
                data = AskNext(data.Answered(m.Pid).With(m.Pid, p => p with { Image = m.Image }));
                return Stay().Using(data.Waiting.IsEmpty
                    ? Assemble(data)
                    : data);

            case ImageAssembled m:
                return Captured(data.Answered(0) with { Image = m.Image, Pages = data.Pages + m.Pages });

            default:
                return null!;
        }
    }

    private CheckpointData Assemble(CheckpointData data) =>
        // Shared memory has no copy-on-write copy: it is pumped before anybody may write to it again.
        AskApplication(new AssembleImage([.. data.Processes.Values.Select(p => p.Image!)], _settings.Mode == CaptureMode.FrozenCopy ? _sink : null), data);

    private CheckpointData StartPumps(CheckpointData data)
    {
        data = AskInTurns(new PumpPages(_sink), _settings.ParallelPumps, data);
        return _settings.Mode == CaptureMode.FrozenCopy ? data : AskApplication(new PumpPages(_sink), data);
    }

    private State<CheckpointPhase, CheckpointData> Drain(Event<CheckpointData> e)
    {
        if (e.FsmEvent is not PagesStored m)
        {
            return null!;
        }

        CheckpointData data = e.StateData.Answered(m.Pid) with { Pages = e.StateData.Pages + m.Counts };
        data = m.Pid == 0 ? data : AskNext(data);
        return data.Waiting.IsEmpty ? EnterNext(data) : Stay().Using(data);
    }

    private State<CheckpointPhase, CheckpointData> Release(Event<CheckpointData> e)
    {
        CheckpointData data = e.StateData;
        switch (e.FsmEvent)
        {
            case Resumed m:
                data = AskNext(data.Answered(m.Pid));
                return Stay().Using(data.Waiting.IsEmpty ? AskApplication(new ReadFreezeTime(), data) : data);

            case FreezeTimeRead m:
                return EnterNext(StartAfterResume(StartLetGo(data.Answered(0) with { FreezeTime = m.FreezeTime }), true));

            default:
                return null!;
        }
    }
}
