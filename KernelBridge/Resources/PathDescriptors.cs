using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Restore;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>Descriptors that only name a place in the file system (O_PATH of open(2)), whatever is there.</summary>
internal sealed class PathDescriptors : IDescriptorKind
{
    public bool Recognise(DescriptorFacts facts) => (facts.Flags & Libc.O_PATH) != 0;

    public Refusal? Check(DescriptorFacts facts) =>
        facts.Deleted || !facts.Link.StartsWith('/') ? facts.Refuse("path.deleted", "what it named is gone", "close it before the checkpoint") : null;

    public OpenFileImage Capture(DescriptorFacts facts) => new PathDescriptorImage { Flags = facts.Flags, Path = facts.Path, Type = facts.Identity.Type };
}

/// <summary>A descriptor of O_PATH.</summary>
internal sealed record PathDescriptorImage : OpenFileImage
{
    public required string Path { get; init; }

    /// <summary>File type, as in st_mode.</summary>
    public required uint Type { get; init; }

    public override string Description => $"path {Path}";

    public override IEnumerable<Refusal> CheckRestore(RestoreChecks checks) => checks.Exists(Path, Type);

    public override void Restore(SyscallTape tape, int number, RestoreContext context) =>
        context.OpenAs(tape, Path, Flags | (Type == FileIdentity.SymbolicLink ? Libc.O_NOFOLLOW : 0), number);
}
