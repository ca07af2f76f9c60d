using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Capture;

/// <summary>The rows of a check of an application.</summary>
internal static class ApplicationCheck
{
    public static IEnumerable<CheckRow> Rows(IReadOnlyList<ProcessInspection> inspections, IReadOnlyList<Refusal> refusals)
    {
        foreach (ProcessInspection inspection in inspections)
        {
            int pid = inspection.View.InnerPid;
            yield return new CheckRow(
                $"pid {pid}", CheckVerdict.Yes,
                inspection.IsZombie ? $"{inspection.View.Stat.Name}, ended" : $"{inspection.View.Stat.Name}, {inspection.Threads.Count} threads, {inspection.Areas.Count} areas of memory");
            foreach (DescriptorFacts facts in inspection.Descriptors.Where(facts => !refusals.Any(r => r.Pid == pid && r.Descriptor == facts.Number)))
            {
                bool inherited = DescriptorKinds.Of(facts) is InheritedStreams;
                yield return new CheckRow(
                    $"pid {pid} fd {facts.Number}", inherited ? CheckVerdict.Caveat : CheckVerdict.Yes,
                    inherited ? $"{facts.Link}: a restore attaches its own standard stream" : facts.Link);
            }
        }

        foreach (Refusal refusal in refusals)
        {
            string subject = refusal.Descriptor is { } number ? $"pid {refusal.Pid} fd {number}" : $"pid {refusal.Pid}";
            yield return new CheckRow(subject, CheckVerdict.No, $"{refusal.What}: {refusal.Why}", refusal.Remedy, refusal.Code);
        }
    }
}
