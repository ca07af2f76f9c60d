namespace Holdfast.KernelBridge.Linux;

/// <summary>The IPC namespace of a process, seen from inside; see ipc_namespaces(7).</summary>
internal static class IpcNamespace
{
    /// <summary>Whether a process has an IPC namespace of its own, compared with ours.</summary>
    public static bool HasOwn(int pid) => ProcFs.TryLink($"/proc/{pid}/ns/ipc") is { } own && own != ProcFs.TryLink("/proc/self/ns/ipc");

    /// <summary>Asks something in the namespace of a process.</summary>
    /// <param name="pid">As the host sees it.</param>
    /// <param name="question">Runs on a thread of a <see cref="NamespaceVisitor"/>.</param>
    /// <exception cref="BridgeException"><c>rights.missing</c>, or what the question throws.</exception>
    public static T Ask<T>(int pid, Func<T> question) => NamespaceVisitor.Ask(pid, "ipc", question);

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
