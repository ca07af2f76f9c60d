using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>ITIMER_REAL, ITIMER_VIRTUAL and ITIMER_PROF with remaining time and interval; see getitimer(2). alarm(2) is the first of them.</summary>
internal sealed class IntervalTimers : IProcessResource
{
    public IEnumerable<Refusal> Check(ProcessView view) => [];

    public void Capture(ProcessView view, InjectedCalls calls, ProcessImage image)
    {
        List<IntervalTimerImage> timers = [];
        for (int which = 0; which < 3; which++)
        {
            Itimerval value = calls.Ask<Itimerval>(X64.Getitimer, (ulong)which, calls.Scratch);
            // Read after what is left: a timer may fire late, by what lies between the two, never early.
            long sinceCapture = image.SinceCapture();
            if (value.ValueSeconds == 0 && value.ValueMicroseconds == 0)
            {
                // Expired, with its signal still pending: the kernel arms it again when the signal is taken.
                (value.ValueSeconds, value.ValueMicroseconds) = (value.IntervalSeconds, value.IntervalMicroseconds);
            }

            if (value.ValueSeconds != 0 || value.ValueMicroseconds != 0)
            {
                long left = value.ValueSeconds * 1_000_000 + value.ValueMicroseconds + (which == 0 ? sinceCapture / 1000 : 0);
                (value.ValueSeconds, value.ValueMicroseconds) = Math.DivRem(left, 1_000_000);
                timers.Add(new IntervalTimerImage(which, value.IntervalSeconds, value.IntervalMicroseconds, value.ValueSeconds, value.ValueMicroseconds));
            }
        }

        image.IntervalTimers = timers;
    }

    public void Restore(ProcessImage image, long sinceCapture, SyscallTape tape)
    {
        foreach (IntervalTimerImage timer in image.IntervalTimers)
        {
            // Time goes on for the clocks while the application is built; processor time does not.
            long left = timer.RemainingSeconds * 1_000_000 + timer.RemainingMicroseconds - (timer.Which == 0 ? sinceCapture / 1000 : 0);
            (long seconds, long microseconds) = Math.DivRem(Math.Max(1, left), 1_000_000);
            Itimerval value = new()
            {
                IntervalSeconds = timer.IntervalSeconds, IntervalMicroseconds = timer.IntervalMicroseconds,
                ValueSeconds = seconds, ValueMicroseconds = microseconds,
            };
            tape.Add($"interval timer {timer.Which}", X64.Setitimer, (ulong)timer.Which, tape.Place(value), 0);
        }
    }

    private struct Itimerval
    {
        public long IntervalSeconds;
        public long IntervalMicroseconds;
        public long ValueSeconds;
        public long ValueMicroseconds;
    }
}

/// <summary>An interval timer that runs.</summary>
internal sealed record IntervalTimerImage(int Which, long IntervalSeconds, long IntervalMicroseconds, long RemainingSeconds, long RemainingMicroseconds);
