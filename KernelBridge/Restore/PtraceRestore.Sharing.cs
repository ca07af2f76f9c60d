using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Resources;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Restore;

/// <summary>
/// Memory that processes share copy-on-write: it lies at its addresses in the process that makes the others, before it does. Not put there by mremap(2), which would
/// leave an area that cannot merge with its neighbours.
/// </summary>
internal sealed partial class PtraceRestore
{
    // What fork does not pass on, what would make copies of its own (mlock(2)), what cannot be given to an area later, and stacks: see SetMemoryLayout.
    private static readonly string[] unheritableFlags = ["gd", "dp", "lo", "lf", "dc", "wf", HugePages.Flag];

    private IReadOnlyDictionary<int, Inheritance> inheritance = new Dictionary<int, Inheritance>();

    /// <summary>Finds out what can be inherited, when the first process has all that it passes on otherwise.</summary>
    private void PlanInheritance(Stub root)
    {
        // What is missing in a lazy restore is missing in each process by itself.
        if (request.Lazy || Living.Count() < 2)
        {
            return;
        }

        List<Heir> heirs = [];
        long count = 0;
        foreach (ProcessImage process in Living)
        {
            HeritableArea[] areas = [.. process.Memory!.Areas.Where(IsHeritable).Select(area => new HeritableArea(new AddressRange(area.Start, area.End), area.Flags.Contains("nr")))];
            if (areas.Length > 0 && request.Pages.Places(process.Stream) is { Count: > 0 } places)
            {
                heirs.Add(new Heir(process.Pid, areas, places));
                count += places.Count;
            }

            if (count > MemoryInheritance.MostPlaces)
            {
                return;
            }
        }

        if (heirs.Count > 1)
        {
            AddressRange[] inUse = [.. MemoryMap.Read(root.HostPid).Select(map => new AddressRange(map.Start, map.End))];
            inheritance = MemoryInheritance.Plan(plan.Root!, heirs, inUse);
        }
    }

    private static bool IsHeritable(AreaImage area) =>
        area is { Kind: AreaKind.Anonymous, Shared: false, PageSize: 0, Policy: null } && !area.Flags.Any(unheritableFlags.Contains);

    /// <summary>Lets a process have what its children are to inherit.</summary>
    private void Bequeath(int pid, Stub stub)
    {
        if (!inheritance.TryGetValue(pid, out Inheritance? own) || own.Filled.Count == 0)
        {
            return;
        }

        SyscallTape tape = stub.NewTape();
        foreach (HeritableArea area in own.Mapped)
        {
            tape.Add(
                $"mapping {area.Range.Start:x}-{area.Range.End:x} for the children of process {pid}", X64.Mmap, area.Range.Start, area.Range.End - area.Range.Start,
                Libc.PROT_READ | Libc.PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | (area.NoReserve ? MAP_NORESERVE : 0), ulong.MaxValue, 0);
        }

        stub.Run(tape);
        Drop(stub, own.Filled.Select(piece => piece.Range));
        foreach ((AddressRange range, int source) in own.Filled)
        {
            Fill(stub, Image.Processes.First(process => process.Pid == source).Stream, [Run(range)], offset => (ulong)offset, long.MaxValue - 0xfff);
        }
    }

    /// <summary>The areas of a process that it has inherited already, though not all with the right contents.</summary>
    private HashSet<AreaImage> Inherited(ProcessImage process) => !inheritance.TryGetValue(process.Pid, out Inheritance? own) ? []
        : process.Memory!.Areas.Where(area => IsHeritable(area) && AddressRange.FirstBehind(own.Mappings, area.Start) is var at && at < own.Mappings.Count && own.Mappings[at].Start <= area.Start)
            .ToHashSet<AreaImage>(ReferenceEqualityComparer.Instance);

    /// <summary>Takes what a process has inherited and has not itself out of its memory.</summary>
    /// <returns>What is left to be filled.</returns>
    private IReadOnlyList<PageRun> TakeInheritance(ProcessImage process, Stub stub, HashSet<AreaImage> inherited, IReadOnlyList<PageRun> runs)
    {
        if (!inheritance.TryGetValue(process.Pid, out Inheritance? own) || inherited.Count == 0)
        {
            return runs;
        }

        Drop(stub, inherited.SelectMany(area => new AddressRange(area.Start, area.End).Without(own.Right)));
        return [.. runs.SelectMany(run => new AddressRange((ulong)run.Offset, (ulong)(run.Offset + run.Length)).Without(own.Right)).Select(Run)];
    }

    private static PageRun Run(AddressRange range) => new((long)range.Start, (long)(range.End - range.Start));

    private static void Drop(Stub stub, IEnumerable<AddressRange> ranges)
    {
        const int dontNeed = 4;
        foreach (AddressRange[] chunk in ranges.Chunk(20_000))
        {
            SyscallTape tape = stub.NewTape();
            foreach (AddressRange range in chunk)
            {
                tape.Add($"dropping {range.Start:x}-{range.End:x}", X64.Madvise, range.Start, range.End - range.Start, dontNeed);
            }

            stub.Run(tape);
        }
    }
}
