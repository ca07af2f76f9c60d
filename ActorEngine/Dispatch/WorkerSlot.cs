namespace Akka.Dispatch;

/// <summary>
/// The mailbox that a pool thread runs next, and one that waits behind it. Its owner puts and takes; when the owner is held up, a guard thread moves the
/// content to the pool, so that an actor that blocks right after a send (which it should not) delays the receiver by two milliseconds at most and never for good.
/// </summary>
internal sealed class WorkerSlot
{
    [ThreadStatic]
    private static WorkerSlot? _current;

    private Mailbox? _next;
    private Mailbox? _behind;
    private int _puts;
    private int _putsSeen;
    private int _putsBehind;
    private int _putsBehindSeen;

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
        WakeGuard();
        return displaced;
    }

    /// <summary>Puts a mailbox in that comes after all that is there, and returns one that there is no place for: not the one that has waited longest.</summary>
    public Mailbox? PutBehind(Mailbox mailbox)
    {
        // Only the guard takes beside the owner, so that what is null stays null.
        if (Volatile.Read(ref _behind) is null && Volatile.Read(ref _next) is null)
        {
            return Put(mailbox);
        }

        _putsBehind++;
        var longest = Interlocked.Exchange(ref _behind, mailbox);
        if (longest is not null)
        {
            return Put(longest);
        }

        WakeGuard();
        return null;
    }

    /// <summary>Takes what comes next.</summary>
    public Mailbox? Take() => TakeFrom(ref _next) ?? TakeFrom(ref _behind);

    /// <summary>Takes the one that waits behind.</summary>
    public Mailbox? TakeBehind() => TakeFrom(ref _behind);

    private static Mailbox? TakeFrom(ref Mailbox? place) => Volatile.Read(ref place) is null ? null : Interlocked.Exchange(ref place, null);

    private static void WakeGuard()
    {
        if (!Guard.IsAwake)
        {
            Guard.Awake();
        }
    }

    /// <summary>Brings up, in the background, what the first actors would wait for: the guard, and the thread pool with it.</summary>
    public static void Prepare() => Guard.Start();

    private static WorkerSlot Register()
    {
        var slot = new WorkerSlot();
        Guard.Add(slot);
        return _current = slot;
    }

    /// <summary>The thread that looks after the slots of held-up threads. One serves all systems of the process.</summary>
    private static class Guard
    {
        private static readonly List<WeakReference<WorkerSlot>> Slots = [];
        private static readonly object Gate = new();
        private static volatile bool _isAwake;
        private static int _started;

        public static bool IsAwake => _isAwake;

        public static void Awake()
        {
            lock (Gate)
            {
                _isAwake = true;
                Monitor.Pulse(Gate);
            }
        }

        public static void Start()
        {
            if (Interlocked.Exchange(ref _started, 1) == 0)
            {
                new Thread(Run) { IsBackground = true, Name = "dispatcher-guard" }.Start();
            }
        }

        public static void Add(WorkerSlot slot)
        {
            lock (Slots)
            {
                Slots.RemoveAll(static reference => !reference.TryGetTarget(out _));
                Slots.Add(new WeakReference<WorkerSlot>(slot));
            }

            Start();
        }

        private static void Run()
        {
            // The first item makes the pool. Its thread registers its slot, which it will need.
            ThreadPool.UnsafeQueueUserWorkItem(static _ => ForThisThread(), null);
            var quiet = 0;
            while (true)
            {
                if (quiet > 20)
                {
                    quiet = 0;
                    _isAwake = false;

                    // Whoever put something in before this line and did not see it has it found by the scan; whoever comes later wakes us.
                    Interlocked.MemoryBarrier();
                    if (!Scan())
                    {
                        lock (Gate)
                        {
                            while (!_isAwake)
                            {
                                Monitor.Wait(Gate);
                            }
                        }
                    }

                    _isAwake = true;
                }

                Thread.Sleep(1);
                quiet = Scan() ? 0 : quiet + 1;
            }
        }

        // Frees what has been in a slot since the last scan; true when any slot holds something or has been used.
        private static bool Scan()
        {
            var busy = false;
            lock (Slots)
            {
                foreach (var reference in Slots)
                {
                    if (reference.TryGetTarget(out var slot))
                    {
                        busy |= Free(ref slot._next, ref slot._puts, ref slot._putsSeen) | Free(ref slot._behind, ref slot._putsBehind, ref slot._putsBehindSeen);
                    }
                }
            }

            return busy;
        }

        private static bool Free(ref Mailbox? place, ref int puts, ref int putsSeen)
        {
            var now = Volatile.Read(ref puts);
            var stalled = now == putsSeen;
            putsSeen = now;
            if (Volatile.Read(ref place) is not { } mailbox)
            {
                return !stalled;
            }

            if (stalled && Interlocked.CompareExchange(ref place, null, mailbox) == mailbox)
            {
                ThreadPool.UnsafeQueueUserWorkItem(mailbox, preferLocal: false);
            }

            return true;
        }
    }
}
