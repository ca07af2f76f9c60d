using System.Collections.Concurrent;
using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Capture;

/// <summary>What a process says of itself when it is asked by calls made inside it, and what no two that have the same <see cref="ProcessWords"/> say differently.</summary>
/// <param name="ChildSubreaper">As <see cref="IProcessState.ChildSubreaper"/>, and so on.</param>
/// <param name="HugePagesDisabled">The same.</param>
/// <param name="MachineCheckPolicy">The same.</param>
/// <param name="Dumpable">The same.</param>
/// <param name="MemoryDenyWriteExecute">The same.</param>
/// <param name="MemoryMerge">The same.</param>
/// <param name="IoFlusher">The same.</param>
/// <param name="MembarrierRegistrations">The same.</param>
/// <param name="ProtectionKeys">The same, one bit for each.</param>
internal sealed record ProcessAnswers(
    bool ChildSubreaper, bool HugePagesDisabled, int MachineCheckPolicy, int Dumpable, long MemoryDenyWriteExecute, bool MemoryMerge, bool IoFlusher, int? MembarrierRegistrations, int ProtectionKeys)
{
    /// <summary>What a process has answered.</summary>
    /// <param name="state">It.</param>
    /// <param name="keys">Its protection keys, which are not asked for again.</param>
    public static ProcessAnswers Of(IProcessState state, IReadOnlyList<int> keys) => new(
        state.ChildSubreaper, state.HugePagesDisabled, state.MachineCheckPolicy, state.Dumpable, state.MemoryDenyWriteExecute, state.MemoryMerge, state.IoFlusher, state.MembarrierRegistrations,
        keys.Sum(key => 1 << key));
}

/// <summary>What processes have answered: one of which the kernel tells the same words need not be asked. Several threads may use it at once.</summary>
internal sealed class KnownAnswers
{
    /// <summary>More than there are combinations in practice; some bits of the words come and go.</summary>
    private const int Most = 1024;

    // Null for words of which it was said differently, which should not be.
    private readonly ConcurrentDictionary<ProcessWords, ProcessAnswers?> known = [];

    /// <summary>What one with these words answers; null where it has to be asked.</summary>
    public ProcessAnswers? Of(ProcessWords words) => known.GetValueOrDefault(words);

    /// <summary>Learns from a process that stands.</summary>
    public void Learn(ProcessWords words, ProcessAnswers answers)
    {
        if (known.Count < Most)
        {
            _ = known.AddOrUpdate(words, answers, (_, before) => before == answers ? before : null);
        }
    }
}
