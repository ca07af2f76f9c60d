using System.Diagnostics;
using Akka.Actor;
using Akka.Dispatch.MessageQueues;
using Akka.Dispatch.SysMsg;

namespace Akka.Dispatch;

/// <summary>
/// The messages of one actor and the state that says who may run it. One thread at a time runs a mailbox: the one that set
/// <see cref="Scheduled"/>. System messages overtake user messages.
/// </summary>
internal sealed class Mailbox : IRunnable
{
    private const int Closed = 1;
    private const int Scheduled = 2;
    private const int Awaiting = 4;
    private const int SuspendUnit = 8;
    private const int NotRunnable = ~(Closed | Scheduled);

    // A turn is brief when its messages took less than this each. A message that crosses to another processor costs about as much.
    private const double BriefNanosecondsPerMessage = 300;

    // A turn of fewer messages is never called brief: it would be measured too often, and too badly.
    private const int LeastMeasured = 8;

    private static readonly long BriefTicksPer1024 = (long)(BriefNanosecondsPerMessage * 1024 * Stopwatch.Frequency / 1e9);

    // Marks the end of the life of the system queue: nothing can be pushed onto it.
    private static readonly SystemMessage NoMore = new Suspend();

    private readonly IMessageQueue _queue;
    private readonly UnboundedMessageQueue? _fast;
    private readonly ActorCell _cell;
    private readonly MessageDispatcher _dispatcher;
    private volatile int _status;
    private volatile SystemMessage? _system;
    private Stack<Envelope>? _front;

    public Mailbox(ActorCell cell, MessageDispatcher dispatcher, IMessageQueue queue)
    {
        _cell = cell;
        _dispatcher = dispatcher;
        _queue = queue;
        _fast = queue.GetType() == typeof(UnboundedMessageQueue) ? (UnboundedMessageQueue)queue : null;
    }

    public ActorCell Cell => _cell;

    public MessageDispatcher Dispatcher => _dispatcher;

    public bool IsClosed => (_status & Closed) != 0;

    public bool IsSuspended => (_status & ~(Closed | Scheduled | Awaiting)) != 0;

    public int SuspendDepth => _status / SuspendUnit;

    public bool IsAwaiting => (_status & Awaiting) != 0;

    public bool HasMessages => _front is { Count: > 0 } || (_fast?.HasMessages ?? _queue.HasMessages);

    public int Count => (_front?.Count ?? 0) + _queue.Count;

    private bool HasSystemMessages => _system is not null && !ReferenceEquals(_system, NoMore);

    public void Enqueue(object message, IActorRef? sender)
    {
        if (_fast is not null)
        {
            // The claim of the slot is a full fence before the status is read below, and the reader looks at claims after it
            // has gone idle: so either it sees the message or this thread sees it idle.
            _fast.Add(message, sender);
        }
        else
        {
            _queue.Enqueue(_cell.Self, new Envelope(message, sender!));
            Interlocked.MemoryBarrier();
        }

        var status = _status;
        if ((status & (Closed | Scheduled)) == Scheduled)
        {
            return;
        }

        if ((status & Closed) != 0)
        {
            CleanUp();
        }
        else if ((status & NotRunnable) == 0)
        {
            RegisterForExecution(hasUserMessage: true);
        }
    }

    /// <summary>Queues a system message; false when the actor is gone.</summary>
    public bool TryEnqueueSystem(SystemMessage message)
    {
        while (true)
        {
            var head = _system;
            if (ReferenceEquals(head, NoMore))
            {
                return false;
            }

            message.Next = head;
            if (Interlocked.CompareExchange(ref _system, message, head) == head)
            {
                RegisterForExecution(hasUserMessage: false);
                return true;
            }
        }
    }

    /// <summary>Puts messages before all others, the first of the list first. Only from the actor itself.</summary>
    public void Prepend(IReadOnlyList<Envelope> envelopes)
    {
        _front ??= new Stack<Envelope>();
        for (var i = envelopes.Count - 1; i >= 0; i--)
        {
            _front.Push(envelopes[i]);
        }
    }

