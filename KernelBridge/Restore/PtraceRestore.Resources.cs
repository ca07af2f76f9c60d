using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Resources;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Restore;

/// <summary>
/// What descriptors and shared areas refer to. Each object is made once, in the first process, at a descriptor number or address that no process of the image
/// uses; the others inherit it when they are forked, and put it where they have it.
/// </summary>
internal sealed partial class PtraceRestore
{
    private readonly Dictionary<int, ulong> sharedAddresses = [];
    private int firstFree;
    private int firstGhost;
    private int firstMapped;
    private int firstOpen;

    /// <summary>Gives every process its descriptors.</summary>
    public void BuildResources()
    {
        MakeSystemV();
        OpenLate();
        FinishRings();
        FinishTerminals();
        FinishSockets();
        FillEpolls();
        foreach (ProcessImage process in Living)
        {
            Stub stub = stubs[process.Pid];
            SyscallTape tape = stub.NewTape();
            HashSet<int> used = [];
            foreach (DescriptorImage descriptor in process.Descriptors)
            {
                used.Add(descriptor.Number);
                tape.Add(
                    $"descriptor {descriptor.Number} of process {process.Pid}", X64.Dup3, (ulong)(firstOpen + descriptor.File), (ulong)descriptor.Number,
                    descriptor.CloseOnExec ? (ulong)Libc.O_CLOEXEC : 0);
            }

            for (int number = 0; number <= 2; number++)
            {
                if (!used.Contains(number))
                {
                    tape.AddWith($"closing {number}", X64.Close, TapeFlags.MayFail, (ulong)number);
                }
            }

            stub.Run(tape);
        }
    }

    /// <summary>Makes every shared object in the first process.</summary>
    private void PrepareRoot(Stub root)
    {
        int pipes = Image.Pipes.Count * 2;
        firstFree = Math.Max(64, Living.SelectMany(process => process.Descriptors).Select(descriptor => descriptor.Number).Concat(EpollNumbers).DefaultIfEmpty().Max() + 1);
        firstGhost = firstFree + pipes;
        firstMapped = firstGhost + Image.GhostFiles.Count;
        firstOpen = firstMapped + Image.MappedFiles.Count;
        // The number behind the open files is free for a moment's use.
        context.NextSpare = firstOpen + Image.OpenFiles.Count + 1;
        int helpers = Image.OpenFiles.Any(file => file is SocketImage { FilledLate: true }) ? 2 * Image.OpenFiles.Count(file => file is SocketImage) : 0;
        RaiseDescriptorLimit(root, (ulong)(context.NextSpare + Image.OpenFiles.Count(file => file is FifoImage or HungUpTerminalImage) + TerminalNumbers + helpers + (Image.SystemV?.PosixQueues.Count ?? 0) + 64));
        MakePipes(root);
        MakeGhosts(root, firstGhost);
        MakeTerminals(root);
        MakePosixQueues(root);
        sockets = new SocketBuilder(root, Image, firstOpen, madeFiles, context.Spare, kept?.Sockets);
        sockets.Build();
        if (!sockets.IsLate)
        {
            sockets.Dispose();
            sockets = null;
        }

        SyscallTape tape = root.NewTape();
        FindFirstProcess(tape);
        for (int i = 0; i < Image.MappedFiles.Count; i++)
        {
            MappedFileImage mapped = Image.MappedFiles[i];
            context.OpenAs(tape, mapped.Deleted ? context.GhostPath(mapped.Identity) : mapped.Path, mapped.Writable ? Libc.O_RDWR : Libc.O_RDONLY, firstMapped + i);
        }

        for (int i = 0; i < Image.OpenFiles.Count; i++)
        {
            Image.OpenFiles[i].Restore(tape, firstOpen + i, context);
            if (!Image.OpenFiles[i].OpenedLate)
            {
                FileLocks.Take(tape, Image.OpenFiles[i], firstOpen + i);
            }
        }

        // Nobody may have an executable open for writing when it becomes that of a process. What is still to be sealed stays.
        foreach (GhostFileImage ghost in Image.GhostFiles.Where(ghost => ghost.Memfd is null or { Seals: 0 }))
        {
            tape.Add($"closing deleted file {ghost.Path}", X64.Close, (ulong)(firstGhost + ghost.Id));
        }

        root.Run(tape);
        MakeSharedMemory(root);
    }

    /// <summary>Queues without a name first, since their names may be those of others now.</summary>
    private void MakePosixQueues(Stub root)
    {
        IReadOnlyList<PosixQueueImage> queues = Image.SystemV?.PosixQueues ?? [];
        if (queues.Count == 0)
        {
            return;
        }

        SetIpcLimits(root);
        foreach (PosixQueueImage queue in queues.OrderBy(queue => !queue.Removed))
        {
            SyscallTape tape = root.NewTape();
            queue.Make(tape, context.PosixQueues[queue.Id] = context.Spare());
            root.Run(tape);
        }
    }

