using System.Diagnostics;
using System.Globalization;

namespace Holdfast.Checkpoint.Bench;

/// <summary>
/// What the freeze of an application is held against: what the control group freezer takes to stop it, and a small C loop that stops all its threads by ptrace(2),
/// reads the registers of each, has it make one system call, and lets it go. Both are to the application what a signal is that it ignores.
/// </summary>
internal sealed class Standstill
{
    // Arguments: pids. Prints milliseconds from the first PTRACE_SEIZE to the last PTRACE_DETACH.
    private const string Source = """
        #define _GNU_SOURCE
        #include <dirent.h>
        #include <elf.h>
        #include <stdio.h>
        #include <stdlib.h>
        #include <sys/ptrace.h>
        #include <sys/uio.h>
        #include <sys/user.h>
        #include <sys/wait.h>
        #include <time.h>

        static int tids[1 << 20], count;

        static void fail(const char *what, int tid)
        {
            fprintf(stderr, "%s of %d: ", what, tid);
            perror("");
            exit(1);
        }

        static void stopped(int tid)
        {
            int status;
            if (waitpid(tid, &status, __WALL) != tid || !WIFSTOPPED(status)) fail("stop", tid);
        }

        int main(int argc, char **argv)
        {
            struct timespec from, to;
            for (int i = 1; i < argc; i++) {
                char path[64];
                snprintf(path, sizeof path, "/proc/%s/task", argv[i]);
                DIR *threads = opendir(path);
                if (!threads) fail(path, atoi(argv[i]));
                for (struct dirent *entry; (entry = readdir(threads));)
                    if (entry->d_name[0] != '.' && count < 1 << 20) tids[count++] = atoi(entry->d_name);
                closedir(threads);
            }
            clock_gettime(CLOCK_MONOTONIC, &from);
            for (int i = 0; i < count; i++)
                if (ptrace(PTRACE_SEIZE, tids[i], 0, 0)) fail("seize", tids[i]);
            for (int i = 0; i < count; i++)
                if (ptrace(PTRACE_INTERRUPT, tids[i], 0, 0)) fail("interrupt", tids[i]);
            for (int i = 0; i < count; i++) {
                struct user_regs_struct registers, call;
                struct iovec place = {&registers, sizeof registers}, called = {&call, sizeof call};
                stopped(tids[i]);
                if (ptrace(PTRACE_GETREGSET, tids[i], NT_PRSTATUS, &place)) fail("registers", tids[i]);
                /* All of them wait in a system call: two bytes before where they stand is the instruction. */
                call = registers;
                call.rip -= 2;
                call.rax = 39;
                call.orig_rax = -1;
                if (ptrace(PTRACE_SETREGSET, tids[i], NT_PRSTATUS, &called) || ptrace(PTRACE_SINGLESTEP, tids[i], 0, 0)) fail("call", tids[i]);
                stopped(tids[i]);
                if (ptrace(PTRACE_GETREGSET, tids[i], NT_PRSTATUS, &called) || (long)call.rax <= 0) fail("result", tids[i]);
                if (ptrace(PTRACE_SETREGSET, tids[i], NT_PRSTATUS, &place)) fail("registers back", tids[i]);
            }
            for (int i = 0; i < count; i++)
                if (ptrace(PTRACE_DETACH, tids[i], 0, 0)) fail("detach", tids[i]);
            clock_gettime(CLOCK_MONOTONIC, &to);
            printf("%.6f\n", (to.tv_sec - from.tv_sec) * 1e3 + (to.tv_nsec - from.tv_nsec) / 1e6);
            return 0;
        }
        """;

    private readonly string? _loop;
    private readonly string _pids;
    private readonly string? _group;

    /// <summary>For an application that has all its processes by now.</summary>
    /// <param name="pid">Its first process.</param>
    /// <param name="directory">Where to compile the loop.</param>
    public Standstill(int pid, string directory)
    {
        _pids = string.Join(' ', Tree(pid));
        _loop = CCompiler.IsInstalled ? CCompiler.Compile(directory, "loop", Source) : null;
        string root = File.ReadLines("/proc/mounts").Select(line => line.Split(' ')).FirstOrDefault(words => words[2] == "cgroup2")?[1] ?? "/sys/fs/cgroup";
        string group = root + File.ReadLines($"/proc/{pid}/cgroup").First(line => line.StartsWith("0::", StringComparison.Ordinal))[3..];
        // One that others are in too is not ours to stop.
        _group = File.Exists(Path.Combine(group, "cgroup.freeze"))
            && File.ReadAllLines(Path.Combine(group, "cgroup.procs")).Order().SequenceEqual(_pids.Split(' ').Order()) ? group : null;
    }

    /// <summary>Milliseconds of the loop; NaN without a compiler.</summary>
    public double Loop()
    {
        if (_loop is null)
        {
            return double.NaN;
        }

        using Process loop = Process.Start(new ProcessStartInfo(_loop, _pids) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        string took = loop.StandardOutput.ReadToEnd(), errors = loop.StandardError.ReadToEnd();
        loop.WaitForExit();
        return loop.ExitCode == 0 ? double.Parse(took, CultureInfo.InvariantCulture) : throw new BenchException($"the loop over all threads failed: {errors.Trim()}");
    }

    /// <summary>Milliseconds until the control group says that it is frozen, and has been told to go on; NaN where it has none of its own.</summary>
    public double Freezer()
    {
        if (_group is null)
        {
            return double.NaN;
        }

        string freeze = Path.Combine(_group, "cgroup.freeze"), events = Path.Combine(_group, "cgroup.events");
        long begun = Stopwatch.GetTimestamp();
        File.WriteAllText(freeze, "1");
        while (!File.ReadAllText(events).Contains("frozen 1", StringComparison.Ordinal))
        {
            if (Stopwatch.GetElapsedTime(begun) > TimeSpan.FromSeconds(10))
            {
                File.WriteAllText(freeze, "0");
                throw new BenchException($"{_group} does not freeze");
            }
        }

        double took = Stopwatch.GetElapsedTime(begun).TotalMilliseconds;
        File.WriteAllText(freeze, "0");
        return took;
    }

    private static List<int> Tree(int pid)
    {
        List<int> all = [pid];
        for (int i = 0; i < all.Count; i++)
        {
            foreach (string thread in Directory.EnumerateDirectories($"/proc/{all[i]}/task"))
            {
                all.AddRange(File.ReadAllText(Path.Combine(thread, "children")).Split(' ', StringSplitOptions.RemoveEmptyEntries).Select(int.Parse));
            }
        }

        return all;
    }
}
