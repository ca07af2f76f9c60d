using Microsoft.Win32.SafeHandles;
using static Holdfast.KernelBridge.Spaces.SpaceNative;

namespace Holdfast.KernelBridge.Spaces;

/// <summary>Finds applications again that this process may not have started.</summary>
internal static class ApplicationFinder
{
    /// <summary>Finds it by boot, pid and start time.</summary>
    /// <returns>Null when it no longer runs; what a dead space left in file systems is removed then, but for its exit file.</returns>
    /// <exception cref="BridgeException">Its init does not answer.</exception>
    public static RunningApplication? Find(ApplicationTarget target)
    {
        if (target.BootId != ProcessIdentity.BootId())
        {
            return null;
        }

        SafeFileHandle? root = Open(target.RootPid, target.RootStartTime);
        if (root is null)
        {
            if (target.Scope == ApplicationScope.Space)
            {
                SpaceRemains.Remove(CgroupTree.Of(target.CgroupPath), target.InitSocket);
            }

            return null;
        }

        if (target.Scope == ApplicationScope.Tree)
        {
            SafeFileHandle copy = Descriptors.DuplicateAbove(Descriptors.Number(root), 0);
            // Not reaped even when it is a child of ours: whoever started it waits for it, and .NET's Process ends us when it cannot.
            return new RunningApplication(target, target.RootPid, root, copy, isChild: false);
        }

        try
        {
            int mainPid = FindMain(target);
            SafeFileHandle main = Descriptors.Own(OpenPidfd(mainPid), "process.gone", $"pid {mainPid}");
            // Still a child of the init after the pidfd was opened: it is the one that the init spoke of.
            if (ProcessIdentity.Read(mainPid)?.ParentPid != target.RootPid)
            {
                main.Dispose();
                throw new BridgeException("process.gone", $"pid {mainPid}", "the main process ended meanwhile");
            }

            bool isChild = ProcessIdentity.Read(target.RootPid)?.ParentPid == Environment.ProcessId;
            return new RunningApplication(target, mainPid, root, main, isChild);
        }
        catch (BridgeException) when (Descriptors.Wait(Descriptors.Number(root), -1, POLLIN, TimeSpan.FromSeconds(1)) != 0)
        {
            // It ended while we looked.
            root.Dispose();
            return Find(target);
        }
        catch
        {
            root.Dispose();
            throw;
        }
    }

    private static int FindMain(ApplicationTarget target)
    {
        using InitClient client = InitClient.Connect(target.InitSocket!);
        InitStatus status = client.Status();
        return status.MainPid > 0 ? status.MainPid : throw new BridgeException("process.gone", "the main process", "it has ended");
    }

    /// <summary>A pidfd of the process with this start time, or null when there is none that lives.</summary>
    private static SafeFileHandle? Open(int pid, ulong startTime)
    {
        int fd = OpenPidfd(pid);
        if (fd < 0)
        {
            return null;
        }

        var handle = new SafeFileHandle(fd, ownsHandle: true);
        if (ProcessIdentity.Read(pid) is { IsDead: false } identity && identity.StartTime == startTime)
        {
            return handle;
        }

        handle.Dispose();
        return null;
    }
}
