namespace Holdfast.Architecture.Tests;

/// <summary>Where the sources are: above this test's own build.</summary>
internal static class Repository
{
    public static string Root { get; } = Find();

    private static string Find()
    {
        for (DirectoryInfo? directory = new(AppContext.BaseDirectory); directory is not null; directory = directory.Parent)
        {
            if (File.Exists(Path.Combine(directory.FullName, "Runtime.sln")))
            {
                return directory.FullName;
            }
        }

        throw new DirectoryNotFoundException("Runtime.sln is in no directory above the test");
    }
}
