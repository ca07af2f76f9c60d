namespace Holdfast.EndToEnd.Tests.Support;

/// <summary>Where things are: the repository, its programs, the command under test.</summary>
internal static class Repository
{
    /// <summary>The directory that holds Runtime.sln.</summary>
    public static string Root { get; } = FindRoot();

    public static string Programs => Path.Combine(Root, "tests", "programs");

    /// <summary>The command line under test: HOLDFAST_BIN, else the wrapper at the root of the repository.</summary>
    public static string HoldfastCommand =>
        Environment.GetEnvironmentVariable("HOLDFAST_BIN") is { Length: > 0 } chosen ? chosen : Path.Combine(Root, "holdfast");

    private static string FindRoot()
    {
        for (DirectoryInfo? directory = new(AppContext.BaseDirectory); directory is not null; directory = directory.Parent)
        {
            if (File.Exists(Path.Combine(directory.FullName, "Runtime.sln")))
            {
                return directory.FullName;
            }
        }

        throw new InvalidOperationException($"No Runtime.sln above {AppContext.BaseDirectory}.");
    }
}
