using System.Globalization;
using Microsoft.Win32.SafeHandles;
using static Holdfast.KernelBridge.Spaces.SpaceNative;

namespace Holdfast.KernelBridge.Spaces;

/// <summary>A process and its descendants, by the parent pids of /proc.</summary>
internal static class ProcessTree
{
    /// <summary>The descendants of a process and itself, parents before children. Empty when it is gone.</summary>
    public static IReadOnlyList<ProcessIdentity> Of(int root)
    {
        ILookup<int, ProcessIdentity> children = Directory.EnumerateDirectories("/proc")
            .Select(d => int.TryParse(Path.GetFileName(d), NumberStyles.None, CultureInfo.InvariantCulture, out int pid) ? ProcessIdentity.Read(pid) : null)
            .OfType<ProcessIdentity>()
            .ToLookup(p => p.ParentPid);
        List<ProcessIdentity> tree = [];
        if (ProcessIdentity.Read(root) is { } first)
        {
            tree.Add(first);
        }

        for (int i = 0; i < tree.Count; i++)
        {
            tree.AddRange(children[tree[i].Pid]);
        }

        return tree;
    }

    /// <summary>Kills a tree. Its processes are stopped first, from the root down, so that none forks away from under the search.</summary>
    /// <exception cref="BridgeException">One did not end in time (<c>kill.timeout</c>).</exception>
    public static void Kill(int root, ulong rootStartTime, TimeSpan deadline)
    {
        Dictionary<int, SafeFileHandle> stopped = [];
        try
        {
            for (bool found = true; found;)
            {
                found = false;
                foreach (ProcessIdentity process in Of(root))
                {
                    if (stopped.ContainsKey(process.Pid) || process.IsDead || (process.Pid == root && process.StartTime != rootStartTime))
                    {
                        continue;
                    }

                    if (process.Pid != root && !stopped.ContainsKey(root))
                    {
                        return;
                    }

                    int fd = OpenPidfd(process.Pid);
                    if (fd < 0 || ProcessIdentity.Read(process.Pid)?.StartTime != process.StartTime)
                    {
                        // Ended meanwhile; its number may be another's.
                        Close(fd);
                        continue;
                    }

                    stopped.Add(process.Pid, new SafeFileHandle(fd, ownsHandle: true));
                    SendSignal(fd, SIGSTOP);
                    found = true;
                }
            }

            foreach (SafeFileHandle process in stopped.Values)
            {
                SendSignal(Descriptors.Number(process), SIGKILL);
            }

            long end = Environment.TickCount64 + (long)deadline.TotalMilliseconds;
            foreach ((int pid, SafeFileHandle process) in stopped)
            {
                if (Descriptors.Wait(Descriptors.Number(process), -1, POLLIN, TimeSpan.FromMilliseconds(Math.Max(0, end - Environment.TickCount64))) == 0)
                {
                    throw new BridgeException("kill.timeout", $"killing pid {pid}", "it did not end; a process in an uninterruptible wait cannot be killed");
                }
            }
        }
        finally
        {
            foreach (SafeFileHandle process in stopped.Values)
            {
                process.Dispose();
            }
        }
    }
}
