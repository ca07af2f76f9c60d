using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Resources;

namespace Holdfast.KernelBridge.Capture;

/// <summary>Puts the image of an application together: what several processes hold becomes one object.</summary>
internal sealed class ImageAssembly
{
    private readonly ApplicationTarget target;
    private readonly IReadOnlyList<ProcessImage> processes;
    private readonly PidReference pids;
    private readonly ApplicationCensus? census;
    private readonly IReadOnlyDictionary<int, byte[]> outputs;
    private readonly IReadOnlyDictionary<int, TypedInput> inputs;
    private readonly SocketQueues queues;
    private readonly PosixQueueContents posixQueues;
    private readonly List<(DescriptorFacts Facts, OpenFileImage File)> files = [];
    private readonly Dictionary<(ulong, ulong, int), List<int>> candidates = [];
    private readonly List<PipeImage> pipes = [];
    private readonly List<MappedFileImage> mapped = [];
    private readonly Dictionary<(ulong, ulong, bool), int> mappedIndex = [];
    private readonly List<SharedMemoryImage> shared = [];
    private readonly Dictionary<(ulong, ulong), int> sharedIndex = [];
    private readonly List<GhostFileImage> ghosts = [];
    private readonly Dictionary<(ulong, ulong), int> ghostIndex = [];

    public ImageAssembly(
        ApplicationTarget target, PidReference pids, IReadOnlyList<ProcessImage> processes, ApplicationCensus? census, IReadOnlyDictionary<int, byte[]> outputs,
        IReadOnlyDictionary<int, TypedInput> inputs, SocketQueues queues, PosixQueueContents posixQueues)
    {
        this.target = target;
        this.processes = processes;
        this.pids = pids;
        this.census = census;
        this.outputs = outputs;
        this.inputs = inputs;
        this.queues = queues;
        this.posixQueues = posixQueues;
    }

    /// <summary>Who has shared anonymous memory mapped, by its number.</summary>
    public Dictionary<int, List<SegmentUser>> SharedMemoryUsers { get; } = [];

    /// <summary>Who has System V shared memory attached, by its number in the image.</summary>
    public Dictionary<int, SegmentUser> SegmentUsers { get; } = [];

    /// <summary>Where the contents of deleted files can be read, by their number.</summary>
    public Dictionary<int, string> GhostPaths { get; } = [];

    /// <summary>Descriptors of our own through which deleted files are read that no process holds; the caller closes them.</summary>
    public List<int> Reopened { get; } = [];

    public ApplicationImage Build()
    {
        List<ProcessImage> ordered = ParentsFirst();
        int reference = ordered[0].HostPid;
        IReadOnlyList<string>? isolated = target.Scope == ApplicationScope.Space ? HostFacts.IsolatedOf(reference) : null;
        SystemVImage? systemV = AssembleSystemV(ordered);
        List<SharedMemoryFolderImage> folders = isolated?.Contains("shm") == true ? AssembleSharedMemoryDirectory() : [];
        foreach (ProcessImage process in ordered)
        {
            census?.PidNamespaces.Complete(process);
            process.MountNamespace = census?.MountNamespaces.Of(process.HostPid) ?? 0;
            process.Descriptors = [.. process.Captured.Select(c => new DescriptorImage(c.Facts.Number, c.Facts.CloseOnExec, FileOf(c.Facts, c.File)))];
            process.RecordLocks = FileLocks.OfProcess(process.Captured.Select(captured => captured.Facts));
            if (process.Memory is { } memory)
            {
                AssembleMemory(process, memory);
            }
        }

        AssembleInFlight();
        NameSenders();
        AssembleEpolls(ordered);
        systemV = systemV is null ? null : systemV with { PosixQueues = posixQueues.Images(files.Where(file => file.File is PosixQueueEndImage).Select(file => file.Facts)) };
        return new ApplicationImage
        {
            Scope = target.Scope, Isolated = isolated, HostName = HostFacts.HostNameOf(reference), Processes = ordered, OpenFiles = [.. files.Select(file => file.File)], Pipes = pipes, Terminals = census?.Terminals.Capture(outputs, inputs) ?? [],
            MappedFiles = mapped, SharedMemory = shared, GhostFiles = ghosts, SystemV = systemV, SharedMemoryFolders = folders, Interfaces = isolated?.Contains("net") == true ? NetworkInterfaces.Capture(reference, []) : [], MountNamespaces = census?.MountNamespaces.Images ?? [], Host = HostFacts.Of(reference, ordered.First(p => p.Memory is not null)),
        };
    }

