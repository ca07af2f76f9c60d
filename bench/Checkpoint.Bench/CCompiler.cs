using System.Diagnostics;

namespace Holdfast.Checkpoint.Bench;

/// <summary>Programs that have to be faster than an interpreter: compiled by the machine's C compiler.</summary>
internal static class CCompiler
{
    public static bool IsInstalled => (Environment.GetEnvironmentVariable("PATH") ?? string.Empty).Split(':').Any(at => File.Exists(Path.Combine(at, "cc")));

    /// <summary>Compiles a program.</summary>
    /// <returns>The program's path.</returns>
    /// <exception cref="BenchException">There is no C compiler, or it does not like it.</exception>
    public static string Compile(string directory, string name, string source)
    {
        string program = Path.Combine(directory, name);
        File.WriteAllText(program + ".c", source);
        ProcessStartInfo start = new("/bin/sh") { ArgumentList = { "-c", "exec cc -O2 -o \"$0\" \"$0.c\"", program }, RedirectStandardError = true };
        using Process process = Process.Start(start) ?? throw new BenchException("/bin/sh did not start");
        string errors = process.StandardError.ReadToEnd();
        process.WaitForExit();
        return process.ExitCode == 0 ? program : throw new BenchException($"{name} has to be compiled, and cc says: {errors.Trim()}");
    }
}
