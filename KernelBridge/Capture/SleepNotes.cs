using System.Globalization;
using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;

namespace Holdfast.KernelBridge.Capture;

/// <summary>
/// When each thread went to sleep, noted while it still sleeps: a stop wakes it, and for a relative wait the kernel shows nobody how much was left
/// (its restart block is private). The scheduler's <c>se.exec_start</c> (/proc/PID/task/TID/sched) is the moment at which a thread last gave up the processor.
/// </summary>
internal sealed class SleepNotes
{
    /// <summary>What is left of a wait without an end.</summary>
    public const long Forever = long.MaxValue;

    // How places end where nothing waits for a time: pause(2), sigsuspend(2), and reads and writes of pipes; wait(2) by its whole name, since a futex has futex_do_wait.
    private static readonly string[] untimed = ["pause", "sigsuspend", "pipe_read", "pipe_write"];
    private const string WaitForChild = "do_wait";

    private readonly Dictionary<int, Note> notes = [];

    private SleepNotes()
    {
    }

    private readonly record struct Note(long SleepsSince, long Switches, string WaitsIn);

    /// <summary>Notes all threads of a process.</summary>
    public static SleepNotes Take(int pid)
    {
        SleepNotes result = new();

        foreach (int tid in ProcFs.Threads(pid))
        {
            if (ProcessStat.TryReadThread(pid, tid) is { State: 'S' } stat && Read($"/proc/{pid}/task/{tid}/sched") is { } sched
                && (ProcFs.TryText($"/proc/{pid}/task/{tid}/wchan") ?? string.Empty) is var place && place != WaitForChild && !untimed.Any(wait => place.EndsWith(wait, StringComparison.Ordinal))
                && SchedulerClock.Offset((int)stat.Field(39)) is { } offset)
            {
                result.notes[tid] = new Note(sched.ExecStart + offset, sched.Switches, place);
            }
        }

        return result;
    }

    /// <summary>How long a stopped thread has been in the call that it stands in.</summary>
    /// <param name="pid">Its process.</param>
    /// <param name="tid">The thread.</param>
    /// <param name="restarted">Whether it stands in restart_syscall(2): a freeze that had to be tried again woke it, and it went on with the same wait.</param>
    public TimeSpan Elapsed(int pid, int tid, bool restarted = false)
    {
        long now = Libc.Nanoseconds(Libc.CLOCK_MONOTONIC);
        if (!notes.TryGetValue(tid, out Note note))
        {
            return TimeSpan.Zero;
        }

        // A frozen and then stopped thread gave up the processor twice more; a third time means that it ran in between, and slept anew since some moment after the
        // note. A wait may end a little late, never early: then none of it counts. (What was taken from it on its way, on a busy processor, does not count.)
        bool ranAgain = !restarted && Read($"/proc/{pid}/task/{tid}/sched") is { } sched && sched.Switches > note.Switches + 2;
        long since = ranAgain ? now : note.SleepsSince;
        return TimeSpan.FromTicks(Math.Max(0, now - since) / 100);
    }

    /// <summary>What is left of the relative wait in which a thread stands (<see cref="Forever"/> when it has no end), or null when that cannot be known.</summary>
    public long? Remaining(int pid, int tid, in UserRegisters registers, bool restarted, TargetMemory memory)
    {
        long? whole = registers.OrigRax switch
        {
            X64.Nanosleep => Time(memory, registers.Rdi),
            X64.ClockNanosleep => Time(memory, registers.Rdx),
            X64.Futex => Time(memory, registers.R10),
            X64.Poll when (int)registers.Rdx < 0 => Forever,
            X64.Poll => (int)registers.Rdx * 1_000_000L,
            _ => null,
        };
        return whole == Forever ? Forever : whole is { } nanoseconds ? Math.Max(0, nanoseconds - (long)Elapsed(pid, tid, restarted).TotalNanoseconds) : null;
    }

    /// <summary>
    /// The call that a thread goes on with by restart_syscall(2): by what it slept in before the stop, and by its arguments (a clock's number is no address).
    /// </summary>
    public ulong? RestartedCall(int tid, in UserRegisters registers) => !notes.TryGetValue(tid, out Note note) ? null : note.WaitsIn switch
    {
        var place when place.Contains("nanosleep", StringComparison.Ordinal) => registers.Rdi < 4096 ? (ulong)X64.ClockNanosleep : X64.Nanosleep,
        var place when place.Contains("futex", StringComparison.Ordinal) => X64.Futex,
        var place when place.Contains("poll", StringComparison.Ordinal) => X64.Poll,
        _ => null,
    };

    private static long? Time(TargetMemory memory, ulong address)
    {
        byte[] bytes = new byte[16];
        return memory.TryRead(address, bytes) == 16
            ? MemoryMarshal.Read<long>(bytes) * 1_000_000_000 + MemoryMarshal.Read<long>(bytes.AsSpan(8))
            : null;
    }

    internal static (long ExecStart, long Switches)? Read(string path)
    {
        if (ProcFs.TryText(path) is not { } text)
        {
            return null;
        }

        long? start = null;
        long? switches = null;
        foreach (ReadOnlySpan<char> line in text.AsSpan().EnumerateLines())
        {
            int colon = line.LastIndexOf(':');
            if (line.StartsWith("se.exec_start") && decimal.TryParse(line[(colon + 1)..].Trim(), NumberStyles.Float, CultureInfo.InvariantCulture, out decimal milliseconds))
            {
                start = (long)(milliseconds * 1_000_000);
            }
            else if (line.StartsWith("nr_voluntary_switches") && long.TryParse(line[(colon + 1)..].Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out long count))
            {
                switches = count;
            }
        }

        return start is { } s && switches is { } n ? (s, n) : null;
    }
}
