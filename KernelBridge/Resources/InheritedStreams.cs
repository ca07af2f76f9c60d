using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Restore;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// Terminals that the application was started on. A restore attaches whatever its own standard streams are.
/// (Pipes from outside become inherited streams too: <see cref="Pipes"/>.)
/// </summary>
internal sealed class InheritedStreams : IDescriptorKind
{
    /// <summary>What becomes of any standard stream that leads outside.</summary>
    public const string Attached = "a restore attaches its own standard stream";

    public bool Recognise(DescriptorFacts facts) =>
        facts.Identity.Type == FileIdentity.CharacterDevice
        && (facts.Identity.RawDevice >> 32) switch
        {
            4 or (>= 136 and <= 143) => true,
            5 => (facts.Identity.RawDevice & 0xffffffff) is 0 or 1,
            _ => false,
        };

    public Refusal? Check(DescriptorFacts facts) => null;

    public string? Caveat(DescriptorFacts facts) => Attached;

    public OpenFileImage Capture(DescriptorFacts facts) => new InheritedStreamImage
    {
        Flags = facts.Flags, Stream = Math.Min(facts.Number, 2), Was = facts.Link,
    };
}

/// <summary>A standard stream of whoever started the application.</summary>
internal sealed record InheritedStreamImage : OpenFileImage
{
    /// <summary>0, 1 or 2.</summary>
    public required int Stream { get; init; }

    /// <summary>What it was.</summary>
    public required string Was { get; init; }

    public override string Description => $"inherited stream {Stream} ({Was})";

    public override IEnumerable<Refusal> CheckRestore(RestoreChecks checks) => Stream is >= 0 and <= 2 ? [] : [checks.Invalid($"inherited stream {Stream}")];

    public override void Restore(SyscallTape tape, int number, RestoreContext context) =>
        tape.Add($"attaching stream {Stream}", X64.Dup2, (ulong)Stream, (ulong)number);
}
