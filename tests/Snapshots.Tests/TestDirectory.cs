using System.Diagnostics;

namespace Holdfast.Snapshots.Tests;

/// <summary>A directory of one test, removed with the test.</summary>
internal sealed class TestDirectory : IDisposable
{
    public TestDirectory()
    {
        string parent = Directory.Exists("/dev/shm") ? "/dev/shm" : Path.GetTempPath();
        Root = Path.Combine(parent, $"holdfast-snapshots-{Guid.NewGuid():N}");
        Directory.CreateDirectory(Root);
    }

    public string Root { get; }

    public string this[string name] => Path.Combine(Root, name);

    /// <summary>Not with the class library: it cannot delete names that are not UTF-8.</summary>
    public void Dispose()
    {
        using Process process = Process.Start("rm", ["-rf", Root]);
        process.WaitForExit();
    }
}
