using System.Runtime.ExceptionServices;

namespace Holdfast.KernelBridge.Linux;

/// <summary>The IPC namespace of a process, seen from inside; see ipc_namespaces(7).</summary>
internal static class IpcNamespace
{
    private const int CLONE_NEWIPC = 0x08000000;

    /// <summary>Whether a process has an IPC namespace of its own, compared with ours.</summary>
    public static bool HasOwn(int pid) => ProcFs.TryLink($"/proc/{pid}/ns/ipc") is { } own && own != ProcFs.TryLink("/proc/self/ns/ipc");

    /// <summary>Asks something in the namespace of a process.</summary>
    /// <param name="pid">As the host sees it.</param>
    /// <param name="question">Runs on a thread of its own, which ends afterwards: nothing else ever runs in the namespaces that it enters.</param>
    /// <exception cref="BridgeException"><c>rights.missing</c>, or what the question throws.</exception>
    public static T Ask<T>(int pid, Func<T> question)
    {
        T? answer = default;
        ExceptionDispatchInfo? failure = null;
        Thread thread = new(() =>
        {
            int fd = Libc.open($"/proc/{pid}/ns/ipc", Libc.O_RDONLY | Libc.O_CLOEXEC, 0);
            try
            {
                answer = fd >= 0 && Libc.setns(fd, CLONE_NEWIPC) == 0
                    ? question()
                    : throw new BridgeException("rights.missing", $"entering the IPC namespace of process {pid}", Errno.Text(Libc.LastError), "run as root or with CAP_SYS_ADMIN");
            }
            catch (Exception e)
            {
                // Thrown again where it was asked.
                failure = ExceptionDispatchInfo.Capture(e);
            }
            finally
            {
                _ = fd >= 0 ? Libc.close(fd) : 0;
            }
        });
        thread.Start();
        thread.Join();
        failure?.Throw();
        return answer!;
    }

    /// <summary>The lines of a list of /proc/sysvipc, of whichever namespace the thread is in, in numbers.</summary>
    /// <param name="list"><c>shm</c>, <c>sem</c> or <c>msg</c>.</param>
    public static List<long[]> List(string list)
    {
        List<long[]> lines = [];
        foreach (string line in (ProcFs.TryText("/proc/sysvipc/" + list) ?? string.Empty).Split('\n', StringSplitOptions.RemoveEmptyEntries).Skip(1))
        {
            string[] words = line.Split(' ', StringSplitOptions.RemoveEmptyEntries);
            // Permissions, the third word, are octal.
            lines.Add([.. words.Select((word, i) => i == 2 ? Convert.ToInt64(word, 8) : long.Parse(word, System.Globalization.CultureInfo.InvariantCulture))]);
        }

        return lines;
    }
}
