using Akka.Event;

namespace Akka.Dispatch;

/// <summary>Runs actors on the .NET thread pool. This is the default.</summary>
/// <remarks>
/// An actor that becomes runnable because another on this dispatcher sent to it is kept in a slot of that thread and run when the sender's turn ends,
/// which spares the trip through the pool. Two that send to each other in brief turns stay on one thread that way, each waiting behind the other. A sender
/// that does not end its turn soon loses the slot's content to the pool (<see cref="WorkerSlot"/>).
/// </remarks>
internal sealed class ThreadPoolDispatcher(string id, int throughput, long? throughputDeadlineTime, EventStream eventStream)
    : MessageDispatcher(id, throughput, throughputDeadlineTime, eventStream)
{
    // How many turns a thread takes from its slot before it goes back to the pool, so that other work of the pool is not starved.
    private const int TurnsPerVisit = 64;

    protected override void ExecuteTask(IRunnable run) => ThreadPool.UnsafeQueueUserWorkItem(run, preferLocal: false);

    internal override void ExecuteMailbox(Mailbox mailbox, bool afterBriefTurn)
    {
        var slot = WorkerSlot.Current;
        if (slot is { IsOpen: true })
        {
            var displaced = afterBriefTurn ? slot.PutBehind(mailbox) : slot.Put(mailbox);
            if (displaced is not null)
            {
                ThreadPool.UnsafeQueueUserWorkItem(displaced, preferLocal: true);
            }

            return;
        }

        ThreadPool.UnsafeQueueUserWorkItem(mailbox, preferLocal: false);
    }

    internal override void RunMailbox(Mailbox mailbox)
    {
        var slot = WorkerSlot.ForThisThread();
        if (slot.IsOpen)
        {
            mailbox.Run();
            return;
        }

        slot.IsOpen = true;
        var next = mailbox;
        var turns = TurnsPerVisit;
        try
        {
            while (true)
            {
                next.Run();
                if (--turns > 0)
                {
                    next = slot.Take();
                }
                else if (ThreadPool.PendingWorkItemCount == 0)
                {
                    // Nobody waits for this thread. Whoever has waited longest in the slot comes first now.
                    turns = TurnsPerVisit;
                    next = slot.TakeBehind() ?? slot.Take();
                }
                else
                {
                    return;
                }

                if (next is null)
                {
                    return;
                }
            }
        }
        finally
        {
            slot.IsOpen = false;
            while (slot.Take() is { } left)
            {
                ThreadPool.UnsafeQueueUserWorkItem(left, preferLocal: false);
            }
        }
    }
}
