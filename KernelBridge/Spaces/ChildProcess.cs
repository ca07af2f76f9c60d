using System.Runtime.InteropServices;
using static Holdfast.KernelBridge.Spaces.SpaceNative;

namespace Holdfast.KernelBridge.Spaces;

/// <summary>Waiting for a child of this process. See waitid(2).</summary>
internal static class ChildProcess
{
    /// <summary>Waits for a child's end and reaps it.</summary>
    /// <returns>0–255, or 128+n when signal n killed it; null when it is no child of ours, or was reaped by someone else.</returns>
    public static int? Reap(int pid)
    {
        var information = default(WaitInformation);
        while (WaitId(P_PID, pid, ref information, WEXITED | WALL) < 0)
        {
            int error = Marshal.GetLastPInvokeError();
            if (error == ECHILD)
            {
                return null;
            }

            if (error != EINTR)
            {
                throw Descriptors.Failure("process.wait", $"waiting for pid {pid}", error);
            }
        }

        return information.Code == CLD_EXITED ? information.Status & 0xff : 128 + information.Status;
    }
}
