using Akka.Actor;
using Holdfast.KernelBridge;

namespace Holdfast.Actors.Checkpoint;

internal sealed partial class CheckpointCoordinator
{
    private CheckpointData StartCommit(CheckpointData data)
    {
        // From here on the outcome is the store's to say; a limit on the whole would call off what may be durable already.
        CancelTimer("limit");
        ISnapshotWriter writer = data.Writer!;
        ApplicationImage image = data.Image!;
        SnapshotFacts facts = new(data.Processes.Count, data.Threads, _request.Message.EndAfterwards ? Elapsed - _quiesceBegan : data.FreezeTime, data.Pages) { Tags = _request.Message.Tags, Elapsed = Elapsed };
        Attempt(() => new SnapshotCommitted(Commit(writer, image, facts)), cause => new CommitFailed(cause));
        return data with { CommitPending = true };
    }

    private SnapshotReceipt Commit(ISnapshotWriter writer, ApplicationImage image, SnapshotFacts facts)
    {
        SnapshotReceipt receipt = writer.Commit(image, facts);
        if (!_request.Message.Live)
        {
            _checkpoint.Committed(receipt.Snapshot);
        }

        return receipt;
    }

    private State<CheckpointPhase, CheckpointData> Commit(Event<CheckpointData> e) => e.FsmEvent switch
    {
        SnapshotCommitted m => EnterNext(e.StateData with { Receipt = m.Receipt, CommitPending = false }),
        CommitFailed m => Abort(e.StateData with { CommitPending = false }, OperationFailure.From(StateName.ToString(), m.Cause)),
        CancelCheckpoint => Stay(),
        _ => null!,
    };

    private CheckpointData StartEnd(CheckpointData data)
    {
        IApplicationHost host = _request.Host;
        IReadOnlyList<int> pids = [.. data.Processes.Keys];
        (TimeSpan? keep, ApplicationImage image, string snapshot) = (_request.Message.KeepConnections, data.Image!, data.Receipt!.Snapshot);
        Attempt(
            () =>
            {
                if (keep is { } time)
                {
                    return new StandingKilled(host.KillStanding(pids, image, snapshot, time));
                }

                host.KillStanding(pids);
                return new StandingKilled(0);
            },
            cause => new StepFailed(0, cause));
        return data;
    }

    private State<CheckpointPhase, CheckpointData> End(Event<CheckpointData> e) => e.FsmEvent switch
    {
        StandingKilled m => EnterNext(e.StateData with { ConnectionsKept = m.ConnectionsKept, FreezeTime = Elapsed - _quiesceBegan }),
        CancelCheckpoint => Stay(),
        _ => null!,
    };

    /// <summary>Lets go of everything: stopping a process's actors is what resumes it, on its own thread.</summary>
    private CheckpointData StartFinish(CheckpointData data)
    {
        CancelTimer("limit");
        CancelTimer("progress");
        if (data.Failure is not null)
        {
            _sink.Abort();
            _calledOff.Cancel();
            // First of all: a process that is told to go on inside a frozen cgroup does not.
            _application.Tell(new ThawApplication());
        }

        foreach (ProcessEntry process in data.Processes.Values)
        {
            Context.Stop(process.Supervisor);
        }

        // Nothing may be left to wait for.
        Self.Tell(new FinishBegun());
        return ProcessesLetGo(data with { Waiting = [.. data.Processes.Keys] });
    }

