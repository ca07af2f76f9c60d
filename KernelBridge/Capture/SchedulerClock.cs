using System.Collections.Concurrent;
using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Capture;

/// <summary>
/// How far CLOCK_MONOTONIC is ahead of the scheduler's clock of a processor (<c>rq->clock_task</c> of kernel/sched/core.c). That clock stands still
/// while a hypervisor or an interrupt has the processor, so it differs from one to another and drifts.
/// </summary>
internal static unsafe class SchedulerClock
{
    private const long ValidNanoseconds = 200_000_000;

    private static readonly ConcurrentDictionary<int, (long At, long Offset)> Known = new();

    /// <summary>The offset of a processor, nanoseconds; null where the kernel shows no scheduler clock. Errs to the later side, by some microseconds.</summary>
    public static long? Offset(int processor)
    {
        long now = Libc.Nanoseconds(Libc.CLOCK_MONOTONIC);
        if (Known.TryGetValue(processor, out (long At, long Offset) known) && now - known.At < ValidNanoseconds)
        {
            return known.Offset;
        }

        if (Measure(processor) is not { } offset)
        {
            return null;
        }

        Known[processor] = (now, offset);
        return offset;
    }

    /// <summary>A thread that was just switched in on the processor reads both clocks: its own exec_start is that moment.</summary>
    private static long? Measure(int processor)
    {
        const int size = 1024;
        byte* before = stackalloc byte[size];
        byte* only = stackalloc byte[size];
        new Span<byte>(only, size).Clear();
        only[processor / 8] = (byte)(1 << processor % 8);
        long length = Libc.sched_getaffinity(0, size, before);
        if (length <= 0 || processor >= size * 8)
        {
            return null;
        }

        // Where the processor is not ours to use (another cpuset), the one that we are on has to do.
        bool moved = Libc.sched_setaffinity(0, size, only) >= 0;
        try
        {
            long? best = null;
            for (int i = 0; i < 5; i++)
            {
                _ = Libc.usleep(1);
                if (SleepNotes.Read("/proc/thread-self/sched") is not { } own)
                {
                    return null;
                }

                // Read afterwards, the monotonic clock is late by what lies between: the smallest difference is the best.
                long offset = Libc.Nanoseconds(Libc.CLOCK_MONOTONIC) - own.ExecStart;
                best = best is { } smallest ? Math.Min(smallest, offset) : offset;
            }

            return best;
        }
        finally
        {
            if (moved)
            {
                _ = Libc.sched_setaffinity(0, (int)length, before);
            }
        }
    }
}