    /// <summary>Descriptors on their way: sent again by a process that has all open files, those too that were opened late.</summary>
    private void FinishSockets()
    {
        if (sockets is null)
        {
            return;
        }

        ProcessImage sender = FirstProcess;
        SyscallTape tape = stubs[sender.Pid].NewTape();
        foreach (int file in Image.OpenFiles.OfType<SocketImage>().SelectMany(socket => socket.Queue).SelectMany(message => message.Descriptors ?? []).Distinct())
        {
            if (Image.OpenFiles[file].OpenedLate && Living.Where(process => process.Descriptors.Any(descriptor => descriptor.File == file)).ToList() is var holders && !holders.Contains(sender))
            {
                TakeOver(tape, Image.OpenFiles[file].Description, firstOpen + file, holders[0].Pid, sender);
            }
        }

        stubs[sender.Pid].Run(tape);
        sockets.Finish(stubs[sender.Pid]);
        sockets.Dispose();
        sockets = null;
    }

    private SocketBuilder? sockets;

    /// <summary>Raises RLIMIT_NOFILE for the time of the build. What was there is put back by the image's own limits.</summary>
    private void RaiseDescriptorLimit(Stub root, ulong needed)
    {
        SyscallTape ask = root.NewTape();
        ulong place = ask.Reserve(16);
        ask.Add("reading the descriptor limit", X64.Prlimit64, 0, 7, 0, place);
        root.Run(ask);
        (ulong soft, ulong hard) = root.Memory.Read<(ulong, ulong)>(place);
        if (soft < needed)
        {
            SyscallTape raise = root.NewTape();
            raise.Add($"raising the descriptor limit to {needed}", X64.Prlimit64, 0, 7, raise.Place((needed, Math.Max(needed, hard))), 0);
            root.Run(raise);
        }
    }

    private void MakePipes(Stub root)
    {
        if (Image.Pipes.Count == 0)
        {
            return;
        }

        SyscallTape make = root.NewTape();
        ulong results = make.Reserve(Image.Pipes.Count * 8);
        for (int i = 0; i < Image.Pipes.Count; i++)
        {
            make.Add("making a pipe", X64.Pipe2, results + (ulong)i * 8, 0);
        }

        root.Run(make);
        SyscallTape place = root.NewTape();
        List<(int Read, int Write)> made = [];
        for (int i = 0; i < Image.Pipes.Count; i++)
        {
            made.Add(root.Memory.Read<(int, int)>(results + (ulong)i * 8));
        }

        // Away from low numbers, so that placing one never overwrites another.
        for (int i = 0; i < made.Count; i++)
        {
            int read = firstFree + 2 * i;
            if (made[i].Read >= firstFree || made[i].Write >= firstFree)
            {
                throw new BridgeException("restore.pipes", "making pipes", $"{made.Count} pipes need more descriptor numbers than there are below {firstFree}");
            }

            place.Add("placing a pipe", X64.Dup2, (ulong)made[i].Read, (ulong)read);
            place.Add("placing a pipe", X64.Dup2, (ulong)made[i].Write, (ulong)(read + 1));
            place.Add("placing a pipe", X64.Close, (ulong)made[i].Read);
            place.Add("placing a pipe", X64.Close, (ulong)made[i].Write);
            Pipes.Fill(place, Image.Pipes[i], read + 1);
            context.AddPipe(Image.Pipes[i].Id, read, read + 1);
        }

        root.Run(place);
    }

    /// <summary>Deleted files come back without a name (O_TMPFILE), so that a restore that dies leaves none behind.</summary>
    private void MakeGhosts(Stub root, int firstGhost)
    {
        MakeFolders(root);
        for (int i = 0; i < Image.GhostFiles.Count; i++)
        {
            GhostFileImage ghost = Image.GhostFiles[i];
            int number = firstGhost + i;
            string directory = Path.GetDirectoryName(ghost.Path) ?? "/";
            SyscallTape tape = root.NewTape();
            if (ghost.Memfd is { } memfd)
            {
                Memfds.Make(tape, memfd);
            }
            else if (ghost.Named)
            {
                tape.Add($"making {ghost.Path}", X64.Open, tape.Place(ghost.Path), (ulong)(Libc.O_CREAT | Libc.O_EXCL | Libc.O_RDWR | Libc.O_LARGEFILE), ghost.Identity.Mode & 0xfff);
            }
            else
            {
                tape.Add($"making deleted file {ghost.Path}", X64.Open, tape.Place(directory), (ulong)(Libc.O_TMPFILE | Libc.O_RDWR | Libc.O_LARGEFILE), ghost.Identity.Mode & 0xfff);
            }

            tape.AddWith("placing a deleted file", X64.Dup2, TapeFlags.FirstIsKept | TapeFlags.LeaveKept, 0, (ulong)number);
            tape.AddWith("placing a deleted file", X64.Close, TapeFlags.FirstIsKept | TapeFlags.LeaveKept, 0);
            tape.AddWith("owner of a deleted file", X64.Fchown, TapeFlags.MayFail, (ulong)number, ghost.Owner, ghost.Group);
            tape.Add("mode of a deleted file", X64.Fchmod, (ulong)number, ghost.Identity.Mode & 0xfff);
            tape.Add("size of a deleted file", X64.Ftruncate, (ulong)number, (ulong)ghost.Identity.Size);
            root.Run(tape);
            FillGhost(ghost, $"/proc/{root.HostPid}/fd/{number}");
            context.AddGhost(ghost.Identity, $"/proc/self/fd/{number}");
        }
    }

