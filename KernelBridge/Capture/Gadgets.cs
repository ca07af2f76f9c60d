using System.Collections.Concurrent;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Capture;

/// <summary>
/// Instructions that a process already has and through which system calls can be made inside it without writing any code:
/// a <c>syscall; ret</c>, and a way into rt_sigreturn.
/// </summary>
/// <param name="SyscallReturn">Address of <c>syscall; ret</c>.</param>
/// <param name="Sigreturn">Address of a sequence that calls rt_sigreturn, or of <c>pop %rax; ret</c>.</param>
/// <param name="SigreturnByPop">True when <paramref name="Sigreturn"/> is <c>pop %rax; ret</c>.</param>
/// <param name="Pops">With which many calls are made one after the other; null where there are none.</param>
internal sealed record Gadgets(ulong SyscallReturn, ulong Sigreturn, bool SigreturnByPop, PopGadgets? Pops)
{
    // By file and offset of the mapping: the search of a libc takes milliseconds, and every process has the same one.
    private static readonly ConcurrentDictionary<(ulong Device, ulong Inode, ulong Offset, ulong Length), Found> Known = new();

    private sealed record Found(int SyscallReturn, int Sigreturn, int PopRax, int PopRdi, int PopRdx, int PopRdxForm, int PopRsi, int StoreRax, int StoreRaxForm, bool Whole);

    /// <summary>Searches executable memory of a process, which may run meanwhile.</summary>
    /// <returns>Null when it has no such instructions.</returns>
    public static Gadgets? Find(IEnumerable<MemoryMap> maps, TargetMemory memory)
    {
        List<MemoryMap> all = [.. maps];

        // A file that was written to in place, or whose inode came back as another file, has its instructions elsewhere now.
        return Find(all, memory, remembered: true) ?? Find(all, memory, remembered: false);
    }

    /// <summary>For a process that has none.</summary>
    public static Refusal Missing(ProcessView view) => view.Refuse("inject.code", "program", "it has no instructions through which system calls can be made in it", "link it with a C library");

    /// <summary>What a check says of processes that run. Like a checkpoint, it asks this where nothing else is in the way.</summary>
    public static void Check(IReadOnlyList<ProcessInspection> inspections, List<Refusal> refusals)
    {
        foreach (ProcessInspection inspection in refusals.Count > 0 ? [] : inspections.Where(inspection => !inspection.IsZombie))
        {
            if (LacksThem(inspection))
            {
                refusals.Add(Missing(inspection.View));
            }
        }
    }

    /// <summary>A process that ends or executes another program meanwhile seems to have none: it counts when it is said again.</summary>
    private static bool LacksThem(ProcessInspection inspection)
    {
        int pid = inspection.View.Pid;
        IEnumerable<MemoryMap> maps = inspection.Areas.Select(area => area.Map);
        try
        {
            for (int again = 0; again < 4; again++)
            {
                using TargetMemory memory = new(pid);
                if (Find(maps, memory) is not null)
                {
                    return false;
                }

                _ = Libc.usleep(2000);
                maps = MemoryMap.Read(pid);
            }

            return ProcessStat.TryRead(pid) is { IsEnding: false };
        }
        catch (BridgeException)
        {
            return false;
        }
    }

    private static Gadgets? Find(List<MemoryMap> maps, TargetMemory memory, bool remembered)
    {
        ulong syscall = 0, sigreturn = 0, pop = 0;
        PopGadgets? pops = null;

        // The C library has them all and is searched once; the main program of a static binary comes first by address anyway.
        foreach (MemoryMap map in maps.Where(m => (m.Protection & (Libc.PROT_EXEC | Libc.PROT_READ)) == (Libc.PROT_EXEC | Libc.PROT_READ) && m.Name != "[vsyscall]")
                     .OrderByDescending(m => m.Name.Contains("/libc", StringComparison.Ordinal)))
        {
            (ulong, ulong, ulong, ulong) key = (map.Device, map.Inode, map.Offset, map.Length);
            if (map.Inode == 0 || !remembered || !Known.TryGetValue(key, out Found? found))
            {
                found = Search(map, memory);

                // Only a whole search is worth remembering: a process that ended meanwhile says nothing about the file.
                if (map.Inode != 0 && found.Whole)
                {
                    Known[key] = found;
                }
            }

            syscall = First(syscall, map, found.SyscallReturn);
            sigreturn = First(sigreturn, map, found.Sigreturn);
            pop = First(pop, map, found.PopRax);
            pops ??= found is { PopRax: >= 0, PopRdi: >= 0, PopRdx: >= 0 }
                ? new PopGadgets(map.Start + (ulong)found.PopRax, map.Start + (ulong)found.PopRdi, map.Start + (ulong)found.PopRdx, found.PopRdxForm)
                {
                    Store = found is { PopRsi: >= 0, StoreRax: >= 0 } ? new StoreGadgets(map.Start + (ulong)found.PopRsi, map.Start + (ulong)found.StoreRax, found.StoreRaxForm) : null,
                }
                : null;
            if (syscall != 0 && sigreturn != 0)
            {
                break;
            }
        }

        Gadgets? gadgets = syscall == 0 || (sigreturn == 0 && pop == 0) ? null : new Gadgets(syscall, sigreturn != 0 ? sigreturn : pop, sigreturn == 0, pops);
        return gadgets is not null && gadgets.StillThere(memory) ? gadgets : null;
    }

