using Akka.Actor;
using Akka.Event;
using Holdfast.Actors.Checkpoint;
using Holdfast.Actors.Restore;
using Holdfast.KernelBridge;

namespace Holdfast.Actors.Supervision;

/// <content>Signals, and how the application ends: by itself, gently, or killed.</content>
public sealed partial class ApplicationSupervisor
{
    private void Signal(int signal)
    {
        try
        {
            _application!.Signal(signal);
        }
        catch (BridgeException e)
        {
            // It ended meanwhile; Exited says so.
            Context.GetLogger().Debug("signal {0} was not sent: {1}", signal, e.Message);
        }
    }

    private void StopGently(TimeSpan grace)
    {
        _ending.Add(Sender);
        Signal(TerminationSignal);
        Timers.StartSingleTimer("grace", new GraceOver(), grace);
    }

    private void BeginKill()
    {
        if (_killing)
        {
            return;
        }

        _killing = true;
        Action? before = _beforeKill;
        _beforeKill = null;
        Attempt(
            () =>
            {
                before?.Invoke();
                return Kill();
            },
            cause => new KillFailed(cause));
    }

    private KillDone Kill()
    {
        _application!.Kill();
        return new KillDone();
    }

    private void KillIsOver(Exception? cause)
    {
        _killing = false;
        if (cause is not null)
        {
            OperationFailure failure = OperationFailure.From("End", cause);
            foreach (IActorRef asker in _ending)
            {
                asker.Tell(new EndFailed(failure));
            }

            _ending.Clear();
        }

        AnswerOfEnd();
        EndIfAllIsOver();
        Stash.UnstashAll();
    }

    private void AnswerOfEnd()
    {
        foreach ((IActorRef asker, object answer) in _answersOfEnd)
        {
            asker.Tell(answer);
        }

        _answersOfEnd.Clear();
    }

    private void EndIfAllIsOver()
    {
        if (_status is { } status && _checkpoint is null && !_killing)
        {
            End(status);
        }
    }

    private void End(int status)
    {
        Timers.CancelAll();
        StopLoading();
        RefuseWaiting(new OperationFailure("Start", "application.ended", "the application has ended"));
        AnswerOfEnd();
        foreach (IActorRef asker in _awaitingExit.Union(_ending))
        {
            asker.Tell(new ApplicationExited(status));
        }

        Become(() => Ended(status));
        Stash.UnstashAll();
    }

    private void Ended(int status)
    {
        OperationFailure ended = new("Start", "application.ended", "the application has ended");
        Receive<TakeCheckpoint>(_ => Sender.Tell(new CheckpointFailed(ended)));
        Receive<StartApplication>(_ => Sender.Tell(new StartFailed(ended)));
        Receive<GetStatus>(_ => Sender.Tell(new ApplicationStatus("ended", 0)));
        Receive<WaitForExit>(_ => Sender.Tell(new ApplicationExited(status)));
        Receive<StopApplication>(_ => Sender.Tell(new ApplicationExited(status)));
        Receive<KillApplication>(_ => Sender.Tell(new ApplicationExited(status)));
        ReceiveAny(_ => { });
    }
}