    private List<ProcessImage> ParentsFirst()
    {
        List<ProcessImage> ordered = [];
        HashSet<int> pids = [.. processes.Select(process => process.Pid)];
        Queue<ProcessImage> next = new(processes.Where(process => !pids.Contains(process.ParentPid)).OrderBy(process => process.Pid));
        while (next.TryDequeue(out ProcessImage? process))
        {
            ordered.Add(process);
            foreach (ProcessImage child in processes.Where(child => child.ParentPid == process.Pid).OrderBy(child => child.Pid))
            {
                next.Enqueue(child);
            }
        }

        return ordered;
    }

    /// <summary>The number of an open file description; descriptors that share one (dup, fork) get the same.</summary>
    private int FileOf(DescriptorFacts facts, OpenFileImage image)
    {
        if (KnownFile(facts, out List<int> same) is { } known)
        {
            return known;
        }

        if (image is PipeEndImage end)
        {
            if (census?.OutsidePipes.TryGetValue(facts.Identity.Inode, out (int Stream, Refusal? Refusal) outside) == true)
            {
                image = new InheritedStreamImage { Flags = image.Flags, Stream = outside.Stream, Was = facts.Link };
            }
            else if (!pipes.Exists(pipe => pipe.Id == end.Pipe))
            {
                pipes.Add(Pipes.CaptureContents(end.Pipe, facts));
            }
        }

        if (image is PidFdImage process)
        {
            image = process with { Pid = pids.Number(process.Pid) };
        }

        if (census?.Terminals.Of(facts) is { } terminal)
        {
            image = new TerminalSlaveImage { Flags = image.Flags, Terminal = terminal, ByControl = !TerminalCensus.IsSlave(facts) };
        }

        if (image is SocketImage socket)
        {
            image = census?.Sockets.StandardStreams.TryGetValue(facts.Identity.Inode, out int stream) == true
                ? new InheritedStreamImage { Flags = image.Flags, Stream = stream, Was = facts.Link }
                : census?.Sockets.Complete(socket) ?? image;
        }

        if (facts.Identity.Type == FileIdentity.Regular && facts.Deleted && image is not PosixQueueEndImage)
        {
            Ghost(facts.Identity, facts.Path, facts.MagicPath);
        }

        if (image is FifoImage fifo && !files.Exists(file => file.File is FifoImage && file.Facts.Identity.SameFile(facts.Identity)))
        {
            image = fifo with { Contents = Pipes.CaptureContents((long)facts.Identity.Inode, facts) };
        }

        // Whom signals about a stream from outside go to is not the application's to set.
        files.Add((facts, image with { Locks = FileLocks.OfFile(facts), Signals = image is InheritedStreamImage ? null : SignalDrivenFiles.OfFile(facts, processes, pids) }));
        same.Add(files.Count - 1);
        return files.Count - 1;
    }

    /// <summary>The number of an open file description that has been found before, or null.</summary>
    private int? KnownFile(DescriptorFacts facts, out List<int> same)
    {
        (ulong, ulong, int) key = (facts.Identity.Device, facts.Identity.Inode, facts.Flags);
        if (!candidates.TryGetValue(key, out List<int>? found))
        {
            candidates[key] = found = [];
        }

        same = found;
        foreach (int index in found)
        {
            if (files[index].Facts.IsSameFile(facts))
            {
                return index;
            }
        }

        return null;
    }

    /// <summary>Descriptors on their way in sockets: of files that processes hold, and of others.</summary>
    private void AssembleInFlight()
    {
        for (int i = files.Count - 1; i >= 0; i--)
        {
            if (files[i].File is SocketImage socket)
            {
                files[i] = (files[i].Facts, queues.WithDescriptors(socket, facts => KnownFile(facts, out _) ?? Orphan(facts)));
            }
        }
    }

    /// <summary>Who sent what waits in sockets (SCM_CREDENTIALS): by the application's own numbers.</summary>
    private void NameSenders()
    {
        for (int i = 0; i < files.Count; i++)
        {
            if (files[i].File is SocketImage { Queue: var queue } socket && queue.Any(message => message.Sender is { Pid: > 0 }))
            {
                files[i] = (files[i].Facts, socket with
                {
                    Queue = [.. queue.Select(message => message.Sender is { Pid: > 0 } sender ? message with { Sender = sender with { Pid = pids.Number(sender.Pid) } } : message)],
                });
            }
        }
    }

