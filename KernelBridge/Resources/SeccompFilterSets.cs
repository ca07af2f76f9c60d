using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// The seccomp filters of the threads of a process: those that all have in common, which the first thread of a restored process sets before it makes the others, and what each
/// has set for itself on top, which it sets itself. PTRACE_O_SUSPEND_SECCOMP keeps both from the building. What some threads, but not all, share becomes as many filters alike.
/// </summary>
internal sealed class SeccompFilterSets
{
    private readonly Dictionary<int, SeccompFilters> threads = [];

    /// <summary>What all threads have, the oldest first.</summary>
    public IReadOnlyList<SeccompFilterImage> Common { get; private set; } = [];

    /// <summary>Reads the filters of a process whose threads stand.</summary>
    /// <param name="view">The process.</param>
    /// <param name="threads">Its threads, the first one first.</param>
    /// <param name="refusals">Takes why they cannot be captured.</param>
    /// <returns>Null when it has none, or they cannot be captured.</returns>
    public static SeccompFilterSets? Read(ProcessView view, IReadOnlyList<(int Tid, ProcessStatus Status)> threads, List<Refusal> refusals)
    {
        if (threads.All(thread => thread.Status.Number("Seccomp") == 0))
        {
            return null;
        }

        SeccompFilterSets sets = new();
        List<SeccompFilters> known = [];
        foreach ((int tid, ProcessStatus status) in threads)
        {
            SeccompFilters own = SeccompFilters.Read(tid);
            SeccompFilters? same = known.Find(other => other.Images.SequenceEqual(own.Images));
            // The first thread is asked more than the others.
            if (same is null && own.Obstacle(view, status.Above("NSpid", view.Depth)) is { } obstacle)
            {
                refusals.Add(obstacle);
                return null;
            }

            if (same is null)
            {
                known.Add(own);
            }

            sets.threads[tid] = same ?? own;
        }

        int common = Enumerable.Range(0, known.Min(set => set.Images.Count)).TakeWhile(i => known.TrueForAll(set => set.Images[i].Equals(known[0].Images[i]))).Count();
        sets.Common = [.. known[0].Images.Take(common)];
        return sets;
    }

    /// <summary>All filters of a thread.</summary>
    public SeccompFilters? Of(int tid) => threads.GetValueOrDefault(tid);

    /// <summary>What a thread has beside the common ones.</summary>
    public IReadOnlyList<SeccompFilterImage> Own(int tid) => Of(tid) is { } all ? [.. all.Images.Skip(Common.Count)] : [];
}
