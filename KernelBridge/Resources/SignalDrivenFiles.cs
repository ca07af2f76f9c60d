using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Restore;
using Holdfast.KernelBridge.Spaces;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// Signal-driven I/O (fcntl(2), <i>Managing signals</i>): who gets a signal when an open file is ready or a socket has urgent data, and which.
/// It belongs to the open file description.
/// </summary>
internal static class SignalDrivenFiles
{
    /// <summary>O_ASYNC of fcntl(2). Given to open(2) it would be set without any effect, so it is never among the flags of an image.</summary>
    public const int O_ASYNC = 0x2000;

    private const int F_SETSIG = 10, F_SETOWN_EX = 15;

    // What fcntl(2) F_SETFL would take away if it were not said again; O_NOATIME is the last.
    private const int Kept = Libc.O_APPEND | Libc.O_NONBLOCK | Libc.O_DIRECT | 0x40000;

    /// <summary>What there is to capture of an owner.</summary>
    /// <param name="owner">As the kernel names it: none that is gone, but still what kind it was of.</param>
    /// <param name="async">Whether O_ASYNC is among the flags of the open file.</param>
    /// <returns>With the host's number of the owner; null for a file that sends no signals and has nothing set.</returns>
    public static SignalDrivenImage? Of(in FileOwner owner, bool async) => (owner.Kind, owner.Number, owner.Signal) == default && !async
        ? null
        : new SignalDrivenImage((SignalOwnerKind)owner.Kind, owner.Number, owner.Signal, async, owner.Number == 0 ? 0 : owner.User, owner.Number == 0 ? 0 : owner.EffectiveUser);

    /// <summary>What of it cannot be captured.</summary>
    /// <param name="inspections">All processes.</param>
    /// <param name="scope">How the application was found.</param>
    /// <param name="namespaces">Their pid namespaces.</param>
    /// <param name="comesFromOutside">Whether a descriptor is a stream of whoever started the application.</param>
    public static IEnumerable<Refusal> Refusals(IReadOnlyList<ProcessInspection> inspections, ApplicationScope scope, PidNamespaces namespaces, Func<DescriptorFacts, bool> comesFromOutside)
    {
        List<DescriptorFacts> all = [.. inspections.SelectMany(inspection => inspection.Descriptors).Where(facts => facts.Signals is not null)];
        foreach (DescriptorFacts facts in all)
        {
            if (comesFromOutside(facts))
            {
                // What kind of owner it had is left when it has none any more.
                if (facts.Signals is { Owner: 0, Signal: 0, Async: false })
                {
                    continue;
                }

                yield return facts.Refuse(
                    "fd.async", "signals are sent about a stream that whoever started the application may share (O_ASYNC, F_SETOWN or F_SETSIG)", "clear them before the checkpoint");
            }
            else if (facts.Identity.Type == FileIdentity.DirectoryType)
            {
                yield return facts.Refuse("fd.owner", "a process gets signals about changes in it (F_NOTIFY), which no interface shows", "close it before the checkpoint");
            }
            else if (facts.Signals!.Owner != 0 && !Belongs(facts.Signals, inspections, scope))
            {
                yield return facts.Refuse(
                    "fd.owner", $"{Name(facts.Signals.Kind)} {facts.Signals.Owner}, which is not part of the application, gets signals about it (F_SETOWN)",
                    "set an owner inside the application before the checkpoint");
            }
            else if (facts.Signals.Owner != 0 && namespaces.Any && !all.Exists(other => other.IsSameFile(facts) && Sees(other.Pid, facts.Signals, inspections, namespaces)))
            {
                yield return facts.Refuse(
                    "fd.owner", $"{Name(facts.Signals.Kind)} {facts.Signals.Owner}, which gets signals about it (F_SETOWN), is in a pid namespace that nobody sees who has it open",
                    "set an owner in the same pid namespace before the checkpoint");
            }
        }
    }

    /// <summary>The same with the application's own number of the owner.</summary>
    public static SignalDrivenImage? OfFile(DescriptorFacts facts, IEnumerable<ProcessImage> processes, PidReference reference) => facts.Signals is not { Owner: not 0 } signals
        ? facts.Signals
        : signals with
        {
            Owner = signals.Kind == SignalOwnerKind.Group
                ? processes.First(process => ProcessStat.TryRead(process.HostPid) is { } stat && stat.ProcessGroup == signals.Owner).ProcessGroup
                : reference.Number(signals.Owner),
        };

    /// <summary>Whether an open file's can be restored: somebody has it, and its owner is in the image.</summary>
    public static bool IsValid(ApplicationImage image, int index) => image.OpenFiles[index] is var file && (file.Flags & O_ASYNC) == 0 && (file.Signals is null
        || (file.Signals.Signal is >= 0 and <= 64 && HasOwner(image, file.Signals)
            && image.Processes.Any(process => process.ZombieStatus is null && process.Descriptors.Any(descriptor => descriptor.File == index) && OwnerFor(image, process, file.Signals) is not null)));

