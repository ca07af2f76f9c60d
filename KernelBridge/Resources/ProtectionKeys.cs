using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// Protection keys of memory (pkeys(7)): which of them a process has allocated, and which its areas have. What a thread may do with them (PKRU) is part of its extended state.
/// Memory that may only be executed has a key of the kernel's own, the lowest that is free when the first of it is mapped (arch/x86/mm/pkeys.c).
/// </summary>
internal static class ProtectionKeys
{
    /// <summary>Keys of x86-64: 0 is the one that all memory begins with.</summary>
    public const int Count = 16;

    private static readonly Lazy<bool> exist = new(() => ProcFs.Text("/proc/cpuinfo").Split('\n').FirstOrDefault(line => line.StartsWith("flags", StringComparison.Ordinal))?.Split(' ').Contains("ospke") == true);

    /// <summary>The keys that a process has allocated.</summary>
    /// <param name="pid">The process, which stands.</param>
    /// <param name="areas">Its memory.</param>
    /// <param name="calls">A way to make calls in it.</param>
    public static IReadOnlyList<int> Capture(int pid, IReadOnlyList<Area> areas, InjectedCalls calls)
    {
        if (!exist.Value)
        {
            return [];
        }

        // Whether a key is allocated is looked at before whether anything is mapped.
        ulong nothing = InjectedCalls.FindRoom(pid, 0x1000);
        List<int> allocated = [];
        for (int key = 1; key < Count; key++)
        {
            InjectedCall ask = new(X64.PkeyMprotect, nothing, 0x1000, 0, (ulong)key);
            if (!calls.Allows(ask))
            {
                return [.. areas.Where(area => !IsExecuteOnly(area.Map.Protection)).Select(area => area.Map.ProtectionKey).Where(used => used != 0).Distinct().Order()];
            }

            if (calls.Call(ask.Number, ask.A0, ask.A1, ask.A2, ask.A3) == -Errno.ENOMEM)
            {
                allocated.Add(key);
            }
        }

        return allocated;
    }

    /// <summary>Keys that this processor does not have; null when there are none.</summary>
    public static Refusal? CheckRestore(ProcessImage process) =>
        Highest(process.Memory!) > 0 && !exist.Value
            ? new Refusal("memory.key", process.Pid, null, "protection keys", "this processor has none", "restore on one that has (ospke in /proc/cpuinfo)")
            : null;

    /// <summary>Composes what takes all keys up to the highest one needed, but the kernel's own; before anything is mapped.</summary>
    public static void Take(MemoryImage memory, SyscallTape tape)
    {
        for (int key = 1; key <= Highest(memory); key++)
        {
            tape.Add($"protection key {key}", X64.PkeyAlloc, 0, 0);
        }

        if (KernelsOwn(memory) is { } own)
        {
            tape.Add($"protection key {own}", X64.PkeyFree, (ulong)own);
        }
    }

    /// <summary>Composes what gives areas their keys, and those back that were not allocated; when everything lies in memory, with its protection.</summary>
    public static void Finish(MemoryImage memory, SyscallTape tape)
    {
        int? own = KernelsOwn(memory);
        foreach (AreaImage area in memory.Areas.Where(area => area.ProtectionKey != 0 && area.ProtectionKey != own))
        {
            tape.Add($"protection key of {area.Start:x}-{area.End:x}", X64.PkeyMprotect, area.Start, area.Length, (ulong)area.Protection, (ulong)area.ProtectionKey);
        }

        for (int key = 1; key <= Highest(memory); key++)
        {
            if (key != own && !memory.ProtectionKeys.Contains(key))
            {
                tape.Add($"protection key {key}", X64.PkeyFree, (ulong)key);
            }
        }
    }

    /// <summary>Whether the keys of an image can be.</summary>
    public static bool AreValid(MemoryImage memory) =>
        memory.ProtectionKeys.All(key => key is > 0 and < Count) && memory.ProtectionKeys.Distinct().Count() == memory.ProtectionKeys.Count
        && memory.Areas.All(area => area.ProtectionKey is >= 0 and < Count) && Own(memory).Distinct().Count() <= 1;

    private static bool IsExecuteOnly(int protection) => protection == Libc.PROT_EXEC;

    private static int Highest(MemoryImage memory) => memory.Areas.Select(area => area.ProtectionKey).Concat(memory.ProtectionKeys).DefaultIfEmpty().Max();

    private static int? KernelsOwn(MemoryImage memory) => Own(memory).Cast<int?>().FirstOrDefault();

    private static IEnumerable<int> Own(MemoryImage memory) =>
        memory.Areas.Where(area => area.ProtectionKey != 0 && IsExecuteOnly(area.Protection) && !memory.ProtectionKeys.Contains(area.ProtectionKey)).Select(area => area.ProtectionKey);
}
