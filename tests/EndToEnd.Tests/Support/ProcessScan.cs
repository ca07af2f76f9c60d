using System.Globalization;
using System.Runtime.InteropServices;
using System.Text;

namespace Holdfast.EndToEnd.Tests.Support;

/// <summary>One thread as /proc/PID/task/TID/status shows it.</summary>
internal sealed record ThreadStatus(int Tid, char State, int TracerPid, string BlockedSignals, string Name);

/// <summary>One process that carries a test's mark.</summary>
internal sealed record MarkedProcess(int Pid, int Parent, IReadOnlyList<int> NamespacePids, string Executable, string CommandLine, char State)
{
    /// <summary>The pid as the application sees it.</summary>
    public int InnerPid => NamespacePids.Count > 0 ? NamespacePids[^1] : Pid;

    /// <summary>The init of a virtualisation space: pid 1 of an inner pid namespace.</summary>
    public bool IsSpaceInit => NamespacePids.Count > 1 && InnerPid == 1;

    /// <summary>Holdfast's own: its program, the runtime that hosts it, the shell that wraps it.</summary>
    public bool IsHoldfast { get; init; }

    public bool IsApplication => !IsSpaceInit && !IsHoldfast;
}

/// <summary>
/// Finds the processes of one test by a mark in their environment (a path that no other test has), and never by name.
/// </summary>
internal static partial class ProcessScan
{
    public const string MarkVariable = "HOLDFAST_TEST_MARK";

    private const int SIGKILL = 9;
    private const int SIGSTOP = 19;

    /// <summary>Everything alive that carries the mark, Holdfast's own processes included; zombies have no environment and are not here.</summary>
    public static IReadOnlyList<MarkedProcess> Marked(string mark)
    {
        List<MarkedProcess> found = [];
        foreach (var directory in Directory.EnumerateDirectories("/proc"))
        {
            if (!int.TryParse(Path.GetFileName(directory), NumberStyles.None, CultureInfo.InvariantCulture, out var pid) || pid == Environment.ProcessId)
            {
                continue;
            }

            if (Look(pid, mark) is { } process)
            {
                found.Add(process);
            }
        }

        return found;
    }

    public static IReadOnlyList<MarkedProcess> Application(string mark) => [.. Marked(mark).Where(p => p.IsApplication)];

    /// <summary>The pids of a process's children, whatever can be read of them.</summary>
    public static IReadOnlyList<int> Children(int pid) =>
    [
        .. Directory.EnumerateFiles($"/proc/{pid}/task", "children", new EnumerationOptions { RecurseSubdirectories = true, MaxRecursionDepth = 1 })
            .SelectMany(file => File.ReadAllText(file).Split(' ', StringSplitOptions.RemoveEmptyEntries)).Select(text => int.Parse(text, CultureInfo.InvariantCulture)),
    ];

    public static IReadOnlyList<ThreadStatus> Threads(int pid)
    {
        List<ThreadStatus> threads = [];
        try
        {
            foreach (var task in Directory.EnumerateDirectories($"/proc/{pid}/task"))
            {
                var fields = Fields(Path.Combine(task, "status"));
                threads.Add(new ThreadStatus(
                    int.Parse(Path.GetFileName(task), CultureInfo.InvariantCulture),
                    fields.GetValueOrDefault("State", "?")[0],
                    int.Parse(fields.GetValueOrDefault("TracerPid", "0"), CultureInfo.InvariantCulture),
                    fields.GetValueOrDefault("SigBlk", ""),
                    fields.GetValueOrDefault("Name", "")));
            }
        }
        catch (IOException)
        {
            // It ended while it was looked at.
        }

        return threads;
    }

    /// <summary>
    /// Ends everything that carries the mark, and the inits of their spaces, until nothing is left. All are stopped before the first is
    /// killed, as a loss of power would: otherwise one that lives a moment longer sees the end of another's pipe and acts on it.
    /// </summary>
    public static void KillAll(string mark) =>
        Until.Holds(
            () =>
            {
                var all = Marked(mark);
                foreach (var process in all)
                {
                    _ = SendSignal(process.Pid, SIGSTOP);
                }

                foreach (var process in all)
                {
                    if (Look(process.Parent, "") is { IsSpaceInit: true } init)
                    {
                        Kill(init.Pid);
                    }

                    Kill(process.Pid);
                }

                return all.Count == 0;
            },
            TimeSpan.FromSeconds(30));

    public static void Kill(int pid)
    {
        if (pid > 1)
        {
            _ = SendSignal(pid, SIGKILL);
        }
    }

    private static MarkedProcess? Look(int pid, string mark)
    {
        try
        {
            var fields = Fields($"/proc/{pid}/status");
            var state = fields.GetValueOrDefault("State", "?")[0];
            var source = $"/proc/{pid}";
            if (state is 'Z' or 'X')
            {
                // A main thread may have ended while others go on; these still have the memory to read from.
                if (Threads(pid).FirstOrDefault(thread => thread.State is not ('Z' or 'X')) is not { } alive)
                {
                    return null;
                }

                source = $"/proc/{pid}/task/{alive.Tid}";
            }

            var commandLine = Encoding.UTF8.GetString(File.ReadAllBytes($"{source}/cmdline")).Replace('\0', ' ').Trim();
            var environment = Encoding.UTF8.GetString(File.ReadAllBytes($"{source}/environ"));
            if (mark.Length > 0 && !environment.Contains(mark, StringComparison.Ordinal) && !commandLine.Contains(mark, StringComparison.Ordinal))
            {
                return null;
            }

            var executable = File.ResolveLinkTarget($"{source}/exe", false)?.FullName ?? "";
            var parent = int.Parse(fields.GetValueOrDefault("PPid", "0"), CultureInfo.InvariantCulture);
            int[] inner = [.. fields.GetValueOrDefault("NSpid", "").Split('\t', StringSplitOptions.RemoveEmptyEntries).Select(text => int.Parse(text, CultureInfo.InvariantCulture))];
            return new MarkedProcess(pid, parent, inner, executable, commandLine, state) { IsHoldfast = IsHoldfast(executable, commandLine) };
        }
        catch (Exception gone) when (gone is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }

    private static bool IsHoldfast(string executable, string commandLine)
    {
        var name = Path.GetFileName(executable);
        return name.StartsWith("dotnet", StringComparison.Ordinal)
            || name.StartsWith("holdfast", StringComparison.OrdinalIgnoreCase)
            || name.StartsWith("strace", StringComparison.Ordinal)
            || commandLine.Contains(Repository.HoldfastCommand, StringComparison.Ordinal);
    }

    private static Dictionary<string, string> Fields(string path)
    {
        Dictionary<string, string> fields = [];
        foreach (var line in File.ReadAllLines(path))
        {
            var colon = line.IndexOf(':', StringComparison.Ordinal);
            if (colon > 0)
            {
                fields[line[..colon]] = line[(colon + 1)..].Trim();
            }
        }

        return fields;
    }

    [LibraryImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static partial int SendSignal(int pid, int signal);
}
