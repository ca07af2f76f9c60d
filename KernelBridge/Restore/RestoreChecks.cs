using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Restore;

/// <summary>Questions that resources ask before anything is built: whether files and devices are still what they were.</summary>
internal sealed class RestoreChecks(ApplicationImage image, ChangedFiles rule, IReadOnlyList<string> volumes, bool rehearses)
{
    private readonly HashSet<string> seen = [];
    private readonly HashSet<string> own =
        [.. image.GhostFiles.Where(ghost => ghost.Named).Select(ghost => ghost.Path), .. image.SharedMemoryFolders.Select(folder => folder.Path)];

    private readonly bool sameMachine = image.Host.MachineId == HostFacts.MachineId();

    public ApplicationImage Image => image;

    /// <summary>Files to cut back to the size that they had, by path.</summary>
    public Dictionary<string, long> Truncations { get; } = [];

    /// <summary>Sockets of the image that need not be made: they are still there.</summary>
    public HashSet<long> KeptSockets { get; init; } = [];

    /// <summary>Who can let rings count on; null where nobody can.</summary>
    public IRingKeeper? Rings { get; init; }

    /// <summary>The volumes have been put back: now what lies in them is looked at, and nothing else again.</summary>
    public bool VolumesAreBack { get; set; }

    private static bool IsBelow(string path, string directory) =>
        path.StartsWith(directory, StringComparison.Ordinal) && (path.Length == directory.Length || path[directory.Length] == '/');

    private bool IsInVolume(string path) => volumes.Any(volume => IsBelow(path, volume));

    /// <summary>Whether it is not the time to look at a path: what is in a volume is looked at once that is back; in a rehearsal, as it is.</summary>
    public bool IsLeftOut(string path) => own.Contains(path) || (IsInVolume(path) ? !VolumesAreBack && !rehearses : VolumesAreBack);

    /// <summary>A regular file that is opened by its path.</summary>
    /// <param name="path">The path.</param>
    /// <param name="was">What it was at capture.</param>
    /// <param name="mustBeUnchanged">Whether it was open for writing or mapped, so that other contents would not fit the memory.</param>
    /// <param name="writable">Whether the application may write to it. For programs and libraries a new ctime alone means a new link or owner, not new contents.</param>
    /// <param name="appendOnly">Whether it was open for appending.</param>
    public IEnumerable<Refusal> File(string path, FileIdentity was, bool mustBeUnchanged, bool writable, bool appendOnly = false)
    {
        if (IsLeftOut(path))
        {
            return [];
        }

        bool inVolume = IsInVolume(path);
        FileIdentity? now = FileIdentity.TryOf(path);
        if (now is null || now.Type != FileIdentity.Regular)
        {
            return inVolume && rehearses
                ? Once(path, "file.missing", "it is not in its volume now; a restore puts it back, a rehearsal changes nothing", "restore")
                : Once(path, "file.missing", "it is not there", "put it back");
        }

        if (inVolume)
        {
            // It was made anew: neither its inode nor the time of its making is what it was.
            return rehearses || !mustBeUnchanged || (now.Size == was.Size && now.ModifiedNanoseconds == was.ModifiedNanoseconds)
                ? []
                : Once(path, "volume.differs", "what was put back of its volume is not what the memory belongs to", "restore another snapshot");
        }

        if (!mustBeUnchanged || rule == ChangedFiles.AsIs)
        {
            return [];
        }

        if (rule == ChangedFiles.Truncate && appendOnly && now.SameFile(was) && now.Size >= was.Size)
        {
            Truncations[path] = was.Size;
            return [];
        }

        string? change =
            now.Size != was.Size ? $"its size is {now.Size}, it was {was.Size}"
            : now.ModifiedNanoseconds != was.ModifiedNanoseconds ? "it was written to"
            : sameMachine && now.Inode != was.Inode ? "it is another file"
            : sameMachine && writable && now.ChangedNanoseconds != was.ChangedNanoseconds ? "it was changed"
            : null;
        return change is null
            ? []
            : Once(path, "file.changed", $"{change} since the snapshot, whose memory would not fit it", "put it back, or restore with --files as-is (or --files truncate for logs)");
    }

    /// <summary>A file whose times do not tell whether it changed.</summary>
    public IEnumerable<Refusal> Contents(string path, byte[] digest)
    {
        if (IsLeftOut(path) || (IsInVolume(path) ? rehearses : rule == ChangedFiles.AsIs) || FileIdentity.TryOf(path) is not { Type: FileIdentity.Regular } now)
        {
            return [];
        }

        return ContentDigest.Of(path, now) is not { } found || found.AsSpan().SequenceEqual(digest)
            ? []
            : Once(path, "file.changed", "it was written to through a mapping since the snapshot, whose memory would not fit it", "put it back, or restore with --files as-is");
    }

    /// <summary>A directory for a deleted file's contents.</summary>
    public IEnumerable<Refusal> GhostDirectory(string path)
    {
        string directory = Path.GetDirectoryName(path) ?? "/";
        return path.StartsWith(Memfds.Prefix, StringComparison.Ordinal) ? []
            : !MakesUnnamedFiles(directory) ? Once(path, "file.unnamed", "its file system makes no files without a name (O_TMPFILE; overlays before Linux 6.3)", "keep files that are deleted while open in another file system, such as tmpfs")
            : Exists(directory, FileIdentity.DirectoryType);
    }

    /// <summary>Something of that name, whatever it is.</summary>
    public IEnumerable<Refusal> Exists(string path) => IsLeftOut(path) || FileIdentity.TryOfLink(path) is not null ? [] : Once(path, "file.missing", "it is not there", "put it back");

    public IEnumerable<Refusal> Exists(string path, uint type) =>
        IsLeftOut(path) || (type == FileIdentity.SymbolicLink ? FileIdentity.TryOfLink(path) : FileIdentity.TryOf(path))?.Type == type ? [] : Once(path, "file.missing", "it is not there, or of another kind", "put it back");

    public IEnumerable<Refusal> Device(string path, ulong device) =>
        IsLeftOut(path) || FileIdentity.TryOf(path) is { Type: FileIdentity.CharacterDevice } now && now.RawDevice == device
            ? []
            : Once(path, "device.missing", "it is not there, or another device", "make the device node");

    /// <summary>A deleted file is never made under a name, which would stay if the restore died between that and its removal.</summary>
    private static bool MakesUnnamedFiles(string directory)
    {
        int file = Libc.open(directory, Libc.O_TMPFILE | Libc.O_RDWR | Libc.O_CLOEXEC, 0x180);
        bool made = file >= 0 || Libc.LastError != Errno.EOPNOTSUPP;
        _ = file >= 0 ? Libc.close(file) : 0;
        return made;
    }

    public Refusal Invalid(string what) => new("image.invalid", 0, null, what, "the image is not valid", "restore another snapshot");

    private IEnumerable<Refusal> Once(string path, string code, string why, string remedy) =>
        seen.Add(path) ? [new Refusal(code, 0, null, path, why, remedy)] : [];
}
