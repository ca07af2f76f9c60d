using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Resources;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Restore;

/// <summary>
/// System V IPC. Objects are made with their identifiers (/proc/sys/kernel/*_next_id) by the processes that made them, where these are there, and with the
/// effective ids of their makers; whoever used one last uses it once more. Until then only their owners of the moment may use them.
/// </summary>
internal sealed partial class PtraceRestore
{
    /// <summary>Messages for one tape.</summary>
    private const int MessagesAtOnce = 1000;

    private const ulong Unchanged = uint.MaxValue;

    private Task<IReadOnlyList<IpcSettingImage>>? ipcSettings;

    private IEnumerable<SharedMemoryImage> Segments => Image.SharedMemory.Where(shared => shared.Segment is not null);

    /// <summary>Makes all objects, with contents, before any process has descriptors or memory of its own.</summary>
    private void MakeSystemV()
    {
        if (Image.SystemV is null && !Segments.Any())
        {
            return;
        }

        SetIpcLimits(stubs[plan.Root!.Pid]);
        foreach (SharedMemoryImage shared in Segments)
        {
            MakeSegment(shared, shared.Segment!);
        }

        foreach (SemaphoreSetImage set in Image.SystemV?.Sets ?? [])
        {
            MakeSet(set);
        }

        foreach (MessageQueueImage queue in Image.SystemV?.Queues ?? [])
        {
            MakeQueue(queue);
        }
    }

    /// <summary>What comes when every process has attached what it had: who used a segment last, removal, locks.</summary>
    private void FinishSystemV()
    {
        foreach (SharedMemoryImage shared in Segments)
        {
            SegmentImage segment = shared.Segment!;
            string what = $"System V shared memory {segment.Permissions.Id}";
            ulong id = (ulong)segment.Permissions.Id;
            Stub last = StubOr(segment.LastPid);
            SyscallTape tape = last.NewTape();
            tape.Add("attaching " + what, X64.Shmat, id, sharedAddresses[shared.Id], IpcCalls.SHM_RDONLY);
            tape.Add("detaching " + what, X64.Munmap, sharedAddresses[shared.Id], Pages(shared));
            if (segment.Locked)
            {
                tape.Add("locking " + what, X64.Shmctl, id, IpcCalls.SHM_LOCK, 0);
            }

            if (segment.Removed)
            {
                tape.Add("removing " + what, X64.Shmctl, id, IpcCalls.IPC_RMID, 0);
            }

            last.Run(tape);
        }
    }

    /// <summary>Composes what attaches an area. The whole segment is attached elsewhere first, since an area may be a part of it.</summary>
    private void AttachSegment(SyscallTape tape, AreaImage mapped, string purpose, ulong remap)
    {
        SharedMemoryImage shared = Image.SharedMemory[mapped.File];
        ulong whole = sharedAddresses[shared.Id];
        tape.Add(purpose, X64.Shmat, (ulong)shared.Segment!.Permissions.Id, whole, mapped.Flags.Contains("mw") ? 0 : (ulong)IpcCalls.SHM_RDONLY);
        tape.Add(purpose, X64.Mremap, whole + mapped.Offset, 0, mapped.Length, remap, mapped.Start);
        tape.Add(purpose, X64.Munmap, whole, Pages(shared));
    }

    private static ulong Pages(SharedMemoryImage shared) => (ulong)((shared.Size + 0xfff) & ~0xfffL);

    /// <summary>The process of that number, or the first one when it is gone.</summary>
    private Stub StubOr(int pid) => stubs.TryGetValue(pid, out Stub? stub) ? stub : stubs[plan.Root!.Pid];

    /// <summary>Begins to ask for the limits of the space, by a thread that has to enter its namespace first.</summary>
    private void BeginIpcLimits(int pid)
    {
        if (Image.SystemV is not null)
        {
            ipcSettings = Task.Run(() => IpcNamespace.Ask(pid, SystemVImage.ReadSettings));
        }
    }

    private void SetIpcLimits(Stub root)
    {
        IReadOnlyList<IpcSettingImage> now = Interlocked.Exchange(ref ipcSettings, null)?.GetAwaiter().GetResult() ?? IpcNamespace.Ask(root.HostPid, SystemVImage.ReadSettings);
        SyscallTape tape = root.NewTape();
        foreach (IpcSettingImage setting in Image.SystemV?.Settings.Except(now) ?? [])
        {
            WriteSetting(tape, setting.Name, setting.Value);
        }

        root.Run(tape);
    }