    /// <summary>The owner's number for a process that is to set it; null where that does not see the owner.</summary>
    public static int? OwnerFor(ApplicationImage image, ProcessImage process, SignalDrivenImage signals) => signals.Owner == 0 ? 0 : signals.Kind switch
    {
        SignalOwnerKind.Group => PidNumbers.OfGroup(image, process, signals.Owner),
        SignalOwnerKind.Process => PidNumbers.OfProcess(image, process, signals.Owner),
        _ => PidNumbers.OfThread(image, process, signals.Owner),
    } is > 0 and var number ? number : null;

    /// <summary>Composes what sets it again, in a process that has the file as its own descriptor, when all processes and threads are there.</summary>
    /// <param name="tape">The process's tape.</param>
    /// <param name="file">The file.</param>
    /// <param name="number">The process's descriptor.</param>
    /// <param name="owner">The owner's number for the process.</param>
    public static void Restore(SyscallTape tape, OpenFileImage file, int number, int owner)
    {
        SignalDrivenImage signals = file.Signals!;
        string what = file.Description;
        if (signals.Signal != 0)
        {
            tape.Add($"signal of {what}", X64.Fcntl, (ulong)number, F_SETSIG, (ulong)signals.Signal);
        }

        if (signals.Async)
        {
            // For a terminal this makes an owner, where there is none: before the owner is set.
            tape.Add($"signals about {what}", X64.Fcntl, (ulong)number, Pipes.F_SETFL, (ulong)((file.Flags & Kept) | O_ASYNC));
        }

        // May a signal be sent? That is decided by the user who set the owner. The saved id keeps the way back.
        uint self = (uint)Authority.Own.User;
        bool asUser = signals.Owner != 0 && (signals.User != self || signals.EffectiveUser != self);
        if (asUser)
        {
            tape.Add($"user who set the owner of {what}", X64.Setresuid, signals.User, signals.EffectiveUser, self);
        }

        tape.Add($"owner of {what}", X64.Fcntl, (ulong)number, F_SETOWN_EX, tape.Place(((int)signals.Kind, owner)));
        if (asUser)
        {
            tape.Add("back to the builder's user", X64.Setresuid, self, self, self);
        }
    }

    private static bool HasOwner(ApplicationImage image, SignalDrivenImage signals) => signals switch
    {
        { Owner: 0 } => Enum.IsDefined(signals.Kind),
        { Kind: SignalOwnerKind.Thread, Owner: var tid } => image.Processes.Any(process => process.Pid == tid || process.Threads.Any(thread => thread.Tid == tid)),
        { Kind: SignalOwnerKind.Process, Owner: var pid } => image.Processes.Any(process => process.Pid == pid),
        { Kind: SignalOwnerKind.Group, Owner: > 1 and var group } => image.Processes.Any(process => process.ProcessGroup == group),
        _ => false,
    };

    private static bool Belongs(SignalDrivenImage signals, IReadOnlyList<ProcessInspection> inspections, ApplicationScope scope)
    {
        if (signals.Kind != SignalOwnerKind.Group)
        {
            return inspections.Any(inspection => inspection.View.Pid == signals.Owner || (signals.Kind == SignalOwnerKind.Thread && inspection.Threads.Exists(thread => thread.Tid == signals.Owner)));
        }

        // A group that the application was born into is its starter's, and another one after a restore.
        ProcessInspection? member = inspections.FirstOrDefault(inspection => inspection.View.Stat.ProcessGroup == signals.Owner);
        return member is not null && member.View.Group > 1
            && (scope == ApplicationScope.Space || inspections[0].View.Stat.ProcessGroup != signals.Owner || inspections.Any(inspection => inspection.View.Pid == signals.Owner));
    }

    /// <summary>Whether a process could name the owner.</summary>
    private static bool Sees(int holder, SignalDrivenImage signals, IReadOnlyList<ProcessInspection> inspections, PidNamespaces namespaces) => inspections.Any(inspection =>
        signals.Kind == SignalOwnerKind.Group
            ? inspection.View.Stat.ProcessGroup == signals.Owner && namespaces.IsSeen(holder, inspection.View.Pid, at => at.Group)
            : (inspection.View.Pid == signals.Owner || inspection.Threads.Exists(thread => thread.Tid == signals.Owner)) && namespaces.IsSeen(holder, inspection.View.Pid, at => at.Pid));

    private static string Name(SignalOwnerKind kind) => kind switch { SignalOwnerKind.Thread => "thread", SignalOwnerKind.Group => "process group", _ => "process" };
}

/// <summary>Kinds of owners, numbered as F_OWNER_TID, F_OWNER_PID and F_OWNER_PGRP of fcntl(2).</summary>
internal enum SignalOwnerKind
{
    /// <summary>A thread.</summary>
    Thread,

    /// <summary>A process.</summary>
    Process,

    /// <summary>A process group.</summary>
    Group,
}

/// <summary>Signals about an open file.</summary>
/// <param name="Kind">What the owner is.</param>
/// <param name="Owner">Its number; 0 for none, or one that is gone.</param>
/// <param name="Signal">F_SETSIG; 0 for SIGIO without further information.</param>
/// <param name="Async">O_ASYNC: they are sent when it is ready.</param>
/// <param name="User">The real user id of who set the owner, by which the kernel decides whether a signal may be sent.</param>
/// <param name="EffectiveUser">The effective one.</param>
internal sealed record SignalDrivenImage(SignalOwnerKind Kind, int Owner, int Signal, bool Async, uint User, uint EffectiveUser);
