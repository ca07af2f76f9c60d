using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using static Holdfast.KernelBridge.Spaces.SpaceNative;

namespace Holdfast.KernelBridge.Spaces;

/// <summary>An application that runs: a space with its init, or a tree of host processes. A thread of its own waits for the root's end.</summary>
internal sealed class RunningApplication : IRunningApplication
{
    private static readonly TimeSpan orderlyEnd = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan forcedEnd = TimeSpan.FromSeconds(30);

    private readonly TaskCompletionSource<int> exited = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly SafeFileHandle root;
    private readonly SafeFileHandle main;
    private readonly SafeFileHandle wake;
    private readonly bool isChild;
    private readonly SafeFileHandle? lifeline;
    private int disposed;

    /// <summary>Takes over the descriptors and begins to wait.</summary>
    /// <param name="target">What the application is.</param>
    /// <param name="mainPid">Host pid of the main process.</param>
    /// <param name="root">A pidfd of the space's init or the tree's root.</param>
    /// <param name="main">A pidfd of the main process; may be another handle of the same process.</param>
    /// <param name="isChild">Whether the root is a child of this process that nobody else reaps; then this does.</param>
    /// <param name="lifeline">The pipe whose end kills the space until <see cref="Keep"/>; null when it is kept already.</param>
    public RunningApplication(
        ApplicationTarget target, int mainPid, SafeFileHandle root, SafeFileHandle main, bool isChild, SafeFileHandle? lifeline = null)
    {
        Target = target;
        MainPid = mainPid;
        this.root = root;
        this.main = main;
        this.isChild = isChild;
        this.lifeline = lifeline;
        wake = Descriptors.Own(EventFd(0, O_CLOEXEC), "space.eventfd", "eventfd");
        // Who starts a thread waits until it runs: nobody needs this one at once.
        ThreadPool.UnsafeQueueUserWorkItem(
            static application => new Thread(application.WaitForEnd, maxStackSize: 256 * 1024) { IsBackground = true, Name = $"wait for pid {application.Target.RootPid}" }.Start(), this, preferLocal: false);
    }

    /// <inheritdoc/>
    public ApplicationTarget Target { get; }

    /// <inheritdoc/>
    public int MainPid { get; }

    /// <inheritdoc/>
    public Task<int> Exited => exited.Task;

    /// <inheritdoc/>
    public void Keep()
    {
        if (lifeline is null || lifeline.IsClosed)
        {
            return;
        }

        try
        {
            Descriptors.WriteAll(lifeline, "c"u8);
        }
        catch (BridgeException)
        {
            // EPIPE: a short program has ended already, and its init with it. Exited tells.
        }

        lifeline.Dispose();
    }

    /// <inheritdoc/>
    /// <remarks>Does nothing when the main process has ended.</remarks>
    /// <exception cref="BridgeException">The signal does not exist, or may not be sent.</exception>
    public void Signal(int signal) => Send(main, signal, $"signal {signal} to pid {MainPid}");

    /// <inheritdoc/>
    /// <remarks>Does nothing when it has ended.</remarks>
    /// <exception cref="BridgeException">Something did not end within half a minute (<c>kill.timeout</c>).</exception>
    public void Kill()
    {
        if (Target.CgroupPath is { } group)
        {
            KillGroup(group);
        }
        else if (Target.Scope == ApplicationScope.Space)
        {
            KillThroughInit();
        }

        if (Target.Scope == ApplicationScope.Tree)
        {
            ProcessTree.Kill(Target.RootPid, Target.RootStartTime, forcedEnd);
        }
        else if (!exited.Task.Wait(orderlyEnd))
        {
            // Its end takes everything in its pid namespace along; only the exit file stays empty.
            Send(root, SIGKILL, $"SIGKILL to pid {Target.RootPid}");
        }

        if (!exited.Task.Wait(forcedEnd))
        {
            throw new BridgeException("kill.timeout", $"killing pid {Target.RootPid}", "it did not end; a process in an uninterruptible wait cannot be killed");
        }

        if (!SpaceRemains.Remove(CgroupTree.Of(Target.CgroupPath), Target.InitSocket))
        {
            throw new BridgeException("kill.timeout", $"removing {Target.CgroupPath}", "something in it did not end");
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (Interlocked.Exchange(ref disposed, 1) != 0)
        {
            return;
        }

        main.Dispose();
        lifeline?.Dispose();
        // A child must be reaped whoever still asks: there the thread waits on. It closes what it uses itself.
        if (!isChild)
        {
            bool added = false;
            try
            {
                wake.DangerousAddRef(ref added);
                Descriptors.WriteAll(wake, BitConverter.GetBytes(1UL));
            }
            catch (ObjectDisposedException)
            {
                // It ended at this moment, and the thread with it.
            }
            finally
            {
                if (added)
                {
                    wake.DangerousRelease();
                }
            }
        }
    }

    private static void Send(SafeFileHandle pidfd, int signal, string what)
    {
        bool added = false;
        try
        {
            pidfd.DangerousAddRef(ref added);
            if (SendSignal(Descriptors.Number(pidfd), signal) < 0 && Marshal.GetLastPInvokeError() is int error and not ESRCH)
            {
                throw Descriptors.Failure("signal.refused", what, error);
            }
        }
        catch (ObjectDisposedException)
        {
            // Closed when the process had ended.
        }
        finally
        {
            if (added)
            {
                pidfd.DangerousRelease();
            }
        }
    }

    private static void KillGroup(string group)
    {
        try
        {
            File.WriteAllText(Path.Combine(group, "cgroup.kill"), "1");
        }
        catch (IOException)
        {
            // Gone with the application, or a kernel before 5.14: what follows kills one by one.
        }
        catch (UnauthorizedAccessException)
        {
            // The file does not exist there (cgroupfs does not let files be made).
        }
    }

    private void KillThroughInit()
    {
        try
        {
            using InitClient client = InitClient.Connect(Target.InitSocket!);
            client.Kill();
        }
        catch (BridgeException)
        {
            // An init that does not answer is killed itself.
        }
    }

    private void WaitForEnd()
    {
        int events = Descriptors.Wait(Descriptors.Number(root), isChild ? -1 : Descriptors.Number(wake), POLLIN, Timeout.InfiniteTimeSpan);
        if ((events & 1) != 0)
        {
            int? status = isChild ? ChildProcess.Reap(Target.RootPid) : null;
            status ??= ExitInformation.Of(Target.RootPid, Target.RootStartTime, root);
            if (Target.ExitFile is { } file && ExitFile.Read(file) is { } recorded)
            {
                status = recorded;
            }

            if (Target.Scope == ApplicationScope.Space)
            {
                RemoveRemains();
            }

            exited.SetResult(status ?? -1);
        }
        else
        {
            exited.SetCanceled();
        }

        root.Dispose();
        wake.Dispose();
    }

    private void RemoveRemains()
    {
        try
        {
            SpaceRemains.Remove(CgroupTree.Of(Target.CgroupPath), Target.InitSocket);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            // Someone else is removing the same, or a read-only file system: the end itself must still be told.
        }
    }
}
