using Akka.Actor;

namespace Akka.Dispatch.MessageQueues;

/// <summary>
/// A queue without a limit, for many writers and one reader at a time. In steady state it allocates nothing: messages and senders lie in
/// rings that are used again; a ring that overflows is followed by a larger one.
/// </summary>
/// <remarks>
/// Each slot carries a sequence number, so that a writer claims a slot by one compare-and-swap on the tail and publishes it by a plain
/// release store. A full ring is frozen by moving its tail out of reach, and is then never written to until the same queue uses it again.
/// </remarks>
public class UnboundedMessageQueue : IMessageQueue, IUnboundedMessageQueueSemantics
{
    private const int InitialSlots = 8;
    private const int MaxSlots = 2048;
    private const int MaxSpares = 32;

    private readonly Lock _growth = new();
    private volatile Ring _tail;
    private Ring _head;
    private Ring? _spares;
    private int _spareCount;

    /// <summary>Creates an empty queue.</summary>
    public UnboundedMessageQueue()
    {
        _head = _tail = new Ring(InitialSlots);
    }

    /// <inheritdoc/>
    public bool HasMessages
    {
        get
        {
            var ring = Volatile.Read(ref _head);
            return ring.Next is not null || ring.Count > 0;
        }
    }

    /// <inheritdoc/>
    public int Count
    {
        get
        {
            var count = 0;
            for (var ring = Volatile.Read(ref _head); ring is not null; ring = ring.Next)
            {
                count += ring.Count;
            }

            return count;
        }
    }

    /// <inheritdoc/>
    public void Enqueue(IActorRef receiver, Envelope envelope) => Add(envelope.Message, envelope.Sender);

    /// <summary>Adds a message. On return the claim of the slot is visible to every thread that passes a full fence.</summary>
    internal void Add(object message, IActorRef? sender)
    {
        var ring = _tail;
        while (!ring.TryAdd(message, sender))
        {
            ring = Grow(ring);
        }
    }

    /// <inheritdoc/>
    public bool TryDequeue(out Envelope envelope)
    {
        var ring = _head;
        while (true)
        {
            // The link is read before the count: once it is set, the ring is frozen and its count can only fall.
            var next = ring.Next;
            if (ring.TryTake(out envelope))
            {
                return true;
            }

            if (next is null)
            {
                return false;
            }

            Volatile.Write(ref _head, next);
            Retire(ring);
            ring = next;
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

    private Ring Grow(Ring full)
    {
        lock (_growth)
        {
            if (_tail != full)
            {
                return _tail;
            }

            full.Freeze();
            Ring next;
            if (_spares is not null && full.Length == MaxSlots)
            {
                next = _spares;
                _spares = next.Next;
                _spareCount--;
                next.Next = null;
                next.Thaw();
            }
            else
            {
                next = new Ring(Math.Min(full.Length * 4, MaxSlots));
            }

            full.Next = next;
            _tail = next;
            return next;
        }
    }

    // A retired ring stays frozen: a writer that still holds it finds it full and looks for the tail again.
    private void Retire(Ring ring)
    {
        if (ring.Length != MaxSlots)
        {
            return;
        }

        lock (_growth)
        {
            if (_spareCount < MaxSpares)
            {
                ring.Next = _spares;
                _spares = ring;
                _spareCount++;
            }
        }
    }

    private struct Slot
    {
        public object? Message;
        public IActorRef? Sender;
        public int Sequence;
    }

    private sealed class Ring
    {
        private readonly Slot[] _slots;
        private readonly int _mask;
        private int _headIndex;
        private int _tailIndex;

        public Ring(int size)
        {
            _slots = new Slot[size];
            _mask = size - 1;
            for (var i = 0; i < size; i++)
            {
                _slots[i].Sequence = i;
            }
        }

        public volatile Ring? Next;

        public int Length => _slots.Length;

        // A frozen ring's tail is two laps ahead; no live ring holds more than one lap.
        public int Count
        {
            get
            {
                var head = Volatile.Read(ref _headIndex);
                var count = unchecked(Volatile.Read(ref _tailIndex) - head);
                return count > _slots.Length ? count - (2 * _slots.Length) : count;
            }
        }

        public bool TryAdd(object message, IActorRef? sender)
        {
            var slots = _slots;
            while (true)
            {
                var tail = Volatile.Read(ref _tailIndex);
                ref var slot = ref slots[tail & _mask];
                var lead = unchecked(Volatile.Read(ref slot.Sequence) - tail);
                if (lead == 0)
                {
                    if (Interlocked.CompareExchange(ref _tailIndex, unchecked(tail + 1), tail) == tail)
                    {
                        slot.Message = message;
                        slot.Sender = sender;
                        Volatile.Write(ref slot.Sequence, unchecked(tail + 1));
                        return true;
                    }
                }
                else if (lead < 0)
                {
                    return false;
                }
            }
        }

        public bool TryTake(out Envelope envelope)
        {
            var head = _headIndex;
            ref var slot = ref _slots[head & _mask];
            if (Volatile.Read(ref slot.Sequence) != unchecked(head + 1))
            {
                if (Count == 0)
                {
                    envelope = default;
                    return false;
                }

                // Claimed and not yet published: the writer is between two instructions, or was preempted there.
                var spin = default(SpinWait);
                while (Volatile.Read(ref slot.Sequence) != unchecked(head + 1))
                {
                    spin.SpinOnce(sleep1Threshold: -1);
                }
            }

            envelope = new Envelope(slot.Message!, slot.Sender!);
            slot.Message = null;
            slot.Sender = null;
            Volatile.Write(ref slot.Sequence, unchecked(head + _slots.Length));
            Volatile.Write(ref _headIndex, unchecked(head + 1));
            return true;
        }

        public void Freeze() => Interlocked.Add(ref _tailIndex, 2 * _slots.Length);

        public void Thaw() => Interlocked.Add(ref _tailIndex, -2 * _slots.Length);
    }
}
