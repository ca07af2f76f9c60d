namespace Holdfast.EndToEnd.Tests.Support;

/// <summary>
/// The work directory of one program, its protocol, and beside it a store and a place for the output of commands. Its path is the
/// mark by which the test's processes are found.
/// </summary>
internal sealed class WorkDirectory : IDisposable
{
    private readonly string _top;
    private HashSet<string> _remembered = [];

    public WorkDirectory()
    {
        _top = Directory.CreateTempSubdirectory("holdfast-e2e-").FullName;
        // Programs that give up root must still reach their work directory.
        File.SetUnixFileMode(_top, (UnixFileMode)0b111_101_101);
        Path = Directory.CreateDirectory(System.IO.Path.Combine(_top, "work")).FullName;
        Store = System.IO.Path.Combine(_top, "store");
        Scratch = Directory.CreateDirectory(System.IO.Path.Combine(_top, "scratch")).FullName;
    }

    public string Path { get; }

    public string Store { get; }

    public string Scratch { get; }

    public string Top => _top;

    public bool Has(string name) => File.Exists(In(name));

    public string In(string name) => System.IO.Path.Combine(Path, name);

    public void Mark(string name) => File.WriteAllText(In(name), "");

    /// <summary>The first line of the program's result, or null while there is none.</summary>
    public string? Result => Has("result") ? File.ReadLines(In("result")).FirstOrDefault() ?? "" : null;

    /// <summary>Remembers which files there are: those of the moment that a checkpoint holds.</summary>
    public void Remember() => _remembered = [.. Files()];

    /// <summary>Removes what came after <see cref="Remember"/>: marks of a future that is not going to happen.</summary>
    public void Forget()
    {
        foreach (var file in Files().Except(_remembered))
        {
            File.Delete(file);
        }
    }

    /// <summary>All that is in the directory, and of files that hold something what would show that they were written. (FIFOs and sockets hold nothing.)</summary>
    public List<string> Listing() =>
    [
        .. new DirectoryInfo(Path).EnumerateFileSystemInfos("*", SearchOption.AllDirectories)
            .Select(entry => entry is FileInfo { LinkTarget: null, Length: > 0 } file
                ? $"{entry.FullName} {entry.UnixFileMode} {file.Length} {entry.LastWriteTimeUtc.Ticks}"
                : $"{entry.FullName} {entry.UnixFileMode}")
            .Order(StringComparer.Ordinal),
    ];

    public void Dispose()
    {
        try
        {
            Directory.Delete(_top, true);
        }
        catch (IOException)
        {
            // A process that was just killed may have added a file; the directory is under /tmp.
        }
    }

    private string[] Files() => Directory.GetFiles(Path, "*", SearchOption.AllDirectories);
}