    private State<CheckpointPhase, CheckpointData> Finish(Event<CheckpointData> e)
    {
        CheckpointData data = e.StateData;
        switch (e.FsmEvent)
        {
            case Terminated m when _application.Equals(m.ActorRef):
                return EverythingLetGo(data.Answered(0) with { ApplicationLetGo = true });

            case Terminated m:
                ProcessEntry? process = data.Processes.Values.FirstOrDefault(p => p.Supervisor.Equals(m.ActorRef));
                return process is null ? Stay() : EverythingLetGo(ProcessesLetGo(data.Answered(process.Pid)));

            case AwakeLongEnough:
                return LetSleep();

            case FinishBegun:
                return EverythingLetGo(data);

            case SnapshotBegun m:
                return EverythingLetGo(data with { WriterPending = false, Writer = m.Writer });

            case SnapshotRefused:
                return EverythingLetGo(data with { WriterPending = false });

            // The commit outlasted its deadline but did succeed: there is a snapshot, and saying otherwise would be wrong.
            case SnapshotCommitted m:
                return EverythingLetGo(data with { CommitPending = false, Receipt = m.Receipt, Failure = null });

            case VolumesCopied or VolumesCaptured or VolumesFailed:
                return EverythingLetGo(data with { VolumesPending = false });

            case HooksDone m:
                // Of the two only the second can still fail for itself: with the first one the checkpoint has failed.
                return EverythingLetGo((data with { HooksPending = false }).Warned(data.AfterResumeIsDue ? null : m.Cause?.Message));

            case RendezvousOpened m:
                return EverythingLetGo(data with { RendezvousPending = false, Rendezvous = m.Rendezvous });

            case RendezvousDone:
                return EverythingLetGo(data with { RendezvousPending = false });

            case RendezvousOver m:
                return EverythingLetGo((data with { RendezvousPending = false }).Warned(m.Cause?.Message));

            case CommitFailed:
                return EverythingLetGo(data with { CommitPending = false });

            case WriterClosed m:
                return Answer(m.Cause is null || data.Failure is not null ? data : data with { Failure = OperationFailure.From("Finish", m.Cause) });

            case PhaseTimedOut { Phase: CheckpointPhase.Finish }:
                return Answer(data with { Failure = StillHeld(data) });

            // Answers to what was asked before it was called off.
            default:
                return Stay();
        }
    }

    /// <summary>The processes first, then the thread that holds the whole: a freeze must not outlive the answer.</summary>
    private CheckpointData ProcessesLetGo(CheckpointData data)
    {
        if (!data.Waiting.IsEmpty || data.ApplicationLetGo)
        {
            return data;
        }

        Context.Stop(_application);
        return data.Await(0);
    }

    /// <summary>Committed or not, this is the writer's end; a snapshot that was not committed is dropped by it.</summary>
    private State<CheckpointPhase, CheckpointData> EverythingLetGo(CheckpointData data)
    {
        if (data.Closing || !data.Waiting.IsEmpty || !data.ApplicationLetGo || data.WriterPending || data.CommitPending || data.VolumesPending || data.HooksPending || data.RendezvousPending)
        {
            return Stay().Using(data);
        }

        // Who was made ready for the freeze is told that it is over, also where there was none.
        bool ended = data.Failure is null && _request.Message.EndAfterwards;
        data = ended ? data : StartAfterResume(StartLetGo(data), data.Image is not null);
        if (data.HooksPending || data.RendezvousPending)
        {
            return Stay().Using(data);
        }

        (ISnapshotWriter? writer, IRendezvous? rendezvous) = (data.Writer, data.Rendezvous);
        Attempt(
            () =>
            {
                if (ended)
                {
                    rendezvous?.Abandon();
                }

                rendezvous?.Dispose();
                writer?.Dispose();
                return new WriterClosed(null);
            },
            cause => new WriterClosed(cause));
        return Stay().Using(data with { Writer = null, Rendezvous = null, Closing = true });
    }

    /// <summary>Threads that hang in the kernel hold what they hold until it lets them go; they resume their processes then.</summary>
    private OperationFailure StillHeld(CheckpointData data)
    {
        IEnumerable<string> held = data.Waiting.Order().Select(pid => pid == 0 ? "the application" : $"process {pid}");
        held = data.VolumesPending ? held.Append("its volumes") : held;
        held = data.HooksPending ? held.Append("its hooks") : held;
        held = data.RendezvousPending ? held.Append("its checkpoint threads") : held;
        held = data.CommitPending || data.WriterPending ? held.Append("the snapshot") : held;
        OperationFailure failure = data.Failure ?? new OperationFailure(StateName.ToString(), OperationFailure.TimeoutCode, "not everything could be let go");
        return failure with { Message = $"{failure.Message} (still held: {string.Join(", ", held)})" };
    }

    private State<CheckpointPhase, CheckpointData> Answer(CheckpointData data)
    {
        KeepAwake(TimeSpan.Zero);
        Context.Parent.Tell(data.Failure is null && data.Receipt is not null
            ? new CheckpointTaken(data.Receipt, data.Processes.Count, data.Threads, data.FreezeTime, Elapsed, data.Pages) { Warning = data.Warning, Gathered = data.Gathered, ConnectionsKept = data.ConnectionsKept }
            : new CheckpointFailed(data.Failure ?? new OperationFailure(StateName.ToString(), OperationFailure.InternalCode, "the checkpoint ended without an outcome")));
        return Stop(Normal.Instance, data);
    }
}
