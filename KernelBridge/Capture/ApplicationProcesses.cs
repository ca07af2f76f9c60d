using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Capture;

/// <summary>Finds the processes of an application.</summary>
internal static class ApplicationProcesses
{
    /// <summary>Host pids, parents before children; of a space without its init.</summary>
    /// <exception cref="BridgeException">The application is gone (<c>application.gone</c>).</exception>
    public static List<int> Find(ApplicationTarget target)
    {
        if (ProcessStat.TryRead(target.RootPid) is not { } root || root.StartTime != target.RootStartTime || root.State is 'Z' or 'X')
        {
            throw new BridgeException("application.gone", "looking for the application", $"process {target.RootPid} ended", "restore it from a snapshot");
        }

        List<int> found = [target.RootPid];
        HashSet<int> known = [target.RootPid];
        for (int i = 0; i < found.Count; i++)
        {
            foreach (int child in i == 0 && target.Scope == ApplicationScope.Space ? SettledChildren(found[i]) : ProcFs.Children(found[i]))
            {
                // A checkpoint may be reading memory while this one looks.
                if (known.Add(child) && !FrozenCopy.IsOne(child))
                {
                    found.Add(child);
                }
            }
        }

        if (target.Scope == ApplicationScope.Space)
        {
            found.RemoveAt(0);
        }

        return found.Count > 0 ? found : throw new BridgeException("application.gone", "looking for the application", "it has no processes any more", "restore it from a snapshot");
    }

    /// <summary>
    /// The children of a space's init. A child that is reaped while the list is read can hide those behind it (proc(5)); and the init, which is never frozen, reaps
    /// the copies of memory that checkpoints make.
    /// </summary>
    private static List<int> SettledChildren(int init)
    {
        List<int> children = ProcFs.Children(init);
        while (true)
        {
            List<int> again = ProcFs.Children(init);
            if (again.SequenceEqual(children))
            {
                return children;
            }

            children = again;
        }
    }
}