    private static void WriteSetting(SyscallTape tape, string name, string value)
    {
        byte[] text = Encoding.ASCII.GetBytes(value);
        string purpose = $"setting {name} to {value}";
        tape.Add(purpose, X64.Open, tape.Place(SystemVImage.PathOf(name)), Libc.O_WRONLY, 0);
        tape.AddWith(purpose, X64.Write, TapeFlags.FirstIsKept | TapeFlags.LeaveKept, 0, tape.Place(text), (ulong)text.Length);
        tape.AddWith(purpose, X64.Close, TapeFlags.FirstIsKept | TapeFlags.LeaveKept, 0);
    }

    /// <summary>Makes an object and compares its identifier.</summary>
    /// <param name="stub">The process that makes it.</param>
    /// <param name="setting">shm, sem or msg: which identifier is asked for.</param>
    /// <param name="permissions">Identifier, and who makes it.</param>
    /// <param name="what">For messages.</param>
    /// <param name="make">Composes the call.</param>
    private static void Make(Stub stub, string setting, IpcPermissions permissions, string what, Action<SyscallTape> make)
    {
        ProcessStatus status = ProcessStatus.Read(stub.HostPid);
        (uint user, uint group) = ((uint)status.Numbers("Uid")[1], (uint)status.Numbers("Gid")[1]);
        SyscallTape tape = stub.NewTape();
        WriteSetting(tape, setting + "_next_id", permissions.Id.ToString(CultureInfo.InvariantCulture));
        bool foreign = user != permissions.Maker || group != permissions.MakerGroup;
        if (foreign)
        {
            tape.Add("group of the maker of " + what, X64.Setresgid, Unchanged, permissions.MakerGroup, Unchanged);
            tape.Add("user of the maker of " + what, X64.Setresuid, Unchanged, permissions.Maker, Unchanged);
        }

        int record = tape.Count;
        make(tape);
        if (foreign)
        {
            tape.Add("user again", X64.Setresuid, Unchanged, user, Unchanged);
            tape.Add("group again", X64.Setresgid, Unchanged, group, Unchanged);
        }

        long id = stub.Run(tape)[record];
        if (id != permissions.Id)
        {
            throw new BridgeException("restore.ipc", "making " + what, $"it became {id}", "report this");
        }
    }

