using System.Diagnostics;
using System.Globalization;
using System.Text;
using Holdfast.KernelBridge.Linux;
using Microsoft.Win32.SafeHandles;
using static Holdfast.KernelBridge.Spaces.SpaceNative;

namespace Holdfast.KernelBridge.Spaces;

/// <summary>A task that kept a group from standing still.</summary>
/// <param name="Pid">Its process, as the host numbers it.</param>
/// <param name="Tid">The task.</param>
/// <param name="Name">Its name.</param>
/// <param name="State">Its state letter in /proc/PID/task/TID/stat.</param>
/// <param name="WaitsIn">The kernel function it waits in, empty when unknown.</param>
internal sealed record RunningTask(int Pid, int Tid, string Name, char State, string WaitsIn)
{
    /// <inheritdoc/>
    public override string ToString() => $"pid {Pid}, thread {Tid} ({Name}), state {State}{(WaitsIn.Length > 0 ? $" in {WaitsIn}" : "")}";
}

/// <summary>The cgroup-v2 freezer: <c>cgroup.freeze</c> and the <c>frozen</c> line of <c>cgroup.events</c>.</summary>
internal static class CgroupFreezer
{
    // The kernel tells of changes of cgroup.events at most once in ten milliseconds, so that one right behind another is told of late (CGROUP_FILE_NOTIFY_MIN_INTV of kernel/cgroup/cgroup.c),
    // and by way of a thread of its own: look by ourselves, often as long as the wait has just begun.
    private static readonly TimeSpan often = TimeSpan.FromMilliseconds(3), shortestWait = TimeSpan.FromMilliseconds(1), longestWait = TimeSpan.FromMilliseconds(20);

    private const uint PauseMicroseconds = 20;

    private const int Looks = 50;

    /// <summary>Brings every task of a group to a halt.</summary>
    /// <param name="group">The group's directory.</param>
    /// <param name="deadline">How long that may take.</param>
    /// <returns>Empty when all stand. Otherwise the tasks that did not, and the group is thawed again.</returns>
    /// <exception cref="IOException">The group is gone, or may not be written.</exception>
    public static IReadOnlyList<RunningTask> Freeze(string group, TimeSpan deadline)
    {
        File.WriteAllText(Path.Combine(group, "cgroup.freeze"), "1");
        if (WaitForEvent(group, "frozen 1", deadline))
        {
            return [];
        }

        // One look may miss a task that sleeps and wakes all the time.
        IReadOnlyList<RunningTask> running = [];
        for (int look = 0; look < Looks && running.Count == 0; look++)
        {
            running = FindRunning(group);
        }

        Thaw(group);
        // All may have come to stand just after the deadline: that is late all the same.
        return running.Count > 0 ? running : [new RunningTask(0, 0, "unknown", '?', "")];
    }

    /// <summary>Lets the group run again. Does nothing when it runs. It does not look at a lease: see <see cref="InitClient.Thaw"/>.</summary>
    public static void Thaw(string group) => File.WriteAllText(Path.Combine(group, "cgroup.freeze"), "0");

    /// <summary>True when every task of the group stands frozen.</summary>
    public static bool IsFrozen(string group) => File.ReadLines(Path.Combine(group, "cgroup.events")).Contains("frozen 1");

    /// <summary>Waits for a line of cgroup.events.</summary>
    /// <returns>False when it did not come in time.</returns>
    public static bool WaitForEvent(string group, string line, TimeSpan deadline)
    {
        long begun = Stopwatch.GetTimestamp();
        SafeFileHandle events;
        try
        {
            events = Descriptors.Open(Path.Combine(group, "cgroup.events"), O_RDONLY);
        }
        catch (BridgeException) when (!Directory.Exists(group))
        {
            return line == "populated 0";
        }

        using (events)
        {
            while (true)
            {
                if (ReadLines(events).Contains(line))
                {
                    return true;
                }

                TimeSpan waited = Stopwatch.GetElapsedTime(begun), left = deadline - waited;
                if (left <= TimeSpan.Zero)
                {
                    return false;
                }

                if (waited < often)
                {
                    _ = Libc.usleep(PauseMicroseconds);
                    continue;
                }

                TimeSpan next = TimeSpan.FromTicks(Math.Clamp(waited.Ticks / 4, shortestWait.Ticks, longestWait.Ticks));
                Descriptors.Wait(Descriptors.Number(events), -1, POLLPRI, left < next ? left : next);
            }
        }
    }

    /// <summary>The processes of a group and of the groups below it.</summary>
    public static IReadOnlyList<int> Processes(string group)
    {
        List<int> pids = [];
        foreach (string directory in Directory.EnumerateDirectories(group, "*", SearchOption.AllDirectories).Prepend(group))
        {
            pids.AddRange(File.ReadLines(Path.Combine(directory, "cgroup.procs")).Select(l => int.Parse(l, CultureInfo.InvariantCulture)));
        }

        return pids;
    }

    private static unsafe string[] ReadLines(SafeFileHandle events)
    {
        Span<byte> buffer = stackalloc byte[256];
        fixed (byte* first = buffer)
        {
            nint n = PRead(Descriptors.Number(events), first, (nuint)buffer.Length, 0);
            // ENODEV when the group was removed: then nothing is in it.
            return n < 0 ? ["populated 0"] : Encoding.ASCII.GetString(buffer[..(int)n]).Split('\n');
        }
    }

    private static List<RunningTask> FindRunning(string group)
    {
        List<RunningTask> running = [];
        foreach (int pid in Processes(group))
        {
            string tasks = string.Create(CultureInfo.InvariantCulture, $"/proc/{pid}/task");
            string[] threads;
            try
            {
                threads = Directory.GetDirectories(tasks);
            }
            catch (IOException)
            {
                continue;
            }

            running.AddRange(threads.Select(t => Look(pid, t)).OfType<RunningTask>());
        }

        return running;
    }

    private static RunningTask? Look(int pid, string thread)
    {
        try
        {
            string stat = File.ReadAllText(Path.Combine(thread, "stat"));
            int open = stat.IndexOf('('), close = stat.LastIndexOf(')');
            char state = stat[close + 2];
            string waitsIn = File.ReadAllText(Path.Combine(thread, "wchan"));
            waitsIn = waitsIn == "0" ? "" : waitsIn;
            // A frozen task sleeps in do_freezer_trap, which compilers put inside get_signal; a stopped, traced or dead one stands too.
            bool stands = state is 'T' or 't' or 'Z' or 'X' || waitsIn is "do_freezer_trap" or "get_signal" || (waitsIn.Length == 0 && state == 'S');
            return stands
                ? null
                : new RunningTask(pid, int.Parse(Path.GetFileName(thread), CultureInfo.InvariantCulture), stat[(open + 1)..close], state, waitsIn);
        }
        catch (IOException)
        {
            return null;
        }
    }
}
