using System.Buffers.Binary;
using System.Globalization;
using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// POSIX timers with their identifiers, clocks, signals, remaining time and interval; see timer_create(2) and proc(5) on /proc/PID/timers. Whether a time was
/// set absolutely the kernel does not tell: all go on with what was left.
/// </summary>
internal sealed partial class PosixTimers : IProcessResource
{
    /// <summary>SIGEV_THREAD_ID of sigevent(3type).</summary>
    private const int ThreadTarget = 4;

    private const int PR_TIMER_CREATE_RESTORE_IDS = 77, PR_TIMER_CREATE_RESTORE_IDS_GET = 2;

    /// <summary>Highest identifier that is reached by making and deleting timers, where the kernel takes no wish (before 6.16).</summary>
    private const int HighestCounted = 20_000;

    public const string Caveat =
        "of a POSIX timer whose signal waits, expirations are counted anew from a restore; one that was set to a time of CLOCK_REALTIME goes on with what was left of it";

    public IEnumerable<Refusal> Check(ProcessView view)
    {
        List<TimerFacts> timers = Read(view.Pid);
        if (timers.Count == 0)
        {
            yield break;
        }

        Dictionary<int, int> threads = Threads(view.Pid);
        foreach (TimerFacts timer in timers)
        {
            if (!IsKnown(timer.Clock, view.OwnPid, [.. threads.Values]))
            {
                yield return view.Refuse(
                    "timer.clock", $"POSIX timer {timer.Id}", $"it runs by clock {timer.Clock}: of a device, of another process, or of one of several threads which the kernel does not name", "delete it before the checkpoint");
            }

            if ((timer.Notify & ThreadTarget) != 0 && !threads.ContainsKey(timer.Target))
            {
                yield return view.Refuse("timer.thread", $"POSIX timer {timer.Id}", "the thread that is to get its signal has ended", "delete it before the checkpoint");
            }
        }
    }

    public void Capture(ProcessView view, IProcessState state, ProcessImage image)
    {
        List<TimerFacts> timers = Read(view.Pid);
        if (timers.Count == 0)
        {
            return;
        }

        Dictionary<int, int> threads = Threads(view.Pid);
        image.PosixTimers = [.. timers.Select(timer =>
        {
            (long left, long interval) = state.PosixTimer(timer.Id);
            // Read after what is left: a timer may fire late, by what lies between the two, never early.
            long since = CountsTime(timer.Clock) ? image.SinceCapture(state.AnsweredAt) : 0;
            return new PosixTimerImage(
                timer.Id, timer.Clock, timer.Notify, timer.Signal, timer.Value, threads.GetValueOrDefault(timer.Target),
                interval, left == 0 ? 0 : Math.Min(left, long.MaxValue - since) + since);
        })];
    }

    public void Restore(ProcessImage image, long sinceCapture, SyscallTape tape) => Restore(image, sinceCapture, tape, TakesWishes());

    /// <summary>The same, with or without the kernel's help for identifiers.</summary>
    internal static void Restore(ProcessImage image, long sinceCapture, SyscallTape tape, bool takesWishes)
    {
        if (image.PosixTimers.Count == 0)
        {
            return;
        }

        if (takesWishes)
        {
            tape.Add("asking for identifiers of timers", X64.Prctl, PR_TIMER_CREATE_RESTORE_IDS, 1, 0, 0, 0);
        }

        int next = 0;
        foreach (PosixTimerImage timer in image.PosixTimers.OrderBy(timer => timer.Id))
        {
            for (; !takesWishes && next < timer.Id; next++)
            {
                tape.Add("counting up to a timer", X64.TimerCreate, 1, 0, tape.Place(0));
                tape.Add("counting up to a timer", X64.TimerDelete, (ulong)next);
            }

            next = timer.Id + 1;
            byte[] target = new byte[64];
            BinaryPrimitives.WriteUInt64LittleEndian(target, timer.Value);
            BinaryPrimitives.WriteInt32LittleEndian(target.AsSpan(8), timer.Signal);
            BinaryPrimitives.WriteInt32LittleEndian(target.AsSpan(12), timer.Notify);
            BinaryPrimitives.WriteInt32LittleEndian(target.AsSpan(16), timer.Thread);
            tape.Add($"POSIX timer {timer.Id}", X64.TimerCreate, (ulong)timer.Clock, tape.Place(target), tape.Place(timer.Id));

            (long interval, long intervalRest) = Math.DivRem(timer.Interval, 1_000_000_000);
            long left = timer.Remaining == 0 ? 0 : Math.Max(1, timer.Remaining - (CountsTime(timer.Clock) ? sinceCapture : 0));
            (long seconds, long rest) = Math.DivRem(left, 1_000_000_000);
            TimerTimes value = new() { IntervalSeconds = interval, IntervalFraction = intervalRest, Seconds = seconds, Fraction = rest };

            // Fails when another identifier was given.
            tape.Add($"time of POSIX timer {timer.Id}", X64.TimerSettime, (ulong)timer.Id, 0, tape.Place(value), 0);
        }

        if (takesWishes)
        {
            tape.Add("identifiers of timers as usual", X64.Prctl, PR_TIMER_CREATE_RESTORE_IDS, 0, 0, 0, 0);
        }
    }

