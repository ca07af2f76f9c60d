namespace Holdfast.EndToEnd.Tests.Support;

/// <summary>A test of programs that are not there on every machine; without them it is skipped, and says which.</summary>
[AttributeUsage(AttributeTargets.Method)]
internal sealed class InstalledFactAttribute : FactAttribute
{
    /// <param name="programs">Names of programs, which are also those of their Debian packages.</param>
    public InstalledFactAttribute(params string[] programs)
    {
        var directories = (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Append("/usr/sbin");
        var missing = programs.Where(program => !directories.Any(directory => File.Exists(Path.Combine(directory, program)))).ToList();
        if (missing.Count > 0)
        {
            Skip = $"not installed: {string.Join(", ", missing)}";
        }
    }
}
