using Holdfast.Runtime.Native;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Storage;

/// <summary>Which directories can be volumes of an application, and whether they may be put back.</summary>
internal static class VolumePaths
{
    // What lies there is the kernel's, or the application has one of its own.
    private static readonly string[] NotFiles = ["/proc", "/sys", "/dev"];

    /// <summary>The directories as they are kept: absolute, without symbolic links.</summary>
    /// <param name="given">What was named.</param>
    /// <param name="store">The store.</param>
    /// <param name="name">The application.</param>
    /// <exception cref="HoldfastException">One cannot be a volume (<c>volume.*</c>).</exception>
    public static IReadOnlyList<string> Checked(IEnumerable<string> given, Store store, string name)
    {
        List<string> all = [];
        foreach (string path in given)
        {
            string real = RealPath(path) ?? throw Wrong("volume.missing", $"--volume {path}: there is no such directory; make it first");
            if (all.FirstOrDefault(other => Overlap(other, real)) is { } other)
            {
                throw Wrong("volume.overlap", $"--volume {path}: it overlaps with the volume {other}; name the one around it only");
            }

            if (File.Exists(Path.Combine(real, Volumes.UnfinishedMark)))
            {
                throw Wrong(
                    "volume.unfinished",
                    $"--volume {path}: a restore put it back only in part; finish it with 'holdfast restore', or remove {Volumes.UnfinishedMark} when its files are as they should be");
            }

            RequirePossible(real, store);
            all.Add(real);
        }

        RequireUnshared(all, store, name);
        return all;
    }

    /// <summary>Whether the volumes of a snapshot may be put back here.</summary>
    /// <param name="paths">Their paths.</param>
    /// <param name="store">The store.</param>
    /// <param name="name">The application.</param>
    /// <param name="before">Its record; null when it never ran here.</param>
    /// <exception cref="HoldfastException">One may not (<c>volume.*</c>).</exception>
    public static void RequireRestorable(IReadOnlyList<string> paths, Store store, string name, ApplicationRecord? before)
    {
        foreach (string path in paths)
        {
            RequirePossible(path, store);
            if (before?.Volumes.Contains(path) == true || !Directory.Exists(path) || File.Exists(Path.Combine(path, Volumes.UnfinishedMark)))
            {
                continue;
            }

            if (Directory.EnumerateFileSystemEntries(path).Any())
            {
                throw Wrong(
                    "volume.foreign",
                    $"{path} is a volume of the snapshot, and holds files although {name} never ran in this store with it: a restore would remove them; move them away first");
            }
        }

        RequireUnshared(paths, store, name);
    }

    private static void RequirePossible(string path, Store store)
    {
        if (path == "/" || NotFiles.Any(n => IsBelow(path, n)))
        {
            throw Wrong("volume.place", $"{path} cannot be a volume: it is {(path == "/" ? "everything" : "no directory of files that stay")}; name the directory of the application's own files");
        }

        string root = RealPath(store.Root) ?? store.Root;
        if (Overlap(path, root))
        {
            throw Wrong("volume.store", $"{path} cannot be a volume: the store {root} is {(IsBelow(root, path) ? "inside of it" : "around it")}; name another store with --store, or another directory");
        }
    }

    private static void RequireUnshared(IReadOnlyList<string> paths, Store store, string name)
    {
        foreach ((_, ApplicationRecord other) in store.AllApplications().Where(a => a.Record.Name != name && a.Record.Volumes.Count > 0))
        {
            if (paths.FirstOrDefault(p => other.Volumes.Any(v => Overlap(p, v))) is { } shared && ApplicationDirectory.Runs(other))
            {
                throw Wrong("volume.shared", $"{shared} overlaps with a volume of {other.Name}, which runs: to put one back would change the files of the other; end {other.Name} first");
            }
        }
    }

    private static bool Overlap(string a, string b) => IsBelow(a, b) || IsBelow(b, a);

    private static bool IsBelow(string path, string directory) => $"{path}/".StartsWith($"{directory.TrimEnd('/')}/", StringComparison.Ordinal);

    /// <summary>Where a directory is when all symbolic links are followed; null when there is none.</summary>
    private static string? RealPath(string path)
    {
        int fd = Libc.open(Path.GetFullPath(path), Libc.O_PATH | Libc.O_DIRECTORY | Libc.O_CLOEXEC, 0);
        if (fd < 0)
        {
            return null;
        }

        try
        {
            return new FileInfo($"/proc/self/fd/{fd}").LinkTarget;
        }
        finally
        {
            _ = Libc.close(fd);
        }
    }

    private static HoldfastException Wrong(string code, string message) => new(code, message);
}
