namespace Holdfast.EndToEnd.Tests.Support;

/// <summary>The programs, compiled once for a test run, those that changed only.</summary>
internal static class BuiltPrograms
{
    private static readonly Lazy<string> States = new(() => Build("build.sh", Path.Combine(Repository.Root, ".build", "programs")));
    private static readonly Lazy<string> Samples =
        new(() => Build(Path.Combine("applications", "build.sh"), Path.Combine(Repository.Root, ".build", "applications")));

    public static string StateProgram(string name) => Path.Combine(States.Value, name);

    /// <returns>The path, or null when the language it is written in is not installed.</returns>
    public static string? Application(string name) =>
        Path.Combine(Samples.Value, name) is var path && File.Exists(path) ? path : null;

    private static string Build(string script, string output)
    {
        Directory.CreateDirectory(output);
        new CommandRunner(Path.GetTempPath(), new Dictionary<string, string>()).Run(TimeSpan.FromMinutes(5), Path.Combine(Repository.Programs, script), output).Required();
        return output;
    }
}
