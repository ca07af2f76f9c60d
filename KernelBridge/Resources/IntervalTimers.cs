using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>ITIMER_REAL, ITIMER_VIRTUAL and ITIMER_PROF with remaining time and interval; see getitimer(2). alarm(2) is the first of them.</summary>
internal sealed class IntervalTimers : IProcessResource
{
    public IEnumerable<Refusal> Check(ProcessView view) => [];

    public void Capture(ProcessView view, IProcessState state, ProcessImage image)
    {
        List<IntervalTimerImage> timers = [];
        for (int which = 0; which < 3; which++)
        {
            (long left, long interval) = state.IntervalTimer(which);
            // Read after what is left: a timer may fire late, by what lies between the two, never early.
            long sinceCapture = image.SinceCapture(state.AnsweredAt);
            if (left == 0)
            {
                // Expired, with its signal still pending: the kernel arms it again when the signal is taken.
                left = interval;
            }

            if (left != 0)
            {
                (long seconds, long microseconds) = Math.DivRem(left + (which == 0 ? sinceCapture / 1000 : 0), 1_000_000);
                (long intervalSeconds, long intervalMicroseconds) = Math.DivRem(interval, 1_000_000);
                timers.Add(new IntervalTimerImage(which, intervalSeconds, intervalMicroseconds, seconds, microseconds));
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
            TimerTimes value = new() { IntervalSeconds = timer.IntervalSeconds, IntervalFraction = timer.IntervalMicroseconds, Seconds = seconds, Fraction = microseconds };
            tape.Add($"interval timer {timer.Which}", X64.Setitimer, (ulong)timer.Which, tape.Place(value), 0);
        }
    }
}

/// <summary>An interval timer that runs.</summary>
internal sealed record IntervalTimerImage(int Which, long IntervalSeconds, long IntervalMicroseconds, long RemainingSeconds, long RemainingMicroseconds);
