using Akka.Actor;
using Akka.Event;

namespace Akka.Pattern;

/// <summary>What both kinds of back-off have in common: a child, messages passed through to it, and a delay that doubles with every restart.</summary>
public abstract class BackoffSupervisorBase : ActorBase
{
    private readonly BackoffSettings _settings;

    internal BackoffSupervisorBase(BackoffSettings settings) => _settings = settings;

    /// <summary>The child; null while there is none.</summary>
    protected IActorRef Child { get; set; } = null!;

    /// <summary>How many restarts there were in a row.</summary>
    protected int RestartCountN { get; set; }

    /// <summary>Whether the child's next stop is final.</summary>
    protected bool FinalStopMessageReceived { get; set; }

    /// <summary>How the child is created.</summary>
    protected Props ChildProps => _settings.ChildProps;

    /// <summary>The child's name.</summary>
    protected string ChildName => _settings.ChildName;

    internal BackoffSettings Options => _settings;

    /// <inheritdoc/>
    protected override void PreStart()
    {
        StartChild();
        base.PreStart();
    }

    private void StartChild()
    {
        if (Child is null)
        {
            Child = Context.Watch(Context.ActorOf(_settings.ChildProps, _settings.ChildName));
        }
    }

    internal void ScheduleStart(TimeSpan delay)
    {
        Context.System.Scheduler.ScheduleTellOnce(delay, Self, BackoffSupervisor.StartChild.Instance, Self);
        RestartCountN++;
    }

    /// <summary>Handles what is about the back-off and passes the rest to the child.</summary>
    protected bool HandleBackoff(object message)
    {
        switch (message)
        {
            case BackoffSupervisor.StartChild:
                StartChild();
                if (_settings.Reset is AutoReset reset)
                {
                    Context.System.Scheduler.ScheduleTellOnce(reset.ResetBackoff, Self, new BackoffSupervisor.ResetRestartCount(RestartCountN), Self);
                }

                return true;
            case BackoffSupervisor.Reset:
                if (_settings.Reset is ManualReset)
                {
                    RestartCountN = 0;
                }
                else
                {
                    Unhandled(message);
                }

                return true;
            case BackoffSupervisor.ResetRestartCount counted:
                if (counted.Current == RestartCountN)
                {
                    RestartCountN = 0;
                }

                return true;
            case BackoffSupervisor.GetRestartCount:
                Sender.Tell(new BackoffSupervisor.RestartCount(RestartCountN));
                return true;
            case BackoffSupervisor.GetCurrentChild:
                Sender.Tell(new BackoffSupervisor.CurrentChild(Child!));
                return true;
            default:
                PassOn(message);
                return true;
        }
    }

    private void PassOn(object message)
    {
        if (Child is not null)
        {
            if (Child.Equals(Sender))
            {
                // The child speaks to its parent.
                Context.Parent.Tell(message, Self);
                return;
            }

            if (!FinalStopMessageReceived && _settings.IsFinalStop is { } isFinal)
            {
                FinalStopMessageReceived = isFinal(message);
            }

            Child.Forward(message);
        }
        else if (_settings.IsFinalStop?.Invoke(message) == true)
        {
            Context.Stop(Self);
        }
        else if (_settings.ReplyWhileStopped is not null)
        {
            Sender.Tell(_settings.ReplyWhileStopped);
        }
        else
        {
            Context.System.DeadLetters.Forward(message);
        }
    }
}

/// <summary>Starts its child again, later and later, when it stops. Options for restarts at failures come from <see cref="Backoff.OnFailure"/>.</summary>
public sealed class BackoffSupervisor : BackoffSupervisorBase
{
    private readonly SupervisorStrategy _strategy;

    internal BackoffSupervisor(BackoffSettings settings)
        : base(settings)
    {
        // A restart by the strategy would come without a delay, so a failed child is stopped, and its stop leads to the start.
        var wanted = settings.Strategy;
        _strategy = new OneForOneStrategy(
            wanted.MaxNumberOfRetries,
            wanted.WithinTimeRangeMilliseconds,
            cause => wanted.Decider.Decide(cause) == Directive.Restart ? Directive.Stop : wanted.Decider.Decide(cause));
    }

    /// <summary>Props from options.</summary>
    public static Props Props(BackoffOptions options) => options.Props;

    /// <summary>Props for a child that is started again when it stops.</summary>
    public static Props Props(Props childProps, string childName, TimeSpan minBackoff, TimeSpan maxBackoff, double randomFactor) =>
        Backoff.OnStop(childProps, childName, minBackoff, maxBackoff, randomFactor, -1).Props;

