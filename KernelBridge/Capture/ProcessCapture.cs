using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Capture;

/// <summary>What capturing a process that stands is through either bridge.</summary>
internal static class ProcessCapture
{
    /// <summary>Begins the image of a process: what it is, whether it ended or is stopped.</summary>
    /// <param name="application">The checkpoint.</param>
    /// <param name="inspection">The process.</param>
    /// <param name="stoppedBy">The signal of job control that has stopped it, or 0.</param>
    /// <param name="now">The moment to which what is left of timers and waits is to refer, of this host's CLOCK_MONOTONIC, nanoseconds.</param>
    public static ProcessImage Begin(ApplicationCheckpoint application, ProcessInspection inspection, int stoppedBy, long now)
    {
        ProcessView view = inspection.View;
        return new ProcessImage
        {
            Pid = view.InnerPid, HostPid = view.Pid, ParentPid = application.InnerPid(view.Stat.ParentPid),
            ProcessGroup = view.Group, Session = view.Session, Name = view.Stat.Name,
            CommandLine = (ProcFs.TryText($"/proc/{view.Pid}/cmdline") ?? string.Empty).TrimEnd('\0').Replace('\0', ' '),
            CapturedAt = now + inspection.Namespaces.ClockOffsets.Monotonic, CapturedAtHost = now,
            StoppedBy = stoppedBy, StopIsReported = view.Stat.Field(52) == 0,
            ZombieStatus = inspection.IsZombie ? (int)view.Stat.Field(52) : null,
        };
    }

    /// <summary>
    /// Finds guard pages in areas whose pages are not this process's own, which may have some too (kernel 6.15). Those of the others are found as their pages are
    /// pumped: a copy has the same, and to look for them takes as long as to make one.
    /// </summary>
    /// <param name="inspection">The process.</param>
    /// <param name="memory">Its memory.</param>
    /// <param name="all">In all areas at once.</param>
    public static void FindGuards(ProcessInspection inspection, TargetMemory memory, bool all = false)
    {
        if (!PageMap.ShowsGuards)
        {
            return;
        }

        List<Area> areas = inspection.Areas.FindAll(area => area.Kind != AreaKind.Vdso && (all || !area.HasPrivatePages));
        if (areas.Count == 0)
        {
            return;
        }

        using PagePump pump = new(inspection.View.Pid, memory);
        foreach (Area area in areas)
        {
            pump.FindGuards(area);
        }
    }

    /// <summary>Captures what the process has once, beside descriptors and threads.</summary>
    /// <param name="inspection">The process.</param>
    /// <param name="state">What its first thread is asked.</param>
    /// <param name="image">Where it goes.</param>
    public static void Ask(ProcessInspection inspection, IProcessState state, ProcessImage image)
    {
        foreach (IProcessResource resource in ProcessResources.All)
        {
            resource.Capture(inspection.View, state, image);
        }

        image.Memory = AddressSpaces.Capture(inspection.View, inspection.Areas, state);
    }

    /// <summary>Captures its descriptors, with what was found in sockets and counters, and what somebody else knows of rings.</summary>
    public static void Describe(ApplicationCheckpoint application, ProcessInspection inspection, ProcessImage image, IRingKeeper? rings = null) => image.Captured =
        [.. inspection.Descriptors.Select(facts => (facts, With(application, facts, DescriptorKinds.Of(facts)!.Capture(facts), rings)))];

    private static OpenFileImage With(ApplicationCheckpoint application, DescriptorFacts facts, OpenFileImage file, IRingKeeper? rings) =>
        application.EventSemaphores.With(facts, application.SocketQueues.With(facts, rings is null ? file : IoUrings.With(facts, file, rings)));
}
