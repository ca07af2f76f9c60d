using System.Collections.Immutable;
using Akka.Actor;
using Holdfast.KernelBridge;

namespace Holdfast.Actors.Checkpoint;

internal sealed partial class CheckpointCoordinator
{
    /// <summary>How often everything is let go and stopped again before a process that does not stand is an error.</summary>
    private const int Attempts = 4;

    private static readonly TimeSpan BetweenAttempts = TimeSpan.FromMilliseconds(10);

    private TimeSpan ShareOfAttempt => _settings.Deadline(CheckpointPhase.Quiesce) * ShareOfBridge / Attempts;

    private State<CheckpointPhase, CheckpointData> Quiesce(Event<CheckpointData> e)
    {
        CheckpointData data = e.StateData;
        switch (e.FsmEvent)
        {
            case ProcessesFound m:
                data = DropGone(data.Answered(0), m.Pids);
                data = m.Pids.Where(pid => !data.Processes.ContainsKey(pid)).Aggregate(data, Open);
                return Caught(StopThoseThatRun(data));

            case StepFailed m when StoodTooLate(m.Cause) && (data.Retreating || data.Attempt < Attempts):
                return data.Retreating ? Stay() : Stay().Using(Retreat(data));

            case Resumed m:
                return Retreated(data.Answered(m.Pid));

            case ApplicationThawed when data.Retreating:
                return Retreated(data.Answered(0));

            case ProcessGone m when data.Retreating:
                return Retreated(Drop(data, m.Pid));

            case BarrierReached when data.Retreating:
                return Stay();

            case StopAgain:
                return Stay().Using(AskApplication(new FreezeApplication(ShareOfAttempt), data));

            case BarrierReached m:
                return Caught(data.Answered(m.Pid).With(m.Pid, p => p with { Threads = m.Threads }));

            case ProcessGone m:
                return Caught(Drop(data, m.Pid));

            case AllStand m:
                data = DropGone(data.Answered(0), m.Pids);
                return data.Processes.IsEmpty
                    ? Abort(data, new OperationFailure(StateName.ToString(), "application.gone", "the application ended before it was caught"))
                    : EnterNext(data);

            default:
                return null!;
        }
    }

    private CheckpointData StopThoseThatRun(CheckpointData data)
    {
        foreach (ProcessEntry process in data.Processes.Values.Where(p => p.Threads is null))
        {
            process.Supervisor.Tell(new EnterBarrier(ShareOfAttempt));
            data = data.Await(process.Pid);
        }

        return data;
    }

    private CheckpointData DropGone(CheckpointData data, IReadOnlyList<int> found) => data.Processes.Keys.Except(found).Aggregate(data, Drop);

    // Only an enumeration that begins after all known processes stand can show that the set is stable.
    private State<CheckpointPhase, CheckpointData> Caught(CheckpointData data) => Stay().Using(data.Waiting.IsEmpty
        ? AskApplication(new ThawIfAllStand(data.Processes.Values.Where(p => p.Threads is not null).Select(p => p.Pid).ToHashSet()), data)
        : data);

    private static bool StoodTooLate(Exception cause) => cause is BridgeException { Code: "freeze.timeout" };

    /// <summary>
    /// Lets everything go, to stop it again a moment later. A parent in vfork(2) cannot be stopped before its child execs or ends, and the
    /// child cannot do that once it stands: whoever was caught in that moment has passed it at the next attempt.
    /// </summary>
    private CheckpointData Retreat(CheckpointData data)
    {
        data = AskAll(new LeaveBarrier(), data with { Attempt = data.Attempt + 1, Retreating = true });
        return AskApplication(new ThawApplication(), data);
    }

    private State<CheckpointPhase, CheckpointData> Retreated(CheckpointData data)
    {
        if (!data.Waiting.IsEmpty)
        {
            return Stay().Using(data);
        }

        SetTimer("again", new StopAgain(), BetweenAttempts * data.Attempt);
        return Stay().Using(data with
        {
            Retreating = false,
            Processes = data.Processes.ToImmutableSortedDictionary(p => p.Key, p => p.Value with { Threads = null }),
        });
    }
}
