using System.Runtime.InteropServices;
using Holdfast.KernelBridge.Capture;
using Holdfast.KernelBridge.Linux;
using Holdfast.KernelBridge.Machine;

namespace Holdfast.KernelBridge.Resources;

/// <summary>
/// Copies the messages of POSIX message queues. No interface shows them without taking them out, and what puts one back needs the length and priority with which it came:
/// so code inside a process of the application takes all out and puts them back (<see cref="QueueTurn"/>), to the end even when this process dies.
/// </summary>
internal sealed class PosixQueueContents
{
    private static readonly string[] Attempts = ["inject.room", SeccompFilters.Code];

    private readonly Lock gate = new();
    private readonly Dictionary<long, List<PosixMessageImage>> messages = [];
    private readonly Dictionary<long, string> failures = [];
    private List<PosixQueueState>? named;
    private bool? hasOwnNamespace;

    /// <summary>Bytes from one record to the next.</summary>
    public static int Stride(PosixQueueState state) => QueueTurn.RecordHeader + ((state.MessageSize + 15) & ~15);

    /// <summary>Whether there are messages under a name, which any process has to take out.</summary>
    /// <param name="rootPid">A process of the application's IPC namespace.</param>
    public bool AreToBeTaken(int rootPid)
    {
        using Lock.Scope scope = gate.EnterScope();
        return IsOwn(rootPid) && Named(rootPid).Any(state => state.Count > 0 && !messages.ContainsKey(state.Inode));
    }


    /// <summary>Copies what a process can reach: queues with a name, those without that it has open.</summary>
    /// <param name="rootPid">A process in whose IPC namespace all are.</param>
    /// <param name="pid">The process, as the host sees it; it stands.</param>
    /// <param name="descriptors">All its descriptors.</param>
    /// <param name="calls">A way to make calls in it.</param>
    public void Copy(int rootPid, int pid, IReadOnlyList<DescriptorFacts> descriptors, InjectedCalls calls)
    {
        using Lock.Scope scope = gate.EnterScope();
        if (!IsOwn(rootPid))
        {
            return;
        }

        foreach (PosixQueueState state in Named(rootPid).Where(state => state.Count > 0 && !messages.ContainsKey(state.Inode)))
        {
            Try(state, () => Turn(state, pid, null, descriptors, calls));
        }

        foreach (DescriptorFacts facts in descriptors.Where(facts => facts.Deleted && facts.AccessMode == Libc.O_RDWR && DescriptorKinds.Of(facts) is PosixQueues && !messages.ContainsKey((long)facts.Identity.Inode)))
        {
            if (PosixQueues.Of(facts) is { Count: > 0 } state)
            {
                Try(state, () => Turn(state, pid, facts.Number, descriptors, calls));
            }
        }
    }

    private bool IsOwn(int rootPid) => hasOwnNamespace ??= IpcNamespace.HasOwn(rootPid);

    private List<PosixQueueState> Named(int rootPid) => named ??= PosixQueues.In(rootPid);

    /// <summary>Takes the queues as they are, empty.</summary>
    /// <param name="rootPid">A process in whose IPC namespace all are.</param>
    public void Note(int rootPid)
    {
        using Lock.Scope scope = gate.EnterScope();
        if (IsOwn(rootPid))
        {
            _ = Named(rootPid);
        }
    }

    /// <summary>Queues in which messages wait.</summary>
    /// <param name="rootPid">A process in whose IPC namespace all are.</param>
    /// <param name="descriptors">All descriptors of the application.</param>
    public static IEnumerable<PosixQueueState> Filled(int rootPid, IEnumerable<DescriptorFacts> descriptors) => !IpcNamespace.HasOwn(rootPid) ? []
        : PosixQueues.In(rootPid)
            .Concat(descriptors.Where(facts => facts.Deleted && DescriptorKinds.Of(facts) is PosixQueues).Select(PosixQueues.Of).OfType<PosixQueueState>())
            .Where(state => state.Count > 0).DistinctBy(state => state.Inode);

    /// <summary>All queues with what is in them.</summary>
    /// <param name="open">Open ones.</param>
    /// <exception cref="BridgeException"><c>ipc.unreadable</c>: no process could look at one.</exception>
    public IReadOnlyList<PosixQueueImage> Images(IEnumerable<DescriptorFacts> open)
    {
        using Lock.Scope scope = gate.EnterScope();
        List<PosixQueueImage> images = [.. (named ?? []).Select(state => Image(state, removed: false))];
        foreach (DescriptorFacts facts in open)
        {
            if (!images.Exists(image => image.Id == (long)facts.Identity.Inode) && PosixQueues.Of(facts) is { } state)
            {
                images.Insert(0, Image(state, removed: true));
            }
        }

        return images;
    }

