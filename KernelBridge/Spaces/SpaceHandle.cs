using Microsoft.Win32.SafeHandles;

namespace Holdfast.KernelBridge.Spaces;

/// <summary>
/// A space that came up and is not committed yet: when this process dies, or the handle is disposed without <see cref="Commit"/>,
/// everything in the space is killed.
/// </summary>
internal sealed class SpaceHandle : IDisposable
{
    private readonly RunningApplication application;
    private readonly SafeFileHandle lifeline;
    private bool committed;

    /// <summary>Wraps what was started.</summary>
    public SpaceHandle(RunningApplication application, int mainPidInside, SafeFileHandle lifeline)
    {
        this.application = application;
        this.lifeline = lifeline;
        MainPidInside = mainPidInside;
    }

    /// <summary>How to find the application again, once it is committed.</summary>
    public ApplicationTarget Target => application.Target;

    /// <summary>Host pid of the main process or root stub.</summary>
    public int MainPid => application.MainPid;

    /// <summary>Its pid inside the space.</summary>
    public int MainPidInside { get; }

    /// <summary>Host pid of the init.</summary>
    public int InitPid => application.Target.RootPid;

    /// <summary>The group of the application, or null where it has none.</summary>
    public string? CgroupPath => application.Target.CgroupPath;

    /// <summary>From now on the space lives on without this process.</summary>
    /// <returns>The application; the caller disposes it.</returns>
    public IRunningApplication Commit()
    {
        ObjectDisposedException.ThrowIf(lifeline.IsClosed, this);
        try
        {
            Descriptors.WriteAll(lifeline, "c"u8);
        }
        catch (BridgeException)
        {
            // EPIPE: a short program has ended already, and its init with it. Its Exited tells.
        }

        committed = true;
        lifeline.Dispose();
        return application;
    }

    /// <summary>Kills the space and removes it, unless it is committed.</summary>
    public void Dispose()
    {
        if (committed)
        {
            return;
        }

        lifeline.Dispose();
        application.Kill();
        if (application.Target.ExitFile is { } exit)
        {
            File.Delete(exit);
        }

        application.Dispose();
    }
}
