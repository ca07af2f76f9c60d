using System.Globalization;
using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Ptrace;
using Holdfast.KernelBridge.Tests.Conformance;

namespace Holdfast.KernelBridge.Tests.Capture;

/// <summary>Tracers that tests kill.</summary>
public static class CaptureHelpers
{
    /// <summary>Seizes a process's first thread, makes three calls inside it and lets it go. Argument: the pid.</summary>
    public static int InjectOnce(string[] args) => Driver.OnThread(() =>
    {
        int pid = int.Parse(args[0], CultureInfo.InvariantCulture);
        using TargetMemory memory = new(pid);
        List<MemoryMap> maps = MemoryMap.Read(pid);
        Gadgets gadgets = Gadgets.Find(maps, memory)!;
        Tracee thread = Tracee.Seize(pid, pid, PtraceCall.OptionSysGood)!;
        thread.Interrupt();
        thread.WaitUntilStands(Environment.TickCount64 + 10_000);
        ulong slot = maps.Single(map => map.Name == "[stack]").Start;
        using (InjectedCalls calls = new(thread, memory, gadgets, slot, PtraceCall.GetRegisters(pid), PtraceCall.GetExtendedState(pid), PtraceCall.GetSignalMask(pid)))
        {
            for (int i = 0; i < 3; i++)
            {
                if (calls.Call(X64.Getpid) != pid)
                {
                    return 1;
                }
            }
        }

        thread.Release();
        return 0;
    });
}
