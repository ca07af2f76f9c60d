using Akka.Actor;
using Akka.Configuration;
using Akka.Dispatch.MessageQueues;

namespace Akka.Dispatch
{
    /// <summary>A mailbox with a limit: a sender waits for room for as long as <c>mailbox-push-timeout-time</c>, then the message goes to the dead letters.</summary>
    public sealed class BoundedMailbox : MailboxType, IProducesMessageQueue<BoundedMessageQueue>, IProducesPushTimeoutSemanticsMailbox
    {
        /// <summary>Creates one from its section.</summary>
        /// <exception cref="ArgumentException">The capacity or the time is negative.</exception>
        public BoundedMailbox(Settings settings, Config config)
            : base(settings, config)
        {
            Capacity = config.GetInt("mailbox-capacity");
            PushTimeout = config.GetTimeSpan("mailbox-push-timeout-time", TimeSpan.FromSeconds(-1));
            BoundedLimits.Check(Capacity);
        }

        /// <summary>How many messages it holds.</summary>
        public int Capacity { get; }

        /// <inheritdoc/>
        public TimeSpan PushTimeout { get; }

        /// <inheritdoc/>
#nullable disable annotations
        public override IMessageQueue Create(IActorRef owner, ActorSystem system) => new BoundedMessageQueue(Capacity, PushTimeout) { Owner = owner, System = system };
#nullable restore annotations
    }

    /// <summary>A mailbox without a limit for actors with a stash. Every mailbox of this engine takes messages back at its front.</summary>
    public sealed class UnboundedDequeBasedMailbox : MailboxType, IProducesMessageQueue<UnboundedMessageQueue>
    {
        /// <summary>Creates one from its section.</summary>
        public UnboundedDequeBasedMailbox(Settings settings, Config config)
            : base(settings, config)
        {
        }

        /// <inheritdoc/>
#nullable disable annotations
        public override IMessageQueue Create(IActorRef owner, ActorSystem system) => new UnboundedMessageQueue();
#nullable restore annotations
    }

    /// <summary>A mailbox with a limit for actors with a stash.</summary>
    public class BoundedDequeBasedMailbox : MailboxType, IProducesMessageQueue<BoundedMessageQueue>, IProducesPushTimeoutSemanticsMailbox
    {
        /// <summary>Creates one from its section.</summary>
        /// <exception cref="ArgumentException">The capacity or the time is negative.</exception>
        public BoundedDequeBasedMailbox(Settings settings, Config config)
            : base(settings, config)
        {
            Capacity = config.GetInt("mailbox-capacity");
            PushTimeout = config.GetTimeSpan("mailbox-push-timeout-time", TimeSpan.FromSeconds(-1));
            BoundedLimits.Check(Capacity);
        }

        /// <summary>How many messages it holds.</summary>
        public int Capacity { get; }

        /// <inheritdoc/>
        public TimeSpan PushTimeout { get; }

        /// <inheritdoc/>
#nullable disable annotations
        public override IMessageQueue Create(IActorRef owner, ActorSystem system) => new BoundedMessageQueue(Capacity, PushTimeout) { Owner = owner, System = system };
#nullable restore annotations
    }

    internal static class BoundedLimits
    {
        public static void Check(int capacity)
        {
            if (capacity < 0)
            {
                throw new ArgumentException("The capacity for a bounded mailbox cannot be negative", nameof(capacity));
            }
        }
    }
}

namespace Akka.Dispatch.MessageQueues
{
    /// <summary>A queue with a limit.</summary>
    public class BoundedMessageQueue : IMessageQueue, IBoundedMessageQueueSemantics
    {
        private readonly Queue<Envelope> _queue = new();
        private readonly int _capacity;
        private bool _closed;

        /// <summary>Creates one.</summary>
        /// <param name="boundedCapacity">How many messages it holds.</param>
        /// <param name="pushTimeOut">How long a sender waits; negative for ever.</param>
        public BoundedMessageQueue(int boundedCapacity, TimeSpan pushTimeOut)
        {
            if (boundedCapacity < 0)
            {
                throw new ArgumentException("The bounded capacity cannot be negative", nameof(boundedCapacity));
            }

            _capacity = boundedCapacity;
            PushTimeOut = pushTimeOut;
        }

        /// <summary>How long a sender waits; negative for ever.</summary>
        public TimeSpan PushTimeOut { get; set; }

        /// <inheritdoc/>
        public bool HasMessages => Count > 0;

        /// <inheritdoc/>
        public int Count
        {
            get
            {
                lock (_queue)
                {
                    return _queue.Count;
                }
            }
        }

        internal IActorRef? Owner { get; init; }

        internal ActorSystem? System { get; init; }

        /// <inheritdoc/>
        public void Enqueue(IActorRef receiver, Envelope envelope)
        {
            lock (_queue)
            {
                var deadline = PushTimeOut < TimeSpan.Zero ? long.MaxValue : Environment.TickCount64 + (long)PushTimeOut.TotalMilliseconds;
                while (_queue.Count >= _capacity && !_closed)
                {
                    var left = deadline == long.MaxValue ? Timeout.Infinite : (int)Math.Min(int.MaxValue, deadline - Environment.TickCount64);
                    if (left != Timeout.Infinite && left <= 0)
                    {
                        break;
                    }

                    Monitor.Wait(_queue, left);
                }

                if (_queue.Count < _capacity || _closed)
                {
                    _queue.Enqueue(envelope);
                    return;
                }
            }

            (System as ActorSystemImpl)?.PublishDeadLetter(envelope.Message, envelope.Sender, receiver);
        }

        /// <inheritdoc/>
        public bool TryDequeue(out Envelope envelope)
        {
            lock (_queue)
            {
                if (!_queue.TryDequeue(out envelope))
                {
                    return false;
                }

                Monitor.Pulse(_queue);
                return true;
            }
        }

        /// <inheritdoc/>
        public void CleanUp(IActorRef owner, IMessageQueue deadletters)
        {
            Close();
            while (TryDequeue(out var envelope))
            {
                deadletters.Enqueue(owner, envelope);
            }
        }

        /// <summary>Lets waiting senders go: the actor is gone.</summary>
        internal void Close()
        {
            lock (_queue)
            {
                _closed = true;
                Monitor.PulseAll(_queue);
            }
        }
    }
}
