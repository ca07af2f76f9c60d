using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Resources;
using Holdfast.KernelBridge.Tape;
using Microsoft.Win32.SafeHandles;

namespace Holdfast.KernelBridge.Restore;

/// <summary>Address spaces and their contents.</summary>
internal sealed partial class PtraceRestore
{
    private const ulong MAP_SHARED = 1, MAP_PRIVATE = 2, MAP_DROPPABLE = 8, MAP_ANONYMOUS = 0x20, MAP_GROWSDOWN = 0x100, MAP_NORESERVE = 0x4000, MAP_FIXED_NOREPLACE = 0x100000;
    private const int MREMAP_MAYMOVE_FIXED = 3, MADV_GUARD_INSTALL = 102, PR_SET_MM = 35, PR_SET_MM_MAP = 14, PR_SET_VMA = 0x53564d41;

    private readonly Dictionary<int, ulong> vdsoSyscalls = [];

    /// <summary>Where this kernel's own vDSO is put beside a foreign one: behind the arena, in the gap that the work area leaves there.</summary>
    private ulong VdsoRoom => area.Arena + WorkArea.ArenaSize + 0x100000;

    public void FillMemory()
    {
        int filled = 0;
        foreach (ProcessImage process in Living)
        {
            Stub stub = stubs[process.Pid];
            MemoryImage memory = process.Memory!;
            IReadOnlyList<PageRun> runs = request.Pages.Runs(process.Stream);
            HashSet<AreaImage> inherited = Inherited(process);
            ClearAddressSpace(stub, memory, inherited);
            SetMemoryLayout(stub, memory);
            MapAreas(stub, memory, runs, inherited);
            RequireInside(process, runs);
            (IReadOnlyList<PageRun> now, IReadOnlyList<PageRun> later) = Part(process, TakeInheritance(process, stub, inherited, runs));
            Fill(stub, process.Stream, now, offset => (ulong)offset, long.MaxValue - 0xfff);
            SafeFileHandle? userFault = MakeUserFault(stub, later);
            if (++filled == Living.Count())
            {
                SyscallTape seals = stub.NewTape();
                AddSeals(seals);
                stub.Run(seals);
            }

            FinishAreas(stub, memory, runs, inherited);
            AwaitPages(process, userFault, runs, later);
        }

        FinishSystemV();
        BeginLoading();
    }

    /// <summary>Unmaps everything but the work area and what was inherited, and moves the vDSO to where the image had it, or beside that of another kernel.</summary>
    private void ClearAddressSpace(Stub stub, MemoryImage memory, HashSet<AreaImage> inherited)
    {
        AddressRange[] stays = [.. memory.Areas.Where(inherited.Contains).Select(area => new AddressRange(area.Start, area.End))];
        List<MemoryMap> maps = MemoryMap.Read(stub.HostPid);
        List<MemoryMap> vdso = [.. maps.Where(map => map.IsVdso)];
        List<AreaImage> wanted = [.. memory.Areas.Where(a => a.Kind == AreaKind.Vdso)];
        SyscallTape tape = stub.NewTape();
        foreach (MemoryMap map in maps.Where(map => !map.IsVdso && map.Name != "[vsyscall]" && !area.Contains(map.Start, map.End)))
        {
            foreach (AddressRange rest in new AddressRange(map.Start, map.End).Without(stays))
            {
                tape.Add($"unmapping {rest.Start:x}", X64.Munmap, rest.Start, rest.End - rest.Start);
            }
        }

        if (wanted.Count == 0)
        {
            foreach (MemoryMap map in vdso)
            {
                tape.Add("unmapping the vDSO", X64.Munmap, map.Start, map.Length);
            }
        }
        else if (VdsoIsForeign)
        {
            Move(tape, vdso, VdsoRoom);
            PlaceForeignVdso(stub, tape, wanted.First(a => a.Name == "[vdso]"), VdsoRoom + (vdso.First(map => map.Name == "[vdso]").Start - vdso[0].Start));
            return;
        }
        else
        {
            MoveVdso(tape, vdso, wanted);
        }

        stub.Run(tape);
    }

    /// <summary>Lets the snapshot's vDSO lie where it was, as memory, with its functions passed on to this kernel's.</summary>
    private void PlaceForeignVdso(Stub stub, SyscallTape tape, AreaImage old, ulong own)
    {
        byte[] code;
        try
        {
            code = ForeignVdso.PassOn(Image.Host.Vdso, ownVdso.Value, own);
        }
        catch (FormatException e)
        {
            throw new BridgeException("kernel.vdso", "passing on the vDSO of another kernel", e.Message, "restore under the same kernel");
        }

        tape.Add("room for the snapshot's vDSO", X64.Mmap, old.Start, old.Length, Libc.PROT_READ | Libc.PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, ulong.MaxValue, 0);
        stub.Run(tape);
        stub.Memory.Write(old.Start, code);
        SyscallTape finish = stub.NewTape();
        finish.Add("protection of the snapshot's vDSO", X64.Mprotect, old.Start, old.Length, Libc.PROT_READ | Libc.PROT_EXEC);
        stub.Run(finish);
    }

