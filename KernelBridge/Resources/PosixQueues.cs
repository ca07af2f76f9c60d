using System.Globalization;
using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;
using Holdfast.KernelBridge.Restore;
using Holdfast.KernelBridge.Tape;

namespace Holdfast.KernelBridge.Resources;

/// <summary>Open POSIX message queues (mq_overview(7)), and all queues of an IPC namespace of its own. What is in them is in <see cref="PosixQueueContents"/>.</summary>
internal sealed class PosixQueues : IDescriptorKind
{
    private const long MqueueMagic = 0x19800202;

    /// <summary>Most bytes that taking out a queue's messages may need.</summary>
    private const long MostBytes = 16 << 20;

    private const int CLONE_NEWNS = 0x00020000;
    private const ulong MS_REC = 0x4000, MS_PRIVATE = 0x40000;

    private const int EntrySize = 20;

    // On which the queues are listed, in mount namespaces of our own.
    private const string Place = "/dev";

    public bool Recognise(DescriptorFacts facts) =>
        facts.Identity.Type == FileIdentity.Regular && (facts.Flags & Libc.O_PATH) == 0 && (facts.Path.LastIndexOf('/') == 0 || facts.Path.StartsWith("/dev/mqueue/", StringComparison.Ordinal))
        && Libc.FileSystemType(facts.MagicPath) == MqueueMagic;

    public Refusal? Check(DescriptorFacts facts)
    {
        if (!IpcNamespace.HasOwn(facts.Pid))
        {
            return facts.Refuse("fd.mqueue", "it is a POSIX message queue of the host's IPC namespace, which does not belong to the application alone", "start it with 'run', in an IPC namespace of its own");
        }

        // One that has a name is looked at by its name.
        return !facts.Deleted || Of(facts) is not { } state ? null
            : Problem(state) is { } problem ? facts.Refuse("ipc.queue", problem.Why, problem.Remedy)
            : state.Count > 0 && facts.AccessMode != Libc.O_RDWR
                ? facts.Refuse("fd.mqueue", "it is a POSIX message queue without a name that holds messages, and not open for both reading and writing", "receive its messages first")
            : null;
    }

    public OpenFileImage Capture(DescriptorFacts facts) => new PosixQueueEndImage { Flags = facts.Flags, Queue = (long)facts.Identity.Inode };

    /// <summary>What of the queues cannot be captured, in the namespace in which the thread is.</summary>
    public static IEnumerable<Refusal> Refusals() =>
        List().Select(state => (state, Problem(state))).Where(entry => entry.Item2 is not null)
            .Select(entry => new Refusal("ipc.queue", 0, null, $"POSIX message queue /{entry.state.Name}", entry.Item2!.Value.Why, entry.Item2.Value.Remedy));

    // Whether the thread has a mount namespace in which they are.
    [ThreadStatic]
    private static bool isMounted;

    /// <summary>All queues that have a name, in the IPC namespace of a process.</summary>
    public static List<PosixQueueState> In(int pid) => ProcSnapshot.Current?.Kept<List<PosixQueueState>>() ?? IpcNamespace.Ask(pid, List);

    /// <summary>The same in the namespace in which the thread is; its mount namespace becomes its own.</summary>
    public static List<PosixQueueState> List()
    {
        if (ProcSnapshot.Current?.Kept<List<PosixQueueState>>() is { } known)
        {
            return known;
        }

        List<PosixQueueState> queues = [];
        isMounted = isMounted
            || (Libc.unshare(CLONE_NEWNS) == 0 && Libc.mount("none", "/", null, MS_REC | MS_PRIVATE, 0) == 0 && Libc.mount("mqueue", Place, "mqueue", 0, 0) == 0);
        if (!isMounted)
        {
            return queues;
        }

        // Each queue adds to the size of the directory; without any it is that of two entries (DIRENT_SIZE of ipc/mqueue.c).
        if (FileIdentity.TryOf(Place)?.Size == 2 * EntrySize)
        {
            return queues;
        }

        foreach (string path in Directory.EnumerateFileSystemEntries(Place).Order(StringComparer.Ordinal))
        {
            int fd = Libc.open(path, Libc.O_RDONLY | Libc.O_CLOEXEC, 0);
            if (fd >= 0 && Read(fd, Path.GetFileName(path), FileIdentity.TryOf(path), path) is { } state)
            {
                queues.Add(state);
            }

            _ = fd >= 0 ? Libc.close(fd) : 0;
        }

        return queues;
    }

    /// <summary>The state of an open one.</summary>
    public static PosixQueueState? Of(DescriptorFacts facts) => facts.Ask(fd => Read(fd, facts.Path[(facts.Path.LastIndexOf('/') + 1)..], facts.Identity, facts.MagicPath));

