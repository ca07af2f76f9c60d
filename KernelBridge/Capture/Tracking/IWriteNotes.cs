using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Capture;

/// <summary>How the kernel notes which pages of a process are written to.</summary>
internal interface IWriteNotes : IDisposable
{
    /// <summary>Finds what was written since the last scan, and begins anew; what is new to it counts as written. The process stands.</summary>
    /// <param name="pid">The process.</param>
    /// <param name="areas">Its memory, as far as it is tracked.</param>
    /// <param name="untouched">Takes pages that hold something, and were not written to.</param>
    /// <param name="touched">Takes those that were, or may have been.</param>
    /// <returns>False when nothing is known any more.</returns>
    bool TryScan(int pid, IReadOnlyList<Area> areas, out PageRanges untouched, out PageRanges touched);
}
