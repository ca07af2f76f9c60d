using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Ptrace;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.CharDevice;

/// <summary>
/// Seccomp filters of a process that stands: the kernel gives them to a tracer only (PTRACE_SECCOMP_GET_FILTER of ptrace(2)), no function that a module may call does. A process that
/// has some is traced for the moment in which they are read. It does not run meanwhile: from the freezer's stop its threads go into the tracer's, and from that into the freezer's again.
/// </summary>
internal static class DeviceFilters
{
    /// <summary>Reads them.</summary>
    /// <param name="session">The session that has the process, which stands.</param>
    /// <param name="inspection">The process.</param>
    /// <param name="bound">How long the threads may take to stand under the tracer, and then again without it.</param>
    /// <param name="refusals">Takes why they cannot be kept.</param>
    /// <returns>Null with a refusal.</returns>
    /// <exception cref="BridgeException">A thread did not stand in time, or somebody else traces it.</exception>
    public static SeccompFilterSets? Read(CkptSession session, ProcessInspection inspection, TimeSpan bound, List<Refusal> refusals)
    {
        long end = Environment.TickCount64 + (long)bound.TotalMilliseconds;
        List<Tracee> traced = [];
        try
        {
            foreach ((int tid, _) in inspection.Threads)
            {
                if (Tracee.Seize(inspection.View.Pid, tid, 0) is { } thread)
                {
                    traced.Add(thread);
                    thread.Interrupt();
                }
            }

            traced.ForEach(thread => thread.WaitUntilStands(end));
            return SeccompFilterSets.Read(inspection.View, inspection.Threads, refusals);
        }
        finally
        {
            traced.ForEach(thread => _ = thread.Release());
            session.AwaitStanding(inspection.View.Pid, end);
        }
    }
}
