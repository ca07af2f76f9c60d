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
    private readonly Dictionary<int, Note> notes = [];

    private SleepNotes()
    {
    }

    private readonly record struct Note(long SleepsSince, long NotedAt, long Switches);

    /// <summary>Notes all threads of a process.</summary>
    public static SleepNotes Take(int pid)
    {
        SleepNotes result = new();

        // The scheduler's clock runs with CLOCK_MONOTONIC, at an offset: a thread that was just switched in reads both.
        _ = Libc.usleep(1);
        long monotonic = Libc.Nanoseconds(Libc.CLOCK_MONOTONIC);
        if (Read("/proc/thread-self/sched") is not { } own)
        {
            return result;
        }

        long offset = monotonic - own.ExecStart;
        foreach (int tid in ProcFs.Threads(pid))
        {
            if (ProcessStat.TryReadThread(pid, tid)?.State == 'S' && Read($"/proc/{pid}/task/{tid}/sched") is { } sched)
            {
                result.notes[tid] = new Note(sched.ExecStart + offset, Libc.Nanoseconds(Libc.CLOCK_MONOTONIC), sched.Switches);
            }
        }

        return result;
    }

    /// <summary>How long a stopped thread has been in the call that it stands in.</summary>
    public TimeSpan Elapsed(int pid, int tid)
    {
        long now = Libc.Nanoseconds(Libc.CLOCK_MONOTONIC);
        if (!notes.TryGetValue(tid, out Note note))
        {
            return TimeSpan.Zero;
        }

        // A frozen and then stopped thread switched twice more; a third switch means that it ran in between, and slept anew since some moment after the note.
        bool ranAgain = Read($"/proc/{pid}/task/{tid}/sched") is { } sched && sched.Switches > note.Switches + 2;
        long since = ranAgain ? note.NotedAt + (now - note.NotedAt) / 2 : note.SleepsSince;
        return TimeSpan.FromTicks(Math.Max(0, now - since) / 100);
    }

    /// <summary>What is left of the relative wait in which a thread stands with a restart block, or null when it stands in none.</summary>
    public long? Remaining(int pid, int tid, in UserRegisters registers, TargetMemory memory)
    {
        if (Interruption.RestartCode(registers) != Errno.ERESTART_RESTARTBLOCK)
        {
            return null;
        }

        long? whole = registers.OrigRax switch
        {
            X64.Nanosleep => Time(memory, registers.Rdi),
            X64.ClockNanosleep => Time(memory, registers.Rdx),
            X64.Futex when !X64.WaitsUntilAbsoluteTime(registers) => Time(memory, registers.R10),
            X64.Poll => (int)registers.Rdx * 1_000_000L,
            _ => null,
        };
        return whole is { } nanoseconds ? Math.Max(0, nanoseconds - (long)Elapsed(pid, tid).TotalNanoseconds) : null;
    }

    private static long? Time(TargetMemory memory, ulong address)
    {
        byte[] bytes = new byte[16];
        return memory.TryRead(address, bytes) == 16
            ? MemoryMarshal.Read<long>(bytes) * 1_000_000_000 + MemoryMarshal.Read<long>(bytes.AsSpan(8))
            : null;
    }

    private static (long ExecStart, long Switches)? Read(string path)
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
            else if (line.StartsWith("nr_switches") && long.TryParse(line[(colon + 1)..].Trim(), NumberStyles.None, CultureInfo.InvariantCulture, out long count))
            {
                switches = count;
            }
        }

        return start is { } s && switches is { } n ? (s, n) : null;
    }
}
