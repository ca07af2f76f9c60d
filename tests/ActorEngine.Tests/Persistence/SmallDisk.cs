using System.Diagnostics;
using Xunit.Sdk;

namespace Holdfast.ActorEngine.Tests.Persistence;

/// <summary>A file system of a megabyte that can be filled. Only root can make one; without, the test is skipped.</summary>
internal sealed class SmallDisk : IDisposable
{
    private readonly string _filler;

    public SmallDisk()
    {
        Path = Directory.CreateTempSubdirectory("holdfast-disk-").FullName;
        _filler = System.IO.Path.Combine(Path, "filler");
        if (Run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", Path) != 0)
        {
            Directory.Delete(Path);
            throw SkipException.ForSkip("cannot mount a small file system here (that takes root)");
        }
    }

    public string Path { get; }

    /// <summary>Leaves no room.</summary>
    public void Fill()
    {
        var block = new byte[4096];
        using var file = new FileStream(_filler, FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 0);
        try
        {
            while (true)
            {
                file.Write(block);
            }
        }
        catch (IOException)
        {
            // Full.
        }
    }

    public void MakeRoom() => File.Delete(_filler);

    public void Dispose()
    {
        // Lazily: the database may still have its files open for a moment.
        _ = Run("umount", "-l", Path);
        Directory.Delete(Path, recursive: true);
    }

    private static int Run(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
        process.WaitForExit();
        return process.ExitCode;
    }
}
