using Holdfast.Runtime.Cli;
using Holdfast.Snapshots;

namespace Holdfast.Runtime.Storage;

/// <summary>What is common to directories, files and block images as storage objects.</summary>
internal static class PathObject
{
    /// <summary>The tag with the path that a snapshot was taken of.</summary>
    public const string PathTag = "path";

    public static CaptureOptions Options(Session session, bool image, string path, bool readAll = false, IReadOnlyDictionary<string, string>? tags = null, string? clones = null, Action<long>? read = null) => new()
    {
        Writer = session.Settings.Storage.Paths,
        AsBlockImage = image,
        Paranoid = readAll,
        CloneDirectory = clones,
        Read = read,
        Tags = new Dictionary<string, string>(tags ?? new Dictionary<string, string>()) { [PathTag] = path },
    };
}
