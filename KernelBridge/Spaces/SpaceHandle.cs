namespace Holdfast.KernelBridge.Spaces;

/// <summary>
/// A space that came up: when this process dies, or the handle is disposed without <see cref="HandOver"/>, everything in the space is killed.
/// </summary>
internal sealed class SpaceHandle : IDisposable
{
    private readonly RunningApplication application;
    private bool handedOver;

    /// <summary>Wraps what was started.</summary>
    public SpaceHandle(RunningApplication application, int mainPidInside)
    {
        this.application = application;
        MainPidInside = mainPidInside;
    }

    /// <summary>How to find the application again, once it is kept.</summary>
    public ApplicationTarget Target => application.Target;

    /// <summary>Host pid of the main process or root stub.</summary>
    public int MainPid => application.MainPid;

    /// <summary>Its pid inside the space.</summary>
    public int MainPidInside { get; }

    /// <summary>Host pid of the init.</summary>
    public int InitPid => application.Target.RootPid;

    /// <summary>The group of the application, or null where it has none.</summary>
    public string? CgroupPath => application.Target.CgroupPath;

    /// <summary>Gives the application away; the space still dies with this process until <see cref="IRunningApplication.Keep"/>.</summary>
    /// <returns>The application; the caller disposes it.</returns>
    public IRunningApplication HandOver()
    {
        ObjectDisposedException.ThrowIf(handedOver, this);
        handedOver = true;
        return application;
    }

    /// <summary>Kills the space and removes it, unless it is handed over.</summary>
    public void Dispose()
    {
        if (handedOver)
        {
            return;
        }

        application.Kill();
        if (application.Target.ExitFile is { } exit)
        {
            File.Delete(exit);
        }

        application.Dispose();
    }
}
