using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Ptrace;
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
            && image.GhostFiles is not null && image.Terminals is not null, "a table is missing");
        Require(
            !Lists(image).Any(list => list.Cast<object?>().Contains(null)) && image.Processes.All(process => !Lists(process).Any(list => list.Cast<object?>().Contains(null))),
            "an entry of a table is missing");
        Require(image.Isolated?.All(kind => kind is "pid" or "mount" or "uts" or "ipc" or "time" or "net" or "shm") ?? true, "a namespace of an unknown kind");
        HashSet<int> numbers = [];
        foreach (ProcessImage process in image.Processes)
        {
            Require(process.Pid is > 0 and < 1 << 22 && numbers.Add(process.Pid), $"pid {process.Pid} is out of range or there twice");
        }

        Tree(image);
        string? namespaces = PidNamespaces.Problem(image);
        Require(namespaces is null, namespaces ?? string.Empty);
        string? interfaces = NetworkInterfaces.Problem(image);
        Require(interfaces is null, interfaces ?? string.Empty);
        string? mounts = MountNamespaces.Problem(image);
        Require(mounts is null, mounts ?? string.Empty);
        foreach (ProcessImage process in image.Processes.Where(process => process.ZombieStatus is null))
        {
            Process(image, process, numbers);
        }

        Require(image.Pipes.All(IsPipe), "a pipe holds more than it can");
        Require(image.Pipes.Select(pipe => pipe.Id).Distinct().Count() == image.Pipes.Count, "a pipe is there twice");
        Require(image.SharedMemory.Select((shared, i) => shared.Id == i && shared.Size is > 0 and < 1L << 40).All(valid => valid), "shared memory has an impossible number or size");
        Require(
            image.SharedMemory.All(shared => HugePages.IsValid(shared.PageSize, (ulong)shared.Size) && (shared.PageSize == 0 || shared.Segment is null))
            && image.GhostFiles.All(ghost => ghost.Memfd is not { } memfd || HugePages.IsValid(memfd.PageSize, (ulong)ghost.Identity.Size)),
            "memory of huge pages has an impossible size");
        IReadOnlyList<SegmentImage> segments = [.. image.SharedMemory.Select(shared => shared.Segment).OfType<SegmentImage>()];
        Require(
            segments.All(segment => segment.Permissions is { IsValid: true }) && segments.DistinctBy(segment => segment.Permissions.Id).Count() == segments.Count,
            "a System V segment is impossible");
        string? systemV = image.SystemV?.Problem();
        Require(systemV is null, systemV ?? string.Empty);
        Require(
            (segments.Count == 0 && image.SystemV is null) || (image.Scope == ApplicationScope.Space && image.Isolated?.Contains("ipc") == true),
            "it has System V objects without an IPC namespace of its own");
        Require(image.SharedMemory.Sum(shared => (double)shared.Size) < 1L << 45, "there is more shared memory than addresses");
        Require(
            image.GhostFiles.Select((ghost, i) => ghost.Id == i && IsPath(ghost.Path) && ghost.Identity.Size >= 0 && (ghost.Memfd is null || (ghost.Memfd.Seals is >= 0 and < 0x100 && !ghost.Memfd.Name.Contains('\0', StringComparison.Ordinal)))).All(valid => valid)
            && image.GhostFiles.DistinctBy(ghost => (ghost.Identity.Device, ghost.Identity.Inode)).Count() == image.GhostFiles.Count,
            "a deleted file has an impossible number, path or size");
        List<string> own = [.. image.GhostFiles.Where(ghost => ghost.Named).Select(ghost => ghost.Path), .. image.SharedMemoryFolders.Select(folder => folder.Path)];
        Require(
            own.TrueForAll(SharedMemoryDirectory.IsPath) && own.Distinct().Count() == own.Count && !image.GhostFiles.Any(ghost => ghost is { Named: true, Memfd: not null })
            && (own.Count == 0 || (image.Scope == ApplicationScope.Space && image.Isolated?.Contains("shm") == true)),
            "a file in /dev/shm is impossible, or there without a /dev/shm of its own");
        HashSet<(ulong, ulong)> ghosts = [.. image.GhostFiles.Select(ghost => (ghost.Identity.Device, ghost.Identity.Inode))];
        Require(
            image.MappedFiles.All(mapped => IsPath(mapped.Path) && (!mapped.Deleted || ghosts.Contains((mapped.Identity.Device, mapped.Identity.Inode)))),
            "a mapped file has an impossible path, or no contents");
        HashSet<long> pipes = [.. image.Pipes.Select(pipe => pipe.Id)];
        Require(
            image.OpenFiles.All(file => file switch
            {
                RegularFileImage regular => IsPath(regular.Path) && regular.Position >= 0 && (!regular.Deleted || ghosts.Contains((regular.Identity.Device, regular.Identity.Inode))),
                DirectoryImage directory => IsPath(directory.Path),
                PathDescriptorImage path => IsPath(path.Path),
                DeviceImage device => IsPath(device.Path),
                PipeEndImage end => pipes.Contains(end.Pipe),
                InheritedStreamImage stream => stream.Stream is >= 0 and <= 2,
                EventFdImage counter => counter.Count != ulong.MaxValue,
                TimerFdImage timer => timer is { Clock: 0 or 1 or 7 or 8 or 9, SettimeFlags: >= 0 and <= 3, Interval: >= 0, Expires: null or > 0, Ticks: < ulong.MaxValue / 2 },
                SignalFdImage => true,
                PidFdImage target => image.Processes.Any(process => process.Pid == target.Pid),
                InotifyImage inotify => inotify.Watches.All(watch => watch is { Number: > 0 } && IsPath(watch.Path)),
                FifoImage fifo => IsPath(fifo.Path) && (fifo.Contents is null || IsPipe(fifo.Contents)),
                EpollImage epoll => epoll.Entries.All(entry => entry is { Number: >= 0 and < 1 << 20, File: >= 0 } && entry.File < image.OpenFiles.Count),
                UringImage ring => IoUrings.IsValid(ring),
                SocketImage or HungUpTerminalImage => true,
                PosixQueueEndImage end => image.SystemV?.PosixQueues.Any(queue => queue.Id == end.Queue) == true,
                TerminalMasterImage master => image.Terminals.Any(terminal => terminal.Index == master.Terminal),
                TerminalSlaveImage slave => slave.IsValid(image),
                _ => false,
            }),
            "an open file has an impossible path, position or object");
        Require(PseudoTerminalImage.AreValid(image), "a terminal has an impossible number, session or group, or is there twice");
        Require(image.OpenFiles.All(file => file.Locks?.All(FileLocks.IsValid) ?? true), "an open file has an impossible lock");
        Require(Enumerable.Range(0, image.OpenFiles.Count).All(i => SignalDrivenFiles.IsValid(image, i)), "signals about an open file go to nobody in the image");
        string? socket = SocketValidation.Problem(image);
        Require(socket is null, socket ?? string.Empty);
    }

    private static bool IsPipe(PipeImage pipe) =>
        pipe.Capacity is >= 4096 and <= 1 << 30 && pipe.Bytes.Length <= pipe.Capacity && pipe.Parts.All(part => part > 0) && pipe.Parts.Sum(part => (long)part) == pipe.Bytes.Length;

    /// <summary>Every process must be reached from outside, over parents that are there.</summary>
    private static void Tree(ApplicationImage image)
    {
        Dictionary<int, int> parents = image.Processes.ToDictionary(process => process.Pid, process => process.ParentPid);
        HashSet<int> ended = [.. image.Processes.Where(process => process.ZombieStatus is not null).Select(process => process.Pid)];
        foreach (ProcessImage process in image.Processes)
        {
            Require(
                process is { ParentPid: >= 0 and < 1 << 22, ProcessGroup: >= 0 and < 1 << 22, Session: >= 0 and < 1 << 22 } && process.ZombieStatus is null or (>= 0 and <= 0xffff),
                $"process {process.Pid} has an impossible parent, group, session or status");
            int at = process.Pid;
            int steps = 0;
            while (parents.TryGetValue(at, out int parent) && steps <= parents.Count)
            {
                Require(!ended.Contains(parent), $"process {at} is a child of {parent}, which has ended");
                at = parent;
                steps++;
            }

            Require(steps <= parents.Count, $"process {process.Pid} descends from itself");
        }

        Require(image.Processes.Any(process => process.ZombieStatus is null), "all its processes have ended");
    }

    /// <summary>The lists of an object whose entries are objects.</summary>
    private static IEnumerable<System.Collections.IEnumerable> Lists(ApplicationImage image) =>
        [image.Processes, image.OpenFiles, image.Pipes, image.Terminals, image.MappedFiles, image.SharedMemory, image.GhostFiles, image.SharedMemoryFolders, image.MountNamespaces, image.Isolated ?? [], image.Host?.CpuFlags ?? []];

    private static IEnumerable<System.Collections.IEnumerable> Lists(ProcessImage process) =>
    [
        process.Nested, process.Threads, process.Descriptors, process.SignalActions, process.PendingSignals, process.IntervalTimers, process.PosixTimers, process.Limits, process.SeccompFilters, process.Memory?.Areas ?? [], process.Memory?.AioContexts ?? [],
        .. process.Threads.Where(thread => thread is not null).SelectMany(thread => (IEnumerable<System.Collections.IEnumerable>)[thread.PendingSignals, thread.SeccompFilters]),
        .. process.Memory?.Areas.Where(area => area is not null).SelectMany(area => (IEnumerable<System.Collections.IEnumerable>)[area.Flags, area.Guards]) ?? [],
    ];

    /// <summary>Absolute, and without a zero byte, at which the kernel would end it.</summary>
    private static bool IsPath(string path) => path.StartsWith('/') && !path.Contains('\0', StringComparison.Ordinal) && path.Length < 4096;

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
            Require(MemoryPolicies.IsValid(thread.MemoryPolicy), $"{who}: memory policy of thread {thread.Tid}");
            Require(thread.PendingSignals.All(info => info.Length == 128), $"{who}: a siginfo is not 128 bytes");
            Require(MemoryMarshal.Read<UserRegisters>(thread.Registers).Cs == X64.UserCodeSegment, $"{who}: thread {thread.Tid} is not a 64-bit one");
            Require(thread.Credentials.UserIds.Length == 4 && thread.Credentials.GroupIds.Length == 4, $"{who}: credentials of thread {thread.Tid}");
            Require(thread.Credentials.Groups.Length <= 65536, $"{who}: groups of thread {thread.Tid}");
            Require(thread.Scheduling.Length == 56 && thread.Affinity.Length <= 8192, $"{who}: scheduling of thread {thread.Tid}");
        }

        Require(process.PendingSignals.All(info => info.Length == 128), $"{who}: a siginfo is not 128 bytes");
        Require(
            process.SignalActions.All(action => action.Signal is >= 1 and <= 64 and not (9 or 19)) && process.SignalActions.DistinctBy(action => action.Signal).Count() == process.SignalActions.Count,
            $"{who}: a signal is out of range or there twice");
        Require(IsPath(process.Directories.Working) && IsPath(process.Directories.Root), $"{who}: an impossible directory");
        Require(process.Limits.All(limit => limit.Resource is >= 0 and < 16), $"{who}: a limit is out of range");
        Require(
            process.RecordLocks.All(record => record is not null && FileLocks.IsValid(record.Lock) && process.Descriptors.Any(descriptor => descriptor.Number == record.Number)),
            $"{who}: a record lock is impossible");
        Require(process.IntervalTimers.All(timer => timer.Which is >= 0 and < 3), $"{who}: a timer is out of range");
        Require(process.StoppedBy == 0 || Tracee.JobSignals.Contains(process.StoppedBy), $"{who}: stopped by signal {process.StoppedBy}");
        string? filters = SeccompFilters.Problem(process.SeccompFilters) ?? process.Threads.Select(thread => SeccompFilters.Problem(thread.SeccompFilters)).FirstOrDefault(problem => problem is not null);
        Require(filters is null, $"{who}: {filters}");
        string? timers = PosixTimers.Problem(process);
        Require(timers is null, $"{who}: {timers}");
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
                AreaKind.SharedAnonymous or AreaKind.SystemV => image.SharedMemory.Count,
                AreaKind.Uring => image.OpenFiles.Count,
                _ => -1,
            };
            Require(limit < 0 || (area.File >= 0 && area.File < limit), $"{who}: area {area.Start:x} refers to file {area.File}");
            Require(Enum.IsDefined(area.Kind) && (area.Protection & ~7) == 0, $"{who}: area {area.Start:x} is of an unknown kind or protection");
            Require(
                HugePages.IsValid(area.PageSize, area.Start | area.End | area.Offset) && area.Flags.Contains(HugePages.Flag) == area.PageSize > 0 && (area.Kind == AreaKind.SharedAnonymous ? image.SharedMemory[area.File].PageSize == area.PageSize : area.PageSize == 0 || area.Kind is AreaKind.Anonymous or AreaKind.File),
                $"{who}: area {area.Start:x} has pages of an impossible size");
            Require(
                area.Kind != AreaKind.Uring || (area.Shared && image.OpenFiles[area.File] is UringImage && process.Descriptors.Any(descriptor => descriptor.File == area.File)),
                $"{who}: area {area.Start:x} is of an io_uring that it does not have");
            Require(MemoryPolicies.IsValid(area.Policy), $"{who}: area {area.Start:x} has an impossible memory policy");
            Require(!area.Name.StartsWith("[anon:", StringComparison.Ordinal) || area.Name.EndsWith(']'), $"{who}: area {area.Start:x} has an impossible name");
            Require(
                area.Kind is not (AreaKind.SharedAnonymous or AreaKind.SystemV) || image.SharedMemory[area.File].Segment is not null == (area.Kind == AreaKind.SystemV),
                $"{who}: area {area.Start:x} refers to shared memory of another kind");
            Require(
                area.Kind is not (AreaKind.SharedAnonymous or AreaKind.SystemV) || (area.Offset < 1ul << 40 && area.Offset + area.Length <= ((ulong)image.SharedMemory[area.File].Size + 0xfff & ~0xffful)),
                $"{who}: area {area.Start:x} reaches beyond its shared memory");
            Require(area.Guards.All(guard => guard.Start >= area.Start && guard.Start < guard.End && guard.End <= area.End), $"{who}: a guard range is outside its area");
        }

        Require(AioContexts.AreValid(process.Memory), $"{who}: impossible contexts of Linux AIO");
        Require(ProtectionKeys.AreValid(process.Memory), $"{who}: impossible protection keys");
        Require(process.Memory.AuxiliaryVector.Length <= 4096, $"{who}: its auxiliary vector is too long");
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
