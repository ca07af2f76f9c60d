using Akka.Actor;
using Akka.Configuration;
using Akka.Dispatch.MessageQueues;

namespace Akka.Dispatch
{
    /// <summary>A mailbox in which messages overtake others by a number: the lowest first. The order among equals is not kept.</summary>
    public abstract class UnboundedPriorityMailbox : MailboxType, IProducesMessageQueue<UnboundedPriorityMessageQueue>
    {
        /// <summary>How many messages it holds before it grows.</summary>
        public const int DefaultCapacity = 11;

        /// <summary>Creates one from its section.</summary>
        protected UnboundedPriorityMailbox(Settings settings, Config config)
            : base(settings, config) => InitialCapacity = config.GetInt("mailbox-capacity", DefaultCapacity);

        /// <summary>How many messages it holds before it grows.</summary>
        public int InitialCapacity { get; }

        /// <summary>The number of a message.</summary>
        protected abstract int PriorityGenerator(object message);

        /// <inheritdoc/>
#nullable disable annotations
        public sealed override IMessageQueue Create(IActorRef owner, ActorSystem system) => new UnboundedPriorityMessageQueue(PriorityGenerator, InitialCapacity);
#nullable restore annotations
    }

    /// <summary>A mailbox in which messages overtake others by a number: the lowest first, equals in the order in which they came. Control messages before all others, for one.</summary>
    public abstract class UnboundedStablePriorityMailbox : MailboxType, IProducesMessageQueue<UnboundedStablePriorityMessageQueue>
    {
        /// <summary>How many messages it holds before it grows.</summary>
        public const int DefaultCapacity = 11;

        /// <summary>Creates one from its section.</summary>
        protected UnboundedStablePriorityMailbox(Settings settings, Config config)
            : base(settings, config) => InitialCapacity = config.GetInt("mailbox-capacity", DefaultCapacity);

        /// <summary>How many messages it holds before it grows.</summary>
        public int InitialCapacity { get; }

        /// <summary>The number of a message.</summary>
        protected abstract int PriorityGenerator(object message);

        /// <inheritdoc/>
#nullable disable annotations
        public sealed override IMessageQueue Create(IActorRef owner, ActorSystem system) => new UnboundedStablePriorityMessageQueue(PriorityGenerator, InitialCapacity);
#nullable restore annotations
    }
}

namespace Akka.Dispatch.MessageQueues
{
    /// <summary>A queue under a lock.</summary>
    public abstract class BlockingMessageQueue : IMessageQueue
    {
        private readonly Lock _gate = new();

        /// <inheritdoc/>
        public bool HasMessages => Count > 0;

        /// <inheritdoc/>
        public int Count
        {
            get
            {
                lock (_gate)
                {
                    return LockedCount;
                }
            }
        }

        /// <summary>How many messages there are.</summary>
        protected abstract int LockedCount { get; }

        /// <summary>Adds a message.</summary>
        protected abstract void LockedEnqueue(Envelope envelope);

        /// <summary>Takes the first message.</summary>
        protected abstract bool LockedTryDequeue(out Envelope envelope);

        /// <inheritdoc/>
        public void Enqueue(IActorRef receiver, Envelope envelope)
        {
            lock (_gate)
            {
                LockedEnqueue(envelope);
            }
        }

        /// <inheritdoc/>
        public bool TryDequeue(out Envelope envelope)
        {
            lock (_gate)
            {
                return LockedTryDequeue(out envelope);
            }
        }

        /// <inheritdoc/>
        public void CleanUp(IActorRef owner, IMessageQueue deadletters)
        {
            while (TryDequeue(out var envelope))
            {
                deadletters.Enqueue(owner, envelope);
            }
        }
    }

    /// <summary>The queue of <see cref="UnboundedPriorityMailbox"/>.</summary>
    public class UnboundedPriorityMessageQueue : BlockingMessageQueue, IUnboundedMessageQueueSemantics
    {
        private readonly PriorityQueue<Envelope, int> _queue;
        private readonly Func<object, int> _priority;

        /// <summary>Creates one.</summary>
        public UnboundedPriorityMessageQueue(Func<object, int> priorityGenerator, int initialCapacity)
        {
            _priority = priorityGenerator;
            _queue = new PriorityQueue<Envelope, int>(initialCapacity);
        }

        /// <inheritdoc/>
        protected override int LockedCount => _queue.Count;

        /// <inheritdoc/>
        protected override void LockedEnqueue(Envelope envelope) => _queue.Enqueue(envelope, _priority(envelope.Message));

        /// <inheritdoc/>
        protected override bool LockedTryDequeue(out Envelope envelope) => _queue.TryDequeue(out envelope, out _);
    }

    /// <summary>The queue of <see cref="UnboundedStablePriorityMailbox"/>.</summary>
    public class UnboundedStablePriorityMessageQueue : BlockingMessageQueue, IUnboundedMessageQueueSemantics
    {
        private readonly PriorityQueue<Envelope, (int Priority, long Order)> _queue;
        private readonly Func<object, int> _priority;
        private long _order;

        /// <summary>Creates one.</summary>
        public UnboundedStablePriorityMessageQueue(Func<object, int> priorityGenerator, int initialCapacity)
        {
            _priority = priorityGenerator;
            _queue = new PriorityQueue<Envelope, (int, long)>(initialCapacity);
        }

        /// <inheritdoc/>
        protected override int LockedCount => _queue.Count;

        /// <inheritdoc/>
        protected override void LockedEnqueue(Envelope envelope) => _queue.Enqueue(envelope, (_priority(envelope.Message), _order++));

        /// <inheritdoc/>
        protected override bool LockedTryDequeue(out Envelope envelope) => _queue.TryDequeue(out envelope, out _);
    }
}
