using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// System V and POSIX message queues, semaphores and shared memory that live in an IPC namespace rather than in a process (sysvipc(7), mq_overview(7)).
/// They end with the application's own namespace, so an application that has some is refused.
/// </summary>
internal static class InterProcessCommunication
{
    private const int CLONE_NEWNS = 0x00020000, CLONE_NEWIPC = 0x08000000;
    private const ulong MS_REC = 0x4000, MS_PRIVATE = 0x40000;

    // On which the queues are listed, in mount namespaces of our own.
    private const string Place = "/dev";

    private static readonly (string File, string What)[] Lists =
        [("shm", "System V shared memory"), ("sem", "System V semaphores"), ("msg", "a System V message queue")];

    /// <summary>Whether a process has an IPC namespace of its own, compared with ours.</summary>
    public static bool HasOwn(int pid) => ProcFs.TryLink($"/proc/{pid}/ns/ipc") is { } own && own != ProcFs.TryLink("/proc/self/ns/ipc");

    /// <summary>What there is in the namespace of a process.</summary>
    /// <param name="pid">As the host sees it.</param>
    /// <returns>Code and words for each kind that is there.</returns>
    public static List<(string Code, string What)> Objects(int pid)
    {
        List<(string, string)> found = [];
        Thread thread = new(() =>
        {
            // The thread ends afterwards, so nothing else ever runs in the namespaces that it enters.
            int fd = Libc.open($"/proc/{pid}/ns/ipc", Libc.O_RDONLY | Libc.O_CLOEXEC, 0);
            if (fd < 0 || Libc.setns(fd, CLONE_NEWIPC) < 0)
            {
                found.Add(("rights.missing", "its IPC namespace may not be entered"));
                _ = fd >= 0 ? Libc.close(fd) : 0;
                return;
            }

            _ = Libc.close(fd);
            foreach ((string file, string what) in Lists)
            {
                // The first line is the heading.
                if (ProcFs.TryText("/proc/sysvipc/" + file) is { } text && text.TrimEnd().Contains('\n'))
                {
                    found.Add(("ipc.sysv", what));
                }
            }

            if (Libc.unshare(CLONE_NEWNS) == 0 && Libc.mount("none", "/", null, MS_REC | MS_PRIVATE, 0) == 0 && Libc.mount("mqueue", Place, "mqueue", 0, 0) == 0
                && Directory.EnumerateFileSystemEntries(Place).Any())
            {
                found.Add(("ipc.queue", "a POSIX message queue"));
            }
        });
        thread.Start();
        thread.Join();
        return found;
    }
}