    private PosixQueueImage Image(PosixQueueState state, bool removed) => new(
        state.Inode, state.Name, removed, state.Mode, state.Owner, state.Group, state.Capacity, state.MessageSize,
        state.Count == 0 ? [] : messages.TryGetValue(state.Inode, out List<PosixMessageImage>? found) ? found
        : throw new BridgeException(
            "ipc.unreadable", $"looking at POSIX message queue /{state.Name}", failures.GetValueOrDefault(state.Inode, "no process of the application has it open for reading and writing"),
            "let a process of the application be able to open it"));

    private void Try(PosixQueueState state, Func<List<PosixMessageImage>> turn)
    {
        try
        {
            messages[state.Inode] = turn();
        }
        catch (BridgeException e) when (Attempts.Contains(e.Code) || e.Code == "ipc.unreadable")
        {
            // Another process may be able to.
            failures[state.Inode] = e.Message;
        }
    }

    private static List<PosixMessageImage> Turn(PosixQueueState state, int pid, int? number, IReadOnlyList<DescriptorFacts> descriptors, InjectedCalls calls)
    {
        int stride = Stride(state);
        int length = 16 + (state.Count * stride);
        ulong at = InjectedCalls.FindRoom(pid, length);
        (InjectedCall data, InjectedCall code, InjectedCall unmap) = InjectedCalls.Room(at, length);
        int queue = number ?? 0;
        try
        {
            if (number is null)
            {
                HashSet<int> numbers = [.. descriptors.Select(facts => facts.Number)];
                queue = Enumerable.Range(0, numbers.Count + 1).First(free => !numbers.Contains(free));
                byte[] name = [.. System.Text.Encoding.UTF8.GetBytes(state.Name), 0];
                ulong place = calls.Reserve(name.Length);
                calls.Write(place, name);
                InjectedCall close = new(X64.Close, (ulong)queue);
                Require(state, calls.Begin(new InjectedCall(X64.MqOpen, place, Libc.O_RDWR | Libc.O_CLOEXEC), data, code, unmap, close), queue);
                Require(state, calls.Next(), (long)at);
            }
            else
            {
                Require(state, calls.Begin(data, code, unmap), (long)at);
            }

            Require(state, calls.Next(), (long)InjectedCalls.CodeAt(at, length));
            byte[] records = [];
            calls.RunCode(
                QueueTurn.Code, InjectedCalls.CodeAt(at, length),
                [new InjectedCall(X64.MqTimedreceive, (ulong)queue), new InjectedCall(X64.MqTimedsend, (ulong)queue)],
                registers => registers with
                {
                    R12 = (ulong)queue,
                    R13 = at + 16,
                    R14 = (ulong)stride,
                    R15 = (ulong)state.MessageSize,
                    Rbx = (ulong)state.Count,
                    R8 = at,
                },
                () => records = calls.Read(at + 16, length - 16));
            return Parse(state, records, stride);
        }
        finally
        {
            calls.FinishRow();
        }
    }

    private static List<PosixMessageImage> Parse(PosixQueueState state, byte[] records, int stride)
    {
        List<PosixMessageImage> found = [];
        for (int i = 0; i < state.Count; i++)
        {
            ReadOnlySpan<byte> record = records.AsSpan(i * stride, stride);
            (uint priority, int sent) = (MemoryMarshal.Read<uint>(record), MemoryMarshal.Read<int>(record[4..]));
            long received = MemoryMarshal.Read<long>(record[8..]);
            Require(state, received < 0 ? received : sent, sent == 0 && received >= 0 ? 0 : 1);
            found.Add(new PosixMessageImage(priority, record.Slice(QueueTurn.RecordHeader, (int)received).ToArray()));
        }

        return found;
    }

    private static void Require(PosixQueueState state, long result, long expected)
    {
        if (result != expected)
        {
            throw new BridgeException(
                "ipc.unreadable", $"looking at POSIX message queue /{state.Name}", result is < 0 and > -4096 ? Errno.Text((int)-result) : "an unexpected answer", "let a process of the application be able to open it");
        }
    }
}