    /// <summary>Whether the identifiers of a process's timers can be had here.</summary>
    public static Refusal? CheckRestore(ProcessImage process) =>
        process.PosixTimers.Any(timer => timer.Id > HighestCounted) && !TakesWishes()
            ? new Refusal("timer.id", process.Pid, null, "POSIX timer", $"this kernel gives no identifiers above {HighestCounted} at a wish", "restore under Linux 6.16 or later")
            : null;

    /// <summary>Whether a process has any.</summary>
    public static bool Has(int pid) => ProcFs.TryText($"/proc/{pid}/timers") is { Length: > 0 };

    /// <summary>What is wrong with the timers of a process in an image, or null.</summary>
    public static string? Problem(ProcessImage process)
    {
        int[] threads = [.. process.Threads.Select(thread => thread.OwnTid)];
        return process.PosixTimers.All(timer => timer is { Id: >= 0, Notify: 0 or 1 or 2 or ThreadTarget, Signal: >= 0 and <= 64, Interval: >= 0, Remaining: >= 0 }
            && IsKnown(timer.Clock, process.OwnPid, threads) && (timer.Notify != ThreadTarget || threads.Contains(timer.Thread)))
            && process.PosixTimers.DistinctBy(timer => timer?.Id).Count() == process.PosixTimers.Count
            ? null
            : "a POSIX timer is impossible or there twice";
    }

    /// <summary>Whether a clock goes on while a process is built.</summary>
    private static bool CountsTime(int clock) => clock >= 0;

    /// <summary>
    /// Clocks that mean the same after a restore. Negative ones are processor time: ~pid &lt;&lt; 3, 4 for a thread, and how it is counted, 3 for a device's
    /// (include/linux/posix-timers_types.h); pid 0 is whoever made the timer.
    /// </summary>
    private static bool IsKnown(int clock, int pid, int[] threads)
    {
        if (clock >= 0)
        {
            return clock is 0 or 1 or 7 or 8 or 9 or 11;
        }

        int owner = ~(clock >> 3);
        bool ofThread = (clock & 4) != 0;
        return (clock & 3) != 3 && (owner == 0 ? !ofThread || threads.Length == 1 : ofThread ? threads.Contains(owner) : owner == pid);
    }

    internal static long Nanoseconds(long seconds, long nanoseconds) => seconds > long.MaxValue / 1_000_000_000 - 1 ? long.MaxValue : seconds * 1_000_000_000 + nanoseconds;

    private static bool TakesWishes() => prctl(PR_TIMER_CREATE_RESTORE_IDS, PR_TIMER_CREATE_RESTORE_IDS_GET, 0, 0, 0) >= 0;

    /// <summary>The numbers that the process itself knows its threads by, by the host's.</summary>
    private static Dictionary<int, int> Threads(int pid)
    {
        Dictionary<int, int> numbers = [];
        foreach (int tid in ProcFs.Threads(pid))
        {
            numbers[tid] = ProcessStatus.TryReadThread(pid, tid)?.Innermost("NSpid") ?? 0;
        }

        return numbers;
    }

    // ID: 1 / signal: 60/00007fff86e452a8 / notify: signal/pid.2634 / ClockID: 0
    private static List<TimerFacts> Read(int pid)
    {
        List<TimerFacts> timers = [];
        foreach (string line in (ProcFs.TryText($"/proc/{pid}/timers") ?? string.Empty).Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            int colon = line.IndexOf(':');
            string text = line[(colon + 1)..].Trim();
            string[] parts = text.Split('/', '.');
            switch (line[..colon])
            {
                case "ID":
                    timers.Add(new TimerFacts(int.Parse(text, CultureInfo.InvariantCulture), 0, 0, 0, 0, 0));
                    break;
                case "signal":
                    timers[^1] = timers[^1] with { Signal = int.Parse(parts[0], CultureInfo.InvariantCulture), Value = ulong.Parse(parts[1], NumberStyles.HexNumber, CultureInfo.InvariantCulture) };
                    break;
                case "notify":
                    int how = parts[0] switch { "none" => 1, "thread" => 2, _ => 0 };
                    timers[^1] = timers[^1] with { Notify = how | (parts[1] == "tid" ? ThreadTarget : 0), Target = int.Parse(parts[2], CultureInfo.InvariantCulture) };
                    break;
                case "ClockID":
                    timers[^1] = timers[^1] with { Clock = int.Parse(text, CultureInfo.InvariantCulture) };
                    break;
            }
        }

        return timers;
    }

    [LibraryImport("libc", SetLastError = true)]
    private static partial int prctl(int option, nuint a1, nuint a2, nuint a3, nuint a4);

    private sealed record TimerFacts(int Id, int Signal, ulong Value, int Notify, int Target, int Clock);
}

/// <summary>A POSIX timer.</summary>
/// <param name="Id">Identifier.</param>
/// <param name="Clock">Clock as the kernel shows it.</param>
/// <param name="Notify">SIGEV_SIGNAL 0, SIGEV_NONE 1, SIGEV_THREAD 2, SIGEV_THREAD_ID 4.</param>
/// <param name="Signal">Signal.</param>
/// <param name="Value">sigev_value.</param>
/// <param name="Thread">The thread that gets the signal, for SIGEV_THREAD_ID.</param>
/// <param name="Interval">Nanoseconds; 0 for a timer that goes off once.</param>
/// <param name="Remaining">Nanoseconds to the next expiration since the process's capture began; 0 when it is not armed.</param>
internal sealed record PosixTimerImage(int Id, int Clock, int Notify, int Signal, ulong Value, int Thread, long Interval, long Remaining);
