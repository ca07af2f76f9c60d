using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Capture;

/// <summary>Finds the processes of an application.</summary>
internal static class ApplicationProcesses
{
    /// <summary>Host pids, parents before children; of a space without its init.</summary>
    /// <param name="target">The application.</param>
    /// <param name="ahead">Reads ahead what is asked here of processes: their stat, threads and children, anew where it says so; null where each is asked by itself.</param>
    /// <param name="tasks">What the kernel tells of them, where all stand.</param>
    /// <exception cref="BridgeException">The application is gone (<c>application.gone</c>).</exception>
    public static List<int> Find(ApplicationTarget target, Func<IReadOnlyList<int>, bool, ProcSnapshot>? ahead = null, TaskTable? tasks = null)
    {
        List<int> found = [];
        HashSet<int> known = [target.RootPid];
        for (List<int> generation = [target.RootPid]; generation.Count > 0;)
        {
            using IDisposable? use = ahead?.Invoke(generation, false).Use();
            if (found.Count == 0)
            {
                RequireAlive(target);
            }
            else
            {
                // A checkpoint may be reading memory while this one looks, or have just done so.
                foreach (int copy in generation.FindAll(pid => tasks?.Of(pid) is not { } known ? FrozenCopy.IsOne(pid) : FrozenCopy.IsNamedSo(known.Name) && FrozenCopy.IsOne(pid)))
                {
                    FrozenCopy.AwaitEnd(copy);
                    generation.Remove(copy);
                }
            }

            found.AddRange(generation);
            generation = [.. generation.SelectMany(pid => pid == target.RootPid && target.Scope == ApplicationScope.Space ? SettledChildren(pid, ahead) : tasks?.IsChildless(pid) == true ? [] : ProcFs.Children(pid)).Where(known.Add)];
        }

        if (target.Scope == ApplicationScope.Space)
        {
            found.RemoveAt(0);
        }

        return found.Count > 0 ? found : throw new BridgeException("application.gone", "looking for the application", "it has no processes any more", "restore it from a snapshot");
    }

    private static void RequireAlive(ApplicationTarget target)
    {
        if (ProcessStat.TryRead(target.RootPid) is not { } root || root.StartTime != target.RootStartTime || root.State is 'Z' or 'X')
        {
            throw new BridgeException("application.gone", "looking for the application", $"process {target.RootPid} ended", "restore it from a snapshot");
        }
    }

    /// <summary>
    /// The children of a space's init. A child that is reaped while the list is read can hide those behind it (proc(5)); and the init, which is never frozen, reaps
    /// the copies of memory that checkpoints make.
    /// </summary>
    private static List<int> SettledChildren(int init, Func<IReadOnlyList<int>, bool, ProcSnapshot>? ahead)
    {
        List<int> children = ProcFs.Children(init);
        while (true)
        {
            using IDisposable? use = ahead?.Invoke([init], true).Use();
            List<int> again = ProcFs.Children(init);
            if (again.SequenceEqual(children))
            {
                return children;
            }

            children = again;
        }
    }
}
