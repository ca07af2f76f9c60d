using System.Diagnostics;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Spaces;

namespace Holdfast.KernelBridge.Capture;

/// <summary>
/// A frozen cgroup, thawed when this is disposed; and by the space's init when this process dies or the deadline passes,
/// since a frozen group stays frozen when its freezer dies.
/// </summary>
internal sealed class FreezeGuard : IDisposable
{
    private readonly InitClient? init;
    private readonly string group;

    private FreezeGuard(InitClient? init, string group)
    {
        this.init = init;
        this.group = group;
    }

    /// <summary>Freezes an application's group.</summary>
    /// <param name="target">The application.</param>
    /// <param name="deadline">When it must stand.</param>
    /// <param name="stops">Called each time just before it is made to.</param>
    /// <exception cref="BridgeException"><c>freeze.timeout</c>, naming the tasks that did not stand; the group runs again.</exception>
    public static FreezeGuard Freeze(ApplicationTarget target, TimeSpan deadline, Action stops)
    {
        string group = target.CgroupPath!;
        RunningTask last = new(0, 0, "unknown", '?', string.Empty);
        InitClient? init = target.InitSocket is { } socket ? InitClient.Connect(socket) : null;
        try
        {
            init?.Arm(deadline + TimeSpan.FromSeconds(2));

            // A parent that waits for its vfork child cannot be caught while the child, frozen too, cannot go on: the moment is waited for at which none does.
            long start = Stopwatch.GetTimestamp();
            for (int pause = 10; ;)
            {
                IReadOnlyList<RunningTask> running = [];
                TimeSpan left = deadline - Stopwatch.GetElapsedTime(start);
                if (left <= TimeSpan.Zero || !AwaitVforkParents(group, left, ref running))
                {
                    throw new BridgeException(
                        "freeze.timeout", "freezing the application", $"{string.Join("; ", running.DefaultIfEmpty(last))} did not stand within {deadline.TotalSeconds:0.#} s",
                        "it may wait for a child of vfork or for a slow device: try again, or give a longer --timeout");
                }

                stops();
                running = CgroupFreezer.Freeze(group, TimeSpan.FromMilliseconds(Math.Clamp(left.TotalMilliseconds, 1, 400)));
                if (running.Count > 0)
                {
                    last = running[0];
                    Thread.Sleep(Math.Min(pause, (int)Math.Max(1, left.TotalMilliseconds / 2)));
                    pause *= 2;
                    continue;
                }

                running = VforkParents(group);
                if (running.Count == 0)
                {
                    return new FreezeGuard(init, group);
                }

                last = running[0];
                CgroupFreezer.Thaw(group);
            }
        }
        catch (Exception e) when (e is IOException or BridgeException)
        {
            init?.Dispose();
            throw e is BridgeException ? e : new BridgeException("freeze.failed", "freezing the application", e.Message, inner: e);
        }
    }

    /// <summary>Waits until no parent waits for its vfork child.</summary>
    /// <returns>False when one still does at the end.</returns>
    private static bool AwaitVforkParents(string group, TimeSpan limit, ref IReadOnlyList<RunningTask> waiting)
    {
        long start = Stopwatch.GetTimestamp();
        while ((waiting = VforkParents(group)).Count > 0)
        {
            if (Stopwatch.GetElapsedTime(start) > limit)
            {
                return false;
            }

            // Such a wait ends for a millisecond or two at a time.
            _ = Libc.usleep(100);
        }

        return true;
    }

    /// <summary>
    /// Parents that wait for a child of vfork count as frozen (wait_for_vfork_done of kernel/fork.c), but no signal and no tracer reaches them
    /// before the child, frozen too, has executed its program.
    /// </summary>
    private static List<RunningTask> VforkParents(string group)
    {
        // Who has neither a child in the group nor, in it, another child of the same parent (CLONE_PARENT) waits for none: its threads need not be asked one by one.
        IReadOnlyList<int> pids = CgroupFreezer.Processes(group);
        TaskTable? tasks = TaskTable.TryRead(pids.Count);
        if (tasks is not null && pids.All(tasks.IsAwaitedByNone))
        {
            return [];
        }

        List<(int Pid, int Parent)> processes = [.. pids.Select(pid => (pid, tasks?.Of(pid) is { } known ? (int)known.Parent : ProcessStat.TryRead(pid)?.ParentPid ?? 0))];
        ILookup<int, int> children = processes.ToLookup(process => process.Parent, process => process.Pid);
        List<RunningTask> parents = [];
        foreach ((int pid, _) in processes.Where(process => children.Contains(process.Pid) || children[process.Parent].Skip(1).Any()))
        {
            foreach (int tid in ProcFs.Threads(pid))
            {
                if (ProcessStat.TryReadThread(pid, tid) is { State: 'D' } stat)
                {
                    parents.Add(new RunningTask(pid, tid, stat.Name, stat.State, ProcFs.TryText($"/proc/{pid}/task/{tid}/wchan")?.Trim() ?? string.Empty));
                }
            }
        }

        return parents;
    }

    public void Dispose()
    {
        try
        {
            if (init is not null)
            {
                init.Disarm(thaw: true);
            }
            else
            {
                CgroupFreezer.Thaw(group);
            }
        }
        catch (Exception e) when (e is IOException or BridgeException)
        {
            // The init is gone, and the application with it; or the group was removed. Nothing is frozen then.
        }
        finally
        {
            init?.Dispose();
        }
    }
}