    /// <summary>The number of an open file that no process holds.</summary>
    private int Orphan(DescriptorFacts facts)
    {
        if (DescriptorsInFlight.Check(facts) is { } refusal)
        {
            throw new BridgeException([refusal]);
        }

        OpenFileImage image = DescriptorKinds.Of(facts)!.Capture(facts);
        int ghostsBefore = ghosts.Count;
        int index = FileOf(facts, image);
        if (files[index].File is SocketImage socket)
        {
            files[index] = (facts, census?.Sockets.Known.ContainsKey(facts.Identity.Inode) == true
                ? SocketQueues.OfOrphan(facts, socket)
                : throw new BridgeException([new Refusal(
                    DescriptorsInFlight.Code, facts.InnerPid, facts.ReportedNumber, facts.Carrier!.Link, $"{socket.Description}, which is on its way behind other descriptors in its queue, cannot be looked at",
                    "let them be received, and try again")]));
        }

        if (ghosts.Count > ghostsBefore)
        {
            // What is read after the application runs again is read through an open file of our own.
            int own = Libc.open(facts.MagicPath, Libc.O_RDONLY | Libc.O_CLOEXEC, 0);
            if (own < 0)
            {
                throw new BridgeException("file.unreadable", $"opening {facts.Link}, which is on its way in {facts.Carrier!.Link} of process {facts.InnerPid}", Errno.Text(Libc.LastError));
            }

            Reopened.Add(own);
            GhostPaths[ghosts.Count - 1] = $"/proc/{Environment.ProcessId}/fd/{own}";
        }

        return index;
    }

    /// <summary>What epoll sets watch, by the number of the open file.</summary>
    private void AssembleEpolls(List<ProcessImage> ordered)
    {
        if (!files.Exists(file => file.File is EpollImage))
        {
            return;
        }

        List<DescriptorFacts> all = [.. ordered.SelectMany(process => process.Captured).Select(captured => captured.Facts)];
        ILookup<ulong, DescriptorFacts> byInode = all.ToLookup(facts => facts.Identity.Inode);
        Dictionary<(int, int), int> numbers = [];
        foreach (ProcessImage process in ordered)
        {
            foreach (DescriptorImage descriptor in process.Descriptors)
            {
                numbers[(process.HostPid, descriptor.Number)] = descriptor.File;
            }
        }

        for (int i = 0; i < files.Count; i++)
        {
            (DescriptorFacts facts, OpenFileImage file) = files[i];
            if (file is EpollImage epoll)
            {
                files[i] = (facts, epoll with
                {
                    Entries = [.. EpollSets.Resolve(facts, byInode, all).Select(entry => entry.Target is { } target
                        ? new EpollEntryImage(entry.Entry.Number, entry.Entry.Events, entry.Entry.Data, numbers[(target.Pid, target.Number)])
                        : throw new BridgeException([.. EpollSets.Refusals(all)]))],
                });
            }
        }
    }

    private void AssembleMemory(ProcessImage process, MemoryImage memory)
    {
        foreach (AreaImage area in memory.Areas)
        {
            Area source = area.Source!;
            switch (area.Kind)
            {
                case AreaKind.File:
                    // VM_MAYWRITE ('mw'): a shared mapping that may become writable by mprotect later.
                    bool writable = area.Shared && source.Map.HasFlag("mw ");
                    area.File = mappedIndex.TryGetValue(KeyOf(source.Backing!, writable), out int known) ? known : Mapped(
                        source.Backing!, source.Deleted ? area.Name[..^10] : NameOf(process, area), writable, source.Deleted,
                        MappedFiles.PathOf(process.HostPid, source.Map) ?? throw new BridgeException("file.unreadable", $"looking at {area.Name}", "it cannot be found"), area.Shared);
                    break;
                case AreaKind.SharedAnonymous:
                    area.File = Shared(source.Backing!, area.PageSize, new SegmentUser(process.HostPid, area.Start, area.End, area.Offset));
                    break;
                case AreaKind.SystemV:
                    area.File = AttachedSegment(process, area, source);
                    break;
                case AreaKind.Uring:
                    area.File = files.FindIndex(file => file.File is UringImage ring && ring.Inode == source.Map.Inode);
                    break;
            }
        }

        bool deleted = memory.Executable.EndsWith(" (deleted)", StringComparison.Ordinal);
        memory.ExecutableFile = Mapped(
            memory.ExecutableIdentity, deleted ? memory.Executable[..^10] : memory.Executable, writable: false, deleted, $"/proc/{process.HostPid}/exe");
    }

    /// <summary>The path of a mapped file; maps says it less exactly than the link does where it has to write a character by its number.</summary>
    private static string NameOf(ProcessImage process, AreaImage area) => !area.Name.Contains('\\') ? area.Name
        : ProcFs.TryLink(MappedFiles.Link(process.HostPid, area.Start, area.End)) is { } name && !name.EndsWith(" (deleted)", StringComparison.Ordinal) ? name : area.Name;

