using Microsoft.Win32.SafeHandles;

namespace Holdfast.KernelBridge.Spaces;

/// <summary>
/// A root stub without a space. It is killed when the handle is disposed without <see cref="Keep"/>; until it is seized with
/// PTRACE_O_EXITKILL it outlives this process.
/// </summary>
internal sealed class StubHandle(int pid, SafeFileHandle pidfd) : IDisposable
{
    private bool kept;

    /// <summary>Its pid, a child of this process.</summary>
    public int Pid => pid;

    /// <summary>It is the application now: disposing the handle leaves it alone.</summary>
    public void Keep() => kept = true;

    /// <summary>Kills and reaps it, unless it is kept.</summary>
    public void Dispose()
    {
        if (pidfd.IsClosed)
        {
            return;
        }

        if (!kept)
        {
            SpaceNative.SendSignal(Descriptors.Number(pidfd), SpaceNative.SIGKILL);
            ChildProcess.Reap(pid);
        }

        pidfd.Dispose();
    }
}