    private void MakeFolders(Stub root)
    {
        SyscallTape tape = root.NewTape();
        foreach (SharedMemoryFolderImage folder in Image.SharedMemoryFolders)
        {
            ulong path = tape.Place(folder.Path);
            tape.Add($"making {folder.Path}", X64.Mkdir, path, 0x1c0);
            tape.Add($"owner of {folder.Path}", X64.Chown, path, folder.Owner, folder.Group);
            tape.Add($"mode of {folder.Path}", X64.Chmod, path, folder.Mode & 0xfff);
        }

        root.Run(tape);
    }

    private void FillGhost(GhostFileImage ghost, string path)
    {
        if (ghost.Memfd is { PageSize: > 0 } huge)
        {
            HugePages.Fill(path, huge.PageSize, ghost.Identity.Size, request.Pages, ghost.Stream);
            return;
        }

        using FileStream file = new(path, FileMode.Open, FileAccess.Write, FileShare.ReadWrite, 0);
        byte[] buffer = new byte[1 << 20];
        foreach (PageRun run in request.Pages.Runs(ghost.Stream))
        {
            for (long at = run.Offset; at < run.Offset + run.Length;)
            {
                Span<byte> part = buffer.AsSpan(0, (int)Math.Min(buffer.Length, run.Offset + run.Length - at));
                request.Pages.Read(ghost.Stream, at, part);
                file.Seek(at, SeekOrigin.Begin);
                file.Write(part);
                at += part.Length;
            }
        }
    }

    private void MakeSharedMemory(Stub root)
    {
        if (Image.SharedMemory.Count == 0)
        {
            return;
        }

        SyscallTape tape = root.NewTape();
        ulong at = area.Scratch;
        foreach (SharedMemoryImage shared in Image.SharedMemory)
        {
            at = shared.PageSize == 0 ? at : (at + (ulong)shared.PageSize - 1) & ~((ulong)shared.PageSize - 1);
            sharedAddresses[shared.Id] = at;
            if (shared.Segment is null)
            {
                ulong flags = MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | (shared.PageSize == 0 ? MAP_NORESERVE : HugePages.MapFlags(shared.PageSize));
                tape.Add($"shared memory {shared.Id}", X64.Mmap, at, (ulong)shared.Size, 3, flags, ulong.MaxValue, 0);
            }

            at += (ulong)((shared.Size + 0xfff) & ~0xfffL) + 0x10000;
        }

        root.Run(tape);
        foreach (SharedMemoryImage shared in Image.SharedMemory.Where(shared => shared.Segment is null))
        {
            Fill(root, shared.Stream, request.Pages.Runs(shared.Stream), run => sharedAddresses[shared.Id] + (ulong)run, shared.Size);
        }
    }

    /// <summary>Writes stored runs of a stream into a process.</summary>
    private void Fill(Stub stub, string stream, IReadOnlyList<PageRun> runs, Func<long, ulong> address, long limit)
    {
        byte[] buffer = pageBuffer ??= GC.AllocateUninitializedArray<byte>(1 << 20, pinned: true);
        foreach (PageRun run in runs)
        {
            if (run.Offset < 0 || run.Length <= 0 || run.Offset + run.Length > ((limit + 0xfff) & ~0xfffL))
            {
                throw new BridgeException("image.invalid", $"reading stream {stream}", $"run {run.Offset:x}+{run.Length:x} lies outside");
            }

            for (long at = run.Offset; at < run.Offset + run.Length;)
            {
                Span<byte> part = buffer.AsSpan(0, (int)Math.Min(buffer.Length, run.Offset + run.Length - at));
                request.Pages.Read(stream, at, part);
                stub.Memory.Write(address(at), part);
                at += part.Length;
            }
        }
    }

    private byte[]? pageBuffer;
}
