using System.Globalization;
using System.Text;
using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Ptrace;
using Holdfast.KernelBridge.Resources;
using Holdfast.KernelBridge.Tests.Conformance;

namespace Holdfast.KernelBridge.Tests.Capture;

/// <summary>Tracers that tests kill.</summary>
public static class CaptureHelpers
{
    /// <summary>Seizes a process's first thread, makes three calls inside it and lets it go. Argument: the pid.</summary>
    public static int InjectOnce(string[] args) => Inside(args, (pid, calls) => Enumerable.Range(0, 3).All(_ => calls.Call(X64.Getpid) == pid) ? 0 : 1);

    /// <summary>Asks a process's first thread all that it is asked, and writes it to a file. Arguments: the pid, the file, and <c>singly</c> to ask one by one.</summary>
    public static int AskState(string[] args) => Inside(args, (pid, calls) =>
    {
        InjectedState state = new(pid, calls, ThreadStand.Of(pid), first: true);
        AlternateStack stack = state.AlternateStack;
        File.WriteAllText(args[1], $"""
            stack {stack.Pointer:x} {stack.Flags} {stack.Size} tid {state.ClearTidAddress:x} death {state.ParentDeathSignal} slack {state.TimerSlack} secure {state.SecureBits}
            dumpable {state.Dumpable} policy {state.MemoryPolicy} break {state.Break:x} subreaper {state.ChildSubreaper} thp {state.HugePagesDisabled} mce {state.MachineCheckPolicy}
            mdwe {state.MemoryDenyWriteExecute} merge {state.MemoryMerge} io {state.IoFlusher} barriers {state.MembarrierRegistrations} interval {state.IntervalTimer(0).Interval}
            """);
        return 0;
    },
    gadgets => args is [_, _, "singly"] ? gadgets with { Pops = null } : gadgets);

    /// <summary>Copies the output that waits in a process's one pseudo-terminal to a file, and lets it go. Arguments: the pid, the file.</summary>
    public static int CopyTerminalOutput(string[] args) => Inside(args, (pid, calls) =>
    {
        TerminalOutput output = new();
        output.Copy(DescriptorFacts.ReadAll(pid, pid), calls);
        File.WriteAllBytes(args[1], output.Outputs.Values.SingleOrDefault([]));
        return 0;
    });

    /// <summary>Copies what has been typed at a process's one pseudo-terminal to a file, and lets it go. Arguments: the pid, the file.</summary>
    public static int CopyTerminalInput(string[] args) => Inside(args, (pid, calls) =>
    {
        TerminalInput input = new();
        input.Copy(DescriptorFacts.ReadAll(pid, pid), _ => true, calls);
        TypedInput found = input.Inputs.Values.SingleOrDefault(TypedInput.None);
        File.WriteAllText(args[1], $"{string.Join('|', found.Lines.Select(Encoding.UTF8.GetString))} + {Encoding.UTF8.GetString(found.Bytes)}{Encoding.UTF8.GetString(found.Unprocessed)}");
        return 0;
    });

    /// <summary>Finds out which of a process's eventfds are semaphores, as on kernels that do not say it; a line for each to a file. Arguments: the pid, the file.</summary>
    public static int AskEventFds(string[] args) => Inside(args, (pid, calls) =>
    {
        File.WriteAllLines(args[1], DescriptorFacts.ReadAll(pid, pid).Where(facts => DescriptorKinds.Of(facts) is EventFds)
            .Select(facts => $"{facts.Number} {(EventSemaphores.IsSemaphore(facts, EventFds.Count(facts), calls) ? 1 : 0)}"));
        return 0;
    });

    /// <summary>Captures a process's contexts of Linux AIO; a line for each to a file: where the oldest event lies, and what events are about. Arguments: the pid, the file.</summary>
    public static int CountRequests(string[] args) => Inside(args, (pid, calls) =>
    {
        IReadOnlyList<Area> areas = [.. MemoryMap.Read(pid).Where(AioContexts.IsRing).Select(map => new Area(map, AreaKind.RequestRing, null))];
        File.WriteAllLines(args[1], AioContexts.Capture(ProcessView.Read(pid), areas, calls)
            .Select(context => $"{context.Head} {string.Join(' ', context.Events.Chunk(32).Select(entry => BitConverter.ToUInt64(entry)))}"));
        return 0;
    });

    private static int Inside(string[] args, Func<int, InjectedCalls, int> body, Func<Gadgets, Gadgets>? change = null) => Driver.OnThread(() =>
    {
        int pid = int.Parse(args[0], CultureInfo.InvariantCulture);
        using TargetMemory memory = new(pid);
        List<MemoryMap> maps = MemoryMap.Read(pid);
        Gadgets gadgets = Gadgets.Find(maps, memory)!;
        gadgets = change?.Invoke(gadgets) ?? gadgets;
        Tracee thread = Tracee.Seize(pid, pid, PtraceCall.OptionSysGood)!;
        thread.Interrupt();
        thread.WaitUntilStands(Environment.TickCount64 + 10_000);
        ulong slot = maps.Single(map => map.Name == "[stack]").Start;
        int result;
        using (InjectedCalls calls = new(thread, memory, gadgets, slot, PtraceCall.GetRegisters(pid), PtraceCall.GetExtendedState(pid), PtraceCall.GetSignalMask(pid)))
        {
            result = body(pid, calls);
        }

        thread.Release();
        return result;
    });
}
