using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Restore;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>Memory devices without state: null, zero, full, random, urandom (mem(4), null(4), random(4)).</summary>
internal sealed class Devices : IDescriptorKind
{
    private const ulong MemoryMajor = 1ul << 32;

    public bool Recognise(DescriptorFacts facts) =>
        facts.Identity.Type == FileIdentity.CharacterDevice
        && (facts.Identity.RawDevice is (MemoryMajor | 3) or (MemoryMajor | 5) or (MemoryMajor | 7) or (MemoryMajor | 8) or (MemoryMajor | 9));

    public Refusal? Check(DescriptorFacts facts) => facts.Deleted ? facts.Refuse("device.deleted", "its node was removed", "close it before the checkpoint") : null;

    public OpenFileImage Capture(DescriptorFacts facts) => new DeviceImage { Flags = facts.Flags, Path = facts.Path, Device = facts.Identity.RawDevice };
}

/// <summary>An open device without state.</summary>
internal sealed record DeviceImage : OpenFileImage
{
    public required string Path { get; init; }

    /// <summary>As in <see cref="FileIdentity.Device"/>.</summary>
    public required ulong Device { get; init; }

    public override string Description => $"device {Path}";

    public override IEnumerable<Refusal> CheckRestore(RestoreChecks checks) => checks.Device(Path, Device);

    public override void Restore(SyscallTape tape, int number, RestoreContext context) => context.OpenAs(tape, Path, Flags, number);
}
