using System.Globalization;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Restore;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>Descriptors that signals are read from; see signalfd(2). The signals themselves are pending ones of processes and threads.</summary>
internal sealed class SignalFds : IDescriptorKind
{
    public bool Recognise(DescriptorFacts facts) => facts.IsAnonymous("signalfd");

    public Refusal? Check(DescriptorFacts facts) => facts.Field("sigmask") is null ? facts.Refuse("fd.signalfd", "this kernel does not show its mask", "close it before the checkpoint") : null;

    public OpenFileImage Capture(DescriptorFacts facts) => new SignalFdImage
    {
        Flags = facts.Flags, Mask = ulong.Parse(facts.Field("sigmask")!, NumberStyles.HexNumber, CultureInfo.InvariantCulture),
    };
}

/// <summary>A descriptor that signals are read from.</summary>
internal sealed record SignalFdImage : OpenFileImage
{
    /// <summary>Bit <c>n - 1</c> for signal n.</summary>
    public required ulong Mask { get; init; }

    public override string Description => $"signals {Mask:x16}";

    public override void Restore(SyscallTape tape, int number, RestoreContext context)
    {
        tape.Add("making a signalfd", X64.Signalfd4, ulong.MaxValue, tape.Place(Mask), 8, 0);
        RestoreContext.Place(tape, "a signalfd", number);
        RestoreContext.SetFlags(tape, "a signalfd", number, Flags);
    }
}
