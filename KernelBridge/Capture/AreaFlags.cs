using System.Collections.Concurrent;
using System.Numerics;
using Holdfast.KernelBridge.Linux;

namespace Holdfast.KernelBridge.Capture;

/// <summary>
/// What the flags that this kernel has for areas of memory mean, as learnt from it: the same bits of <c>vm_flags</c> are the same letters of VmFlags in smaps (show_smap_vma_flags of
/// fs/proc/task_mmu.c), which looks at every page to say them. Where all bits that a process has are known, its flags are had for the price of /proc/PID/maps. Several threads may use it at once.
/// </summary>
internal sealed class AreaFlags
{
    /// <summary>The bit of an area that is write-protected so that writes are noticed; 0 where the kernel has none, or does not tell.</summary>
    private static readonly Lazy<ulong> trackedBit = new(() => WriteProtection.AreaFlag(TaskIterator.IfReady));

    // It belongs to no process and is in no list of areas.
    private const string Vsyscall = "[vsyscall]";

    // Null for bits of which it was said differently, which should not be.
    private readonly ConcurrentDictionary<ulong, (string Flags, int ProtectionKey)?> known = [];
    private string? ofVsyscall;

    /// <summary>The areas of a process with their flags and policies, as smaps and numa_maps would say them.</summary>
    /// <param name="pid">The process.</param>
    /// <returns>
    /// Null where they have to be asked: the kernel does not tell, something is not known yet, an area has huge pages (hugetlb) or a NUMA policy of its own, or an area came or went
    /// meanwhile.
    /// </returns>
    public List<MemoryMap>? TryRead(int pid)
    {
        if (known.IsEmpty || ProcSnapshot.Current is not null || TaskIterator.IfReady?.Areas(pid) is not { } areas)
        {
            return null;
        }

        List<MemoryMap> maps = MemoryMap.Read(pid);
        int at = 0;
        for (int i = 0; i < maps.Count; i++)
        {
            MemoryMap map = maps[i];
            if (map.Name == Vsyscall && ofVsyscall is { } flags)
            {
                maps[i] = map with { Flags = flags };
            }
            else if (at < areas.Count && areas[at] is { Policy: 0 } area && (area.Start, area.End) == (map.Start, map.End) && Meaning(area.Flags) is { } said)
            {
                maps[i] = map with { Flags = said.Flags, ProtectionKey = said.ProtectionKey };
                at++;
            }
            else
            {
                return null;
            }
        }

        return at == areas.Count ? maps : null;
    }

    /// <summary>What bits have meant before; where only tracking has begun since, that and <c>uw</c>: a copy, from which most is learnt, is never tracked.</summary>
    /// <param name="flags">The bits.</param>
    /// <returns>Null when they are not known.</returns>
    internal (string Flags, int ProtectionKey)? Meaning(ulong flags)
    {
        if (known.TryGetValue(flags, out var meaning))
        {
            return meaning;
        }

        ulong tracked = flags & trackedBit.Value;
        return tracked != 0 && known.TryGetValue(flags & ~tracked, out meaning) && meaning is { } untracked
            // In order of the bits, behind a space.
            ? (untracked.Flags.Insert(1 + (3 * BitOperations.PopCount(flags & (tracked - 1))), "uw "), untracked.ProtectionKey)
            : null;
    }

    /// <summary>Learns from a process that stands, or never runs, or of which it is known that nothing has changed.</summary>
    /// <param name="pid">The process.</param>
    /// <param name="maps">Its areas, as smaps has just said them.</param>
    /// <param name="unchanged">Whether they are still the same, where the process runs.</param>
    public void Learn(int pid, IReadOnlyList<MemoryMap> maps, Func<bool>? unchanged = null)
    {
        if (ProcSnapshot.Current is not null || TaskIterator.IfReady?.Areas(pid) is not { } areas || unchanged?.Invoke() == false)
        {
            return;
        }

        Dictionary<(ulong, ulong), ulong> bits = areas.ToDictionary(area => (area.Start, area.End), area => area.Flags);
        foreach (MemoryMap map in maps)
        {
            if (map.Name == Vsyscall)
            {
                ofVsyscall = map.Flags;
            }
            else if (map.HugePageSize == 0 && bits.TryGetValue((map.Start, map.End), out ulong flags))
            {
                _ = known.AddOrUpdate(flags, (map.Flags, map.ProtectionKey), (_, before) => before == (map.Flags, map.ProtectionKey) ? before : null);
            }
        }
    }
}
