using System.Globalization;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Restore;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>Event counters and semaphores; see eventfd(2).</summary>
internal sealed class EventFds : IDescriptorKind
{
    public bool Recognise(DescriptorFacts facts) => facts.IsAnonymous("eventfd");

    public Refusal? Check(DescriptorFacts facts) =>
        !SaysWhatItIs(facts) && facts.Carrier is not null ? facts.Refuse("fd.eventfd", "this kernel does not show whether it is a semaphore", "use Linux 6.5 or newer")
        : Count(facts) == ulong.MaxValue ? facts.Refuse("fd.eventfd", "its counter has overflown", "read it before the checkpoint")
        : null;

    public string? Caveat(DescriptorFacts facts) => SaysWhatItIs(facts) ? null
        : "whether it is a semaphore this kernel does not show (before 6.5): it is found out when it stands, by taking from it and giving back, so that an edge-triggered wait for it may end once more";

    /// <summary>Whether this kernel says if it is a semaphore; else <see cref="EventSemaphores"/> finds it out.</summary>
    public static bool SaysWhatItIs(DescriptorFacts facts) => facts.Field("eventfd-semaphore") is not null;

    public OpenFileImage Capture(DescriptorFacts facts) => new EventFdImage { Flags = facts.Flags, Count = Count(facts), Semaphore = facts.Field("eventfd-semaphore") is not (null or "0") };

    /// <summary>What it counts.</summary>
    public static ulong Count(DescriptorFacts facts) => ulong.Parse(facts.Field("eventfd-count") ?? "0", NumberStyles.HexNumber, CultureInfo.InvariantCulture);
}

/// <summary>An event counter.</summary>
internal sealed record EventFdImage : OpenFileImage
{
    /// <summary>What was written and not yet read.</summary>
    public required ulong Count { get; init; }

    /// <summary>EFD_SEMAPHORE: a read takes one.</summary>
    public required bool Semaphore { get; init; }

    public override string Description => $"{(Semaphore ? "event semaphore" : "event counter")} at {Count}";

    public override void Restore(SyscallTape tape, int number, RestoreContext context)
    {
        tape.Add("making an eventfd", X64.Eventfd2, 0, Semaphore ? 1ul : 0);
        RestoreContext.Place(tape, "an eventfd", number);
        if (Count > 0)
        {
            tape.Add("counting an eventfd up", X64.Write, (ulong)number, tape.Place(Count), 8);
        }

        RestoreContext.SetFlags(tape, "an eventfd", number, Flags);
    }
}
