using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using Holdfast.Runtime.Cli;
using Holdfast.Runtime.Native;

namespace Holdfast.Runtime.Supervision;

/// <summary>What a detached supervisor tells the command that started it, once.</summary>
internal sealed record DetachedReport(StartedJson? Started = null, RestoreJson? Restored = null, ErrorJson? Error = null, int ErrorStatus = 0, string Detail = "");

/// <summary>
/// A supervisor in the background: this program again, with the same arguments, in a session of its own. It reports over a pipe when the
/// application runs, so that the command that started it can end with what came of it.
/// </summary>
internal static unsafe class Detached
{
    /// <summary>The descriptor of the pipe in the background process.</summary>
    public const int ReportFd = 3;

    private const short POSIX_SPAWN_SETSIGDEF = 0x04;
    private const short POSIX_SPAWN_SETSIGMASK = 0x08;
    private const short POSIX_SPAWN_SETSID = 0x80;

    /// <summary>Starts it and waits for its report.</summary>
    /// <param name="arguments">The arguments of this program, complete.</param>
    /// <param name="log">Where standard output and error go, or null for nowhere.</param>
    public static DetachedReport Start(IReadOnlyList<string> arguments, string? log)
    {
        int* pipe = stackalloc int[2];
        if (Libc.pipe2(pipe, Libc.O_CLOEXEC) != 0)
        {
            throw new HoldfastException("detach.failed", $"no pipe could be made: {Libc.LastError()}");
        }

        int pid;
        try
        {
            pid = Spawn([.. Self(), .. arguments], pipe[1], log);
        }
        catch
        {
            _ = Libc.close(pipe[0]);
            throw;
        }
        finally
        {
            _ = Libc.close(pipe[1]);
        }

        byte[] report = ReadToEnd(pipe[0]);
        _ = Libc.close(pipe[0]);
        return (report.Length == 0 ? null : JsonSerializer.Deserialize(report, ProtocolJson.Default.DetachedReport))
            ?? throw new HoldfastException("detach.failed", $"the supervisor (pid {pid}) ended before the application ran; run it without --detach to see why");
    }

    /// <summary>Sends the report and closes the pipe: the command that waits for it ends.</summary>
    public static void Report(int fd, DetachedReport report)
    {
        Libc.WriteAll(fd, JsonSerializer.SerializeToUtf8Bytes(report, ProtocolJson.Default.DetachedReport));
        _ = Libc.close(fd);
    }

    // Started as "dotnet holdfast.dll", the program is the first argument's file; as an executable, it is itself.
    private static string[] Self()
    {
        string self = Environment.ProcessPath ?? throw new HoldfastException("detach.failed", "this program's own file is unknown");
        return Path.GetFileNameWithoutExtension(self) == "dotnet" ? [self, Path.Combine(AppContext.BaseDirectory, "holdfast.dll")] : [self];
    }

    private static int Spawn(string[] arguments, int pipe, string? log)
    {
        // posix_spawn_file_actions_t, posix_spawnattr_t and sigset_t are 80, 336 and 128 bytes in glibc; more does no harm.
        byte* actions = stackalloc byte[512];
        byte* attributes = stackalloc byte[1024];
        byte* signals = stackalloc byte[256];
        _ = Libc.posix_spawn_file_actions_init(actions);
        _ = Libc.posix_spawnattr_init(attributes);
        byte*[] argv = Strings(arguments);
        byte*[] environment = Strings(Environment.GetEnvironmentVariables().Keys.Cast<string>().Select(k => $"{k}={Environment.GetEnvironmentVariable(k)}"));
        try
        {
            _ = Libc.posix_spawn_file_actions_addopen(actions, 0, "/dev/null", Libc.O_RDONLY, 0);
            _ = Libc.posix_spawn_file_actions_addopen(actions, 1, log ?? "/dev/null", Libc.O_WRONLY | Libc.O_CREAT | Libc.O_APPEND, 0x1A4);
            _ = Libc.posix_spawn_file_actions_adddup2(actions, 1, 2);
            _ = Libc.posix_spawn_file_actions_adddup2(actions, pipe, ReportFd);
            _ = Libc.sigemptyset(signals);
            _ = Libc.posix_spawnattr_setsigmask(attributes, signals);
            _ = Libc.sigfillset(signals);
            _ = Libc.posix_spawnattr_setsigdefault(attributes, signals);
            _ = Libc.posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSID | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
            int pid;
            int error;
            fixed (byte** args = argv)
            fixed (byte** env = environment)
            {
                error = Libc.posix_spawn(&pid, arguments[0], actions, attributes, args, env);
            }

            return error == 0
                ? pid
                : throw new HoldfastException("detach.failed", $"no supervisor could be started: {Marshal.GetPInvokeErrorMessage(error)}{(log is null ? "" : $" (log {log})")}");
        }
        finally
        {
            _ = Libc.posix_spawn_file_actions_destroy(actions);
            _ = Libc.posix_spawnattr_destroy(attributes);
            Free(argv);
            Free(environment);
        }
    }

    private static byte*[] Strings(IEnumerable<string> values)
    {
        string[] all = [.. values];
        byte*[] pointers = new byte*[all.Length + 1];
        for (int i = 0; i < all.Length; i++)
        {
            pointers[i] = (byte*)Marshal.StringToCoTaskMemUTF8(all[i]);
        }

        return pointers;
    }

    private static void Free(byte*[] pointers)
    {
        foreach (byte* pointer in pointers)
        {
            Marshal.FreeCoTaskMem((nint)pointer);
        }
    }

    private static byte[] ReadToEnd(int fd)
    {
        using MemoryStream all = new();
        byte[] buffer = new byte[4096];
        while (true)
        {
            nint n;
            fixed (byte* p = buffer)
            {
                n = Libc.read(fd, p, buffer.Length);
            }

            if (n > 0)
            {
                all.Write(buffer, 0, (int)n);
            }
            else if (n == 0 || Marshal.GetLastPInvokeError() != Libc.EINTR)
            {
                return all.ToArray();
            }
        }
    }
}
