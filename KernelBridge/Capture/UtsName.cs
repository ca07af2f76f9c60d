using System.Text;
using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Capture;

/// <summary>Asks for the host name of another process's UTS namespace by entering it for a moment on a thread of its own (setns(2)).</summary>
internal static unsafe partial class UtsName
{
    private const int CLONE_NEWUTS = 0x04000000;

    /// <summary>The host name, or null when the namespace may not be entered.</summary>
    public static string? Of(int pid)
    {
        string? name = null;
        Thread thread = new(() =>
        {
            // The thread ends afterwards, so nothing else ever runs in the other namespace.
            int fd = Libc.open($"/proc/{pid}/ns/uts", Libc.O_RDONLY | Libc.O_CLOEXEC, 0);
            if (fd >= 0)
            {
                byte* buffer = stackalloc byte[256];
                if (setns(fd, CLONE_NEWUTS) == 0 && gethostname(buffer, 256) == 0)
                {
                    name = Encoding.UTF8.GetString(new ReadOnlySpan<byte>(buffer, 256)[..new ReadOnlySpan<byte>(buffer, 256).IndexOf((byte)0)]);
                }

                _ = Libc.close(fd);
            }
        });
        thread.Start();
        thread.Join();
        return name;
    }

    [System.Runtime.InteropServices.LibraryImport("libc", SetLastError = true)]
    private static partial int setns(int fd, int type);

    [System.Runtime.InteropServices.LibraryImport("libc", SetLastError = true)]
    private static partial int gethostname(byte* name, nuint length);
}
