namespace Holdfast.Runtime.Native;

/// <summary>Finds a program as execvp(3) does, to tell "not found" from "cannot be executed" before anything is started.</summary>
internal static class ProgramFile
{
    private const int X_OK = 1;

    public static void Check(string program)
    {
        if (program.Length == 0)
        {
            throw new HoldfastException("exec.not_found", "the command is empty", ExitStatus.NotFound);
        }

        string? denied = null;
        foreach (string candidate in Candidates(program))
        {
            if (File.Exists(candidate) && Libc.access(candidate, X_OK) == 0)
            {
                return;
            }

            denied ??= File.Exists(candidate) || Directory.Exists(candidate) ? candidate : null;
        }

        throw denied is null
            ? new HoldfastException("exec.not_found", $"{program}: not found; check the spelling and PATH", ExitStatus.NotFound)
            : new HoldfastException("exec.not_executable", $"{denied}: is not an executable file", ExitStatus.CannotExecute);
    }

    private static IEnumerable<string> Candidates(string program) => program.Contains('/')
        ? [program]
        : (Environment.GetEnvironmentVariable("PATH") ?? "/usr/local/bin:/usr/bin:/bin").Split(':').Select(d => Path.Combine(d.Length == 0 ? "." : d, program));
}