    private void MoveVdso(SyscallTape tape, List<MemoryMap> own, List<AreaImage> wanted)
    {
        if (own.Count != wanted.Count || own.Zip(wanted).Any(pair => pair.First.Name != pair.Second.Name || pair.First.Length != pair.Second.Length))
        {
            throw new BridgeException("kernel.vdso", "moving the vDSO", "this kernel's has other parts than the snapshot's", "restore under the same kernel");
        }

        if (own[0].Start == wanted[0].Start)
        {
            return;
        }

        // By way of a room of its own, since old and new place may overlap.
        Move(tape, own, VdsoRoom);
        foreach ((MemoryMap map, AreaImage to) in own.Zip(wanted))
        {
            tape.Add($"moving {map.Name}", X64.Mremap, VdsoRoom + (map.Start - own[0].Start), map.Length, map.Length, MREMAP_MAYMOVE_FIXED, to.Start);
        }
    }

    private static void Move(SyscallTape tape, List<MemoryMap> maps, ulong to)
    {
        foreach (MemoryMap map in maps)
        {
            tape.Add($"moving {map.Name}", X64.Mremap, map.Start, map.Length, map.Length, MREMAP_MAYMOVE_FIXED, to + (map.Start - maps[0].Start));
        }
    }

    /// <summary>
    /// Tells the kernel where code, heap, arguments and environment lie, before anything does (<c>struct prctl_mm_map</c> of include/uapi/linux/prctl.h). Until
    /// then it has the root stub's: whoever reads the command line of such a process (ps(1), for one) makes a stack that lies a little above grow down to it.
    /// </summary>
    private void SetMemoryLayout(Stub stub, MemoryImage memory)
    {
        SyscallTape tape = stub.NewTape();
        ulong auxiliary = tape.Place(memory.AuxiliaryVector);
        ulong[] map =
        [
            memory.StartCode, memory.EndCode, memory.StartData, memory.EndData, memory.StartBreak, memory.Break, memory.StartStack, memory.ArgumentsStart,
            memory.ArgumentsEnd, memory.EnvironmentStart, memory.EnvironmentEnd, auxiliary,
            (uint)memory.AuxiliaryVector.Length | (ulong)(firstMapped + memory.ExecutableFile) << 32,
        ];
        byte[] bytes = new byte[map.Length * 8];
        Buffer.BlockCopy(map, 0, bytes, 0, bytes.Length);
        tape.Add("memory layout (PR_SET_MM_MAP)", X64.Prctl, PR_SET_MM, PR_SET_MM_MAP, tape.Place(bytes), (ulong)bytes.Length, 0);
        stub.Run(tape);
    }

    private void MapAreas(Stub stub, MemoryImage memory, IReadOnlyList<PageRun> runs, HashSet<AreaImage> inherited)
    {
        SyscallTape keys = stub.NewTape();
        ProtectionKeys.Take(memory, keys);
        stub.Run(keys);
        foreach (AreaImage[] chunk in memory.Areas.Where(a => a.Kind != AreaKind.Vdso && !inherited.Contains(a)).Chunk(20_000))
        {
            SyscallTape tape = stub.NewTape();
            foreach (AreaImage mapped in chunk)
            {
                string purpose = $"mapping {mapped.Start:x}-{mapped.End:x} {mapped.Name}";
                ulong protection = (ulong)(mapped.Protection | (HasRuns(mapped, runs) ? Libc.PROT_READ | Libc.PROT_WRITE : 0));
                ulong flags = MAP_FIXED_NOREPLACE | (mapped.Shared ? MAP_SHARED : mapped.Flags.Contains("dp") ? MAP_DROPPABLE : MAP_PRIVATE)
                    | (mapped.Flags.Contains("gd") ? MAP_GROWSDOWN : 0) | (mapped.Flags.Contains("nr") ? MAP_NORESERVE : 0);
                switch (mapped.Kind)
                {
                    case AreaKind.Anonymous:
                        tape.Add(purpose, X64.Mmap, mapped.Start, mapped.Length, protection, flags | MAP_ANONYMOUS | HugePages.MapFlags(mapped.PageSize), ulong.MaxValue, 0);
                        break;
                    case AreaKind.File:
                        tape.Add(purpose, X64.Mmap, mapped.Start, mapped.Length, protection, flags, (ulong)(firstMapped + mapped.File), mapped.Offset);
                        break;
                    case AreaKind.SharedAnonymous:
                        // An old size of 0 makes a second mapping of the same pages (mremap(2)). Not of huge ones, which a process cannot have mapped twice: the builder's own is moved.
                        ulong from = sharedAddresses[mapped.File] + mapped.Offset;
                        tape.Add(purpose, X64.Mremap, from, mapped.PageSize == 0 ? 0 : mapped.Length, mapped.Length, MREMAP_MAYMOVE_FIXED, mapped.Start);
                        break;
                    case AreaKind.SystemV:
                        AttachSegment(tape, mapped, purpose, MREMAP_MAYMOVE_FIXED);
                        break;
                    case AreaKind.RequestRing or AreaKind.Uring:
                        AioContexts.Reserve(mapped, purpose, tape);
                        break;
                }

                MemoryPolicies.Restore(mapped, tape);
            }

            stub.Run(tape);
        }
    }

