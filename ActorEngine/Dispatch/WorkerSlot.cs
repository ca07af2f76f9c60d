namespace Akka.Dispatch;

/// <summary>
/// The mailbox that a pool thread runs next. Its owner puts and takes; when the owner is held up, a guard thread moves the content to the pool,
/// so that an actor that blocks right after a send (which it should not) delays the receiver by two milliseconds at most and never for good.
/// </summary>
internal sealed class WorkerSlot
{
    private static readonly Lock Registry = new();
    private static readonly List<WeakReference<WorkerSlot>> Slots = [];
    private static readonly AutoResetEvent Wake = new(false);
    private static volatile bool _guardIsAwake;
    private static Thread? _guard;

    [ThreadStatic]
    private static WorkerSlot? _current;

    private Mailbox? _next;
    private int _puts;
    private int _putsSeen;

    private WorkerSlot()
    {
    }

    /// <summary>The slot of this thread, if it has one.</summary>
    public static WorkerSlot? Current => _current;

    /// <summary>Whether the thread is inside a dispatcher's loop that will come back for the content.</summary>
    public bool IsOpen { get; set; }

    public static WorkerSlot ForThisThread() => _current ?? Register();

    /// <summary>Puts a mailbox in and returns the one that it displaced.</summary>
    public Mailbox? Put(Mailbox mailbox)
    {
        _puts++;
        var displaced = Interlocked.Exchange(ref _next, mailbox);
        if (!_guardIsAwake)
        {
            _guardIsAwake = true;
            Wake.Set();
        }

        return displaced;
    }

    public Mailbox? Take() => Volatile.Read(ref _next) is null ? null : Interlocked.Exchange(ref _next, null);

    private static WorkerSlot Register()
    {
        var slot = new WorkerSlot();
        lock (Registry)
        {
            Slots.RemoveAll(static reference => !reference.TryGetTarget(out _));
            Slots.Add(new WeakReference<WorkerSlot>(slot));
            if (_guard is null)
            {
                _guard = new Thread(Guard) { IsBackground = true, Name = "dispatcher-guard" };
                _guard.Start();
            }
        }

        return _current = slot;
    }

    private static void Guard()
    {
        var quiet = 0;
        while (true)
        {
            if (quiet > 20)
            {
                quiet = 0;
                _guardIsAwake = false;

                // Whoever put something in before this line and did not see it has it found by the scan; whoever comes later wakes us.
                Interlocked.MemoryBarrier();
                if (!Scan())
                {
                    Wake.WaitOne();
                }

                _guardIsAwake = true;
            }

            Thread.Sleep(1);
            quiet = Scan() ? 0 : quiet + 1;
        }
    }

    // Frees what has been in a slot since the last scan; true when any slot holds something or has been used.
    private static bool Scan()
    {
        var busy = false;
        lock (Registry)
        {
            foreach (var reference in Slots)
            {
                if (!reference.TryGetTarget(out var slot))
                {
                    continue;
                }

                var puts = Volatile.Read(ref slot._puts);
                var stalled = puts == slot._putsSeen;
                busy |= !stalled;
                slot._putsSeen = puts;
                if (Volatile.Read(ref slot._next) is { } mailbox)
                {
                    busy = true;
                    if (stalled && Interlocked.CompareExchange(ref slot._next, null, mailbox) == mailbox)
                    {
                        ThreadPool.UnsafeQueueUserWorkItem(mailbox, preferLocal: false);
                    }
                }
            }
        }

        return busy;
    }
}