    /// <summary>The beginning of struct shmid64_ds and its kind: what IPC_SET reads of struct ipc64_perm (include/uapi/asm-generic/ipcbuf.h).</summary>
    private static byte[] Permissions(IpcPermissions permissions, int size, int mode)
    {
        byte[] bytes = new byte[size];
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(4), permissions.Owner);
        BinaryPrimitives.WriteUInt32LittleEndian(bytes.AsSpan(8), permissions.Group);
        BinaryPrimitives.WriteInt32LittleEndian(bytes.AsSpan(20), mode);
        return bytes;
    }

    private void MakeSegment(SharedMemoryImage shared, SegmentImage segment)
    {
        IpcPermissions permissions = segment.Permissions;
        string what = $"System V shared memory {permissions.Id}";
        Stub stub = StubOr(segment.MakerPid);
        ulong at = sharedAddresses[shared.Id];
        Make(stub, "shm", permissions, what, tape =>
            tape.Add("making " + what, X64.Shmget, (uint)permissions.Key, (ulong)shared.Size, IpcCalls.IPC_CREAT | IpcCalls.IPC_EXCL | 0x180));
        SyscallTape attach = stub.NewTape();
        attach.Add("attaching " + what, X64.Shmat, (ulong)permissions.Id, at, 0);
        stub.Run(attach);
        Fill(stub, shared.Stream, request.Pages.Runs(shared.Stream), run => at + (ulong)run, shared.Size);
        SyscallTape finish = stub.NewTape();
        finish.Add("detaching " + what, X64.Munmap, at, Pages(shared));
        finish.Add(
            "permissions of " + what, X64.Shmctl, (ulong)permissions.Id, IpcCalls.IPC_SET, finish.Place(Permissions(permissions, IpcCalls.SegmentStatusSize, permissions.Mode)));
        stub.Run(finish);
    }

    private void MakeSet(SemaphoreSetImage set)
    {
        IpcPermissions permissions = set.Permissions;
        string what = $"System V semaphore set {permissions.Id}";
        Stub root = stubs[plan.Root!.Pid];
        Make(root, "sem", permissions, what, tape =>
            tape.Add("making " + what, X64.Semget, (uint)permissions.Key, (ulong)set.Semaphores.Count, IpcCalls.IPC_CREAT | IpcCalls.IPC_EXCL | 0x180));
        SyscallTape begin = root.NewTape();
        if (set.Operated)
        {
            // struct sembuf {number, operation, flags}: waiting for zero, as all are still, leaves nothing but the time of the last operation.
            begin.Add("operation on " + what, X64.Semop, (ulong)permissions.Id, begin.Place([0, 0, 0, 0, 0, IpcCalls.IPC_NOWAIT >> 8]), 1);
        }

        begin.Add(
            "permissions of " + what, X64.Semctl, (ulong)permissions.Id, 0, IpcCalls.IPC_SET, begin.Place(Permissions(permissions, IpcCalls.SetStatusSize, permissions.Mode)));
        root.Run(begin);
        foreach (IGrouping<Stub, (SemaphoreImage Semaphore, int Number)> group in set.Semaphores.Select((semaphore, number) => (semaphore, number))
            .Where(entry => entry.semaphore.Used || entry.semaphore.Value != 0).GroupBy(entry => StubOr(entry.semaphore.LastPid)))
        {
            SyscallTape tape = group.Key.NewTape();
            foreach ((SemaphoreImage semaphore, int number) in group)
            {
                tape.Add($"semaphore {number} of {what}", X64.Semctl, (ulong)permissions.Id, (ulong)number, IpcCalls.SETVAL, semaphore.Value);
            }

            group.Key.Run(tape);
        }
    }

    private void MakeQueue(MessageQueueImage queue)
    {
        IpcPermissions permissions = queue.Permissions;
        string what = $"System V message queue {permissions.Id}";
        ulong id = (ulong)permissions.Id;
        Stub root = stubs[plan.Root!.Pid];
        Make(root, "msg", permissions, what, tape =>
            tape.Add("making " + what, X64.Msgget, (uint)permissions.Key, IpcCalls.IPC_CREAT | IpcCalls.IPC_EXCL | 0x180));
        Stub sender = StubOr(queue.LastSender);
        if (queue.LastReceiver != 0)
        {
            Stub receiver = StubOr(queue.LastReceiver);
            Send(sender, what, id, [new MessageImage(1, [])]);
            SyscallTape receive = receiver.NewTape();
            receive.Add("receiving from " + what, X64.Msgrcv, id, receive.Reserve(16), 0, 0, IpcCalls.IPC_NOWAIT);
            receiver.Run(receive);
        }

        // Its capacity may have been made smaller than what was in it; a larger one is needed before.
        SetQueue(root, what, queue, Math.Max(queue.Capacity, queue.Messages.Sum(message => (long)message.Bytes.Length)), 0x180);
        foreach (MessageImage[] part in queue.Messages.SkipLast(1).Chunk(MessagesAtOnce))
        {
            Send(root, what, id, part);
        }

        Send(sender, what, id, queue.Messages.TakeLast(1));
        SetQueue(root, what, queue, queue.Capacity, permissions.Mode);
    }

    private static void SetQueue(Stub stub, string what, MessageQueueImage queue, long capacity, int mode)
    {
        SyscallTape tape = stub.NewTape();
        byte[] status = Permissions(queue.Permissions, IpcCalls.QueueStatusSize, mode);
        BinaryPrimitives.WriteInt64LittleEndian(status.AsSpan(IpcCalls.QueueCapacityOffset), capacity);
        tape.Add($"permissions and capacity of {what}", X64.Msgctl, (ulong)queue.Permissions.Id, IpcCalls.IPC_SET, tape.Place(status));
        stub.Run(tape);
    }

    private static void Send(Stub stub, string what, ulong id, IEnumerable<MessageImage> messages)
    {
        SyscallTape tape = stub.NewTape();
        foreach (MessageImage message in messages)
        {
            byte[] bytes = new byte[8 + message.Bytes.Length];
            BinaryPrimitives.WriteInt64LittleEndian(bytes, message.Type);
            message.Bytes.CopyTo(bytes, 8);
            tape.Add("message in " + what, X64.Msgsnd, id, tape.Place(bytes), (ulong)message.Bytes.Length, IpcCalls.IPC_NOWAIT);
        }

        stub.Run(tape);
    }
}
