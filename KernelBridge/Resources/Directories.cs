using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Restore;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>Open directories with their position in the listing.</summary>
internal sealed class Directories : IDescriptorKind
{
    public bool Recognise(DescriptorFacts facts) => facts.Identity.Type == FileIdentity.DirectoryType;

    public Refusal? Check(DescriptorFacts facts) =>
        facts.Deleted ? facts.Refuse("directory.deleted", "the directory was removed", "close it before the checkpoint") : null;

    public OpenFileImage Capture(DescriptorFacts facts) => new DirectoryImage { Flags = facts.Flags, Path = facts.Path, Position = facts.Position };
}

/// <summary>An open directory.</summary>
internal sealed record DirectoryImage : OpenFileImage
{
    public required string Path { get; init; }

    public required long Position { get; init; }

    public override string Description => $"directory {Path}";

    public override IEnumerable<Refusal> CheckRestore(RestoreChecks checks) => checks.Exists(Path, FileIdentity.DirectoryType);

    public override void Restore(SyscallTape tape, int number, RestoreContext context)
    {
        context.OpenAs(tape, Path, Flags, number);
        if (Position != 0)
        {
            tape.Add($"seeking in {Path}", X64.Lseek, (ulong)number, (ulong)Position, 0);
        }
    }
}
