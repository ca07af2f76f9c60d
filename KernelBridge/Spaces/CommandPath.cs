namespace Holdfast.KernelBridge.Spaces;

/// <summary>Finds a program as execvp(3) does.</summary>
internal static class CommandPath
{
    /// <summary>Code of the refusal of a program that does not exist: callers exit with 127 as env(1) does.</summary>
    public const string NotFound = "launch.not-found";

    /// <summary>Code of the refusal of a program that cannot be executed: callers exit with 126 as env(1) does.</summary>
    public const string NotExecutable = "launch.not-executable";

    private const string DefaultPath = "/bin:/usr/bin";

    /// <summary>The program's path: what has a slash stays as it is, everything else is looked up in the PATH of the environment given.</summary>
    /// <param name="program">The program as the user wrote it.</param>
    /// <param name="environment">NAME=VALUE strings.</param>
    /// <param name="workingDirectory">What relative entries of PATH are relative to.</param>
    /// <exception cref="BridgeException">
    /// There is none (<see cref="NotFound"/>), or only one that may not be executed (<see cref="NotExecutable"/>).
    /// </exception>
    public static string Resolve(string program, IReadOnlyList<string> environment, string workingDirectory)
    {
        if (program.Contains('/'))
        {
            return program;
        }

        string path = environment.FirstOrDefault(v => v.StartsWith("PATH=", StringComparison.Ordinal))?[5..] ?? DefaultPath;
        bool seen = false;
        foreach (string entry in program.Length == 0 ? [] : path.Split(':'))
        {
            string candidate = Path.Combine(workingDirectory, entry, program);
            if (!File.Exists(candidate))
            {
                continue;
            }

            seen = true;
            if ((File.GetUnixFileMode(candidate) & (UnixFileMode.UserExecute | UnixFileMode.GroupExecute | UnixFileMode.OtherExecute)) != 0)
            {
                return candidate;
            }
        }

        throw seen
            ? new BridgeException(NotExecutable, program, "found in PATH, but it is not executable", "chmod +x it")
            : new BridgeException(NotFound, program, "not found in PATH", "give its path, or set PATH");
    }
}