    /// <summary>Every run must lie in areas that hold private pages, or a damaged image could write elsewhere.</summary>
    private static void RequireInside(ProcessImage process, IReadOnlyList<PageRun> runs)
    {
        List<AreaImage> areas = [.. process.Memory!.Areas.Where(a => a.Kind is AreaKind.Anonymous || (a.Kind is AreaKind.File && !a.Shared))];
        foreach (PageRun run in runs)
        {
            ulong at = (ulong)run.Offset;
            ulong end = at + (ulong)run.Length;
            while (at < end)
            {
                AreaImage holder = areas.Find(a => a.Start <= at && at < a.End)
                    ?? throw new BridgeException("image.invalid", $"reading stream {process.Stream}", $"address {at:x} is in no area of private memory");
                at = Math.Min(end, holder.End);
            }
        }
    }

    private void FinishAreas(Stub stub, MemoryImage memory, IReadOnlyList<PageRun> runs, HashSet<AreaImage> inherited)
    {
        IoUrings.Map(stub, memory, file => firstOpen + file);
        AioContexts.Restore(stub, memory);
        SyscallTape tape = stub.NewTape();
        foreach (AreaImage finished in memory.Areas.Where(a => a.Kind != AreaKind.Vdso))
        {
            string purpose = $"{finished.Start:x}-{finished.End:x}";
            foreach (GuardRange guard in finished.Guards)
            {
                tape.Add("guard pages in " + purpose, X64.Madvise, guard.Start, guard.End - guard.Start, MADV_GUARD_INSTALL);
            }

            if (finished.Kind is AreaKind.SharedAnonymous or AreaKind.SystemV or AreaKind.RequestRing || (inherited.Contains(finished) ? finished.Protection != 3 : (finished.Protection & 3) != 3 && HasRuns(finished, runs)))
            {
                tape.Add("protection of " + purpose, X64.Mprotect, finished.Start, finished.Length, (ulong)finished.Protection);
            }

            foreach ((string flag, int advice) in AddressSpaces.Advices.Where(a => finished.Flags.Contains(a.Flag)))
            {
                tape.Add($"madvise {flag} of {purpose}", X64.Madvise, finished.Start, finished.Length, (ulong)advice);
            }

            if (finished.Flags.Contains("lo"))
            {
                // MLOCK_ONFAULT: without it, locking would touch every page.
                tape.Add("locking " + purpose, X64.Mlock2, finished.Start, finished.Length, finished.Flags.Contains("lf") ? 1ul : 0);
            }

            if (finished.Name.StartsWith("[anon:", StringComparison.Ordinal))
            {
                tape.AddWith("name of " + purpose, X64.Prctl, TapeFlags.MayFail, PR_SET_VMA, 0, finished.Start, finished.Length, tape.Place(finished.Name[6..^1]));
            }
        }

        ProtectionKeys.Finish(memory, tape);
        if (area.ScratchSize > 0)
        {
            tape.Add("unmapping the scratch room", X64.Munmap, area.Scratch, (area.ScratchSize + 0xfff) & ~0xffful);
        }

        tape.Add("closing the builder's descriptors", X64.CloseRange, (ulong)firstFree, uint.MaxValue, 0);
        stub.Run(tape);
        MemoryMap? vdso = MemoryMap.Read(stub.HostPid).Find(map => map.Name == "[vdso]");
        int at = vdso is null ? -1 : ownVdso.Value.AsSpan().IndexOf((ReadOnlySpan<byte>)[0x0f, 0x05]);
        vdsoSyscalls[stub.HostPid] = at >= 0
            ? vdso!.Start + (ulong)at
            : throw new BridgeException("restore.vdso", $"looking for a system call in process {stub.HostPid}", "the image has no vDSO");
    }

    private static bool HasRuns(AreaImage area, IReadOnlyList<PageRun> runs)
    {
        if (area.Shared || runs.Count == 0)
        {
            return false;
        }

        // The last run that begins before the area's end.
        int low = 0;
        int high = runs.Count;
        while (low < high)
        {
            int middle = (low + high) / 2;
            (low, high) = (ulong)runs[middle].Offset < area.End ? (middle + 1, high) : (low, middle);
        }

        return low > 0 && (ulong)(runs[low - 1].Offset + runs[low - 1].Length) > area.Start;
    }
}