    private static (ulong Device, ulong Inode, bool Writable) KeyOf(FileIdentity identity, bool writable) => (identity.Device, identity.Inode, writable);

    private int Mapped(FileIdentity identity, string path, bool writable, bool deleted, string magicPath, bool shared = false)
    {
        (ulong, ulong, bool) key = KeyOf(identity, writable);
        if (!mappedIndex.TryGetValue(key, out int index))
        {
            mappedIndex[key] = index = mapped.Count;
            bool kept = deleted || ghostIndex.ContainsKey((identity.Device, identity.Inode));
            mapped.Add(new MappedFileImage(path, identity, writable, deleted) { Digest = shared && !kept ? ContentDigest.Of(magicPath, identity) : null });
            if (deleted)
            {
                Ghost(identity, path, magicPath);
            }
        }

        return index;
    }

    private int Shared(FileIdentity identity, long pageSize, SegmentUser user)
    {
        (ulong, ulong) key = (identity.Device, identity.Inode);
        if (!sharedIndex.TryGetValue(key, out int index))
        {
            sharedIndex[key] = index = shared.Count;
            shared.Add(new SharedMemoryImage(index, identity.Size) { PageSize = pageSize });
            SharedMemoryUsers[index] = [];
        }

        // Where its size cannot be seen, it is as large as those who have it mapped know.
        shared[index] = shared[index] with { Size = Math.Max(shared[index].Size, identity.Size > 0 ? 0 : (long)(user.Offset + (user.End - user.Start))) };
        SharedMemoryUsers[index].Add(user);
        return index;
    }

    /// <summary>The objects of an IPC namespace of its own; null when it shares the host's.</summary>
    private SystemVImage? AssembleSystemV(List<ProcessImage> ordered)
    {
        if (target.Scope != ApplicationScope.Space || !IpcNamespace.HasOwn(target.RootPid))
        {
            return null;
        }

        Dictionary<int, int> numbers = ordered.ToDictionary(process => process.HostPid, process => process.Pid);
        int Inner(int pid) => numbers.GetValueOrDefault(pid);
        foreach ((long size, SegmentImage segment) in IpcNamespace.Ask(target.RootPid, () => SystemVMemory.List(Inner)))
        {
            shared.Add(new SharedMemoryImage(shared.Count, size) { Segment = segment });
        }

        return SystemVImage.Capture(target.RootPid, Inner);
    }

    /// <summary>Everything in a /dev/shm of its own, whoever has it open.</summary>
    private List<SharedMemoryFolderImage> AssembleSharedMemoryDirectory()
    {
        List<SharedMemoryFolderImage> folders = [];
        foreach ((string path, FileIdentity identity) in SharedMemoryDirectory.Entries(target.RootPid))
        {
            string seen = SharedMemoryDirectory.Root(target.RootPid) + path;
            if (identity.Type == FileIdentity.DirectoryType)
            {
                (uint owner, uint group) = FileIdentity.OwnerOf(seen);
                folders.Add(new SharedMemoryFolderImage(path, identity.Mode & 0xfff, owner, group));
            }
            else
            {
                Ghost(identity, path, seen, named: true);
            }
        }

        return folders;
    }

    private int AttachedSegment(ProcessImage process, AreaImage area, Area source)
    {
        int index = shared.FindIndex(memory => memory.Segment is { } segment && segment.Permissions.Id == (int)source.Map.Inode);
        if (index < 0)
        {
            throw new BridgeException([new Refusal(
                "memory.sysv", process.Pid, null, $"memory {area.Start:x}-{area.End:x} {area.Name}", "it is System V shared memory of another IPC namespace", "detach it before the checkpoint")]);
        }

        // Best one that shows the last page.
        SegmentUser user = new(process.HostPid, area.Start, area.End, area.Offset);
        if (!SegmentUsers.ContainsKey(index) || user.Covers(shared[index].Size - 1))
        {
            SegmentUsers[index] = user;
        }

        return index;
    }

    private void Ghost(FileIdentity identity, string path, string magicPath, bool named = false)
    {
        (ulong, ulong) key = (identity.Device, identity.Inode);
        if (ghostIndex.TryAdd(key, ghosts.Count))
        {
            (uint owner, uint group) = FileIdentity.OwnerOf(magicPath);
            GhostPaths[ghosts.Count] = magicPath;
            ghosts.Add(new GhostFileImage(ghosts.Count, path, identity, owner, group) { Memfd = Memfds.Describe(path, magicPath), Named = named });
        }
    }
}
