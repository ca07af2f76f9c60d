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

    /// <summary>The program itself, without the wrapper that execs it, for a tracer that lets go at an exec. It is there once the wrapper has run.</summary>
    public static string HoldfastProgram => HoldfastCommand == Path.Combine(Root, "holdfast") ? Path.Combine(Root, ".build", "app", "holdfast") : HoldfastCommand;

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