    /// <summary>Props for a child that is started again when it stops, with a limit.</summary>
    public static Props Props(Props childProps, string childName, TimeSpan minBackoff, TimeSpan maxBackoff, double randomFactor, int maxNrOfRetries) =>
        Backoff.OnStop(childProps, childName, minBackoff, maxBackoff, randomFactor, maxNrOfRetries).Props;

    internal static TimeSpan CalculateDelay(int restarts, TimeSpan min, TimeSpan max, double randomFactor)
    {
        var factor = 1.0 + (Random.Shared.NextDouble() * randomFactor);
        var ticks = Math.Min(max.Ticks, min.Ticks * Math.Pow(2, restarts)) * factor;
        return restarts >= 30 || ticks >= max.Ticks * factor ? max * factor : TimeSpan.FromTicks((long)ticks);
    }

    /// <inheritdoc/>
    protected override SupervisorStrategy SupervisorStrategy() => _strategy;

#nullable disable annotations
    /// <inheritdoc/>
    protected override bool Receive(object message)
#nullable restore annotations
    {
        if (message is Terminated terminated && terminated.ActorRef.Equals(Child))
        {
            Child = null!;
            var limit = Options.Strategy.MaxNumberOfRetries;
            if (FinalStopMessageReceived || (limit >= 0 && RestartCountN >= limit))
            {
                Context.Stop(Self);
            }
            else
            {
                ScheduleStart(CalculateDelay(RestartCountN, Options.Min, Options.Max, Options.RandomFactor));
            }

            return true;
        }

        return HandleBackoff(message);
    }

    /// <summary>Asks for the child.</summary>
    public sealed class GetCurrentChild
    {
        /// <summary>The only instance.</summary>
        public static readonly GetCurrentChild Instance = new();

        private GetCurrentChild()
        {
        }
    }

    /// <summary>The answer to <see cref="GetCurrentChild"/>.</summary>
    public sealed class CurrentChild
    {
        /// <summary>Creates one.</summary>
        public CurrentChild(IActorRef @ref) => Ref = @ref;

        /// <summary>The child; null while there is none.</summary>
        public IActorRef Ref { get; }
    }

    /// <summary>Has the count begin anew, where that is not automatic.</summary>
    public sealed class Reset
    {
        /// <summary>The only instance.</summary>
        public static readonly Reset Instance = new();

        private Reset()
        {
        }
    }

    /// <summary>Asks for the number of restarts in a row.</summary>
    public sealed class GetRestartCount
    {
        /// <summary>The only instance.</summary>
        public static readonly GetRestartCount Instance = new();

        private GetRestartCount()
        {
        }
    }

    /// <summary>The answer to <see cref="GetRestartCount"/>.</summary>
    public sealed class RestartCount
    {
        /// <summary>Creates one.</summary>
        public RestartCount(int count) => Count = count;

        /// <summary>How many.</summary>
        public int Count { get; }
    }

    /// <summary>The delay is over.</summary>
    public sealed class StartChild : IDeadLetterSuppression
    {
        /// <summary>The only instance.</summary>
        public static readonly StartChild Instance = new();

        private StartChild()
        {
        }
    }

    /// <summary>The child has run long enough.</summary>
    public sealed class ResetRestartCount : IDeadLetterSuppression
    {
        /// <summary>Creates one.</summary>
        public ResetRestartCount(int current) => Current = current;

        /// <summary>The count when it was started.</summary>
        public int Current { get; }
    }
}

/// <summary>Restarts its child, later and later, when it fails; ends when the child stops by itself.</summary>
internal sealed class BackoffOnRestartSupervisor(BackoffSettings settings) : BackoffSupervisorBase(settings)
{
    private IActorRef? _stopping;

    protected override SupervisorStrategy SupervisorStrategy()
    {
        var wanted = Options.Strategy;
        return new OneForOneStrategy(-1, -1, cause =>
        {
            var directive = wanted.Decider.Decide(cause);
            if (directive != Directive.Restart)
            {
                return directive;
            }

            if (wanted.MaxNumberOfRetries >= 0 && RestartCountN >= wanted.MaxNumberOfRetries)
            {
                Context.Stop(Self);
                return Directive.Stop;
            }

            // Its stop is waited for, then the delay runs; until then it is the current child.
            _stopping = Child;
            return Directive.Stop;
        });
    }

    protected override bool Receive(object message)
    {
        if (message is Terminated terminated)
        {
            if (terminated.ActorRef.Equals(_stopping))
            {
                _stopping = null;
                Child = null!;
                ScheduleStart(BackoffSupervisor.CalculateDelay(RestartCountN, Options.Min, Options.Max, Options.RandomFactor));
                return true;
            }

            if (terminated.ActorRef.Equals(Child))
            {
                Child = null!;
                Context.Stop(Self);
                return true;
            }
        }

        return HandleBackoff(message);
    }
}
