using Akka.Actor;
using Akka.Event;

namespace Akka.Pattern;

/// <summary>When the count of restarts begins anew.</summary>
public interface IBackoffReset
{
}

internal sealed record ManualReset : IBackoffReset;

internal sealed record AutoReset(TimeSpan ResetBackoff) : IBackoffReset;

/// <summary>Makes options for <see cref="BackoffSupervisor"/>.</summary>
public static class Backoff
{
    /// <summary>The child is started again, later and later, when it fails; when it stops by itself, the supervisor stops too.</summary>
    /// <param name="childProps">How to create the child.</param>
    /// <param name="childName">Its name.</param>
    /// <param name="minBackoff">The first delay.</param>
    /// <param name="maxBackoff">The longest delay.</param>
    /// <param name="randomFactor">By how much delays vary: 0.2 for up to a fifth longer.</param>
    /// <param name="maxNrOfRetries">How often; -1 for no limit.</param>
    public static BackoffOptions OnFailure(Props childProps, string childName, TimeSpan minBackoff, TimeSpan maxBackoff, double randomFactor, int maxNrOfRetries) =>
        new BackoffOptionsImpl(true, childProps, childName, minBackoff, maxBackoff, randomFactor, maxNrOfRetries);

    /// <summary>The child is started again, later and later, when it stops, for whatever reason.</summary>
    /// <param name="childProps">How to create the child.</param>
    /// <param name="childName">Its name.</param>
    /// <param name="minBackoff">The first delay.</param>
    /// <param name="maxBackoff">The longest delay.</param>
    /// <param name="randomFactor">By how much delays vary: 0.2 for up to a fifth longer.</param>
    /// <param name="maxNrOfRetries">How often; -1 for no limit.</param>
    public static BackoffOptions OnStop(Props childProps, string childName, TimeSpan minBackoff, TimeSpan maxBackoff, double randomFactor, int maxNrOfRetries) =>
        new BackoffOptionsImpl(false, childProps, childName, minBackoff, maxBackoff, randomFactor, maxNrOfRetries);
}

/// <summary>What a <see cref="BackoffSupervisor"/> does. Immutable.</summary>
public abstract class BackoffOptions
{
    private protected BackoffOptions()
    {
    }

    internal abstract Props Props { get; }

    /// <summary>The count of restarts begins anew when the child has run for so long. The default, with the first delay.</summary>
    public abstract BackoffOptions WithAutoReset(TimeSpan resetBackoff);

    /// <summary>The count of restarts begins anew only by <see cref="BackoffSupervisor.Reset"/>.</summary>
    public abstract BackoffOptions WithManualReset();

    /// <summary>With a strategy for the child's failures.</summary>
    public abstract BackoffOptions WithSupervisorStrategy(OneForOneStrategy supervisorStrategy);

    /// <summary>With the strategy that stops the child at any failure.</summary>
    public abstract BackoffOptions WithDefaultStoppingStrategy();

    /// <summary>With a limit of restarts; -1 for none.</summary>
    public abstract BackoffOptions WithMaxNrOfRetries(int maxNrOfRetries);

    /// <summary>With a reply to what comes while there is no child; otherwise it goes to the dead letters.</summary>
    public abstract BackoffOptions WithReplyWhileStopped(object replyWhileStopped);

    /// <summary>With a test for the message after which the child's stop is final.</summary>
    public abstract BackoffOptions WithFinalStopMessage(Func<object, bool> isFinalStopMessage);
}

internal sealed record BackoffSettings(
    bool OnFailure,
    Props ChildProps,
    string ChildName,
    TimeSpan Min,
    TimeSpan Max,
    double RandomFactor,
    IBackoffReset Reset,
    OneForOneStrategy Strategy,
    object? ReplyWhileStopped,
    Func<object, bool>? IsFinalStop);

internal sealed class BackoffOptionsImpl : BackoffOptions
{
    private readonly BackoffSettings _settings;

    public BackoffOptionsImpl(bool onFailure, Props childProps, string childName, TimeSpan min, TimeSpan max, double randomFactor, int maxRetries)
        : this(new BackoffSettings(
            onFailure, childProps, childName, min, max, randomFactor, new AutoReset(min), new OneForOneStrategy(maxRetries, -1, SupervisorStrategy.DefaultDecider), null, null))
    {
    }

    private BackoffOptionsImpl(BackoffSettings settings) => _settings = settings;

    internal override Props Props
    {
        get
        {
            if (_settings.Min <= TimeSpan.Zero)
            {
                throw new ArgumentException("MinBackoff must be greater than 0");
            }

            if (_settings.Max < _settings.Min)
            {
                throw new ArgumentException("MaxBackoff must be greater than MinBackoff");
            }

            if (_settings.RandomFactor is < 0.0 or > 1.0)
            {
                throw new ArgumentException("RandomFactor must be between 0.0 and 1.0");
            }

            if (_settings.Reset is AutoReset reset && (reset.ResetBackoff < _settings.Min || reset.ResetBackoff > _settings.Max))
            {
                throw new ArgumentException("ResetBackoff must be between MinBackoff and MaxBackoff");
            }

            var settings = _settings;
            return settings.OnFailure
                ? Props.CreateBy(new ActorRefProvider.Producer<BackoffOnRestartSupervisor>(() => new BackoffOnRestartSupervisor(settings)))
                : Props.CreateBy(new ActorRefProvider.Producer<BackoffSupervisor>(() => new BackoffSupervisor(settings)));
        }
    }

    public override BackoffOptions WithAutoReset(TimeSpan resetBackoff) => new BackoffOptionsImpl(_settings with { Reset = new AutoReset(resetBackoff) });

    public override BackoffOptions WithManualReset() => new BackoffOptionsImpl(_settings with { Reset = new ManualReset() });

    public override BackoffOptions WithSupervisorStrategy(OneForOneStrategy supervisorStrategy) => new BackoffOptionsImpl(_settings with { Strategy = supervisorStrategy });

    public override BackoffOptions WithDefaultStoppingStrategy() =>
        new BackoffOptionsImpl(_settings with { Strategy = new OneForOneStrategy(_settings.Strategy.MaxNumberOfRetries, -1, static _ => Directive.Stop) });

    public override BackoffOptions WithMaxNrOfRetries(int maxNrOfRetries) => new BackoffOptionsImpl(_settings with { Strategy = _settings.Strategy.WithMaxNrOfRetries(maxNrOfRetries) });

    public override BackoffOptions WithReplyWhileStopped(object replyWhileStopped) => new BackoffOptionsImpl(_settings with { ReplyWhileStopped = replyWhileStopped });

    public override BackoffOptions WithFinalStopMessage(Func<object, bool> isFinalStopMessage) => new BackoffOptionsImpl(_settings with { IsFinalStop = isFinalStopMessage });
}
