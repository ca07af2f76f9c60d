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
    /// <exception cref="BridgeException"><c>freeze.timeout</c>, naming the tasks that did not stand; the group runs again.</exception>
    public static FreezeGuard Freeze(ApplicationTarget target, TimeSpan deadline)
    {
        string group = target.CgroupPath!;
        InitClient? init = target.InitSocket is { } socket ? InitClient.Connect(socket) : null;
        try
        {
            init?.Arm(deadline + TimeSpan.FromSeconds(2));

            // A parent that waits for its vfork child cannot be frozen while the child, frozen first, cannot go on: let both run, longer each time, and try again.
            long start = Stopwatch.GetTimestamp();
            for (int pause = 10; ; pause *= 2)
            {
                TimeSpan left = deadline - Stopwatch.GetElapsedTime(start);
                IReadOnlyList<RunningTask> running = CgroupFreezer.Freeze(group, TimeSpan.FromMilliseconds(Math.Clamp(left.TotalMilliseconds, 1, 400)));
                if (running.Count == 0)
                {
                    running = VforkParents(group);
                    if (running.Count == 0)
                    {
                        return new FreezeGuard(init, group);
                    }

                    CgroupFreezer.Thaw(group);
                }

                if (Stopwatch.GetElapsedTime(start) >= deadline)
                {
                    throw new BridgeException(
                        "freeze.timeout", "freezing the application", $"{string.Join("; ", running)} did not stand within {deadline.TotalSeconds:0.#} s",
                        "it may wait for a child of vfork or for a slow device: try again, or give a longer --timeout");
                }

                Thread.Sleep(Math.Min(pause, (int)Math.Max(1, (deadline - Stopwatch.GetElapsedTime(start)).TotalMilliseconds / 2)));
            }
        }
        catch (Exception e) when (e is IOException or BridgeException)
        {
            init?.Dispose();
            throw e is BridgeException ? e : new BridgeException("freeze.failed", "freezing the application", e.Message, inner: e);
        }
    }

    /// <summary>
    /// Parents that wait for a child of vfork count as frozen (wait_for_vfork_done of kernel/fork.c), but no signal and no tracer reaches them
    /// before the child, frozen too, has executed its program.
    /// </summary>
    private static List<RunningTask> VforkParents(string group)
    {
        List<RunningTask> parents = [];
        foreach (int pid in CgroupFreezer.Processes(group))
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
