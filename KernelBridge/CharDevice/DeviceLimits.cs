using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.CharDevice;

/// <summary>
/// What is otherwise through the device than through ptrace, in a check and in a checkpoint alike: a tracer is no obstacle; what can only be had by calls made inside
/// a process is refused.
/// </summary>
internal static class DeviceLimits
{
    /// <summary>Code of the refusal of an application without a control group of its own.</summary>
    public const string Group = "device.group";

    private const string Remedy = "use the bridge ptrace (holdfast.bridge = ptrace)";

    /// <summary>What a check says of a process that is traced.</summary>
    public const string TracedCaveat = "a debugger traces it: breakpoints that it has set are part of the memory";

    /// <summary>Takes away what the device can do all the same, and adds what it cannot, of one process.</summary>
    /// <param name="inspection">The process.</param>
    /// <param name="refusals">What of it cannot be captured.</param>
    /// <param name="rings">Who knows of rings.</param>
    /// <param name="inFlight">Whether what is in flight in rings counts.</param>
    public static void Adapt(ProcessInspection inspection, List<Refusal> refusals, IRingKeeper rings, bool inFlight)
    {
        // Filters are given to a tracer only: where there is another one, they cannot be had.
        if (!HasFilters(inspection))
        {
            refusals.RemoveAll(refusal => refusal.Code == ProcessAttributes.Traced);
        }

        if (!rings.KnowsContexts && inspection.Areas.Find(area => area.Kind == AreaKind.RequestRing) is { } context)
        {
            refusals.Add(inspection.View.Refuse(AioContexts.Code, $"AIO context at {context.Map.Start:x}", "the module does not know this kernel's, and what is in flight only calls made inside the process tell", Remedy));
        }

        refusals.RemoveAll(refusal => refusal.Code == IoUrings.Code && refusal.Pid == inspection.View.InnerPid);
        refusals.AddRange(inspection.Descriptors.Where(facts => facts.IsAnonymous("io_uring") && facts.IsStillSo()).Select(facts => IoUrings.Look(facts, rings, inFlight)).OfType<Refusal>());
    }

    /// <summary>Whether a process has seccomp filters, for which it is traced for a moment.</summary>
    public static bool HasFilters(ProcessInspection inspection) => !inspection.IsZombie && inspection.Threads.Any(thread => thread.Status.Number("Seccomp") != 0);

    /// <summary>The same, of an application.</summary>
    /// <param name="target">The application.</param>
    /// <param name="inspections">Its processes.</param>
    /// <param name="refusals">What of it cannot be captured.</param>
    /// <param name="rings">Who knows of rings.</param>
    /// <param name="stands">Whether it stands: who holds a ring is counted then.</param>
    public static void Adapt(ApplicationTarget target, IReadOnlyList<ProcessInspection> inspections, List<Refusal> refusals, IRingKeeper rings, bool stands)
    {
        refusals.AddRange(IoUrings.Refusals(inspections, rings, stands));

        if (target.CgroupPath is null)
        {
            refusals.Add(new Refusal(Group, inspections.FirstOrDefault()?.View.InnerPid ?? 0, null, "application", "it has no control group of its own, by which the device brings it to a halt", Remedy));
        }

        refusals.AddRange(inspections.SelectMany(inspection => TerminalOutput.Waiting(inspection.Descriptors)).DistinctBy(master => master.Identity.Inode).Select(master =>
            new Refusal("pty.unread", master.InnerPid, master.ReportedNumber, master.Link, "output waits in it, which shows to its reader only", $"try again, or {Remedy}")));
        refusals.AddRange(inspections.SelectMany(inspection => inspection.Descriptors.Where(TerminalCensus.IsSlave)).DistinctBy(slave => slave.Identity.Inode).Where(TerminalInput.Waits).Select(slave =>
            new Refusal("pty.unread", slave.InnerPid, slave.ReportedNumber, slave.Link, "input waits in it, which shows to its reader only", $"try again, or {Remedy}")));
        refusals.AddRange(PosixQueueContents.Filled(target.RootPid, inspections.SelectMany(inspection => inspection.Descriptors)).Select(queue =>
            new Refusal("ipc.queue", inspections[0].View.InnerPid, null, $"POSIX message queue /{queue.Name}", "messages wait in it, which show to their reader only", $"let a process read them, or {Remedy}")));
    }
}
