using Akka.Dispatch.SysMsg;
using Akka.Event;

namespace Akka.Actor;

internal sealed partial class ActorCell
{
    // Who failed: this actor, or a child whose failure was escalated through it. Null while all is well.
    private IActorRef? _perpetrator;

    private bool IsFailed => _perpetrator is not null;

    private void SuspendNonRecursive() => _mailbox.Suspend();

    private void ResumeNonRecursive() => _mailbox.Resume();

    private void FaultSuspend()
    {
        SuspendNonRecursive();
        SuspendChildren();
    }

    private void FaultResume(Exception? causedByFailure)
    {
        if (_actor is null)
        {
            if (!IsTerminating && !IsTerminated)
            {
                FaultCreate();
            }

            return;
        }

        var perpetrator = _perpetrator;
        ResumeNonRecursive();
        if (causedByFailure is not null)
        {
            _perpetrator = null;
        }

        ResumeChildren(causedByFailure, perpetrator);
    }

    private void FaultCreate()
    {
        StopChildren();
        if (_children?.TrySetReason(new SuspendReason.Creation()) != true)
        {
            FinishCreate();
        }
    }

    private void FinishCreate()
    {
        ResumeNonRecursive();
        _perpetrator = null;
        try
        {
            CreateActor(null);
        }
        catch (Exception e)
        {
            HandleInvokeFailure(e);
        }
    }

    private void FaultRecreate(Exception cause)
    {
        if (_actor is null)
        {
            FaultCreate();
            return;
        }

        if (!IsNormal)
        {
            // Already waiting for children to end: only the count of suspensions is to be kept in balance.
            FaultResume(null);
            return;
        }

        var failed = _actor;
        var message = _message;
        try
        {
            if (!failed.HasBeenCleared)
            {
                failed.AroundPreRestart(cause, message!);
            }
        }
        catch (Exception e)
        {
            var failure = new PreRestartException(_self, e, cause, message);
            Publish(new Error(failure, _self.Path.ToString(), failed.GetType(), e.Message));
        }
        finally
        {
            ClearActor(failed, released: false);
        }

        if (_children?.TrySetReason(new SuspendReason.Recreation(cause)) != true)
        {
            FinishRecreate(cause);
        }
    }

    private void FinishRecreate(Exception cause)
    {
        // The children that PreRestart spared are restarted after their parent; those that the new instance creates are not.
        var survivors = _children?.Refs() ?? [];
        try
        {
            ResumeNonRecursive();
            _perpetrator = null;
            _message = null;
            _sender = null;
            var fresh = NewActor();
            _actor = fresh;
            fresh.AroundPostRestart(cause, null!);
            CheckReceiveTimeout();
            DebugLifecycle("restarted");
            foreach (var child in survivors)
            {
                child.Restart(cause);
            }
        }
        catch (Exception e)
        {
            if (_actor is { HasBeenCleared: false } half)
            {
                ClearActor(half, released: false);
            }

            var failure = e is global::System.Reflection.TargetInvocationException { InnerException: { } inner } ? inner : e;
            HandleInvokeFailure(new PostRestartException(_self, failure, cause), survivors);
        }
    }

    private void Terminate()
    {
        if (IsTerminated)
        {
            return;
        }

        SetReceiveTimeout(null);
        UnwatchAll();
        StopChildren();
        var wasTerminating = IsTerminating;
        if (_children?.TrySetReason(new SuspendReason.Termination()) == true)
        {
            if (!wasTerminating)
            {
                // No more user messages while the children end, and no failures to the supervisor.
                SuspendNonRecursive();
                _perpetrator = _self;
                DebugLifecycle("stopping");
            }
        }
        else
        {
            Children.SetTerminated();
            FinishTerminate();
        }
    }

    private void FinishTerminate()
    {
        var actor = _actor;
        try
        {
            if (actor is { HasBeenCleared: false })
            {
                actor.AroundPostStop();
            }
        }
        catch (Exception e)
        {
            Publish(new Error(e, _self.Path.ToString(), ActorType, e.Message));
        }

        try
        {
            DebugLifecycle("stopped");
            if (actor is { HasBeenCleared: false })
            {
                ClearActor(actor, released: true);
            }
        }
        finally
        {
            if (Volatile.Read(ref _subscribed))
            {
                _system.EventStream.Unsubscribe(_self);
            }

            _mailbox.Close();
            _mailbox.CleanUp();
            _dispatcher.Detach(this);

            _parent.SendSystemMessage(new DeathWatchNotification(_self, existenceConfirmed: true, addressTerminated: false));
            TellWatchersWeDied();
            UnwatchAll();
            CancelReceiveTimeout();
            _actor = null;
            _behavior = null;
            _below = null;
            _message = null;
            _sender = null;
        }
    }

    private bool _subscribed;

    /// <summary>Remembers that the event stream holds this actor, so that its end takes it out there. From any thread.</summary>
    internal void MarkSubscribed() => Volatile.Write(ref _subscribed, true);

    /// <summary>Stands still and leaves the decision to the parent.</summary>
    private void HandleInvokeFailure(Exception cause, IReadOnlyCollection<IInternalActorRef>? notToSuspend = null)
    {
        if (IsFailed || IsTerminated)
        {
            return;
        }

        try
        {
            SuspendNonRecursive();
            if (_message is Failed failed)
            {
                _perpetrator = failed.Child;
                SuspendChildren(failed.Child);
            }
            else
            {
                _perpetrator = _self;
                if (notToSuspend is null)
                {
                    SuspendChildren();
                }
                else
                {
                    foreach (var child in _children?.Refs() ?? [])
                    {
                        if (!notToSuspend.Contains(child))
                        {
                            child.Suspend();
                        }
                    }
                }
            }

            _parent.SendSystemMessage(new Failed(_self, cause, _self.Path.Uid));
        }
        catch (Exception e)
        {
            Publish(new Error(e, _self.Path.ToString(), ActorType, "emergency stop: exception in failure handling for " + cause.GetType().Name + ": " + cause.Message));
            StopChildren();
            Children.SetTerminated();
            FinishTerminate();
        }
    }

    private void HandleFailed(Failed failed)
    {
        var message = _message;
        var sender = _sender;
        _message = failed;
        _sender = failed.Child;
        var stats = _children?.Find(failed.Child.Path.Name);
        if (stats is not null && stats.Child.Equals(failed.Child) && stats.Uid == failed.Uid)
        {
            // Thrown further, it makes this actor fail in the child's place.
            if (!Strategy.HandleFailure(this, failed.Child, failed.Cause, stats, _children!))
            {
                global::System.Runtime.ExceptionServices.ExceptionDispatchInfo.Throw(failed.Cause);
            }
        }

        _message = message;
        _sender = sender;
    }

    private SupervisorStrategy Strategy => _actor?.SupervisorStrategyInternal ?? SupervisorStrategy.DefaultStrategy;

    private void HandleChildTerminated(IActorRef child)
    {
        var reason = _children!.Remove(child);
        switch (reason)
        {
            case SuspendReason.Recreation recreation:
                FinishRecreate(recreation.Cause);
                break;
            case SuspendReason.Creation:
                FinishCreate();
                break;
            case SuspendReason.Termination:
                FinishTerminate();
                break;
            default:
                break;
        }
    }
}
