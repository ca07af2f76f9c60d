using Akka.Actor;
using Akka.Event;

namespace Akka.TestKit
{
    /// <summary>Decides which log events a filter is for.</summary>
    public interface IEventFilter
    {
        bool Apply(LogEvent logEvent);
    }

    /// <summary>Ends the muting of events.</summary>
    public interface IUnmutableFilter : IDisposable
    {
        void Unmute();
    }

    /// <summary>The logger of systems under test: it keeps events quiet that filters are for.</summary>
    public class TestEventListener : DefaultLogger
    {
        private readonly List<IEventFilter> _filters = [];

        protected override bool Receive(object message)
        {
            switch (message)
            {
                case InitializeLogger initialize:
                    foreach (var channel in new[] { typeof(TestEvent.Mute), typeof(TestEvent.Unmute), typeof(DeadLetter), typeof(UnhandledMessage) })
                    {
                        initialize.LoggingBus.Subscribe(Context.Self, channel);
                    }

                    Sender.Tell(new LoggerInitialized());
                    return true;
                case TestEvent.Mute mute:
                    _filters.AddRange(mute.Filters);
                    mute.Done.TrySetResult();
                    return true;
                case TestEvent.Unmute unmute:
                    foreach (var filter in unmute.Filters)
                    {
                        _filters.Remove(filter);
                    }

                    unmute.Done.TrySetResult();
                    return true;
                case LogEvent @event:
                    if (!IsFiltered(@event))
                    {
                        Print(@event);
                    }

                    return true;
                case DeadLetter letter:
                    // Not printed: the system's own listener logs dead letters, up to its limit.
                    IsFiltered(new Warning(letter.Recipient.Path.ToString(), letter.Recipient.GetType(), letter));
                    return true;
                case UnhandledMessage unhandled:
                    var warning = new Warning(unhandled.Recipient.Path.ToString(), unhandled.Recipient.GetType(), "Unhandled message from " + unhandled.Sender + ": " + unhandled.Message);
                    if (!IsFiltered(warning))
                    {
                        Print(warning);
                    }

                    return true;
                default:
                    return false;
            }
        }

        private bool IsFiltered(LogEvent @event)
        {
            foreach (var filter in _filters)
            {
                try
                {
                    if (filter.Apply(@event))
                    {
                        return true;
                    }
                }
                catch (Exception)
                {
                    // A test's predicate that throws does not match.
                }
            }

            return false;
        }
    }
}

namespace Akka.TestKit.TestEvent
{
    /// <summary>Keeps the events of filters quiet.</summary>
    public sealed class Mute : INoSerializationVerificationNeeded
    {
        public Mute(params IEventFilter[] filters) => Filters = filters;

        public Mute(IReadOnlyCollection<IEventFilter> filters) => Filters = filters;

        public IReadOnlyCollection<IEventFilter> Filters { get; }

        internal TaskCompletionSource Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    /// <summary>Ends what <see cref="Mute"/> began.</summary>
    public sealed class Unmute : INoSerializationVerificationNeeded
    {
        public Unmute(params IEventFilter[] filters) => Filters = filters;

        public Unmute(IReadOnlyCollection<IEventFilter> filters) => Filters = filters;

        public IReadOnlyCollection<IEventFilter> Filters { get; }

        internal TaskCompletionSource Done { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
