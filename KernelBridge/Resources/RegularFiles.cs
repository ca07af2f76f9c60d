using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Restore;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>Regular files: offset, flags, append; deleted ones with their contents (<see cref="GhostFiles"/>).</summary>
internal sealed class RegularFiles : IDescriptorKind
{
    public bool Recognise(DescriptorFacts facts) =>
        facts.Identity.Type == FileIdentity.Regular && facts.Link.StartsWith('/') && !facts.Link.StartsWith("/memfd:", StringComparison.Ordinal);

    public Refusal? Check(DescriptorFacts facts)
    {
        if (HugePages.IsFile(facts.MagicPath))
        {
            return facts.Refuse(HugePages.Code, "a file of huge pages (hugetlbfs) cannot be captured", "use anonymous memory (MAP_HUGETLB) or a memfd (MFD_HUGETLB)");
        }

        if (facts.Deleted)
        {
            return facts.Identity.Links == 0
                ? null
                : facts.Refuse("file.renamed", "the name it was opened by is gone, but the file has another", "close it, or put the name back");
        }

        // Seen from the process's own root directory and mounts.
        FileIdentity? named = FileIdentity.TryOf($"/proc/{facts.Pid}/root{facts.Path}") ?? FileIdentity.TryOf(facts.Path);
        return named is not null && named.SameFile(facts.Identity)
            ? null
            : facts.Refuse("file.hidden", "its path leads to another file now", "close it, or put the file back");
    }

    public OpenFileImage Capture(DescriptorFacts facts) => new RegularFileImage
    {
        // A file made by O_TMPFILE keeps that flag; opening its contents again with it would make another file.
        Flags = facts.Flags & ~Libc.O_TMPFILE, Path = facts.Path, Position = facts.Position, Identity = facts.Identity, Deleted = facts.Deleted,
    };
}

/// <summary>An open regular file.</summary>
internal sealed record RegularFileImage : OpenFileImage
{
    public required string Path { get; init; }

    public required long Position { get; init; }

    public required FileIdentity Identity { get; init; }

    public required bool Deleted { get; init; }

    public override string Description => $"file {Path}{(Deleted ? " (deleted)" : string.Empty)} at {Position}";

    public override IEnumerable<Refusal> CheckRestore(RestoreChecks checks)
    {
        if (Deleted)
        {
            return checks.GhostDirectory(Path);
        }

        bool writable = (Flags & Libc.O_ACCMODE) != Libc.O_RDONLY;
        return checks.File(Path, Identity, mustBeUnchanged: writable, writable, appendOnly: (Flags & Libc.O_APPEND) != 0);
    }

    public override void Restore(SyscallTape tape, int number, RestoreContext context)
    {
        string path = Deleted ? context.GhostPath(Identity) : Path;
        // shm_open(3) follows no links; what leads to a deleted file is one.
        context.OpenAs(tape, path, Deleted ? Flags & ~Libc.O_NOFOLLOW : Flags, number);
        if (Position != 0)
        {
            tape.Add($"seeking in {Path}", X64.Lseek, (ulong)number, (ulong)Position, 0);
        }
    }
}