    /// <summary>Has the mailbox run if there is something to run it for.</summary>
    /// <param name="hasUserMessage">A message is known to be there.</param>
    /// <param name="afterBriefTurn">It comes from a turn that ended for others' sake and was brief, so that waiting on the same thread costs less than moving.</param>
    public void RegisterForExecution(bool hasUserMessage, bool afterBriefTurn = false)
    {
        while (true)
        {
            var status = _status;
            if ((status & (Closed | Scheduled)) != 0)
            {
                return;
            }

            var runnable = HasSystemMessages || ((status & NotRunnable) == 0 && (hasUserMessage || HasMessages));
            if (!runnable)
            {
                return;
            }

            if (Interlocked.CompareExchange(ref _status, status | Scheduled, status) == status)
            {
                _dispatcher.ExecuteMailbox(this, afterBriefTurn);
                return;
            }
        }
    }

    public void Suspend() => Interlocked.Add(ref _status, SuspendUnit);

    public void Resume()
    {
        while (true)
        {
            var status = _status;
            if (status < SuspendUnit || Interlocked.CompareExchange(ref _status, status - SuspendUnit, status) == status)
            {
                return;
            }
        }
    }

    public void SuspendForTask() => Interlocked.Or(ref _status, Awaiting);

    public void ResumeAfterTask() => Interlocked.And(ref _status, ~Awaiting);

    public void Close() => Interlocked.Or(ref _status, Closed);

    public void Execute() => _dispatcher.RunMailbox(this);

    public void Run()
    {
        var outer = ActorCell.Current;
        ActorCell.Current = _cell;
        var brief = false;
        try
        {
            if (_system is not null)
            {
                ProcessSystemMessages();
            }

            brief = ProcessMessages();
        }
        finally
        {
            ActorCell.Current = outer;
            Interlocked.And(ref _status, ~Scheduled);
            RegisterForExecution(hasUserMessage: false, brief);
        }
    }

    // True when the turn ended because others are to have theirs, and its second half was brief.
    private bool ProcessMessages()
    {
        var left = Math.Max(_dispatcher.Throughput, 1);
        var half = left >= LeastMeasured ? left / 2 : 0;
        long halfTime = 0;
        var deadline = _dispatcher.ThroughputDeadlineTime is { } ticks ? Stopwatch.GetTimestamp() + (long)(ticks * (Stopwatch.Frequency / (double)TimeSpan.TicksPerSecond)) : 0;
        while ((_status & ~Scheduled) == 0 && TryTake(out var envelope))
        {
            _cell.Invoke(in envelope);
            if (_system is not null)
            {
                ProcessSystemMessages();
            }

            if (--left == half && half > 0)
            {
                halfTime = Stopwatch.GetTimestamp();
            }
            else if (left <= 0)
            {
                return half > 0 && (Stopwatch.GetTimestamp() - halfTime) * 1024 < half * BriefTicksPer1024;
            }

            if (deadline != 0 && Stopwatch.GetTimestamp() >= deadline)
            {
                return false;
            }
        }

        return false;
    }

    private bool TryTake(out Envelope envelope)
    {
        if (_front is not null && _front.TryPop(out envelope))
        {
            return true;
        }

        return _fast is not null ? _fast.TryDequeue(out envelope) : _queue.TryDequeue(out envelope);
    }

    private void ProcessSystemMessages()
    {
        while (!IsClosed && HasSystemMessages)
        {
            // The stack holds the latest on top.
            var list = Reverse(Interlocked.Exchange(ref _system, null));
            while (list is not null)
            {
                var message = list;
                list = message.Next;
                message.Next = null;
                if (IsClosed)
                {
                    _cell.SystemImpl.DeadLetterSystemMessage(_cell.Self, message);
                }
                else
                {
                    _cell.SystemInvoke(message);
                }
            }
        }
    }

    private static SystemMessage? Reverse(SystemMessage? list)
    {
        SystemMessage? reversed = null;
        while (list is not null)
        {
            var next = list.Next;
            list.Next = reversed;
            reversed = list;
            list = next;
        }

        return reversed;
    }

    /// <summary>Moves all that is left to the dead letters. After the close any sender may come here, hence the lock.</summary>
    public void CleanUp()
    {
        var system = _cell.SystemImpl;
        (_queue as BoundedMessageQueue)?.Close();
        lock (this)
        {
            var list = Interlocked.Exchange(ref _system, NoMore);
            list = ReferenceEquals(list, NoMore) ? null : Reverse(list);
            while (list is not null)
            {
                var message = list;
                list = message.Next;
                message.Next = null;
                system.DeadLetterSystemMessage(_cell.Self, message);
            }

            while (TryTake(out var envelope))
            {
                system.DeadLetterUserMessage(envelope.Message, envelope.Sender, _cell.Self);
            }
        }
    }
}