    /// <summary>Whether the instructions stand where they were found: to be asked once the process is stopped.</summary>
    public bool StillThere(TargetMemory memory)
    {
        byte[] bytes = new byte[9];
        if (memory.TryRead(SyscallReturn, bytes.AsSpan(0, 3)) != 3 || !bytes.AsSpan(0, 3).SequenceEqual(X64.SyscallReturn))
        {
            return false;
        }

        if (Pops is not null && !Pops.StillThere(memory))
        {
            return false;
        }

        if (SigreturnByPop)
        {
            return memory.TryRead(Sigreturn, bytes.AsSpan(0, 2)) == 2 && bytes.AsSpan(0, 2).SequenceEqual(X64.PopRaxReturn);
        }

        return memory.TryRead(Sigreturn, bytes) == 9 && X64.SigreturnSequences.Any(sequence => bytes.AsSpan().StartsWith(sequence));
    }

    private static ulong First(ulong known, MemoryMap map, int offset) => known != 0 || offset < 0 ? known : map.Start + (ulong)offset;

    private static Found Search(MemoryMap map, TargetMemory memory)
    {
        byte[] code = new byte[Math.Min(map.Length, 16 << 20)];
        int length = memory.TryRead(map.Start, code);
        ReadOnlySpan<byte> span = code.AsSpan(0, Math.Max(length, 0));
        int sigreturn = -1;
        foreach (byte[] sequence in X64.SigreturnSequences)
        {
            sigreturn = sigreturn >= 0 ? sigreturn : span.IndexOf(sequence);
        }

        (int popRdx, int popRdxForm) = FirstOf(X64.PopRdxReturns, span);
        (int store, int storeForm) = FirstOf(X64.StoreRaxReturns, span);
        return new Found(
            span.IndexOf(X64.SyscallReturn), sigreturn, span.IndexOf(X64.PopRaxReturn), span.IndexOf(X64.PopRdiReturn), popRdx, popRdxForm,
            span.IndexOf(X64.PopRsiReturn), store, storeForm, length == code.Length);
    }

    /// <summary>Where the first of several forms stands that is there at all, and which it is.</summary>
    private static (int Offset, int Form) FirstOf(byte[][] forms, ReadOnlySpan<byte> code)
    {
        for (int form = 0; form < forms.Length; form++)
        {
            if (code.IndexOf(forms[form]) is >= 0 and var offset)
            {
                return (offset, form);
            }
        }

        return (-1, 0);
    }
}

/// <summary>Ends of functions, anywhere in executable memory, that load registers from the stack.</summary>
/// <param name="Rax">Address of <c>pop %rax; ret</c>.</param>
/// <param name="Rdi">Address of <c>pop %rdi; ret</c>.</param>
/// <param name="Rdx">Address of one of <see cref="X64.PopRdxReturns"/>.</param>
/// <param name="RdxForm">Which of them; all but the first take a second word, which does not matter.</param>
internal sealed record PopGadgets(ulong Rax, ulong Rdi, ulong Rdx, int RdxForm)
{
    /// <summary>With which answers in registers are kept; null where there are none.</summary>
    public StoreGadgets? Store { get; init; }

    /// <summary>Adds the words on a stack that load the registers and go on to what lies behind.</summary>
    public void Load(List<ulong> words, ulong rax, ulong rdi, ulong rdx) =>
        words.AddRange(RdxForm == 0 ? (ReadOnlySpan<ulong>)[Rdi, rdi, Rdx, rdx, Rax, rax] : [Rdi, rdi, Rdx, rdx, 0, Rax, rax]);

    /// <summary>Adds the words that make a call of three arguments and go on behind it; takes <see cref="Store"/>.</summary>
    public void Call(List<ulong> words, InjectedCall call, ulong syscallReturn)
    {
        words.Add(Store!.Rsi);
        words.Add(call.A1);
        Load(words, (ulong)call.Number, call.A0, call.A2);
        words.Add(syscallReturn);
    }

    /// <summary>Whether they stand where they were found.</summary>
    public bool StillThere(TargetMemory memory) => Is(memory, Rax, X64.PopRaxReturn) && Is(memory, Rdi, X64.PopRdiReturn) && Is(memory, Rdx, X64.PopRdxReturns[RdxForm])
        && (Store is null || (Is(memory, Store.Rsi, X64.PopRsiReturn) && Is(memory, Store.Rax, X64.StoreRaxReturns[Store.Form])));

    /// <summary>Adds the words that keep %rax at an address; see <see cref="StoreGadgets"/>.</summary>
    public void Keep(List<ulong> words, ulong address)
    {
        words.Add(Store!.Form switch { 0 => Rdi, 1 => Store.Rsi, _ => Rdx });
        words.Add(address);
        if (Store.Form == 2 && RdxForm != 0)
        {
            words.Add(0);
        }

        words.Add(Store.Rax);
    }

    private static bool Is(TargetMemory memory, ulong address, byte[] expected)
    {
        Span<byte> bytes = stackalloc byte[expected.Length];
        return memory.TryRead(address, bytes) == bytes.Length && bytes.SequenceEqual(expected);
    }
}

/// <summary>Ends of functions with which a call takes a second argument and its result is kept.</summary>
/// <param name="Rsi">Address of <c>pop %rsi; ret</c>.</param>
/// <param name="Rax">Address of one of <see cref="X64.StoreRaxReturns"/>.</param>
/// <param name="Form">Which of them.</param>
internal sealed record StoreGadgets(ulong Rsi, ulong Rax, int Form);
