using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge;

/// <summary>Checks what a later step would otherwise take on trust: counts, indices, addresses, pids.</summary>
internal static class ImageValidation
{
    private const ulong UserEnd = 0x7ffffffff000;

    /// <exception cref="BridgeException"><c>image.invalid</c>, naming what and what was expected.</exception>
    public static void Validate(ApplicationImage image)
    {
        Require(image.Processes is { Count: > 0 }, "it has no processes");
        Require(
            image.Host is not null && image.OpenFiles is not null && image.Pipes is not null && image.MappedFiles is not null && image.SharedMemory is not null
            && image.GhostFiles is not null, "a table is missing");
        HashSet<int> numbers = [];
        foreach (ProcessImage process in image.Processes)
        {
            Require(process.Pid is > 0 and < 1 << 22 && numbers.Add(process.Pid), $"pid {process.Pid} is out of range or there twice");
        }

        foreach (ProcessImage process in image.Processes.Where(process => process.ZombieStatus is null))
        {
            Process(image, process, numbers);
        }

        Require(image.Pipes.All(pipe => pipe.Capacity is >= 4096 and <= 1 << 30 && pipe.Bytes.Length <= pipe.Capacity && pipe.Parts.All(part => part > 0) && pipe.Parts.Sum() == pipe.Bytes.Length), "a pipe holds more than it can");
        Require(image.SharedMemory.All(shared => shared.Size is > 0 and < 1L << 46), "shared memory has an impossible size");
        Require(image.GhostFiles.All(ghost => ghost.Path.StartsWith('/') && ghost.Identity.Size >= 0), "a deleted file has an impossible path or size");
    }

    private static void Process(ApplicationImage image, ProcessImage process, HashSet<int> numbers)
    {
        string who = $"process {process.Pid}";
        Require(process is { Memory: not null, Attributes: not null }, $"{who}: a part is missing");
        Require(process.Threads.Count > 0 && process.Threads[0].Tid == process.Pid, $"{who}: its first thread must have its number");
        foreach (ThreadImage thread in process.Threads)
        {
            Require(thread.Tid is > 0 and < 1 << 22 && (thread.Tid == process.Pid || numbers.Add(thread.Tid)), $"{who}: thread {thread.Tid} is out of range or there twice");
            Require(thread.Registers.Length == Marshal.SizeOf<UserRegisters>(), $"{who}: {thread.Registers.Length} bytes of registers");
            Require(thread.ExtendedState.Length is >= 576 and <= 65536, $"{who}: {thread.ExtendedState.Length} bytes of extended state");
            Require(thread.PendingSignals.All(info => info.Length == 128), $"{who}: a siginfo is not 128 bytes");
            Require(MemoryMarshal.Read<UserRegisters>(thread.Registers).Cs == X64.UserCodeSegment, $"{who}: thread {thread.Tid} is not a 64-bit one");
            Require(thread.Credentials.UserIds.Length == 4 && thread.Credentials.GroupIds.Length == 4, $"{who}: credentials of thread {thread.Tid}");
            Require(thread.Scheduling.Length == 56 && thread.Affinity.Length <= 8192, $"{who}: scheduling of thread {thread.Tid}");
        }

        Require(process.PendingSignals.All(info => info.Length == 128), $"{who}: a siginfo is not 128 bytes");
        Require(process.SignalActions.All(action => action.Signal is >= 1 and <= 64 and not (9 or 19)), $"{who}: a signal is out of range");
        Require(process.Limits.All(limit => limit.Resource is >= 0 and < 16), $"{who}: a limit is out of range");
        Require(process.IntervalTimers.All(timer => timer.Which is >= 0 and < 3), $"{who}: a timer is out of range");
        ulong end = 0;
        foreach (AreaImage area in process.Memory!.Areas)
        {
            Require(
                area.Start >= end && area.Start < area.End && area.End <= UserEnd && ((area.Start | area.End | area.Offset) & 0xfff) == 0,
                $"{who}: area {area.Start:x}-{area.End:x} overlaps or is out of range");
            end = area.End;
            int limit = area.Kind switch
            {
                AreaKind.File => image.MappedFiles.Count,
                AreaKind.SharedAnonymous => image.SharedMemory.Count,
                _ => -1,
            };
            Require(limit < 0 || (area.File >= 0 && area.File < limit), $"{who}: area {area.Start:x} refers to file {area.File}");
            Require(area.Guards.All(guard => guard.Start >= area.Start && guard.Start < guard.End && guard.End <= area.End), $"{who}: a guard range is outside its area");
        }

        Require(process.Memory.ExecutableFile >= 0 && process.Memory.ExecutableFile < image.MappedFiles.Count, $"{who}: no executable");
        HashSet<int> descriptors = [];
        foreach (DescriptorImage descriptor in process.Descriptors)
        {
            Require(
                descriptor.Number is >= 0 and < 1 << 20 && descriptors.Add(descriptor.Number) && descriptor.File >= 0 && descriptor.File < image.OpenFiles.Count,
                $"{who}: descriptor {descriptor.Number}");
        }
    }

    private static void Require([System.Diagnostics.CodeAnalysis.DoesNotReturnIf(false)] bool condition, string what)
    {
        if (!condition)
        {
            throw new BridgeException("image.invalid", "reading the image", what, "restore another snapshot");
        }
    }
}