    private static unsafe PosixQueueState? Read(int fd, string name, FileIdentity? identity, string path)
    {
        long* attributes = stackalloc long[8];
        if (identity is null || Libc.mq_getsetattr(fd, null, attributes) < 0)
        {
            return null;
        }

        // QSIZE:129     NOTIFY:2    SIGNO:0    NOTIFY_PID:8260
        string text = ProcFs.TryText(path) ?? string.Empty;
        int at = text.IndexOf("NOTIFY_PID:", StringComparison.Ordinal);
        bool notifies = at >= 0 && long.TryParse(text.AsSpan(at + 11).Trim(), CultureInfo.InvariantCulture, out long pid) && pid != 0;
        (uint owner, uint group) = FileIdentity.OwnerOf(path);
        return new PosixQueueState(name, (long)identity.Inode, identity.Mode & 0xfff, owner, group, (int)attributes[1], (int)attributes[2], (int)attributes[3], notifies);
    }

    private static (string Why, string Remedy)? Problem(PosixQueueState state) =>
        state.Notifies ? ("a process is to be notified of a message (mq_notify), and no interface shows with which value", "take the registration back before the checkpoint (mq_notify with NULL)")
        : (long)state.Count * PosixQueueContents.Stride(state) > MostBytes ? ($"it holds {state.Count} messages of up to {state.MessageSize} bytes, more than can be taken out at once", "receive some of its messages first")
        : null;
}

/// <summary>A queue as it was found.</summary>
internal sealed record PosixQueueState(string Name, long Inode, uint Mode, uint Owner, uint Group, int Capacity, int MessageSize, int Count, bool Notifies);

/// <summary>A POSIX message queue.</summary>
/// <param name="Id">Its number in the image: the inode that it had.</param>
/// <param name="Name">Without the slash.</param>
/// <param name="Removed">It has been unlinked, and lives as long as somebody has it open.</param>
/// <param name="Mode">Twelve bits of permissions.</param>
/// <param name="Owner">User id.</param>
/// <param name="Group">Group id.</param>
/// <param name="Capacity">Most messages: mq_maxmsg.</param>
/// <param name="MessageSize">Most bytes of one: mq_msgsize.</param>
/// <param name="Messages">In the order in which they are received.</param>
internal sealed record PosixQueueImage(long Id, string Name, bool Removed, uint Mode, uint Owner, uint Group, int Capacity, int MessageSize, IReadOnlyList<PosixMessageImage> Messages)
{
    [System.Text.Json.Serialization.JsonIgnore]
    public bool IsValid => Id > 0 && Name is { Length: > 0 and <= 255 } && Name is not ("." or "..") && !Name.AsSpan().ContainsAny('/', '\0') && (Mode & ~0xfffu) == 0
        && Capacity is > 0 and <= 65536 && MessageSize is > 0 and <= 16 << 20 && Messages is not null && Messages.Count <= Capacity
        && Messages.All(message => message is { Bytes: not null, Priority: < 32768 } && message.Bytes.Length <= MessageSize);

    /// <summary>Composes what makes it, with its messages, in a process whose IPC namespace is the application's.</summary>
    /// <param name="tape">The calls.</param>
    /// <param name="number">The descriptor under which it stays open.</param>
    public void Make(SyscallTape tape, int number)
    {
        string what = $"POSIX message queue /{Name}";
        ulong name = tape.Place(Name);
        tape.Add("making " + what, X64.MqOpen, name, (ulong)(Libc.O_CREAT | Libc.O_EXCL | Libc.O_RDWR | Libc.O_NONBLOCK), 0x180, tape.Place((0L, (long)Capacity, (long)MessageSize, 0L)));
        RestoreContext.Place(tape, what, number);
        tape.AddWith("owner of " + what, X64.Fchown, TapeFlags.MayFail, (ulong)number, Owner, Group);
        tape.Add("mode of " + what, X64.Fchmod, (ulong)number, Mode);
        foreach (PosixMessageImage message in Messages)
        {
            tape.Add("filling " + what, X64.MqTimedsend, (ulong)number, tape.Place(message.Bytes), (ulong)message.Bytes.Length, message.Priority, 0);
        }

        if (Removed)
        {
            tape.Add("removing " + what, X64.MqUnlink, name);
        }
    }
}

/// <summary>A message.</summary>
/// <param name="Priority">The higher, the earlier it is received.</param>
/// <param name="Bytes">What it says.</param>
internal sealed record PosixMessageImage(uint Priority, byte[] Bytes);

/// <summary>An open message queue.</summary>
internal sealed record PosixQueueEndImage : OpenFileImage
{
    /// <summary><see cref="PosixQueueImage.Id"/>.</summary>
    public required long Queue { get; init; }

    public override string Description => $"POSIX message queue {Queue}";

    public override void Restore(SyscallTape tape, int number, RestoreContext context)
    {
        context.OpenAs(tape, $"/proc/self/fd/{context.PosixQueues[Queue]}", Flags & ~Libc.O_NONBLOCK, number);
        RestoreContext.SetFlags(tape, Description, number, Flags);
    }
}
